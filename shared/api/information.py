"""What there is to know of the model behind a dataset: what it takes, what it answers, how good it is."""

from __future__ import annotations

from typing import Any

from aml.contract import Column, DatasetContract
from shared.api.asking import contract_of
from shared.api.replies import Reply, as_json
from shared.composition import App
from shared.errors import NotFoundError
from shared.live import LiveModel


def model(app: App, dataset: str) -> Reply:
    """The live model with its metrics, as far as its training run is on record, and what the contract declares."""
    contract = contract_of(dataset)
    live = app.live.get(dataset)
    return as_json(
        200,
        {
            "dataset": dataset,
            "task": contract.task,
            "model": contract.model_name,
            "live": live and live.model_dump(mode="json"),
            "target": contract.target,
            "classes": list(contract.classes),
            "choices": list(contract.choices),
            "answer": contract.answer,
            "features": [_feature(contract.column(name)) for name in contract.inputs],
            "derived": [
                {"name": each.name, "expression": each.expression} for each in contract.features if each.expression
            ],
            "models": [_candidate(contract, number) for number in range(len(contract.models))],
            "predictions": [{"name": each.name, "type": each.type} for each in contract.predictions],
            "metrics": live and _metrics(app, live),
        },
    )


def _feature(column: Column) -> dict[str, Any]:
    """A column that the model is given; what does not apply to it is left out."""
    said = column.model_dump(mode="json", exclude_none=True)
    return {name: value for name, value in said.items() if value != []}


def _candidate(contract: DatasetContract, number: int) -> dict[str, Any]:
    each = contract.models[number]
    column = each.answer_column(contract.target) if contract.target else None
    return {"name": each.name, "algorithm": each.algorithm, "column": column}


def _metrics(app: App, live: LiveModel) -> dict[str, Any] | None:
    try:
        return app.runs.load(live.dataset, live.run).run.metrics
    except NotFoundError:
        return None  # removed, or another app's
