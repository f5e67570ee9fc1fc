"""Time as meters see it: an even grid of moments, their wall clock in a zone, and a country's public holidays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from holidays import country_holidays
from numpy.typing import NDArray

from aml.detection.calendar import DAY_US
from aml.detection.hours import HOUR_US
from aml.rows import Floats, Times

_EPOCH = date(1970, 1, 1)


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


def is_holiday(days: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of these days since 1970-01-01, from the year 2008 on, are public holidays of the whole of Spain."""
    first, last = ((_EPOCH + timedelta(days=int(day))).year for day in (days.min(), days.max()))
    # on a Sunday too: there a region keeps it or moves it to another day, and nobody works
    dates = country_holidays("ES", observed=False, years=range(first, last + 1))
    return np.isin(days, [(day - _EPOCH).days for day in dates])
