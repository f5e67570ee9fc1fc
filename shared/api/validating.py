"""Rows looked over as they would be before they are scored, and nothing scored."""

from __future__ import annotations

from itertools import islice
from typing import Any

from shared.api.asking import choice_of, contract_of, json_value, require_small, table_of
from shared.api.replies import Reply, Request, as_json
from shared.composition import App
from shared.errors import InvalidInputError
from shared.scoring.asked import asking
from shared.tables import RecordsSource, Source, TableError, read, survey

_TOLD = 1000
"""Rows and lines of which is said what is wrong with them; the counts are of all."""
_CHUNK_ROWS = 20_000
_WRAPPERS = ("data", "rows")


def validate(app: App, dataset: str, request: Request) -> Reply:
    """What is wrong with each of the rows; no model is needed for that."""
    contract = asking(contract_of(dataset), choice_of(request))
    require_small(app, dataset, request)
    is_json = request.media_type == "application/json"
    source: Source = RecordsSource(_rows(request.body)) if is_json else table_of(request)
    try:
        found = survey(source, contract, hopeless=True)
    except TableError as refused:
        wrong = {"code": refused.code, "detail": refused.message}
        nothing: dict[str, Any] = {"rows": 0, "usable": 0, "faults": [], "warnings": [], "rejected": []}
        return as_json(200, {"valid": False, **nothing, "error": wrong})
    faults: list[dict[str, Any]] = []
    warnings: list[dict[str, Any]] = []
    rejected: list[dict[str, Any]] = []
    for chunk in read(source, found, contract, rows_per_chunk=_CHUNK_ROWS):
        first = chunk.first_row + 1
        wrong_rows = ({"row": first + at, "error": error} for at, error in enumerate(chunk.errors) if error)
        odd_rows = (
            {"row": first + at, "warning": words} for at, told in sorted(chunk.warnings.items()) for words in told
        )
        faults += islice(wrong_rows, _TOLD - len(faults))
        warnings += islice(odd_rows, _TOLD - len(warnings))
        rejected += ({"line": each.line, "reason": each.reason} for each in chunk.rejects[: _TOLD - len(rejected)])
    summary = {
        "valid": found.unusable == found.rejected == 0,
        "rows": found.rows,
        "usable": found.rows - found.unusable,
        "faults": faults,
        "warnings": warnings,
        "rejected": rejected,
        "error": None,
    }
    return as_json(200, summary)


def _rows(body: bytes) -> list[dict[str, Any]]:
    """The rows of a body: a list of them, an object that holds one, or one row."""
    value = json_value(body)
    if isinstance(value, dict):
        wrapped = [value[name] for name in _WRAPPERS if isinstance(value.get(name), list)]
        value = wrapped[0] if wrapped else [value.get("features", value)]
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise InvalidInputError("bad_json", "The body must be a row, or a list of rows.")
    return value
