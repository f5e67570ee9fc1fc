"""Outside temperature as it drives heating: the season, weather that lasts for days, cold spells, the time of day."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from aml.rows import Floats
from benchmarks.detection.calendar import Clock

_MEAN, _SWING = 14.0, 9.5
_COLDEST = 0.05
_DAY_SWING = 3.5
_WARMEST_HOUR = 16.0
_WEATHER_DEVIATION, _WEATHER_MEMORY = 2.4, 0.75
_SPELLS_PER_YEAR = 3.0
_HOURLY_DEVIATION, _HOURLY_MEMORY = 0.5, 0.9


def temperature(clock: Clock, random: Generator) -> Floats:
    """Degrees Celsius at each moment, for a place in the middle of Spain."""
    day = clock.day - clock.day.min()
    days = int(day.max()) + 2
    daily = autoregression(days, _WEATHER_MEMORY, _WEATHER_DEVIATION, random) - _cold_spells(clock, days, random)
    share = clock.hour / 24
    weather = daily[day] * (1 - share) + daily[day + 1] * share
    season = _MEAN - _SWING * np.cos(2 * np.pi * (clock.season - _COLDEST))
    within = _DAY_SWING * np.cos(2 * np.pi * (clock.hour - _WARMEST_HOUR) / 24)
    hours = (clock.utc - clock.utc[0]) // 3_600_000_000
    noise = autoregression(int(hours.max()) + 1, _HOURLY_MEMORY, _HOURLY_DEVIATION, random)[hours]
    degrees: Floats = season + weather + within + noise
    return degrees


def _cold_spells(clock: Clock, days: int, random: Generator) -> Floats:
    """Degrees that each day is colder than usual: a few spells a year of three to eight days, in the cold half."""
    colder = np.zeros(days)
    first_season = float(clock.season[0])
    for _ in range(random.poisson(_SPELLS_PER_YEAR * days / 365.25)):
        start, length = int(random.integers(0, days)), int(random.integers(3, 9))
        depth = random.uniform(4.0, 10.0)
        season = (first_season + start / 365.25) % 1
        if season < 0.25 or season > 0.85:
            shape = np.sin(np.pi * (np.arange(length) + 1) / (length + 1))
            stop = min(start + length, days)
            colder[start:stop] = np.maximum(colder[start:stop], depth * shape[: stop - start])
    return colder


def autoregression(count: int, memory: float, deviation: float, random: Generator) -> Floats:
    """A stationary AR(1) process: each value keeps `memory` (0 to 1) of the one before it."""
    shocks = random.normal(0, deviation * np.sqrt(1 - memory**2), count)
    shocks[0] = random.normal(0, deviation)
    values = np.empty(count)
    last = 0.0
    for at, shock in enumerate(shocks.tolist()):
        last = memory * last + shock
        values[at] = last
    return values
