"""What is on record: the declared datasets, and the runs."""

from __future__ import annotations

from typing import Any

from aml.contract import contract_names
from shared.api.asking import contract_of, number_of
from shared.api.replies import Reply, Request, as_json, shown
from shared.composition import App
from shared.errors import InvalidInputError
from shared.retraining.lifecycle import State
from shared.scoring.files import STATES as SCORING_STATES

_RUNS_AT_MOST = 1000
_STATES = SCORING_STATES | set(State)


def runs(app: App, request: Request) -> Reply:
    """Run records, newest first."""
    query = request.query
    limit = number_of(query.get("limit", "50"), "limit", _RUNS_AT_MOST)
    if query.get("kind") not in (None, "", "train", "score"):
        raise InvalidInputError("bad_kind", f"kind is train or score, not '{query['kind']}'.")
    if not query.get("dataset", "").isprintable():
        raise InvalidInputError("bad_dataset", "dataset is the name of a dataset.")
    states = query["state"].split(",") if query.get("state") else None
    if states and set(states) - _STATES:
        raise InvalidInputError("bad_state", f"state is one or more of {', '.join(sorted(_STATES))}.")
    found = app.runs.search(
        dataset=query.get("dataset") or None, kind=query.get("kind") or None, states=states, limit=limit
    )
    return as_json(200, {"runs": [shown(held.run) for held in found]})


def run(app: App, run_id: str) -> Reply:
    """One run record."""
    return as_json(200, shown(app.runs.find(run_id).run))


def datasets(app: App) -> Reply:
    """The declared datasets, and which model of each is live."""
    return as_json(200, {"datasets": [_declared(app, name) for name in contract_names()]})


def dataset(app: App, name: str) -> Reply:
    """One dataset: its contract and its live model."""
    contract = contract_of(name)
    said = {
        "contract": contract.model_dump(mode="json", exclude_none=True),
        "retrains_on_drift": app.drift.trains(name),
    }
    return as_json(200, _declared(app, name) | said)


def _declared(app: App, name: str) -> dict[str, Any]:
    live = app.live.get(name)
    try:
        contract = contract_of(name)
    except InvalidInputError as error:
        return {"dataset": name, "task": "", "model": "", "live": None, "error": error.message}
    return {
        "dataset": name,
        "task": contract.task,
        "model": contract.model_name,
        "live": live and live.model_dump(mode="json"),
    }
