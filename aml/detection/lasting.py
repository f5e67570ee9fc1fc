"""What goes on after it has been said, and what is around a row.

Loudness, here, is what the channels of a row come to together: in decades of rarity, of the rarest and some of all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aml.detection.seasonal import Look
from aml.detection.series import fixed
from aml.rows import Floats

_LOUD_SHARE = 0.01  # of clean rows are louder than where damping begins to end
_SURE = 2.0  # times as loud, it has ended
_AROUND = 8.0  # what half a day weighs beside its last row
_BACK_SHARE = 0.15  # of clean rows that are further from what is usual than a value that is back


@dataclass(frozen=True, eq=False)
class Lasting:
    """How loud rows are that are no louder than all of the day before.

    Faint ones are multiplied by `factor`: they may be the rest of what was said, and chance. What is far louder than
    clean rows ever are is neither, however long it goes on, and nothing is taken off. The order of lasting rows among
    themselves stays.

    Attributes:
        factor: of rows up to `loud`; it rises to 1 at twice `loud`.
        near: how far from what is usual values are that are back, in standard deviations.
    """

    factor: float
    loud: float
    near: float

    @classmethod
    def fit(cls, look: Look, loud: Floats, factor: float) -> Lasting:
        clean = look.rows.clean
        return cls(
            factor,
            float(np.quantile(loud[clean], 1 - _LOUD_SHARE)),
            float(np.quantile(look.signals.ordinary[clean], 1 - _BACK_SHARE)),
        )

    def of(self, look: Look, loud: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Loudness, less of what goes on; and which rows only go on."""
        goes_on = loud <= -look.rows.lag(look.rows.lowest(-loud, look.plan.news), 1, np.inf)
        rising = (_SURE - self.factor) / (_SURE - 1.0) * (loud - self.loud) + self.factor * self.loud
        damped = np.minimum(np.maximum(self.factor * loud, rising), loud)
        return np.where(goes_on, damped, loud), goes_on

    def back(self, look: Look) -> NDArray[np.bool_]:
        """Which rows' values are what is usual, and have been for an eighth of a day.

        Windows of a day remember a value that was wrong; an alarm ends with it.
        """
        back: NDArray[np.bool_] = -look.rows.lowest(-look.signals.ordinary, max(1, look.plan.day // 8)) < self.near
        return back


def around(look: Look, loud: Floats) -> Floats:
    """How loud a row is and, eight times, the half day that it ends: the more disturbed its time, the more suspect is a
    row that makes no alarm by itself."""
    mean: Floats = look.rows.mean(fixed(loud), max(1, look.plan.day // 2))
    return loud + _AROUND * mean


def again(look: Look, told: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of these rows have another of them in the day before."""
    before: NDArray[np.bool_] = look.rows.lag(-look.rows.lowest(-told.astype(np.float64), look.plan.news), 1) > 0
    return told & before


def squeezed(rarity: Floats, low: float, high: float) -> Floats:
    """The same up to `low`; beyond it in the same order, and below `high`."""
    beyond = np.maximum(rarity - low, 0.0)
    width = high - low
    return np.minimum(rarity, low) + width * beyond / (width + beyond)
