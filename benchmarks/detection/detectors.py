"""What is measured: anything that is fitted on the first rows of a series and scores the later ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from sklearn.ensemble import IsolationForest

from aml.contract import load_contract
from aml.forest import SEED, TREES, Scorer, build_pipeline
from aml.rows import Floats, Rows
from benchmarks.detection.features import Matrix, earlier_as_served, earlier_as_trained, raw_value

CONTAMINATION = 0.01


class Detector(Protocol):
    """One detector for one series."""

    def fit(self, rows: Rows) -> None:
        """Learn from these rows, as new; they are in order of time."""

    def scores(self, rows: Rows, first: int) -> Floats:
        """How strange the rows from `first` on are, higher is stranger, each judged by itself and those before it."""


@dataclass(frozen=True)
class Where:
    """What a contract says of a series: whose wall clock it shows and whose holidays count, where that is known."""

    timezone: str | None = None
    holidays: str | None = None


class Ours:
    """The model that `aml` trains, as it serves: each row with `context_rows` rows before it.

    Attributes:
        budget: the share of clean rows that it is to flag.
    """

    budget = CONTAMINATION

    def __init__(self, where: Where) -> None:
        self._contract = load_contract("gas").model_copy(
            update={"timezone": where.timezone, "holidays": where.holidays}
        )
        self._scorer: Scorer | None = None

    def fit(self, rows: Rows) -> None:
        self._scorer = Scorer(build_pipeline(self._contract, self.budget).fit(rows))

    def scores(self, rows: Rows, first: int) -> Floats:
        assert self._scorer is not None
        begin = max(0, first - self._contract.context_rows)
        return self._scorer.scores(rows.take(slice(begin, None)))[first - begin :]

    @property
    def threshold(self) -> float:
        """A score above it is an alert."""
        assert self._scorer is not None
        return self._scorer.threshold


class Forest:
    """An isolation forest over features that need no more than `_CONTEXT` earlier rows."""

    _CONTEXT = 200

    def __init__(self, fitted_on: Callable[[Rows], Matrix], served: Callable[[Rows], Matrix] | None = None) -> None:
        self._fitted_on = fitted_on
        self._served = served or fitted_on
        self._forest: Any = None

    def fit(self, rows: Rows) -> None:
        self._forest = IsolationForest(n_estimators=TREES, random_state=SEED).fit(self._fitted_on(rows))

    def scores(self, rows: Rows, first: int) -> Floats:
        begin = max(0, first - self._CONTEXT)
        scores: Floats = -self._forest.score_samples(self._served(rows.take(slice(begin, None)))[first - begin :])
        return scores


class Random:
    """Scores that know nothing: what any figure is worth."""

    def fit(self, rows: Rows) -> None:
        """There is nothing to learn."""

    def scores(self, rows: Rows, first: int) -> Floats:
        return np.random.default_rng([SEED, len(rows)]).random(len(rows))[first:]


Make = Callable[[Where], Detector]

OWN: dict[str, Make] = {
    "dropscore": Ours,
    "IsolationForest, raw value": lambda _: Forest(raw_value),
    "earlier system, as trained": lambda _: Forest(earlier_as_trained),
    "earlier system, as served": lambda _: Forest(earlier_as_trained, earlier_as_served),
    "random": lambda _: Random(),
}
"""Those that need no library beyond the model's own."""
