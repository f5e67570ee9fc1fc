"""Stratified folds that rare classes do not break."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold, StratifiedKFold

Positions = NDArray[np.intp]


@dataclass(frozen=True)
class Folds:
    """A splitter as scikit-learn takes one: `count` shuffled folds with about the same share of every class each.

    A class of fewer rows than folds is missing from the test side of some, and a class of one row from the training
    side of one, which scikit-learn's own splitters warn of or refuse; where every class is so rare, the folds are
    plain ones. There are never more folds than rows.

    Attributes:
        every: whether every fold is fitted on every class: the rows of one that would be missing from the training side
            are on both sides.
    """

    count: int
    seed: int
    every: bool = False

    def split(self, x: Any, y: Any, groups: object = None) -> Iterator[tuple[Positions, Positions]]:
        """Positions to fit on and positions to measure on, fold by fold."""
        classes = np.asarray(y)
        count = min(self.count, len(classes))
        most = int(np.unique(classes, return_counts=True)[1].max())
        kind = StratifiedKFold if count <= most else KFold
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
            folds = list(kind(count, shuffle=True, random_state=self.seed).split(np.zeros(len(classes)), classes))
        for inner, outer in folds:
            lost = outer[~np.isin(classes[outer], classes[inner])] if self.every else outer[:0]
            yield (np.sort(np.r_[inner, lost]) if len(lost) else inner), outer

    def get_n_splits(self, x: object = None, y: object = None, groups: object = None) -> int:
        """How many folds there are of enough rows."""
        return self.count
