"""Fitting one classifier on a matrix, with what scikit-learn warns of in small or lopsided data kept quiet."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from aml.columns import InputError
from aml.tabular.algorithms import ALGORITHMS, estimator
from aml.tabular.features import Dense

Classes = NDArray[Any]

# What is said of classes with one row, of columns that follow from others, and of searches that end early: the metrics
# say what it comes to.
_EXPECTED = (
    ("Only one sample available", UserWarning),
    ("Variables are collinear", UserWarning),
    ("", ConvergenceWarning),
)


def one_core() -> AbstractContextManager[Any]:
    """Fits within it are the same on any machine: sums that cores share would depend on how many there are."""
    limits: AbstractContextManager[Any] = threadpool_limits(1, user_api="blas")
    return limits


def fit(matrix: csr_matrix, classes: Classes, algorithm: str, parameters: Mapping[str, Any], seed: int) -> Pipeline:
    """The steps of a model that come after its features, fitted: a pipeline from the matrix to classes.

    An algorithm that takes only so many rows is given a draw of them, with every class in its share.

    Raises:
        InputError: ``singular_features`` where the algorithm, with these parameters, needs columns of which none
            follows from the others.
    """
    about = ALGORITHMS[algorithm]
    steps = Pipeline(
        [*([("dense", Dense())] if about.dense else []), ("model", estimator(algorithm, parameters, seed))]
    )
    most = about.rows_at_most(matrix.shape[1])
    drawn = lot(classes, most, seed) if most is not None else slice(None)
    with warnings.catch_warnings():
        for words, category in _EXPECTED:
            warnings.filterwarnings("ignore", message=words, category=category)
        try:
            return steps.fit(matrix[drawn], classes[drawn])
        except np.linalg.LinAlgError as error:
            raise InputError(
                "singular_features",
                f"{algorithm} cannot be fitted with {dict(parameters)} where columns follow from others, as those of a "
                f"one_hot encoding do: {error}. Give it a shrinkage, or another solver.",
            ) from error


def lot(classes: Classes, most: int, seed: int) -> NDArray[np.intp]:
    """Positions of about so many rows at most, in order: every class in its share, but two rows of each at least."""
    if len(classes) <= most:
        return np.arange(len(classes))
    rest, drawn = split(classes, most / len(classes), seed, stratified=True)
    names, counts = np.unique(classes[drawn], return_counts=True)
    there = dict(zip(names.tolist(), counts.tolist(), strict=True))
    more = [
        rest[classes[rest] == name][: 2 - there.get(name, 0)]
        for name in np.unique(classes).tolist()
        if there.get(name, 0) < 2
    ]
    return np.sort(np.concatenate([drawn, *more]))


def can_be_told_apart(classes: Classes) -> bool:
    """Whether at least two classes have at least two rows, so that no fold leaves but one of them."""
    counts = np.unique(classes, return_counts=True)[1]
    return int((counts > 1).sum()) > 1


def split(classes: Classes, share: float, seed: int, *, stratified: bool) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions of the rest and of the share (0 to 1) that is drawn, each in order.

    It is scikit-learn's `train_test_split`. Where it is stratified, a class of one row stays with the rest, and where
    there are more classes than rows to draw, a plain draw is made.

    Raises:
        ValueError: there are too few rows for either side.
    """
    everything = np.arange(len(classes))
    names, where, counts = np.unique(classes, return_inverse=True, return_counts=True)
    alone = counts[where] == 1 if stratified else np.zeros(len(classes), dtype=bool)
    several = everything[~alone]
    drawing = math.ceil(share * len(several))
    possible = stratified and len(names) - int(alone.sum()) <= min(drawing, len(several) - drawing)
    rest, drawn = train_test_split(
        several if possible else everything,
        test_size=share,
        random_state=seed,
        stratify=classes[several] if possible else None,
    )
    left = np.concatenate([rest, everything[alone]]) if possible else rest
    return np.sort(left), np.sort(drawn)
