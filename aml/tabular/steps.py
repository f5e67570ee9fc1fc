"""The steps of training the classifiers of a table: those of `aml.tabular.training`, cut where a pipeline cuts them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from aml.contract import DatasetContract
from aml.tabular.training import Evaluated, Found, Held, Prepared, evaluate, find_parameters, finish, hold_out, prepare


@dataclass(frozen=True, eq=False)
class Trained:
    """Every model's parameters, and the candidates as fitted on what is not held out."""

    found: Found
    evaluated: Evaluated


class TableSteps:
    """The steps under one contract; `version` is the one that the model will have, for the bundle's name."""

    def __init__(self, contract: DatasetContract, version: int = 1) -> None:
        self._contract = contract
        self._version = version

    def prepare(self, table: pa.Table) -> Prepared:
        """As `aml.tabular.training.prepare`."""
        return prepare(table, self._contract)

    def hold_out(self, prepared: Prepared) -> Held:
        """As `aml.tabular.training.hold_out`."""
        return hold_out(prepared, self._contract)

    def train(self, held: Held) -> Trained:
        """As `aml.tabular.training.find_parameters` and `evaluate`, which fits the candidates."""
        found = find_parameters(held, self._contract)
        return Trained(found, evaluate(held, self._contract, found))

    def finish(self, held: Held, trained: Trained, folder: Path, champion: Path | None) -> dict[str, Any]:
        """As `aml.tabular.training.finish`, which fits the models that are kept."""
        date = datetime.now(UTC).strftime("%Y%m%d")
        return finish(
            held, self._contract, trained.found, trained.evaluated, folder, champion, version=self._version, date=date
        )
