"""The one model: a detector of channels and isolation forests in one scikit-learn pipeline, and how it is served."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from aml.contract import DatasetContract
from aml.detection.calendar import DAY_US, HOLIDAY
from aml.detection.detector import CalibratedDetector
from aml.detection.findings import Detections
from aml.detection.plan import Plan
from aml.detection.seasonal import SeasonalSignals
from aml.evaluator import ForestEvaluator
from aml.intervals import Routes, SeriesPipeline, parts_of
from aml.rows import Floats, Rows, Times

TREES = 200
SEED = 42


def build_pipeline(contract: DatasetContract, contamination: float) -> Pipeline:
    """The unfitted pipeline; `fit`, `score_samples` and `predict` take `Rows`.

    Args:
        contamination: share of clean rows (0 to 0.5) that the threshold declares anomalous. The contract's own stands
            back behind its budget of alarms, if it has one; any other is what somebody asked for.
    """
    alarms = contract.alarms.per_week if contract.alarms and contamination == contract.contamination else None
    detector = CalibratedDetector(TREES, contamination=contamination, random_state=SEED, alarms_per_week=alarms)
    return SeriesPipeline(
        [
            ("signals", SeasonalSignals(contract.context_rows, contract.timezone, contract.holidays)),
            ("detector", detector),
        ]
    )


class Scorer:
    """Says of rows exactly what the fitted pipeline says, by the fastest way that works here.

    Attributes:
        threshold: a score above it is an anomaly.
        evaluation: who evaluates the forests, to the same bits: `compiled` or `scikit-learn`.
        alarms_per_week: the budget that the threshold comes from, None where it is a share of rows.
        interval: microseconds from one row to the next, as a rule.
        history_days: the past with which slow changes are compared.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._signals: SeasonalSignals = pipeline.named_steps["signals"]
        self._detector: CalibratedDetector = pipeline.named_steps["detector"]
        self._forests = [ForestEvaluator(forest) for forest in self._detector.forests_]
        without = self._detector.without_  # for rows without the numbers that values follow
        self._without = [ForestEvaluator(forest) for forest in without.forests_] if without else []
        ways = {forest.evaluation for forest in (*self._forests, *self._without)}
        self.evaluation = ways.pop() if len(ways) == 1 else "scikit-learn"
        self.threshold: float = self._detector.threshold_
        self.alarms_per_week: float | None = self._detector.alarms_per_week
        plan: Plan = self._signals.plan_
        self.interval = plan.interval
        self.history_days = plan.weeks * plan.interval / DAY_US
        self._others = [Scorer(other) for other in getattr(pipeline, "others_", ())]
        self._routes: Routes | None = pipeline.routes_ if self._others else None

    def threshold_at(self, contamination: float, alarms_per_week: float | None = None) -> float:
        """The threshold for another budget."""
        return self._detector.threshold_at(contamination, alarms_per_week)

    def detect(self, rows: Rows) -> Detections:
        """What the model says of each row."""
        if self._routes is None:
            return self._detect(rows)
        found: Detections | None = None
        for number, (seen, judged) in parts_of(self._routes, rows).items():
            scorer = self._others[number - 1] if number else self
            part = scorer._detect(rows.take(seen))
            found = part.placed(seen, judged, len(rows), found)
        return self._detect(rows) if found is None else found

    def intervals(self, rows: Rows) -> int | Times:
        """Microseconds from one row to the next, as a rule: for all rows, or for each of them."""
        if self._routes is None:
            return self.interval
        own: Times = np.array([self.interval, *(other.interval for other in self._others)])[self._routes.to(rows)]
        return own

    def _detect(self, rows: Rows) -> Detections:
        return self._detector.detect(self._signals.transform(rows), self._forests, self._without)

    def scores(self, rows: Rows) -> Floats:
        """How strange each row is: minus `score_samples`, at least 0, higher is stranger; shape (len(rows),)."""
        return self.detect(rows).score

    def holidays(self, time: Times) -> NDArray[np.bool_]:
        """Which of these times lie on a public holiday."""
        there: NDArray[np.bool_] = self._signals.calendar_.day_type(time) == HOLIDAY
        return there

    def anomalies(self, scores: Floats) -> NDArray[np.int64]:
        """1 where the pipeline's `predict` says -1, else 0; a score equal to the threshold is no anomaly."""
        flags: NDArray[np.int64] = (scores > self.threshold).astype(np.int64)
        return flags
