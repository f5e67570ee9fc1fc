"""What is measured: anything that is fitted on the first rows of a series and scores the later ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest

from aml.contract import load_contract
from aml.features import SeriesFeatures
from aml.forest import SEED, TREES, Scorer, build_pipeline
from aml.rows import Floats, Rows

CONTAMINATION = 0.01
Matrix = NDArray[np.float32]


class Detector(Protocol):
    """One detector for one series."""

    def fit(self, rows: Rows) -> None:
        """Learn from these rows, as new; they are in order of time."""

    def scores(self, rows: Rows, first: int) -> Floats:
        """How strange the rows from `first` on are, higher is stranger, each judged by itself and those before it."""


class Ours:
    """The model that `aml` trains, as it serves: each row with `context_rows` rows before it.

    Attributes:
        budget: the share of clean rows that it is to flag.
    """

    budget = CONTAMINATION

    def __init__(self) -> None:
        self._contract = load_contract("gas")
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


def raw_value(rows: Rows) -> Matrix:
    """The value alone, as a column."""
    return rows.value[:, None].astype(np.float32)


def six_features(rows: Rows) -> Matrix:
    """Value, hour, day of week, lag, mean and deviation of 24 rows."""
    return SeriesFeatures(window=24).transform(rows)


def earlier_as_trained(rows: Rows) -> Matrix:
    """What the earlier system's training computes: hour, day of week, lag, mean and deviation of 24 rows."""
    return six_features(rows)[:, 1:]


def earlier_as_served(rows: Rows) -> Matrix:
    """What its scoring script computes in their place: nothing of the time, no lag, windows of 3 and 6 rows."""
    short, longer = SeriesFeatures(window=3).transform(rows), SeriesFeatures(window=6).transform(rows)
    zeros = np.zeros(len(rows), dtype=np.float32)
    return np.stack([zeros, zeros, zeros, short[:, 4], longer[:, 5]], axis=1)


class Random:
    """Scores that know nothing: what any figure is worth."""

    def fit(self, rows: Rows) -> None:
        """There is nothing to learn."""

    def scores(self, rows: Rows, first: int) -> Floats:
        return np.random.default_rng([SEED, len(rows)]).random(len(rows))[first:]


Make = Callable[[], Detector]

OWN: dict[str, Make] = {
    "dropscore": Ours,
    "IsolationForest, raw value": lambda: Forest(raw_value),
    "earlier system, as trained": lambda: Forest(earlier_as_trained),
    "earlier system, as served": lambda: Forest(earlier_as_trained, earlier_as_served),
    "random": Random,
}
"""Those that need no library beyond the model's own."""
