"""The fitted models of a dataset as one thing: what a bundle of a table holds, and what answers in service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from aml.contract import DatasetContract
from aml.rows import Floats
from aml.tabular.encoding import Feature
from aml.tabular.table import Table

_ROWS_AT_ONCE = 20_000


def features_of(contract: DatasetContract) -> tuple[Feature, ...]:
    """The contract's features, as their transformer takes them."""
    found = []
    for declared in contract.features:
        column = None if declared.column is None else contract.column(declared.column)
        found.append(
            Feature(
                name=declared.label,
                column="" if column is None else column.name,
                expression=declared.expression or "",
                text=column is not None and column.type == "text",
                categories=() if column is None else column.categories,
                impute=None if column is None else column.impute,
                encode=declared.encode,
                scale=declared.scale,
                rare=declared.rare or 0.0,
            )
        )
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Candidates(Mapping[str, Pipeline]):
    """The fitted pipelines by their models' names, in the contract's order, and which of them is the champion.

    Those that were fitted on the same rows share one fitted `TableFeatures`, which is computed once for all of them.
    """

    pipelines: dict[str, Pipeline]
    best: str

    def __getitem__(self, name: str) -> Pipeline:
        return self.pipelines[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.pipelines)

    def __len__(self) -> int:
        return len(self.pipelines)

    def probabilities(self, table: Table, names: tuple[str, ...]) -> dict[str, Floats]:
        """What `predict_proba` of these models' pipelines says, to the last bit, by name.

        Each has the shape (n, classes of the model). The rows go through in pieces, so that memory does not grow much.
        """
        pieces: dict[str, list[Floats]] = {name: [] for name in names}
        for start in range(0, max(len(table), 1), _ROWS_AT_ONCE):
            rows = table if len(table) <= _ROWS_AT_ONCE else table.take(slice(start, start + _ROWS_AT_ONCE))
            if len(rows) == 0:
                return {name: np.zeros((0, len(self.classes(name)))) for name in names}
            matrices: dict[int, Any] = {}
            for name in names:
                features = self.pipelines[name].named_steps["features"]
                if id(features) not in matrices:
                    matrices[id(features)] = features.transform(rows)
                pieces[name].append(self.pipelines[name][1:].predict_proba(matrices[id(features)]))
        return {name: np.concatenate(each) for name, each in pieces.items()}

    def classes(self, name: str) -> NDArray[Any]:
        """The classes that a model knows, in the order of its probabilities."""
        known: NDArray[Any] = self.pipelines[name].classes_
        return known
