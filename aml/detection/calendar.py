"""What the calendar says of a local time: which kind of day it is, where in the day and the week it lies, and how often
it occurs where clocks are put forward and back.

A `Calendar` is two small tables of numbers, written out for the years 1970 to 2100 when a model is fitted. The bundle
holds them, so that serving needs neither the holidays library nor the system's time zones, and answers as training
did whatever versions of either are installed. Outside those years there are no holidays and no changes of the clock.

Times are microseconds since 1970-01-01 00:00 of a local naive clock (`aml.rows.Rows.time`), intervals microseconds too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from aml.rows import Codes, Times

MINUTE_US = 60_000_000
DAY_US = 86_400_000_000
HOLIDAY = 7
"""The type of a day that is a public holiday; Monday to Sunday are 0 to 6."""
DAY_TYPES = 8

_FIRST_YEAR, _LAST_YEAR = 1970, 2100
_EPOCH = date(1970, 1, 1)
_EPOCH_WEEKDAY = 3  # a Thursday
_STEP = timedelta(days=3)  # no zone has ever changed its clock twice within six
_SECOND = timedelta(seconds=1)


class UnknownHolidaysError(ValueError):
    """The holidays library knows no such country or subdivision."""


@dataclass(frozen=True, eq=False)
class Calendar:
    """The tables; `Calendar.of` writes them.

    Attributes:
        holidays: days since 1970-01-01 that are public holidays, increasing, shape (h,).
        skipped: the stretches of local time that never occur, increasing and apart, as [start, end), shape (s, 2).
        repeated: those that occur twice, likewise, shape (r, 2).
    """

    holidays: Codes
    skipped: Times
    repeated: Times

    @staticmethod
    @cache
    def of(timezone: str | None = None, holidays: str | None = None) -> Calendar:
        """The calendar of a contract; made once in a process, for one is as good as another.

        Args:
            timezone: IANA name; None: a clock that is never changed.
            holidays: ISO 3166 country, or country and subdivision (`ES-MD`); None: there are none.

        Raises:
            zoneinfo.ZoneInfoNotFoundError: there is no such zone on this machine.
            UnknownHolidaysError: there is no such country or subdivision.
        """
        skipped, repeated = _changes(timezone) if timezone else ([], [])
        return Calendar(_holidays(holidays) if holidays else np.empty(0, np.int64), _table(skipped), _table(repeated))

    def day_type(self, time: Times) -> Codes:
        """0 for a Monday to 6 for a Sunday, and `HOLIDAY` for a public holiday on whatever day; shape of `time`."""
        day = time // DAY_US
        return np.where(_among(self.holidays, day), HOLIDAY, (day + _EPOCH_WEEKDAY) % 7)

    def slot_of_week(self, time: Times, interval: int) -> Codes:
        """Which interval of which type of day a time lies in: `day_type` times `slots_per_day`, and `slot_of_day`.

        From 0 to ``DAY_TYPES * slots_per_day(interval) - 1``; at an interval of an hour it is the hour of the week, and
        168 to 191 are the hours of holidays.
        """
        return self.day_type(time) * slots_per_day(interval) + slot_of_day(time, interval)

    def occurrences(self, time: Times) -> Codes:
        """How often these local times occur: once, never where the clock is put forward over them, twice where it is
        put back; shape of `time`."""
        return 1 + _inside(self.repeated, time).astype(np.int64) - _inside(self.skipped, time)

    def never_between(self, earlier: Times, later: Times) -> Times:
        """How much of the local time from `earlier` to `later` never occurred, in microseconds.

        Of rows an hour apart by the clock, ``later - earlier - never_between(earlier, later)`` is an hour wherever none
        is missing: from 01:00 to 03:00 as summer begins, and from 02:00 to 03:00 as it ends, though two hours pass.
        """
        return _length_before(self.skipped, later) - _length_before(self.skipped, earlier)


def slots_per_day(interval: int) -> int:
    """How many intervals of this length a day has; the last one is shorter where they do not fill it.

    Raises:
        ValueError: the interval is shorter than a minute or longer than a day.
    """
    if not MINUTE_US <= interval <= DAY_US:
        raise ValueError(f"an interval of {interval} microseconds is not between a minute and a day")
    return -(-DAY_US // interval)


def slot_of_day(time: Times, interval: int) -> Codes:
    """Which interval of its day a time lies in, counted from midnight: 0 to ``slots_per_day(interval) - 1``."""
    slots_per_day(interval)
    return time % DAY_US // interval


def _table(stretches: list[tuple[int, int]]) -> Times:
    return np.array(stretches, dtype=np.int64).reshape(-1, 2)


def _among(increasing: Codes, wanted: Codes) -> NDArray[np.bool_]:
    at = np.searchsorted(increasing, wanted, side="right")
    found: NDArray[np.bool_] = np.r_[np.iinfo(np.int64).min, increasing][at] == wanted
    return found


def _inside(stretches: Times, time: Times) -> NDArray[np.bool_]:
    """Whether a time lies in one of the stretches: it has come to more beginnings than ends."""
    begun = np.searchsorted(stretches[:, 0], time, side="right")
    return begun > np.searchsorted(stretches[:, 1], time, side="right")


def _length_before(stretches: Times, time: Times) -> Times:
    """Length of the stretches, and of the part of one, that lie before a time."""
    length = np.r_[0, np.cumsum(stretches[:, 1] - stretches[:, 0])]
    begun = np.searchsorted(stretches[:, 0], time, side="right")
    ends = np.r_[np.iinfo(np.int64).min, stretches[:, 1]]
    whole: Times = length[begun] - np.maximum(ends[begun] - time, 0) * (begun > 0)
    return whole


def _holidays(place: str) -> Codes:
    # imported here: serving opens a bundle, which has the dates, and need not load the library
    from holidays import country_holidays

    country, _, subdivision = place.partition("-")
    years = range(_FIRST_YEAR, _LAST_YEAR + 1)
    try:
        dates = country_holidays(country, subdiv=subdivision or None, years=years)
    except NotImplementedError as error:
        raise UnknownHolidaysError(f"The holidays library knows no public holidays of {place!r}: {error}") from error
    return np.array(sorted((day - _EPOCH).days for day in dates), dtype=np.int64)


def _changes(timezone: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The local stretches that a zone skips, and those that it repeats."""
    zone = ZoneInfo(timezone)
    skipped: list[tuple[int, int]] = []
    repeated: list[tuple[int, int]] = []
    moment, last = datetime(_FIRST_YEAR - 1, 12, 30, tzinfo=UTC), datetime(_LAST_YEAR + 1, 1, 3, tzinfo=UTC)
    offset = _offset(zone, moment)
    while moment < last:
        following = _offset(zone, moment + _STEP)
        if following != offset:
            change = _change(zone, moment, moment + _STEP)
            before, after = _micros(change + offset), _micros(change + following)
            if before < after:
                skipped.append((before, after))
            else:
                repeated.append((after, before))
        moment, offset = moment + _STEP, following
    return skipped, repeated


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The first second with another offset than `before` has."""
    offset = _offset(zone, before)
    while after - before > _SECOND:
        middle = before + (after - before) // _SECOND // 2 * _SECOND
        before, after = (middle, after) if _offset(zone, middle) == offset else (before, middle)
    return after


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None  # a zone has an offset at every moment
    return offset


def _micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
