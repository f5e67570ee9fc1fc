"""Gas meters that never were: clean series, always the same for the same seed.

A site burns gas (`benchmarks.detection.sites`) as weather and calendar have it; its meter counts whole pulses, so that
volumes come in steps and small flows as zeros with a pulse now and then; the rows are stamped with the wall clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.random import Generator

from aml.detection.calendar import DAY_US
from aml.detection.hours import HOUR_US
from aml.rows import Floats, Rows, concatenate, single_series
from benchmarks.detection.calendar import Clock, clock
from benchmarks.detection.sites import SITES
from benchmarks.detection.weather import temperature

ZONE, COUNTRY = "Europe/Madrid", "ES"
INTERVALS = {"1min": 1, "5min": 5, "15min": 15, "30min": 30, "hour": 60, "day": 1440}
"""Minutes between rows."""

# A pulse an interval can show: below a quarter of an hour meters are read electronically.
_PULSES = {"household": (0.01, 0.1), "office": (0.1, 1.0), "plant": (1.0, 10.0)}
_FINE_BELOW, _FINER = 15, 0.1
_DAYS = {1: 21, 5: 90, 15: 200, 30: 365, 60: 730, 1440: 1461}
_MINUTES_PER_DAY = 1440


@dataclass(frozen=True, eq=False)
class Simulated:
    """One meter.

    Attributes:
        name: what it is: site, interval and seed.
        rows: in order of time; on the day when summer ends an hour comes twice, when it begins one is not there.
        temperature: degrees Celsius, for each row.
        minutes: between rows.
        zone: whose wall clock the rows show; None where it knows no daylight saving.
    """

    name: str
    rows: Rows
    temperature: Floats
    minutes: int
    zone: str | None


def simulate(
    site: str, seed: int, *, interval: str = "hour", days: int | None = None, zone: str | None = ZONE
) -> Simulated:
    """One meter of a site.

    Args:
        site: a name in `SITES`.
        seed: equal seeds give equal rows.
        interval: a name in `INTERVALS`.
        days: how many; as many as make some 20,000 rows (or four years of days) if not given.
    """
    minutes = INTERVALS[interval]
    days = _DAYS[minutes] if days is None else days
    random = np.random.default_rng([seed, sorted(SITES).index(site), minutes])
    start = datetime(2021, 1, 1, tzinfo=UTC) + timedelta(days=int(random.integers(0, 365)))
    fine = min(minutes, 60)
    moments = clock(start, days * _MINUTES_PER_DAY // fine, fine, zone)
    degrees = temperature(moments, random)
    volume = SITES[site](moments, degrees, random) * fine / 60
    if minutes > 60:
        moments, degrees, volume = _by_day(moments, degrees, volume)
    pulse = float(random.choice(_PULSES[site])) * (_FINER if minutes < _FINE_BELOW else 1.0)
    rows = single_series(moments.local, _metered(volume, pulse, random))
    order = rows.by_series_and_time()
    return Simulated(f"{site}-{interval}-{seed}", rows.take(order), degrees[order], minutes, zone)


def meters(seed: int, count: int, *, days: int = 120) -> Rows:
    """Hourly rows of many meters in one table, sites in turn, in order of series and time."""
    sites = sorted(SITES)
    made = [simulate(sites[code % len(sites)], seed * 1000 + code, days=days).rows for code in range(count)]
    return concatenate([Rows(rows.time, rows.value, rows.series + code) for code, rows in enumerate(made)])


def suite(seeds: Sequence[int], interval: str = "hour") -> list[Simulated]:
    """A household, an office and a plant in turn, one for each seed; every other one on a clock without summer time."""
    sites = sorted(SITES)
    return [
        simulate(sites[at % len(sites)], seed, interval=interval, zone=ZONE if at % 2 == 0 else None)
        for at, seed in enumerate(seeds)
    ]


def _metered(volume: Floats, pulse: float, random: Generator) -> Floats:
    """What the meter counts of these volumes: whole pulses of a total that began somewhere within one."""
    total = np.floor(np.cumsum(volume) / pulse + random.random())
    counts = np.diff(total, prepend=np.floor(random.random()))
    return np.round(np.maximum(counts, 0) * pulse, 6)


def _by_day(moments: Clock, degrees: Floats, volume: Floats) -> tuple[Clock, Floats, Floats]:
    """Sums and means of the local days, stamped with their midnight, without the first and last, which are cut."""
    day = moments.day - moments.day.min()
    count = np.bincount(day)
    keep = np.arange(len(count))[1:-1]
    local = (keep + int(moments.day.min())) * DAY_US
    daily = Clock(local - HOUR_US, local, _MINUTES_PER_DAY)
    mean, total = np.bincount(day, degrees) / count, np.bincount(day, volume).astype(np.float64)
    return daily, mean[keep], total[keep]
