"""Days of the week of the series' own clock, and whether a series has a weekly cycle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aml.rows import Floats, Rows, Times

_DAY_US = 86_400_000_000
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday; Monday is 0

TUESDAY, FRIDAY, SUNDAY = 1, 4, 6
MIDWEEK = (1, 2, 3)
"""Tuesday to Thursday: days with an ordinary day on either side."""

_BINS_PER_DAY = 4
_PAIRS_AT_LEAST = 2
_TIMES_AS_FAR = 1.5


def day_of(times: Times) -> NDArray[np.int64]:
    """Days since 1970-01-01, right before it too."""
    return times // _DAY_US


def weekday_of(days: NDArray[np.int64]) -> NDArray[np.int64]:
    """Day of the week of such days; Monday is 0."""
    return (days + _EPOCH_WEEKDAY) % 7


def has_weekly_cycle(rows: Rows, step: int) -> bool:
    """Whether a Sunday is further from the Wednesday after it than a Tuesday is from the Friday after it.

    Both pairs lie three days apart, so that weather and season tell alike in both. The distance of two days is the mean
    absolute difference of their quarters' means; the medians over all pairs are compared.

    Args:
        rows: of one series.
        step: the usual time between rows in microseconds.
    """
    if step > _DAY_US // _BINS_PER_DAY or not len(rows):
        return False
    sundays, workdays = _distances(rows, SUNDAY), _distances(rows, TUESDAY)
    if min(len(sundays), len(workdays)) < _PAIRS_AT_LEAST:
        return False
    return bool(np.median(sundays) > _TIMES_AS_FAR * np.median(workdays))


def _distances(rows: Rows, weekday: int) -> Floats:
    """Distance of each day of this weekday from the day three days later, where both are whole."""
    days = day_of(rows.time)
    number, quarter = days - days.min(), rows.time % _DAY_US * _BINS_PER_DAY // _DAY_US
    cells = number * _BINS_PER_DAY + quarter
    size = (int(number.max()) + 1) * _BINS_PER_DAY
    count = np.bincount(cells, minlength=size)
    total = np.bincount(cells, weights=rows.value, minlength=size)
    means = np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(-1, _BINS_PER_DAY)
    all_days = np.arange(len(means)) + days.min()
    first = np.flatnonzero(weekday_of(all_days) == weekday)
    first = first[first + 3 < len(means)]
    distances: Floats = np.abs(means[first] - means[first + 3]).mean(axis=1)
    return distances[np.isfinite(distances)]
