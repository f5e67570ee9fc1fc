"""Whether the app works: its version, and which dependencies answer."""

from __future__ import annotations

import logging

import requests

from aml.contract import contract_names
from shared.api.replies import Reply, as_json
from shared.composition import App
from shared.version import VERSION

_log = logging.getLogger(__name__)

_PROBE_SECONDS = 3


def health(app: App) -> Reply:
    """Version, and which dependencies answer; 503 when storage does not, for nothing works without it."""
    dependencies = {"storage": _reachable_storage(app)}
    if app.settings.workspace_configured:
        dependencies["azure_ml"] = _answers(app.settings.resource_manager_url)
    if app.settings.aml_endpoint_url:
        dependencies["endpoint"] = _answers(app.settings.aml_endpoint_url)
    elif dependencies["storage"]:
        for dataset in contract_names():
            live = app.live.get(dataset)
            if live is not None and live.scoring_uri:
                dependencies[f"endpoint of {dataset}"] = _answers(live.scoring_uri)
    reachable = all(dependencies.values())
    words = {name: "reachable" if there else "unreachable" for name, there in dependencies.items()}
    body = {"status": "ok" if reachable else "degraded", "version": VERSION, "dependencies": words}
    return as_json(200 if dependencies["storage"] else 503, body)


def _reachable_storage(app: App) -> bool:
    try:
        app.blobs.folders("state")
    except Exception:
        _log.warning("storage does not answer", exc_info=True)
        return False
    return True


def _answers(url: str) -> bool:
    """Whether anything speaks HTTP there; a refusal is an answer."""
    try:
        requests.get(url, timeout=_PROBE_SECONDS, allow_redirects=False)
    except requests.RequestException:
        return False
    return True
