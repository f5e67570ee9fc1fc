"""The search space of a sweep and the ways to draw from it, in the notation of Azure ML's REST interface.

A space is a mapping from a parameter's name to `[kind, arguments]`, e.g. `["choice", [[1, 2]]]`, `["uniform", [0, 1]]`.
Random and Bayesian sampling are optuna's.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import optuna

from .errors import Json, not_emulated, user_error

Point = dict[str, Any]

_BAYESIAN_KINDS = ("choice", "uniform", "quniform")
# kind: number of arguments
_KINDS = {"choice": 1, "randint": 1, "uniform": 2, "loguniform": 2, "quniform": 3, "qloguniform": 3}


def require_known(space: Mapping[str, Any], algorithm: Json, early_termination: Json | None) -> None:
    """ArmError for a space or an algorithm that the cloud refuses, or that is not emulated."""
    if not space:
        raise user_error("A sweep needs a searchSpace.")
    for name, entry in space.items():
        kind, arguments = _entry(name, entry)
        if kind not in _KINDS:
            raise not_emulated(f"the distribution '{kind}' of the parameter '{name}'")
        if len(arguments) != _KINDS[kind]:
            raise user_error(f"The parameter '{name}' is '{kind}' of {len(arguments)} arguments.")
    how = str(algorithm.get("samplingAlgorithmType"))
    kinds = {entry[0] for entry in space.values()}
    if how == "Grid" and kinds != {"choice"}:
        raise user_error("Grid sampling supports choice parameters only.")
    if how == "Bayesian" and not kinds <= set(_BAYESIAN_KINDS):
        raise user_error("Bayesian sampling supports choice, uniform and quniform parameters only.")
    if how == "Bayesian" and early_termination:
        raise user_error("Bayesian sampling does not support early termination policies.")
    if how not in ("Grid", "Random", "Bayesian"):
        raise not_emulated(f"sampling of type {how}")
    if str(algorithm.get("rule") or "Random").lower() != "random":
        raise not_emulated(f"random sampling by the rule {algorithm['rule']}")


class Sampler:
    """Draws the points of one sweep, the same ones again for an equal seed and equal answers."""

    def __init__(self, space: Mapping[str, Any], algorithm: Json, goal: str, seed: int) -> None:
        self._space = {name: _entry(name, entry) for name, entry in space.items()}
        self._grid = None
        if algorithm["samplingAlgorithmType"] == "Grid":
            self._grid = itertools.product(*(arguments[0] for _, arguments in self._space.values()))
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        bayesian = algorithm["samplingAlgorithmType"] == "Bayesian"
        sampler = optuna.samplers.TPESampler(seed=seed) if bayesian else optuna.samplers.RandomSampler(seed=seed)
        self._study = optuna.create_study(
            direction="maximize" if goal.lower() == "maximize" else "minimize", sampler=sampler
        )
        self._asked: list[optuna.Trial] = []

    def draw(self) -> Point | None:
        """The next point; None when a grid has no more."""
        if self._grid is not None:
            values = next(self._grid, None)
            return None if values is None else dict(zip(self._space, values, strict=True))
        trial = self._study.ask()
        self._asked.append(trial)
        return {name: _drawn(trial, name, kind, arguments) for name, (kind, arguments) in self._space.items()}

    def tell(self, number: int, value: float | None) -> None:
        """How the point drawn as number `number` (from 0) came out; None: it failed, or was ended."""
        if self._grid is None:
            state = optuna.trial.TrialState.FAIL if value is None else None
            self._study.tell(self._asked[number], value, state=state)


def _entry(name: str, entry: Any) -> tuple[str, list[Any]]:
    if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], list)):
        raise user_error(f"The parameter '{name}' of the searchSpace is not [kind, arguments].")
    return str(entry[0]).lower(), entry[1]


def _drawn(trial: optuna.Trial, name: str, kind: str, arguments: list[Any]) -> Any:
    if kind == "choice":
        # by position, for a choice may be of anything that JSON can say
        return arguments[0][trial.suggest_int(name, 0, len(arguments[0]) - 1)]
    if kind == "randint":
        return trial.suggest_int(name, 0, int(arguments[0]) - 1)
    value = trial.suggest_float(name, float(arguments[0]), float(arguments[1]))
    if kind in ("loguniform", "qloguniform"):
        value = math.exp(value)
    return round(value / arguments[2]) * arguments[2] if kind.startswith("q") else value
