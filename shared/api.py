"""What the HTTP doors answer: requests in plain values, replies in plain values, errors as problem+json (RFC 9457)."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from aml.contract import ContractError, DatasetContract, contract_names, load_contract
from shared.composition import App
from shared.errors import (
    ConflictError,
    DropscoreError,
    EndpointRefusedError,
    GiveUpError,
    InvalidInputError,
    NoLiveModelError,
    NotFoundError,
    WorkspaceRefusedError,
)
from shared.naming import DATASETS, INCOMING, place
from shared.retraining.activation import metrics_of
from shared.retraining.lifecycle import State
from shared.runs import Run
from shared.scoring.files import STATES as SCORING_STATES
from shared.scoring.univariate import mode_of, question
from shared.storage import BlobInfo
from shared.tables import BytesSource, RecordsSource, Source
from shared.version import VERSION

_log = logging.getLogger(__name__)

_STATUS: tuple[tuple[type[DropscoreError], int], ...] = (
    (NotFoundError, 404),
    (InvalidInputError, 400),
    (EndpointRefusedError, 502),
    (WorkspaceRefusedError, 502),
    (GiveUpError, 500),
    (NoLiveModelError, 503),
    (ConflictError, 409),
    (DropscoreError, 503),
)
_STATUS_OF_CODE = {
    "body_too_large": 413,
    "storage_not_configured": 503,
    "unknown_dataset": 404,
    "unsupported_media_type": 415,
}

_FILE_NAMES = {
    "text/csv": "request.csv",
    "text/plain": "request.csv",
    "application/csv": "request.csv",
    "application/gzip": "request.csv.gz",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "request.xlsx",
    "application/vnd.apache.parquet": "request.parquet",
}
_RUNS_AT_MOST = 1000
_REASON_AT_MOST = 500
_STATES = SCORING_STATES | set(State)
_PROBE_SECONDS = 3


@dataclass(frozen=True)
class Request:
    """An HTTP request, as far as the app cares; header names in lower case."""

    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def media_type(self) -> str:
        """The body's type without its parameters; JSON or CSV by the look of it where the client says nothing."""
        said = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if said and said not in ("application/octet-stream", "application/x-www-form-urlencoded"):
            return said
        return "application/json" if self.body.lstrip()[:1] in (b"{", b"[") else "text/csv"


@dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def as_json(status: int, body: object) -> Reply:
    """A JSON reply."""
    return Reply(status, json.dumps(body, ensure_ascii=False, default=str).encode())


def problem(error: DropscoreError) -> Reply:
    """The reply that an error stands for."""
    status = _STATUS_OF_CODE.get(error.code) or next(code for kind, code in _STATUS if isinstance(error, kind))
    body = {"title": error.code.replace("_", " "), "status": status, "code": error.code, "detail": error.message}
    headers = {"Retry-After": "30"} if status == 503 else {}
    return Reply(status, json.dumps(body, ensure_ascii=False).encode(), "application/problem+json", headers)


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


def train(app: App, dataset: str, request: Request) -> Reply:
    """Manual retraining with the blob that the body names, or with the latest dataset."""
    contract = _contract(dataset)
    body = _json_object(request.body) if request.body.strip() else {}
    blob = _blob(app, DATASETS, dataset, body["blob"]) if "blob" in body else _latest(app, contract)
    parameters: dict[str, Any] = {}
    if "contamination" in body:
        parameters["contamination"] = _contamination(body["contamination"])
    parameters |= _force(body, request)
    held, _ = app.retraining.receive(blob, manual=True, parameters=parameters)
    app.desk.ask(held.run)
    return _accepted(held.run)


def score(app: App, dataset: str, request: Request) -> Reply:
    """A table in the body is scored at once, a series too (docs/migration.md); a blob that the body names, by a run."""
    contract = _contract(dataset)
    if len(request.body) > app.settings.score_inline_max_bytes:
        raise InvalidInputError(
            "body_too_large",
            f"A table of more than {app.settings.score_inline_max_bytes} bytes is not scored at once; "
            f"put it into {INCOMING}/{dataset}/.",
        )
    if request.media_type == "application/json":
        body = _json_object(request.body)
        if "blob" in body:
            return _score_blob(app, dataset, body["blob"])
        mode = None if "data" in body else mode_of(request.query.get("mode"), body)
        if mode is not None:
            return as_json(200, app.inline.detect(contract, question(mode, body)))
        source: Source = RecordsSource(_records(body))
    elif request.media_type in _FILE_NAMES:
        source = BytesSource(_FILE_NAMES[request.media_type], request.body)
    else:
        raise InvalidInputError(
            "unsupported_media_type", f"Send application/json or text/csv, not {request.media_type}."
        )
    answer = app.inline.score(contract, source)
    if "text/csv" in request.headers.get("accept", ""):
        return Reply(200, answer.csv, "text/csv; charset=utf-8")
    return as_json(200, answer.body)


def _score_blob(app: App, dataset: str, name: object) -> Reply:
    held, new = app.files.receive(_blob(app, INCOMING, dataset, name), manual=True)
    if not new:
        held = app.files.ask_again(held)
    app.desk.ask(held.run)
    return _accepted(held.run)


def runs(app: App, request: Request) -> Reply:
    """Run records, newest first."""
    query = request.query
    limit = query.get("limit", "50")
    if not limit.isdecimal() or not 1 <= int(limit) <= _RUNS_AT_MOST:
        raise InvalidInputError("bad_limit", f"limit is a number from 1 to {_RUNS_AT_MOST}, not '{limit}'.")
    if query.get("kind") not in (None, "", "train", "score"):
        raise InvalidInputError("bad_kind", f"kind is train or score, not '{query['kind']}'.")
    if not query.get("dataset", "").isprintable():
        raise InvalidInputError("bad_dataset", "dataset is the name of a dataset.")
    states = query["state"].split(",") if query.get("state") else None
    if states and set(states) - _STATES:
        raise InvalidInputError("bad_state", f"state is one or more of {', '.join(sorted(_STATES))}.")
    found = app.runs.search(
        dataset=query.get("dataset") or None, kind=query.get("kind") or None, states=states, limit=int(limit)
    )
    return as_json(200, {"runs": [_shown(held.run) for held in found]})


def run(app: App, run_id: str) -> Reply:
    """One run record."""
    return as_json(200, _shown(app.runs.find(run_id).run))


def models(app: App, dataset: str) -> Reply:
    """The registered versions of the dataset's model, newest first, with their metrics and which of them is live."""
    contract = _contract(dataset)
    live = app.live.get(dataset)
    versions = [
        {
            "version": each.version,
            "live": live is not None and live.version == each.version,
            "run": each.tags.get("run"),
            "blob": each.tags.get("blob"),
            "metrics": metrics_of(each),
        }
        for each in app.workspace.models(contract.model_name)
    ]
    body = {"dataset": dataset, "model": contract.model_name, "live": live and live.model_dump(mode="json")}
    return as_json(200, body | {"versions": versions})


def activate(app: App, dataset: str, version: str) -> Reply:
    """A registered version is put into service because a person says so: selected, or rolled back to."""
    held = app.retraining.activate(_contract(dataset), version)
    app.desk.ask(held.run)
    return _accepted(held.run)


def datasets(app: App) -> Reply:
    """The declared datasets, and which model of each is live."""
    return as_json(200, {"datasets": [_declared(app, name) for name in contract_names()]})


def dataset(app: App, name: str) -> Reply:
    """One dataset: its contract and its live model."""
    contract = _contract(name)
    return as_json(200, _declared(app, name) | {"contract": contract.model_dump(mode="json", exclude_none=True)})


def _declared(app: App, name: str) -> dict[str, Any]:
    contract, live = load_contract(name), app.live.get(name)
    return {
        "dataset": name,
        "task": contract.task,
        "model": contract.model_name,
        "live": live and live.model_dump(mode="json"),
    }


def _shown(run: Run) -> dict[str, Any]:
    return run.model_dump(mode="json", exclude_none=True)


def _accepted(run: Run) -> Reply:
    reply = as_json(202, _shown(run))
    return Reply(202, reply.body, reply.content_type, {"Location": f"/api/runs/{run.id}"})


def _contract(dataset: str) -> DatasetContract:
    try:
        return load_contract(dataset)
    except ContractError as error:
        raise InvalidInputError(error.code, error.message) from error


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError("bad_json", f"The body is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise InvalidInputError("bad_json", "The body must be a JSON object.")
    return value


def _records(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    data = body.get("data")
    if not isinstance(data, list) or not all(isinstance(record, dict) for record in data):
        raise InvalidInputError(
            "bad_json", 'The body must hold "data", a list of records, "series", one of points, or "blob", a name.'
        )
    return data


def _contamination(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 0.5:
        raise InvalidInputError("bad_contamination", f"contamination is a number above 0 and up to 0.5, not {value}.")
    return float(value)


def _force(body: Mapping[str, Any], request: Request) -> dict[str, Any]:
    """What a person who knows better than the gate said: that, why, and who it was, as far as known."""
    force, reason = body.get("force", False), body.get("reason")
    if not isinstance(force, bool):
        raise InvalidInputError("bad_force", f"force is true or false, not {force!r}.")
    if reason is not None and not (isinstance(reason, str) and 0 < len(reason.strip()) <= _REASON_AT_MOST):
        raise InvalidInputError("bad_reason", f"reason is a text of up to {_REASON_AT_MOST} characters.")
    if reason is not None and not force:
        raise InvalidInputError("bad_reason", "A reason is given together with force.")
    if not force:
        return {}
    # Set by App Service where it authenticates callers; a function key alone names nobody.
    who = request.headers.get("x-ms-client-principal-name")
    given = {"reason": reason and reason.strip(), "by": who and who[:_REASON_AT_MOST]}
    return {"force": True} | {name: text for name, text in given.items() if text}


def _blob(app: App, container: str, dataset: str, name: object) -> BlobInfo:
    """The blob that a person means: with or without the container, with or without the dataset's folder."""
    if not isinstance(name, str) or not name.isprintable() or {"", ".", ".."} & set(name.split("/")):
        raise InvalidInputError("bad_blob", "blob is the name of a file, with or without its folders.")
    bare = name.removeprefix(f"{container}/")
    if place(container, bare).dataset != dataset:
        bare = f"{dataset}/{bare}"
    return app.blobs.info(container, bare)


def _latest(app: App, contract: DatasetContract) -> BlobInfo:
    found = [
        blob
        for prefix in (f"{contract.name}/", f"{contract.name}_")
        for blob in app.blobs.list_blobs(DATASETS, prefix)
        if place(DATASETS, blob.name).dataset == contract.name
    ]
    if not found:
        raise NotFoundError("no_dataset", f"There is no dataset in {DATASETS}/{contract.name}/ yet.")
    return max(found, key=lambda blob: (blob.last_modified, blob.name))
