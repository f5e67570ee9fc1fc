"""Scoring by HTTP: a table at once, a blob by a run."""

from __future__ import annotations

from typing import Any

from aml.contract import DatasetContract
from shared.api.asking import blob_of, choice_of, contract_of, json_object, records_of, require_small, table_of
from shared.api.replies import Reply, Request, accepted, as_json
from shared.composition import App
from shared.errors import InvalidInputError
from shared.naming import INCOMING
from shared.scoring.asked import asking, wish_of
from shared.scoring.univariate import mode_of, question
from shared.tables import RecordsSource, Source


def score(app: App, dataset: str, request: Request) -> Reply:
    """A table in the body is scored at once, a series too (docs/migration.md); a blob that the body names, by a run."""
    contract = contract_of(dataset)
    require_small(app, dataset, request)
    if request.media_type == "application/json":
        body = json_object(request.body)
        choice = choice_of(request, body)
        if "blob" in body:
            return _score_blob(app, contract, body["blob"], choice)
        mode = None if "data" in body else mode_of(request.query.get("mode"), body)
        if mode is not None:
            return as_json(200, app.inline.detect(_series(contract, choice), question(mode, body)))
        source: Source = RecordsSource(records_of(body))
    else:
        choice, source = choice_of(request), table_of(request)
    answer = app.inline.score(asking(contract, choice), source)
    if "text/csv" in request.headers.get("accept", ""):
        return Reply(200, answer.csv, "text/csv; charset=utf-8")
    return as_json(200, answer.body)


def _score_blob(app: App, contract: DatasetContract, name: Any, choice: str | None) -> Reply:
    blob = blob_of(app, INCOMING, contract.name, name)
    wish = choice or wish_of(blob)
    asking(contract, wish)  # a client hears at once of a model that there is not; a dropped file's run says so
    held, new = app.files.receive(blob, manual=True, choice=wish)
    if not new:
        held = app.files.ask_again(held, wish)
    app.desk.ask(held.run)
    return accepted(held.run)


def _series(contract: DatasetContract, choice: str | None) -> DatasetContract:
    """The contract, where the dataset is a series."""
    if contract.time is None:
        raise InvalidInputError(
            "not_a_series", f'The rows of {contract.name} are no series; send them as {{"data": […]}}.'
        )
    return asking(contract, choice)
