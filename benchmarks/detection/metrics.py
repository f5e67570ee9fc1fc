"""How well scores tell anomalous rows from the others, and events from clean time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from aml.rows import Floats

Labels = NDArray[np.bool_]

VUS_BUFFER = 100
"""Largest buffer around an event, in rows, as TSB-UAD has it."""

_THRESHOLDS = 250


@dataclass(frozen=True)
class Ranking:
    """Areas under curves, 0 to 1."""

    roc_auc: float
    average_precision: float
    vus_pr: float


def ranking(labels: Labels, scores: Floats) -> Ranking | None:
    """All three areas; None where there is no anomalous row, or no other."""
    if not labels.any() or labels.all():
        return None
    return Ranking(
        float(roc_auc_score(labels, scores)),
        float(average_precision_score(labels, scores)),
        vus_pr(labels, scores),
    )


def vus_pr(labels: Labels, scores: Floats, buffer: int = VUS_BUFFER) -> float:
    """Volume under the surface of precision, recall and buffer: the mean area over buffers of 0 to `buffer` rows.

    Paparrizos, Boniol, Palpanas, Tsay, Elmore and Franklin, "Volume Under the Surface", PVLDB 15(11), 2022, in the form
    in which its authors compute it: 250 thresholds at even ranks; labels fall off from an event's ends as
    sqrt(1 - distance / buffer), up to half a buffer away; recall is taken against the mean of the labels and of the
    buffered labels that were reached, and times the share of events in which anything was.

    Args:
        labels: at least one is true.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    thresholds = ranked[np.linspace(0, len(scores) - 1, _THRESHOLDS).astype(int)]
    predicted = np.searchsorted(-ranked, -thresholds, side="right")
    areas = [_area(labels, scores, order, thresholds, predicted, width) for width in range(buffer + 1)]
    return float(np.mean(areas))


def _area(
    labels: Labels,
    scores: Floats,
    order: NDArray[np.intp],
    thresholds: Floats,
    predicted: NDArray[np.intp],
    width: int,
) -> float:
    """The area under precision over recall for one width of buffer."""
    soft, stretches = _buffered(labels, width)
    hit = np.cumsum(soft[order])[predicted - 1]
    outside = np.cumsum(np.where(labels, 0.0, soft)[order])[predicted - 1]
    highest = np.array([scores[first : last + 1].max() for first, last in stretches])
    reached = (highest[None, :] >= thresholds[:, None]).mean(axis=1)
    recall = np.minimum(hit / (labels.sum() + outside / 2), 1.0) * reached
    precision = hit / predicted
    return float((np.diff(np.r_[0.0, recall]) * precision).sum())


def _buffered(labels: Labels, width: int) -> tuple[Floats, list[tuple[int, int]]]:
    """The softened labels, and the stretches (first and last row) in which they are above 0, joined where they meet."""
    soft = labels.astype(np.float64)
    half = width // 2
    stretches: list[tuple[int, int]] = []
    for first, last in events(labels):
        away = np.arange(1, half + 1)
        fall = np.sqrt(1 - away / max(width, 1))
        right = last + away
        soft[right[right < len(soft)]] += fall[right < len(soft)]
        left = first - away
        soft[left[left >= 0]] += fall[left >= 0]
        begin, end = max(first - half, 0), min(last + half, len(soft) - 1)
        if stretches and begin <= stretches[-1][1]:
            begin = stretches.pop()[0]
        stretches.append((begin, end))
    return np.minimum(soft, 1.0), stretches


def events(labels: Labels) -> list[tuple[int, int]]:
    """First and last row of every unbroken run of true labels."""
    edges = np.diff(np.r_[0, labels.astype(np.int8), 0])
    return list(zip(np.flatnonzero(edges == 1).tolist(), (np.flatnonzero(edges == -1) - 1).tolist(), strict=True))


def limit_at(clean: Floats, rate: float) -> float:
    """The score that so many clean rows (a share) lie above at most."""
    return float(np.quantile(clean, 1 - rate, method="higher"))


def found(scores: Floats, event: NDArray[np.int64], count: int, limit: float, before: Floats | None = None) -> Labels:
    """Which of `count` events raise an alert: a score above the limit in one of their rows.

    Args:
        event: number of the event that a row belongs to, -1 for none.
        before: scores of the same rows without the events; where given, a row that was above the limit anyway raises
            nothing, so that long events are not found by chance.
    """
    raised = (event >= 0) & (scores > limit)
    if before is not None:
        raised &= before <= limit
    result = np.zeros(count, dtype=bool)
    result[event[raised]] = True
    return result
