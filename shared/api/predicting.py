"""Rows classified one by one, in the shape in which the systems for single datasets answered.

A row is `{"features": {…}}` or the bare object; a batch is `{"rows": […]}` or the bare list. For whole tables there is
`score`, which answers the same predictions as a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aml.contract import DatasetContract
from shared.api.asking import choice_of, contract_of, json_object, json_value, require_small
from shared.api.replies import Reply, Request, as_json
from shared.composition import App
from shared.errors import InvalidInputError
from shared.scoring.asked import asking
from shared.tables import RecordsSource

Record = Mapping[str, Any]


def predict(app: App, dataset: str, request: Request) -> Reply:
    """One row classified; raises what a table of it would end with."""
    contract = _classification(dataset)
    require_small(app, dataset, request)
    body = json_object(request.body)
    row, about = (body["features"], body) if "features" in body else (body, None)
    if not isinstance(row, dict):
        raise InvalidInputError("bad_json", "features must be an object, a value by column.")
    (told,) = _predicted(app, asking(contract, choice_of(request, about)), [row], hopeless=False)
    if "error" in told:
        raise InvalidInputError("rows_refused", told["error"])
    return as_json(200, told)


def predict_batch(app: App, dataset: str, request: Request) -> Reply:
    """Some rows classified; one that cannot be keeps its place, with the reason."""
    contract = _classification(dataset)
    require_small(app, dataset, request)
    body = json_value(request.body)
    rows, about = (body.get("rows"), body) if isinstance(body, dict) else (body, None)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidInputError("bad_json", 'The body must be a list of rows, or an object with it as "rows".')
    most = app.settings.predict_batch_rows
    if len(rows) > most:
        raise InvalidInputError(
            "batch_too_large",
            f"{len(rows)} rows are more than the {most} of a batch; send them to /api/datasets/{dataset}/score.",
        )
    told = _predicted(app, asking(contract, choice_of(request, about)), rows, hopeless=True)
    return as_json(200, {"predictions": told, "count": len(told)})


def _classification(dataset: str) -> DatasetContract:
    contract = contract_of(dataset)
    if contract.task != "classification":
        raise InvalidInputError(
            "not_a_classification",
            f"The rows of {dataset} are not classified; /api/datasets/{dataset}/score says what is strange in them.",
        )
    return contract


def _predicted(app: App, contract: DatasetContract, rows: Sequence[Record], *, hopeless: bool) -> list[dict[str, Any]]:
    """What is said of each row, in their order; `contract` as it is asked, `hopeless` as of `InlineScoring.score`."""
    scored = app.inline.score(contract, RecordsSource(rows), hopeless=hopeless).body
    about = {
        "model": scored["model"],
        "model_version": scored["model"]["version"],
        "prediction_timestamp": app.clock().isoformat(),
    }
    said = zip(rows, scored["predictions"], scored["warnings"], strict=True)
    return [_told(contract, *each) | about for each in said]


def _told(contract: DatasetContract, row: Record, said: Record, warnings: Sequence[str]) -> dict[str, Any]:
    given: dict[str, Any] = {"input_features": dict(row), "warnings": list(warnings)}
    if said.get("error"):
        return {"error": said["error"], **given}
    shares = {f"p_{each}": each for each in contract.classes}
    names = [column.name for column in contract.predictions]
    told = {name: said[name] for name in names if name not in shares}
    probabilities = {shares[name]: said[name] for name in names if name in shares}
    return told | ({"probabilities": probabilities} if probabilities else {}) | given
