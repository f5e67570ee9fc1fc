"""Where a score comes from, and what came of a dataset."""

from __future__ import annotations

from aml.contract import DatasetContract
from shared.api.asking import contract_of, number_of
from shared.api.replies import Reply, Request, as_json
from shared.composition import App
from shared.errors import InvalidInputError
from shared.lineage import Lineage

_QUESTIONS = ("result", "blob", "asset", "model")
_LINKS_AT_MOST = 1000
_LINES_AT_MOST = 10**12


def lineage(app: App, dataset: str, request: Request) -> Reply:
    """The links of a scored file (`result`, with `line` of a row in it), a dropped `blob`, an `asset` or a `model`."""
    contract = contract_of(dataset)
    asked = {name: request.query[name] for name in _QUESTIONS if request.query.get(name)}
    if len(asked) != 1:
        raise InvalidInputError("bad_question", f"Ask by one of {', '.join(_QUESTIONS)}, as in ?result=november.csv.")
    (question, name), links = *asked.items(), _lineage(app, contract, request)
    line = number_of(request.query["line"], "line", _LINES_AT_MOST) if "line" in request.query else None
    if line is not None and question != "result":
        raise InvalidInputError("bad_question", "A line is one of a scored file: ask by result.")
    if question == "result":
        found = links.of_result(name, line)
    else:
        found = {"blob": links.of_blob, "asset": links.of_asset, "model": links.of_model}[question](name)
    return as_json(200, {"dataset": dataset, "asked": asked | ({"line": line} if line else {}), **found})


def _lineage(app: App, contract: DatasetContract, request: Request) -> Lineage:
    limit = number_of(request.query.get("limit", "50"), "limit", _LINKS_AT_MOST)
    workspace = app.workspace if app.settings.workspace_configured else None
    return Lineage(app.blobs, app.runs, app.live, workspace, contract, limit)
