"""The search for one model's parameters, by cross-validation within the rows that the model is to be fitted on.

What is held out is seen by no trial. A search is seeded and runs its trials one after the other: equal data, equal
contract, equal result. The features are learnt anew in each fold, and once for all trials of all models.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from aml.columns import InputError
from aml.contract import Model
from aml.contract.models import ALGORITHMS
from aml.rows import Floats
from aml.spaces import Range
from aml.tabular.encoding import Feature
from aml.tabular.features import TableFeatures
from aml.tabular.fitting import can_be_told_apart, fit, lot
from aml.tabular.folds import Folds
from aml.tabular.metrics import LESS_IS_BETTER, Classes, objective
from aml.tabular.table import Table

if TYPE_CHECKING:
    import optuna

TRIALS_KEPT = 50
"""Rows of the table of trials: the best ones, in the order in which they were made."""
ROWS_SEARCHED = 20_000
"""Of more rows so many are drawn, with every class in its share: the parameters are found among them."""

Settings = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One choice of parameters, and the mean over the folds of what it came to."""

    number: int
    parameters: Settings
    value: float

    def as_dict(self) -> dict[str, Any]:
        """As it stands in the table."""
        return {"number": self.number, "parameters": self.parameters, "value": self.value}


@dataclass(frozen=True, eq=False)
class Fold:
    """The matrices and classes of one fold: to fit on, and to measure on."""

    matrix: csr_matrix
    classes: Classes
    other: csr_matrix
    truth: Classes


class Searching:
    """The rows of a search, cut into folds when the first model asks, and kept for the next ones."""

    def __init__(self, table: Table, classes: Classes, features: tuple[Feature, ...], seed: int) -> None:
        drawn = lot(classes, ROWS_SEARCHED, seed)
        self._table, self._classes = table.take(drawn), classes[drawn]
        self._features, self._seed = features, seed
        self._folds: dict[int, list[Fold]] = {}

    def search(self, model: Model) -> tuple[Settings, dict[str, Any]]:
        """The best parameters of a model, those that its contract gives included, and what metrics.json says of it."""
        tuning = model.tuning
        if tuning.method == "none":
            return dict(model.parameters), {}

        def value(parameters: Settings) -> float:
            folds = self._of(tuning.folds)
            given = {**model.parameters, **parameters}
            try:
                found = [self._measured(each, model.algorithm, given, tuning.objective) for each in folds]
            except InputError:  # it cannot be fitted so: the worst that there is
                return float("-inf")
            return float(np.mean(found)) if found else float("-inf")

        sampled = _grid if tuning.method == "grid" else _studied
        trials = [Trial(number, p, v) for number, (p, v) in enumerate(sampled(model, value), start=1)]
        ranked = sorted(trials, key=lambda trial: (-trial.value, trial.number))
        kept = sorted(ranked[:TRIALS_KEPT], key=lambda trial: trial.number)
        sign = -1 if tuning.objective in LESS_IS_BETTER else 1
        about = {
            "method": tuning.method,
            "objective": tuning.objective,
            "folds": tuning.folds,
            "rows": len(self._classes),
            "measured": len(trials),
            "best": _signed(ranked[0], sign),
            "trials": [_signed(trial, sign) for trial in kept],
        }
        return {**model.parameters, **ranked[0].parameters}, about

    def _of(self, count: int) -> list[Fold]:
        if count not in self._folds:
            self._folds[count] = list(self._cut(count))
        return self._folds[count]

    def _cut(self, count: int) -> Iterator[Fold]:
        for inner, outer in Folds(count, self._seed).split(self._table, self._classes):
            if not can_be_told_apart(self._classes[inner]):
                continue
            features = TableFeatures(self._features, self._seed)
            matrix = features.fit_transform(self._table.take(inner), self._classes[inner])
            other = features.transform(self._table.take(outer))
            yield Fold(matrix, self._classes[inner], other, self._classes[outer])

    def _measured(self, fold: Fold, algorithm: str, parameters: Settings, name: str) -> float:
        steps = fit(fold.matrix, fold.classes, algorithm, parameters, self._seed)
        probabilities: Floats = steps.predict_proba(fold.other)
        known: NDArray[Any] = steps.classes_
        return objective(name, fold.truth, probabilities, known)


def _signed(trial: Trial, sign: int) -> dict[str, Any]:
    value = sign * trial.value
    return {**trial.as_dict(), "value": value if np.isfinite(value) else None}


def _grid(model: Model, value: Callable[[Settings], float]) -> Iterator[tuple[Settings, float]]:
    space = {name: options for name, options in model.tuning.space.items() if not isinstance(options, Range)}
    for values in itertools.product(*space.values()):
        parameters = dict(zip(space, values, strict=True))
        yield parameters, value(parameters)


def _studied(model: Model, value: Callable[[Settings], float]) -> Iterator[tuple[Settings, float]]:
    """Random and Bayesian search (a tree-structured Parzen estimator), as optuna has them."""
    import optuna  # half a second that a training without such a search is spared

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    tuning, samplers = model.tuning, optuna.samplers
    bayesian = tuning.method == "bayesian"
    sampler = samplers.TPESampler(seed=tuning.seed) if bayesian else samplers.RandomSampler(seed=tuning.seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    known: dict[str, float] = {}
    for _ in range(tuning.trials):
        asked = study.ask()
        parameters = {name: _suggested(asked, name, model) for name in tuning.space}
        key = repr(sorted(parameters.items()))
        if key not in known:  # samplers repeat themselves where a space is small
            known[key] = value(parameters)
        study.tell(asked, max(known[key], -1e300))  # which is no infinity, and still the worst
        yield parameters, known[key]


def _suggested(trial: optuna.Trial, name: str, model: Model) -> Any:
    options = model.tuning.space[name]
    if not isinstance(options, Range):
        return trial.suggest_categorical(name, options)
    if ALGORITHMS[model.algorithm].parameters[name].whole:
        return trial.suggest_int(name, int(options.minimum), int(options.maximum), log=options.log)
    return trial.suggest_float(name, options.minimum, options.maximum, log=options.log)
