"""Metrics of a model that has no labels, from time held out and faults injected into it.

The last fifth of the time is held out and a model is fitted on the rest. On the hold-out as it is, that model's alerts
are counted (`alert_rate`). Then faults are injected, each by itself into a stretch of its own, and a fault is found
when one of its rows raises an alert that the same row did not raise before (`recall_<fault>`): long faults would
otherwise be "found" by the alerts that any stretch of that length contains. Threshold and context are those of serving.

These numbers describe the procedure; the model that is kept is fitted on all rows afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from aml.faults import FAULTS, Fault
from aml.forest import SEED, Scorer
from aml.rows import Floats, Rows, concatenate

Metrics = dict[str, float | int | str]

HOLD_OUT_SHARE = 0.2
FAULTS_PER_KIND = 100
_DAY_US = 86_400_000_000


class TooFewRowsError(ValueError):
    """There is too little to hold anything out."""


def evaluate(rows: Rows, build: Callable[[], Pipeline], context_rows: int) -> Metrics:
    """Fit on the first four fifths of the time, measure on the last.

    Args:
        rows: in order of series and time.
        build: makes an unfitted pipeline.
        context_rows: rows before a row that its features depend on.

    Returns:
        Flat numbers and strings, ready for JSON: `alert_rate` and the recalls are shares between 0 and 1.

    Raises:
        TooFewRowsError: nothing can be held out.
    """
    held = _held_out(rows)
    pipeline = build().fit(rows.take(~held))
    scorer = Scorer(pipeline)
    alerts = np.zeros(len(rows), dtype=bool)
    alerts[held] = scorer.anomalies(scorer.scores_of_features(pipeline[:-1].transform(rows)[held])) == 1
    ground = _Ground.of(rows, held, context_rows)
    recalls = {
        fault.name: _recall(fault, ground, alerts, scorer, np.random.default_rng([SEED, number]))
        for number, fault in enumerate(FAULTS)
    }
    return {
        "rows_fit": int((~held).sum()),
        "rows_holdout": int(held.sum()),
        "holdout_from": _iso(int(rows.time[held].min())),
        "alert_rate": float(alerts[held].mean()),
        **{f"recall_{name}": recall for name, recall in recalls.items()},
        "recall": float(np.mean(list(recalls.values()))),
        "faults_per_kind": FAULTS_PER_KIND,
        "seed": SEED,
        "score_threshold_holdout": scorer.threshold,
    }


def describe(rows: Rows, scorer: Scorer, contamination: float) -> Metrics:
    """What the final model is: the rows it was fitted on, their span, and its threshold."""
    first, last = int(rows.time.min()), int(rows.time.max())
    return {
        "rows": len(rows),
        "series": len(np.unique(rows.series)),
        "first_time": _iso(first),
        "last_time": _iso(last),
        "days": (last - first) / _DAY_US,
        "contamination": contamination,
        "score_threshold": scorer.threshold,
        "measured_on": f"the last {HOLD_OUT_SHARE:.0%} of the time, by a model fitted on the rest",
        "final_model": "fitted on all rows after measuring",
    }


def _held_out(rows: Rows) -> NDArray[np.bool_]:
    """The rows of the last fifth, cut at one moment for all series, so that no row is judged by its future."""
    times = np.sort(rows.time)
    if len(times) < 2:
        raise TooFewRowsError("there are too few rows to hold some out")
    moment = times[min(int(len(times) * (1 - HOLD_OUT_SHARE)), len(times) - 1)]
    held: NDArray[np.bool_] = rows.time >= moment
    if len(rows) - int(held.sum()) < 2:
        raise TooFewRowsError("the rows lie too close together in time to hold some out")
    return held


@dataclass(frozen=True, eq=False)
class _Ground:
    """Where faults can be put: rows in order of series and time, and what is known of each.

    Attributes:
        held: positions of the held-out rows.
        before, left: rows of the same series before a row; from it on, itself included.
        high: 95th percentile of the absolute values of the row's series, 1 for a series of zeros.
    """

    rows: Rows
    held: NDArray[np.intp]
    before: NDArray[np.int64]
    left: NDArray[np.int64]
    high: Floats
    context_rows: int

    @classmethod
    def of(cls, rows: Rows, held: NDArray[np.bool_], context_rows: int) -> _Ground:
        first = np.flatnonzero(np.r_[True, rows.series[1:] != rows.series[:-1]])
        lengths = np.diff(np.r_[first, len(rows)])
        before = np.arange(len(rows)) - np.repeat(first, lengths)
        sizes = np.abs(rows.value)
        highs = [np.percentile(sizes[at : at + n], 95) or 1.0 for at, n in zip(first, lengths, strict=True)]
        left = np.repeat(lengths, lengths) - before
        return cls(rows, np.flatnonzero(held), before, left, np.repeat(highs, lengths), context_rows)

    def place(self, fault: Fault, random: Generator) -> tuple[int, int]:
        """Where a fault begins and how many rows it lasts; fewer where no held-out series has that many."""
        length = int(random.integers(fault.shortest, fault.longest + 1))
        length = min(length, int(self.left[self.held].max()))
        return int(random.choice(self.held[self.left[self.held] >= length])), length

    def inject(self, fault: Fault, identity: int, random: Generator) -> tuple[Rows, NDArray[np.int64]]:
        """One fault with the context before it, as a series of its own; and where its faulty rows came from (-1 for
        context)."""
        start, length = self.place(fault, random)
        first = start - min(int(self.before[start]), self.context_rows)
        origin = np.arange(first, start + length)
        value = self.rows.value[origin]
        value[start - first :] = fault.apply(value[start - first :], float(self.high[start]), random)
        faulty = Rows(self.rows.time[origin], value, np.full(len(origin), identity))
        return faulty, np.where(origin >= start, origin, -1)


def _recall(fault: Fault, ground: _Ground, alerts: NDArray[np.bool_], scorer: Scorer, random: Generator) -> float:
    """The share of faults of one kind with an alert, in one of their rows, that the clean row did not raise."""
    pieces = [ground.inject(fault, identity, random) for identity in range(FAULTS_PER_KIND)]
    rows = concatenate([piece for piece, _ in pieces])
    origin = np.concatenate([where for _, where in pieces])
    raised = (scorer.anomalies(scorer.scores(rows)) == 1) & (origin >= 0) & ~alerts[origin]
    return len(np.unique(rows.series[raised])) / FAULTS_PER_KIND


def _iso(time: int) -> str:
    return datetime.fromtimestamp(time / 1e6, tz=UTC).replace(tzinfo=None).isoformat(timespec="seconds")
