"""Held-out rows of which people have said what they are: how a model is judged where there are enough of them.

An episode is a run of rows of one series that are labelled as anomalies; it is found when one of its rows is above a
limit. The average precision is by rows, over the labelled ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aml.holdout import Ground
from aml.rows import Floats

EPISODES_LEAST, ANOMALIES_LEAST, NORMAL_LEAST = 5, 10, 200
"""Of anomalies, of anomalous rows and of normal ones; with less, labels do not judge."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """What is labelled among held-out rows.

    Attributes:
        normal, anomalous: which rows of the ground, shape (n,).
        episode: number of the episode of each anomalous row, shape (n anomalous,).
    """

    normal: NDArray[np.bool_]
    anomalous: NDArray[np.bool_]
    episode: NDArray[np.int64]

    @classmethod
    def of(cls, ground: Ground) -> Labelled | None:
        """None where the labels are too few."""
        if ground.rows.label is None:
            return None
        normal, anomalous = (ground.held & (ground.rows.label == said) for said in (0, 1))
        series = ground.rows.series
        begins = anomalous & ~np.r_[False, anomalous[:-1] & (series[1:] == series[:-1])]
        episodes = int(begins.sum())
        if episodes < EPISODES_LEAST or anomalous.sum() < ANOMALIES_LEAST or normal.sum() < NORMAL_LEAST:
            return None
        return cls(normal, anomalous, (np.cumsum(begins) - 1)[anomalous])

    @property
    def episodes(self) -> int:
        """How many there are."""
        return int(self.episode[-1]) + 1

    def recall(self, scores: Floats, limit: float) -> float:
        """The share of episodes with a score above the limit."""
        return len(np.unique(self.episode[scores[self.anomalous] > limit])) / self.episodes

    def average_precision(self, scores: Floats) -> float:
        """Of the labelled rows by their scores."""
        from sklearn.metrics import average_precision_score  # a part of scikit-learn that serving can do without

        said = self.normal | self.anomalous
        return float(average_precision_score(self.anomalous[said], scores[said]))


def normal_rows(ground: Ground) -> NDArray[np.bool_]:
    """The held-out rows that limits are measured on: those labelled as normal where labels judge, else those that are
    not labelled as anomalies, nor behind a cut."""
    judged = Labelled.of(ground)
    if judged is not None:
        return judged.normal
    if ground.rows.label is None:
        return ground.held
    clean = ground.held & (ground.rows.label < 1)
    return clean if clean.any() else ground.held
