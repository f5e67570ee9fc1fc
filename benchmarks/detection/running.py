"""A detector over a series: fitted on its first rows, and again as rows come in, or not."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from aml.rows import Floats, Rows
from benchmarks.detection.detectors import Detector, Make, Where

TRAIN_SHARE = 0.15
"""Of a labelled series, as NAB has it."""
REFIT_SHARE = 0.05
"""A refitted detector sees all earlier rows after every such share of a series."""


@dataclass
class Cost:
    """What a detector took: seconds of the processor in all, how often it was fitted, how many rows it scored."""

    fit_seconds: float = 0.0
    fits: int = 0
    score_seconds: float = 0.0
    rows: int = 0

    def fit(self, make: Make, rows: Rows, where: Where) -> Detector:
        """A detector that is fitted on these rows."""
        started = time.process_time()
        detector = make(where)
        detector.fit(rows)
        self.fit_seconds += time.process_time() - started
        self.fits += 1
        return detector

    def score(self, detector: Detector, rows: Rows, first: int) -> Floats:
        """Its scores of the rows from `first` on."""
        started = time.process_time()
        scores = detector.scores(rows, first)
        self.score_seconds += time.process_time() - started
        self.rows += len(scores)
        return scores


def run(make: Make, rows: Rows, first: int, *, refit: bool, cost: Cost, where: Where) -> Floats:
    """Scores of a series by a detector that was fitted on the rows before `first`, which it scores too.

    With `refit` it is fitted on all earlier rows again after every twentieth of the series. Either way rows are scored
    in the same pieces, so that detectors which look at rows together see as many at once.
    """
    piece = max(1, round(REFIT_SHARE * len(rows)))
    scores = np.zeros(len(rows))
    detector = cost.fit(make, rows.take(slice(0, first)), where)
    scores[:first] = detector.scores(rows.take(slice(0, first)), 0)
    for begin in range(first, len(rows), piece):
        if refit and begin > first:
            detector = cost.fit(make, rows.take(slice(0, begin)), where)
        end = min(begin + piece, len(rows))
        scores[begin:end] = cost.score(detector, rows.take(slice(0, end)), begin)
    return scores
