"""How often alarms begin: the episodes that a threshold makes of scores, and the threshold for a budget of them.

An episode ends where more than `GAP_ROWS` rows in succession are not flagged, as an event of a scored file does. So a
row begins one, at every threshold below its score and not below the highest score of the `GAP_ROWS` + 1 rows of its
series before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aml.detection.calendar import DAY_US
from aml.detection.series import Ordered
from aml.rows import Floats

GAP_ROWS = 3
WEEK_US = 7 * DAY_US

_KNOTS = 64
_COUNTED_LEAST = 8  # so few episodes say how often they are; what is rarer is extrapolated


@dataclass(frozen=True, eq=False)
class Beginnings:
    """Of each row the thresholds at which it begins an episode: from `low` on and below `high`."""

    low: Floats
    high: Floats

    @classmethod
    def of(cls, rows: Ordered, score: Floats) -> Beginnings:
        """Scores in order of series and time."""
        before = -rows.lag(rows.lowest(-score, GAP_ROWS + 1), 1, np.inf)
        return cls(np.minimum(before, score), score)

    def take(self, where: NDArray[np.bool_]) -> Beginnings:
        return Beginnings(self.low[where], self.high[where])

    def count(self, threshold: float) -> int:
        """How many episodes begin where a score above the threshold is flagged."""
        return int((self.high > threshold).sum() - (self.low > threshold).sum())


@dataclass(frozen=True, eq=False)
class Frequency:
    """How many episodes a week begin at thresholds, and the reverse.

    Attributes:
        weekly: for one series, ascending; above 0.
        threshold: for each of them the least threshold at and above which there are no more.
    """

    weekly: Floats
    threshold: Floats

    @classmethod
    def fit(cls, found: Beginnings, weeks: float) -> Frequency:
        """Args:
        weeks: how long all the rows last together.
        """
        ends = np.r_[found.high, found.low[found.low > -np.inf]]
        change = np.r_[np.ones(len(found.high)), -np.ones(len(ends) - len(found.high))]
        order = np.lexsort((change, -ends))
        at, count = ends[order], np.cumsum(change[order])
        last = np.r_[at[1:] != at[:-1], True]
        at, most = at[last], np.maximum.accumulate(count[last])  # episodes just below `at`, or anywhere above it
        wanted = np.unique(np.rint(np.geomspace(1, max(most[-1], 1), _KNOTS)))
        wanted = wanted[(wanted >= _COUNTED_LEAST) | (wanted == wanted[-1])]
        # more than `wanted` there are only below the first end that brings more; at it there are not
        first = np.searchsorted(most, wanted, side="right")
        return cls(wanted / weeks, at[np.minimum(first, len(at) - 1)])

    def threshold_for(self, weekly: float) -> float:
        """The threshold at which so many episodes a week begin; scores are decimal logarithms of probabilities, so
        that a tenth of them lies one higher."""
        if weekly < self.weekly[0]:
            return float(self.threshold[0] + np.log10(self.weekly[0] / weekly))
        return float(np.interp(np.log(weekly), np.log(self.weekly), self.threshold))
