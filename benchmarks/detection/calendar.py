"""Time as meters see it: an even grid of moments, their wall clock in a zone, and a country's public holidays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from dateutil.easter import easter
from numpy.typing import NDArray

from aml.rows import Floats, Times

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US

_FIXED = ((1, 1), (1, 6), (5, 1), (8, 15), (10, 12), (11, 1), (12, 6), (12, 8), (12, 25))
_GOOD_FRIDAY = timedelta(days=2)


@dataclass(frozen=True, eq=False)
class Clock:
    """The moments of a simulation.

    Attributes:
        utc: microseconds since 1970-01-01 UTC, evenly spaced.
        local: the wall clock at those moments, in the same form; where summer ends an hour comes twice.
        minutes: between two moments.
    """

    utc: Times
    local: Times
    minutes: int

    def __len__(self) -> int:
        return len(self.utc)

    @property
    def hour(self) -> Floats:
        """Hour of the local day with its fraction, 0 to 24."""
        return self.local % DAY_US / HOUR_US

    @property
    def day(self) -> NDArray[np.int64]:
        """Days since 1970-01-01 on the local calendar."""
        return self.local // DAY_US

    @property
    def weekday(self) -> NDArray[np.int64]:
        """Monday is 0."""
        return (self.day + 3) % 7

    @property
    def season(self) -> Floats:
        """Share of the year that has gone by, 0 to 1."""
        moments = self.local.astype("datetime64[us]")
        gone = (moments - moments.astype("datetime64[Y]")).astype(np.int64)
        share: Floats = gone / (365.25 * DAY_US)
        return share


def clock(start: datetime, count: int, minutes: int, zone: str | None) -> Clock:
    """So many moments from the start on.

    Args:
        start: with its time zone.
        zone: whose wall clock the series shows; None for one that knows no daylight saving (UTC + 1 hour).
    """
    first = int(start.timestamp()) * 1_000_000
    utc = first + np.arange(count, dtype=np.int64) * minutes * 60_000_000
    return Clock(utc, utc + _offsets(utc, zone), minutes)


def _offsets(utc: Times, zone: str | None) -> Times:
    """The wall clock less UTC; zones of whole hours change at whole hours."""
    if zone is None:
        return np.full(len(utc), HOUR_US)
    hours, which = np.unique(utc // HOUR_US, return_inverse=True)
    there = ZoneInfo(zone)
    offsets = [datetime.fromtimestamp(hour * 3600, tz=UTC).astimezone(there).utcoffset() for hour in hours.tolist()]
    return np.array([int((offset or timedelta()).total_seconds()) * 1_000_000 for offset in offsets])[which]


def public_holidays(first: date, last: date) -> frozenset[date]:
    """Spain's national holidays from one year to the other, both included."""
    years = range(first.year, last.year + 1)
    fixed = {date(year, month, day) for year in years for month, day in _FIXED}
    return frozenset(fixed | {easter(year) - _GOOD_FRIDAY for year in years})


def is_holiday(days: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of these days since 1970-01-01 are public holidays."""
    epoch = date(1970, 1, 1)
    first, last = (epoch + timedelta(days=int(day)) for day in (days.min(), days.max()))
    holidays = [(day - epoch).days for day in public_holidays(first, last)]
    return np.isin(days, holidays)
