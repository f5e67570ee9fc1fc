"""Metrics of a model that has no labels, from time held out and faults injected into it.

A model is fitted on what is not held out (`aml.holdout`). On the hold-out as it is, that model's alerts are counted
(`alert_rate`). Then faults are injected, each by itself into a stretch of its own, and a fault is found when one of its
rows raises an alert that the same row did not raise before (`recall_<fault>`): long faults would otherwise be "found"
by the alerts that any stretch of that length contains. Threshold and context are those of serving.

How well a model tells faults from clean rows, whatever its threshold, says `detection`: the same recall at the
thresholds beyond which 0.1 % and 1 % of the clean held-out rows lie, averaged over both and over all kinds of faults.

Where enough held-out rows are labelled (`aml.labelled`), labels take the place of injected faults in `alert_rate`,
`recall` and `detection`: what is found are labelled episodes, and what is clean are rows labelled as normal.

These numbers describe the procedure; the model that is kept is fitted on all rows afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from aml.detection.episodes import WEEK_US, Beginnings
from aml.detection.series import Ordered
from aml.forest import SEED, Scorer
from aml.holdout import FAULTS_PER_KIND, HOLD_OUT_SHARE, Ground, Mask, hold_out, remaining
from aml.labelled import Labelled, normal_rows
from aml.rows import Floats, Rows

Metrics = dict[str, float | int | str]

FALSE_ALARM_RATES = (0.001, 0.01)
_DAY_US = 86_400_000_000


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The metrics, the model that they are of (fitted on what is not held out), and the ground it was judged on."""

    metrics: Metrics
    scorer: Scorer
    ground: Ground

    def threshold_at(self, contamination: float, alarms_per_week: float | None = None) -> float:
        """The threshold that the model would have under another contamination (0 to 0.5) or budget of alarms."""
        return self.scorer.threshold_at(contamination, alarms_per_week)


def evaluate(rows: Rows, build: Callable[[], Pipeline], context_rows: int) -> Evaluation:
    """Fit on the rows that are not held out, measure on those that are.

    Args:
        rows: in order of series and time.
        build: makes an unfitted pipeline.
        context_rows: rows before a row that what is said of it depends on.

    Raises:
        TooFewRowsError: nothing can be held out.
    """
    ground, fit = hold_out(rows, context_rows, SEED)
    return judged(ground, fit, build().fit(remaining(rows, fit)))


def judged(ground: Ground, fit: Mask, pipeline: Pipeline) -> Evaluation:
    """Measure, on what is held out, a pipeline that was fitted on the rows that are not."""
    scorer = Scorer(pipeline)
    about: Metrics = {
        "rows_fit": int(fit.sum()),
        "rows_holdout": len(ground.positions),
        "holdout_from": _iso(int(ground.rows.time[ground.held].min())),
        "faults_per_kind": FAULTS_PER_KIND,
        "faults_left_out": ", ".join(ground.left_out),
        "seed": SEED,
        "score_threshold_holdout": scorer.threshold,
    }
    metrics = {**about, **measure(ground, scorer)}
    return Evaluation(metrics, scorer, ground)


def measure(ground: Ground, scorer: Scorer, threshold: float | None = None) -> Metrics:
    """What a model makes of the ground: `alert_rate`, the recalls and `detection`, all shares between 0 and 1, and how
    many alarms begin in a week of a series.

    Args:
        threshold: beyond which a score is an alert; None: the model's own.
    """
    threshold = scorer.threshold if threshold is None else threshold
    scores = scorer.scores(ground.rows)
    normal, labelled = normal_rows(ground), Labelled.of(ground)
    clean = scores[normal]
    limits = [threshold, *(float(np.quantile(clean, 1 - rate, method="higher")) for rate in FALSE_ALARM_RATES)]
    found = np.array([_found(ground, name, scores, scorer, limits) for name in ground.faults])
    recalls = found.mean(axis=0) if labelled is None else [labelled.recall(scores, limit) for limit in limits]
    lasted = float(np.broadcast_to(scorer.intervals(ground.rows), len(scores))[normal].sum())
    begin = Beginnings.of(Ordered.of(ground.rows), scores).take(normal)
    return {
        "alert_rate": float((clean > threshold).mean()),
        "episodes_per_week": begin.count(threshold) / (lasted / WEEK_US),
        **{f"recall_{name}": float(row[0]) for name, row in zip(ground.faults, found, strict=True)},
        "recall": float(recalls[0]),
        **{f"recall_at_{rate:g}": float(at) for rate, at in zip(FALSE_ALARM_RATES, recalls[1:], strict=True)},
        "detection": float(np.mean(recalls[1:])),
        **({} if labelled is None else _by_labels(labelled, scores)),
    }


def _by_labels(labelled: Labelled, scores: Floats) -> Metrics:
    return {
        "judged_by": "labels",
        "labelled_episodes": labelled.episodes,
        "average_precision": labelled.average_precision(scores),
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
        **({} if scorer.alarms_per_week is None else {"alarms_per_week": scorer.alarms_per_week}),
        "score_threshold": scorer.threshold,
        "measured_on": f"{HOLD_OUT_SHARE:.0%} of the time, by a model fitted on the rest",
        "final_model": "fitted on all rows after measuring",
    }


def _found(ground: Ground, name: str, clean: Floats, scorer: Scorer, limits: list[float]) -> list[float]:
    """For each limit the share of faults of one kind with a score above it in a row whose clean score was not."""
    injected = ground.faults[name]
    scores = scorer.scores(injected.rows)
    faulty: NDArray[np.bool_] = injected.origin >= 0
    before = clean[injected.origin]
    raised = [faulty & (scores > limit) & (before <= limit) for limit in limits]
    return [len(np.unique(injected.rows.series[rows])) / FAULTS_PER_KIND for rows in raised]


def _iso(time: int) -> str:
    return datetime.fromtimestamp(time / 1e6, tz=UTC).replace(tzinfo=None).isoformat(timespec="seconds")
