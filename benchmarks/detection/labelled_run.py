"""A detector over a folder of labelled series: areas under curves, and NAB's own score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.detection.detectors import Make, Where
from benchmarks.detection.labelled import LabelledSeries
from benchmarks.detection.metrics import Ranking, ranking
from benchmarks.detection.nab import ScoredFile, nab_score, one_alarm_per_episode, tail_probability
from benchmarks.detection.running import TRAIN_SHARE, Cost, run


@dataclass(frozen=True, eq=False)
class LabelledResult:
    """Of one detector on all files.

    Attributes:
        rankings: of each file with anomalies after its training rows.
        raw: the detector's own scores.
        episodes: the same with one alarm per episode.
        alarms: each file's scores as tail probabilities among those seen before (those of the training rows first), and
            one alarm per episode. Done alike to every detector.
    """

    rankings: list[Ranking] = field(default_factory=list)
    raw: list[ScoredFile] = field(default_factory=list)
    episodes: list[ScoredFile] = field(default_factory=list)
    alarms: list[ScoredFile] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)

    @property
    def areas(self) -> list[float]:
        """ROC AUC, average precision and VUS-PR: the means over the files."""
        return [
            float(np.mean([getattr(one, name) for one in self.rankings] or [np.nan]))
            for name in ("roc_auc", "average_precision", "vus_pr")
        ]

    @property
    def nab(self) -> tuple[float, float, float]:
        """NAB's score of the detector's own scores, of one alarm per episode of them, and of recalibrated alarms."""
        return nab_score(self.raw).score, nab_score(self.episodes).score, nab_score(self.alarms).score


def run_labelled(make: Make, files: Sequence[LabelledSeries], *, refit: bool) -> LabelledResult:
    """The first `TRAIN_SHARE` of each file trains; the rest is scored and counts."""
    result = LabelledResult()
    for file in files:
        first = int(TRAIN_SHARE * len(file.rows))
        scores = run(make, file.rows, first, refit=refit, cost=result.cost, where=Where())
        area = ranking(file.labels[first:], scores[first:])
        if area is not None:
            result.rankings.append(area)
        # who is still being trained raises no alarm
        raised = np.where(np.arange(len(scores)) < first, scores.min(), scores) - scores.min()
        times = file.rows.time
        result.raw.append(ScoredFile(raised, file.windows))
        result.episodes.append(ScoredFile(one_alarm_per_episode(times, raised), file.windows))
        alarms = one_alarm_per_episode(times, tail_probability(scores, first))
        result.alarms.append(ScoredFile(alarms, file.windows))
    return result
