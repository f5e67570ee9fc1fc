"""Scoring by HTTP: a table at once, a blob by a run."""

from __future__ import annotations

from shared.api.asking import blob_of, contract_of, json_object, records_of
from shared.api.replies import Reply, Request, accepted, as_json
from shared.composition import App
from shared.errors import InvalidInputError
from shared.naming import INCOMING
from shared.scoring.univariate import mode_of, question
from shared.tables import BytesSource, RecordsSource, Source

_FILE_NAMES = {
    "text/csv": "request.csv",
    "text/plain": "request.csv",
    "application/csv": "request.csv",
    "application/gzip": "request.csv.gz",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "request.xlsx",
    "application/vnd.apache.parquet": "request.parquet",
}


def score(app: App, dataset: str, request: Request) -> Reply:
    """A table in the body is scored at once, a series too (docs/migration.md); a blob that the body names, by a run."""
    contract = contract_of(dataset)
    if len(request.body) > app.settings.score_inline_max_bytes:
        raise InvalidInputError(
            "body_too_large",
            f"A table of more than {app.settings.score_inline_max_bytes} bytes is not scored at once; "
            f"put it into {INCOMING}/{dataset}/.",
        )
    if request.media_type == "application/json":
        body = json_object(request.body)
        if "blob" in body:
            return _score_blob(app, dataset, body["blob"])
        mode = None if "data" in body else mode_of(request.query.get("mode"), body)
        if mode is not None:
            return as_json(200, app.inline.detect(contract, question(mode, body)))
        source: Source = RecordsSource(records_of(body))
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
    held, new = app.files.receive(blob_of(app, INCOMING, dataset, name), manual=True)
    if not new:
        held = app.files.ask_again(held)
    app.desk.ask(held.run)
    return accepted(held.run)
