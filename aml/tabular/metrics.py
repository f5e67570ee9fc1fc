"""How good a classifier is on rows that it was not fitted on.

Everything is said of the classes that these rows have. A class that a model does not know has the probability 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    recall_score,
    roc_auc_score,
)

from aml.rows import Floats

Classes = NDArray[Any]
Metrics = dict[str, float]

LESS_IS_BETTER = frozenset({"log_loss", "ece"})
BINS = 10
"""Of equal width from 0 to 1, in which confidence is compared with what it comes to."""


@dataclass(frozen=True, eq=False)
class _Told:
    """What n rows are, what is said of them, and the probabilities of `every` class of theirs and of the model."""

    truth: Classes
    said: Classes
    confidence: Floats
    there: Classes
    every: Classes
    spread: Floats


_METRICS: dict[str, Callable[[_Told], float | None]] = {
    "accuracy": lambda told: float(accuracy_score(told.truth, told.said)),
    # scikit-learn's own warns of classes that are said and are not there
    "balanced_accuracy": lambda told: _mean(
        recall_score(told.truth, told.said, labels=told.there, average=None, zero_division=0)
    ),
    "f1_macro": lambda told: _mean(f1_score(told.truth, told.said, labels=told.there, average=None, zero_division=0)),
    "f1_weighted": lambda told: float(
        f1_score(told.truth, told.said, labels=told.there, average="weighted", zero_division=0)
    ),
    "log_loss": lambda told: _log_loss(told),
    "roc_auc_ovr": lambda told: _area(told),
    "ece": lambda told: calibration_error(told.truth == told.said, told.confidence),
}


def measure(truth: Classes, probabilities: Floats, known: Classes) -> Metrics:
    """The numbers of one model: accuracy, balanced accuracy, F1 by class and by row, log loss, the area under the ROC
    curve of each class against the rest averaged over the classes, and the expected calibration error.

    A number that these rows do not give is left out: there is no ROC curve where there is one class.

    Args:
        truth: the classes of n rows, at least one.
        probabilities: shape (n, m), each row a distribution over `known`.
        known: the m classes that the model knows, sorted.
    """
    told = _told(truth, probabilities, known)
    values = {name: metric(told) for name, metric in _METRICS.items()}
    return {name: value for name, value in values.items() if value is not None}


def objective(name: str, truth: Classes, probabilities: Floats, known: Classes) -> float:
    """One of the metrics, so signed that more is better; minus infinity where these rows do not give it."""
    value = _METRICS[name](_told(truth, probabilities, known))
    if value is None:
        return float("-inf")
    return -value if name in LESS_IS_BETTER else value


def report(truth: Classes, said: Classes) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 (0 where they have no value) and rows of every class that is there or is said."""
    labels = np.union1d(truth, said)
    columns = precision_recall_fscore_support(truth, said, labels=labels, zero_division=0)
    return {
        str(label): {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(count)}
        for label, p, r, f, count in zip(labels, *columns, strict=True)
    }


def confusion(truth: Classes, said: Classes, labels: list[str]) -> list[list[int]]:
    """Rows by what they are (first index) and what was said of them."""
    counts: list[list[int]] = confusion_matrix(truth, said, labels=labels).tolist()
    return counts


def calibration(right: NDArray[np.bool_], confidence: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Rows, mean confidence and share of right answers in each of the `BINS` bins; 0 where a bin is empty."""
    places = np.clip((confidence * BINS).astype(np.int64), 0, BINS - 1)
    counts = np.bincount(places, minlength=BINS)
    rows = np.maximum(counts, 1)
    sure = np.bincount(places, weights=confidence, minlength=BINS) / rows
    share = np.bincount(places, weights=right.astype(np.float64), minlength=BINS) / rows
    return counts, sure, share


def calibration_error(right: NDArray[np.bool_], confidence: Floats) -> float:
    """Expected calibration error: the mean over the rows of |share of right answers - mean confidence| of their bin.

    Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.
    """
    counts, sure, share = calibration(right, confidence)
    return float((counts * np.abs(share - sure)).sum() / counts.sum())


def aligned(probabilities: Floats, known: Classes, every: Classes) -> Floats:
    """The same probabilities with a column for each of `every`, in that order; 0 for those that are not known."""
    spread = np.zeros((len(probabilities), len(every)))
    place = {str(name): at for at, name in enumerate(every)}
    spread[:, [place[str(name)] for name in known]] = probabilities
    return spread


def _told(truth: Classes, probabilities: Floats, known: Classes) -> _Told:
    there = np.unique(truth)
    every = np.union1d(there, known)
    said = known[probabilities.argmax(axis=1)]
    return _Told(truth, said, probabilities.max(axis=1), there, every, aligned(probabilities, known, every))


def _log_loss(told: _Told) -> float:
    if len(told.every) == 1:
        return 0.0
    shares = told.spread / told.spread.sum(axis=1, keepdims=True)  # which rounding keeps from being exactly 1
    return float(log_loss(told.truth, shares, labels=told.every))


def _area(told: _Told) -> float | None:
    if len(told.there) == 1:
        return None
    places = np.searchsorted(told.every, told.there)
    return _mean(
        [roc_auc_score(told.truth == name, told.spread[:, at]) for name, at in zip(told.there, places, strict=True)]
    )


def _mean(values: Any) -> float:
    return float(np.mean(values))
