"""Faults as they happen to meters, injected into clean rows: how a detector without labels is measured.

Twelve kinds. Sizes are drawn relative to the series' own `high` (the 95th percentile of its absolute values), so that
the same faults suit a home and a plant; what goes on for a time is drawn in hours, so that they suit any sampling
interval; faults of single readings are counted in rows.

| kind | what is done to the rows | how long |
|---|---|---|
| spike | one reading is 2 to 5 `high` more | 1 row |
| dip | 0 to 20 % of each value is left | 1 to 3 rows |
| negative | the value's size and 0.1 to 1 `high` more, below zero | 1 to 3 rows |
| zero_run | nothing arrives | 6 to 24 h |
| stuck_value | the first value stays | 12 to 48 h |
| level_shift | 1.5 to 3 times each value | 24 to 48 h |
| leak | a constant 0.2 to 0.5 `high` more | 24 to 72 h |
| drift | the factor moves evenly from 1 to 1.5-2.5, or to 0.2-0.6 | 5 to 14 days |
| pattern | a Sunday has the values of a Tuesday, Wednesday or Thursday at most ten days away | 1 day |
| shifted | the clock is one hour off: each value comes an hour early or late | 1 to 3 days |
| missing | rows are not there | 1 to 12 rows |
| duplicated | each row is there twice | 1 to 6 rows |

A kind that cannot be in a series is not put into it: a pattern needs a weekly cycle, a clock that is an hour off an
interval of an hour or less, and whatever is injected must change at least half of its rows (a zero run in an
office's closed weeks is no fault).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from aml.rows import Floats, Rows, Times
from aml.weekdays import MIDWEEK, SUNDAY, day_of, has_weekly_cycle, weekday_of

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US

_SOURCE_DAYS = 10
_WHOLE_DAY = 0.8


@dataclass(frozen=True, eq=False)
class Place:
    """Where a fault goes.

    Attributes:
        rows: clean rows of one series in order of time; the fault may look at all of them.
        start, stop: the fault's rows are those from `start` to before `stop`.
        high: the size of the series' large values, above 0.
        step: the usual time between rows in microseconds, above 0.
    """

    rows: Rows
    start: int
    stop: int
    high: float
    step: int

    @property
    def values(self) -> Floats:
        """The clean values of the fault's rows, as a copy."""
        return self.rows.value[self.start : self.stop].copy()


@dataclass(frozen=True, eq=False)
class Change:
    """What stands in the place of the rows from `begin` to before `end`; everything else stays as it is.

    Attributes:
        rows: the rows that stand there now, in order of time.
        origin: for each of them its position in the place's rows.
        faulty: for each of them whether an alert in it finds the fault.
    """

    begin: int
    end: int
    rows: Rows
    origin: NDArray[np.int64]
    faulty: NDArray[np.bool_]


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes:
        shortest, longest: how long it lasts, in hours if `in_hours`, else in rows.
        least: rows that it needs.
        apply: makes the change; None where this kind cannot be here.
        suits: (clean rows of one series, their usual step) -> whether this kind can be in that series at all.
        begins: (times) -> where it may begin.
    """

    name: str
    shortest: int
    longest: int
    apply: Callable[[Place, Generator], Change | None]
    in_hours: bool = True
    least: int = 3
    suits: Callable[[Rows, int], bool] = lambda rows, step: True
    begins: Callable[[Times], NDArray[np.bool_]] = lambda times: np.ones(len(times), dtype=bool)

    def draw_length(self, step: int, random: Generator) -> int:
        """How many rows it is to last where rows are `step` microseconds apart; at least `least`."""
        if not self.in_hours:
            return int(random.integers(self.shortest, self.longest + 1))
        hours = random.uniform(self.shortest, self.longest)
        return max(self.least, round(hours * HOUR_US / step))


def step_of(times: Times) -> int:
    """The usual time between rows (in order) in microseconds; an hour where no two times differ."""
    steps = np.diff(times)
    steps = steps[steps > 0]
    return int(np.median(steps)) if len(steps) else HOUR_US


def high_of(values: Floats) -> float:
    """The 95th percentile of the absolute values; the largest of them where that is 0, and 1 for zeros alone."""
    sizes = np.abs(values)
    return float(np.percentile(sizes, 95) or sizes.max() or 1.0)


def inject(fault: Fault, place: Place, random: Generator) -> Change | None:
    """The change, or None where the fault cannot be here or would leave more than half of its rows as they are."""
    change = fault.apply(place, random)
    if change is None or not change.faulty.any():
        return None
    if len(change.rows) != change.end - change.begin:
        return change
    clean = place.rows.take(change.origin)
    other = (change.rows.value != clean.value) | (change.rows.time != clean.time)
    return change if 2 * int((other & change.faulty).sum()) >= int(change.faulty.sum()) else None


def _with_values(place: Place, values: Floats) -> Change:
    """The rows of the place with other values."""
    origin = np.arange(place.start, place.stop)
    clean = place.rows.take(origin)
    rows = clean.with_values(values)
    return Change(place.start, place.stop, rows, origin, np.ones(len(origin), dtype=bool))


def _spike(place: Place, random: Generator) -> Change:
    return _with_values(place, place.values + place.high * random.uniform(2.0, 5.0))


def _dip(place: Place, random: Generator) -> Change:
    return _with_values(place, place.values * random.uniform(0.0, 0.2))


def _negative(place: Place, random: Generator) -> Change:
    return _with_values(place, -np.abs(place.values) - place.high * random.uniform(0.1, 1.0))


def _zero_run(place: Place, random: Generator) -> Change:
    return _with_values(place, np.zeros(place.stop - place.start))


def _stuck_value(place: Place, random: Generator) -> Change:
    return _with_values(place, np.full(place.stop - place.start, place.values[0]))


def _level_shift(place: Place, random: Generator) -> Change:
    return _with_values(place, place.values * random.uniform(1.5, 3.0))


def _leak(place: Place, random: Generator) -> Change:
    return _with_values(place, place.values + place.high * random.uniform(0.2, 0.5))


def _drift(place: Place, random: Generator) -> Change | None:
    times = place.rows.time[place.start : place.stop]
    if times[-1] - times[0] < DAY_US - place.step:
        return None
    last = random.uniform(1.5, 2.5) if random.random() < 0.5 else random.uniform(0.2, 0.6)
    share = (times - times[0] + place.step) / (times[-1] - times[0] + place.step)
    return _with_values(place, place.values * (1 + (last - 1) * share))


def _shifted(place: Place, random: Generator) -> Change | None:
    back = round(HOUR_US / place.step) * (1 if random.random() < 0.5 else -1)
    source = np.arange(place.start, place.stop) - back
    if source[0] < 0 or source[-1] >= len(place.rows):
        return None
    return _with_values(place, place.rows.value[source])


def _pattern(place: Place, random: Generator) -> Change | None:
    """The whole day that the first row lies on; one that has lost rows, or has no other day near, is none."""
    days = day_of(place.rows.time)
    target = np.flatnonzero(days == days[place.start])
    near = np.unique(days[np.abs(days - days[place.start]) <= _SOURCE_DAYS])
    least = _WHOLE_DAY * DAY_US / place.step
    sources = [day for day in near[np.isin(weekday_of(near), MIDWEEK)] if (days == day).sum() >= least]
    if not sources or len(target) < least or target[0] != place.start:
        return None
    source = np.flatnonzero(days == random.choice(sources))
    clock, wanted = place.rows.time[source] % DAY_US, place.rows.time[target] % DAY_US
    same_time = np.clip(np.searchsorted(clock, wanted, side="right") - 1, 0, len(source) - 1)
    return _with_values(
        Place(place.rows, place.start, place.start + len(target), place.high, place.step),
        place.rows.value[source[same_time]],
    )


def _missing(place: Place, random: Generator) -> Change | None:
    """An alert in the first row after the gap finds it."""
    after = place.stop
    if after >= len(place.rows):
        return None
    origin = np.array([after])
    return Change(place.start, after + 1, place.rows.take(origin), origin, np.array([True]))


def _duplicated(place: Place, random: Generator) -> Change:
    """An alert in the second of two rows finds it."""
    origin = np.repeat(np.arange(place.start, place.stop), 2)
    return Change(place.start, place.stop, place.rows.take(origin), origin, np.arange(len(origin)) % 2 == 1)


def _first_of_a_sunday(times: Times) -> NDArray[np.bool_]:
    days = day_of(times)
    first: NDArray[np.bool_] = np.r_[True, np.diff(days) != 0][: len(days)]
    sundays: NDArray[np.bool_] = first & (weekday_of(days) == SUNDAY)
    return sundays


FAULTS = (
    Fault("spike", 1, 1, _spike, in_hours=False, least=1),
    Fault("dip", 1, 3, _dip, in_hours=False, least=1),
    Fault("negative", 1, 3, _negative, in_hours=False, least=1),
    Fault("zero_run", 6, 24, _zero_run),
    Fault("stuck_value", 12, 48, _stuck_value),
    Fault("level_shift", 24, 48, _level_shift),
    Fault("leak", 24, 72, _leak),
    Fault("drift", 120, 336, _drift, least=5),
    Fault("pattern", 24, 24, _pattern, suits=has_weekly_cycle, begins=_first_of_a_sunday),
    Fault("shifted", 24, 72, _shifted, suits=lambda rows, step: step <= HOUR_US),
    Fault("missing", 1, 12, _missing, in_hours=False, least=1),
    Fault("duplicated", 1, 6, _duplicated, in_hours=False, least=1),
)
