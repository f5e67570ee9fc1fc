"""A classifier of penguins whose models go by one column each, so that a test can say what each of them answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aml.contract import DatasetContract, load_contract
from tests.fakes.classifier import Classifier

BEST = "random_forest"
_GOES_BY = {
    "logistic": ("bill_length_mm", 44.0),
    "random_forest": ("flipper_length_mm", 206.0),
    "svm": ("nothing", 0.0),
}


def species(model: str, row: Mapping[str, Any]) -> str:
    """What one of the models says of a row: Gentoo from a bound on, Adelie below, Chinstrap where nothing is known."""
    column, bound = _GOES_BY[model]
    value = row.get(column)
    if value is None:
        return "Chinstrap"
    return "Gentoo" if float(value) >= bound else "Adelie"


class Penguins(Classifier):
    """See there."""

    def __init__(self) -> None:
        super().__init__(load_contract("penguins"))

    def _row(self, row: Mapping[str, Any], contract: DatasetContract) -> dict[str, Any]:
        if contract.asked == "all":
            return {model.answer_column("species"): species(model.name, row) for model in contract.models}
        said = species(BEST if contract.asked in (None, "best") else contract.asked, row)
        shares = {f"p_{each}": 0.75 if each == said else 0.125 for each in contract.classes}
        return {"species": said, "confidence": 0.75, **shares}
