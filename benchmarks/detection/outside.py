"""Other people's detectors, each as its library has it; importable only in the benchmark's own environment.

PyOD's ECOD and COPOD see the six features of the forest, as they look at each column by itself. stumpy's matrix profile
sees the values: a row is as strange as the stretch that ends with it is far from all it was trained on. There is no
random cut forest: the one on PyPI (rrcf 0.4.4) needs a module that setuptools has dropped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import stumpy
from pyod.models.copod import COPOD
from pyod.models.ecod import ECOD

from aml.faults import DAY_US, step_of
from aml.forest import SEED
from aml.rows import Floats, Rows
from benchmarks.detection.detectors import Make
from benchmarks.detection.features import six_features

_CONTEXT = 200
_SHORTEST, _LONGEST = 8, 288


class PyOD:
    """A detector of PyOD; rows that are asked about at once are ranked among the training rows and each other."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def fit(self, rows: Rows) -> None:
        self._model.fit(six_features(rows).astype(np.float64))

    def scores(self, rows: Rows, first: int) -> Floats:
        begin = max(0, first - _CONTEXT)
        features = six_features(rows.take(slice(begin, None)))[first - begin :].astype(np.float64)
        scores: Floats = np.asarray(self._model.decision_function(features), dtype=np.float64)
        return scores


class MatrixProfile:
    """Distance of the stretch that ends with a row to the nearest stretch of the training rows, z-normalised.

    A stretch is a day long, within bounds. It learns by remembering; training rows are not compared with themselves.
    """

    def __init__(self) -> None:
        self._known = np.zeros(0)

    def fit(self, rows: Rows) -> None:
        self._known = _never_constant(rows.value)

    def scores(self, rows: Rows, first: int) -> Floats:
        length = int(np.clip(DAY_US // step_of(rows.time), _SHORTEST, _LONGEST))
        length = max(3, min(length, len(self._known) // 4))
        if first == 0:
            profile = stumpy.stump(self._known, m=length)
        else:
            query = _never_constant(rows.value)[max(0, first - length + 1) :]
            profile = stumpy.stump(query, m=length, T_B=self._known, ignore_trivial=False)
        found = np.asarray(profile.P_, dtype=np.float64)
        scores: Floats = np.r_[np.zeros(len(rows) - first - len(found)), found]
        return scores


def _never_constant(value: Floats) -> Floats:
    """The values with noise far below any reading: constant stretches have no z-normalised form."""
    return value + np.random.default_rng(SEED).normal(0, 1e-9 * (np.abs(value).max() + 1), len(value))


OUTSIDE: dict[str, Make] = {
    "ECOD (PyOD)": lambda _: PyOD(ECOD()),
    "COPOD (PyOD)": lambda _: PyOD(COPOD()),
    "matrix profile (stumpy)": lambda _: MatrixProfile(),
}
