"""Retraining and models, as a person asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aml.contract import DatasetContract
from shared.api.asking import blob_of, contract_of, json_object
from shared.api.replies import Reply, Request, accepted, as_json
from shared.composition import App
from shared.errors import InvalidInputError, NotFoundError
from shared.naming import DATASETS, place
from shared.retraining.activation import metrics_of
from shared.storage import BlobInfo

_REASON_AT_MOST = 500


def train(app: App, dataset: str, request: Request) -> Reply:
    """Manual retraining with the blob that the body names, or with the latest dataset."""
    contract = contract_of(dataset)
    body = json_object(request.body) if request.body.strip() else {}
    blob = blob_of(app, DATASETS, dataset, body["blob"]) if "blob" in body else _latest(app, contract)
    parameters: dict[str, Any] = {}
    if "contamination" in body:
        parameters["contamination"] = _contamination(contract, body["contamination"])
    parameters |= _force(body, request)
    held, _ = app.retraining.receive(blob, manual=True, parameters=parameters)
    app.desk.ask(held.run)
    return accepted(held.run)


def models(app: App, dataset: str) -> Reply:
    """The registered versions of the dataset's model, newest first, with their metrics and which of them is live."""
    contract = contract_of(dataset)
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
    held = app.retraining.activate(contract_of(dataset), version)
    app.desk.ask(held.run)
    return accepted(held.run)


def _contamination(contract: DatasetContract, value: object) -> float:
    if contract.contamination is None:
        raise InvalidInputError("bad_contamination", f"The rows of {contract.name} are classified; none is anomalous.")
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
