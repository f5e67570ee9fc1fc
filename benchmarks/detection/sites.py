"""What burns gas, and when: a household, an office, a plant. Rates in cubic metres an hour, before any meter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from aml.rows import Floats
from benchmarks.detection.calendar import Clock, is_holiday
from benchmarks.detection.weather import autoregression

Site = Callable[[Clock, Floats, Generator], Floats]
"""(moments, temperature, random numbers) -> rate at each moment, at least 0."""

_HEAT_MEMORY_HOURS = 12
_EVENT_MINUTES = 10


def household(clock: Clock, temperature: Floats, random: Generator) -> Floats:
    """A boiler: hot water by single draws, cooking, heating by a thermostat; away for some weeks."""
    hour, free = clock.hour, (clock.weekday >= 5) | is_holiday(clock.day)
    people = random.uniform(1.5, 4.5)
    late = np.where(free, 1.5, 0.0)
    away = _away(clock, random, stays=3)
    water = _bump(hour, 7.5 + late, 1.0) * 1.0 + _bump(hour, 20.5, 1.5) * 0.8 + _bump(hour, 14.0, 5.0) * 0.15
    draws = _draws(clock, 0.35 * people * water, 0.12, random)
    cooking = _draws(clock, 0.4 * _bump(hour, 14.2, 0.8) + 0.4 * _bump(hour, 21.0, 0.8), 0.10, random)
    comfort = np.where((hour > 6.5) & (hour < 23), 20.5, 16.5) - np.where(free | (hour > 14), 0.0, 1.5)
    lack = np.maximum(0.0, np.where(away, 8.0, comfort) - 2.5 - _slow(temperature, clock))
    heating = random.uniform(0.05, 0.12) * lack * _lognormal(clock, 0.15, random)
    return np.where(away, 0.0, draws + cooking) + heating


def office(clock: Clock, temperature: Floats, random: Generator) -> Floats:
    """Heated on working days with a boost in the morning, set back at night, at weekends and on holidays."""
    hour, working = clock.hour, (clock.weekday < 5) & ~is_holiday(clock.day)
    opens, closes = random.uniform(5.5, 7.5), random.uniform(17.5, 20.0)
    # how cold the building has become decides how early it must be heated up
    occupied = working & (hour >= opens) & (hour < closes)
    boost = 1 + 0.8 * (occupied & (hour < opens + 2))
    size = random.uniform(1.0, 6.0)
    lack = np.maximum(0.0, np.where(occupied, 18.5, 13.0) - _slow(temperature, clock))
    heating = size * lack * boost * _lognormal(clock, 0.08, random)
    water = size * (0.05 + 0.6 * occupied * (0.6 + _bump(hour, 13.0, 1.5)))
    return heating + water * _lognormal(clock, 0.12, random)


def plant(clock: Clock, temperature: Floats, random: Generator) -> Floats:
    """Furnaces run by shifts and orders, in batches; some heating of halls; closed on holidays and weeks in August."""
    hour, weekday = clock.hour, clock.weekday
    closed = is_holiday(clock.day) | _august_weeks(clock, random)
    shifts = random.integers(0, 3)
    if shifts == 0:  # round the clock, all week
        on = np.ones(len(clock), dtype=bool)
    elif shifts == 1:  # three shifts from Monday's first to Saturday's
        on = (weekday < 5) | ((weekday == 5) & (hour < 6))
        on &= ~((weekday == 0) & (hour < 6))
    else:  # two shifts on working days
        on = (weekday < 5) & (hour >= 6) & (hour < 22)
    on &= ~closed
    day = clock.day - clock.day.min()
    orders = np.exp(autoregression(int(day.max()) + 1, 0.93, 0.12, random))[day]
    period = random.uniform(3.0, 7.0)
    phase = 2 * np.pi * (clock.utc / 3_600_000_000 / period + np.cumsum(random.normal(0, 0.01, len(clock))))
    batch = 1 + random.uniform(0.05, 0.2) * np.sin(phase)
    size = random.uniform(40.0, 400.0)
    process = np.where(on, orders * batch * _lognormal(clock, 0.05, random), random.uniform(0.05, 0.15))
    halls = 0.02 * np.maximum(0.0, np.where(on, 15.0, 8.0) - _slow(temperature, clock))
    return size * (process + halls) * _lognormal(clock, 0.02, random)


SITES: dict[str, Site] = {"household": household, "office": office, "plant": plant}


def _bump(hour: Floats, centre: float | Floats, width: float) -> Floats:
    """A smooth peak of height 1 at an hour of the day, round midnight too."""
    away = np.abs(hour - centre) % 24
    bump: Floats = np.exp(-0.5 * (np.minimum(away, 24 - away) / width) ** 2)
    return bump


def _slow(temperature: Floats, clock: Clock) -> Floats:
    """What a building feels of the weather: the mean of the last half day."""
    rows = max(1, _HEAT_MEMORY_HOURS * 60 // clock.minutes)
    total = np.cumsum(np.r_[np.full(rows, temperature[0]), temperature])
    mean: Floats = (total[rows:] - total[:-rows]) / rows
    return mean


def _lognormal(clock: Clock, spread: float, random: Generator) -> Floats:
    """A factor about 1 that stays near itself for an hour or two."""
    memory = float(np.exp(-clock.minutes / 90))
    return np.exp(autoregression(len(clock), memory, spread, random))


def _draws(clock: Clock, per_hour: Floats, volume: float, random: Generator) -> Floats:
    """The rate that comes of single events, `per_hour` of them, each of about this volume, some minutes long."""
    count = random.poisson(per_hour * clock.minutes / 60)
    gas = np.where(count > 0, random.gamma(3.0 * np.maximum(count, 1), volume / 3.0), 0.0)
    rows = max(1, _EVENT_MINUTES // clock.minutes)
    return np.convolve(gas, np.full(rows, 1 / rows))[: len(clock)] * 60 / clock.minutes


def _away(clock: Clock, random: Generator, stays: int) -> NDArray[np.bool_]:
    """Days on which nobody is there: each year a fortnight in August and some shorter stays."""
    day = clock.day
    years = (day - day.min()) // 365
    away = _august_weeks(clock, random)
    for year in np.unique(years):
        inside = day[years == year]
        for _ in range(stays):
            first = int(random.integers(inside.min(), inside.max() + 1))
            away |= (day >= first) & (day < first + int(random.integers(2, 6)))
    return away


def _august_weeks(clock: Clock, random: Generator) -> NDArray[np.bool_]:
    """One to three weeks from a Monday in August on, the same every year."""
    moments = clock.local.astype("datetime64[us]")
    months = moments.astype("datetime64[M]")
    of_month = (moments.astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64)
    monday = of_month - clock.weekday
    first, weeks = int(random.integers(0, 2)) * 7, int(random.integers(1, 4))
    august = months.astype(np.int64) % 12 == 7
    closed: NDArray[np.bool_] = august & (monday >= first) & (monday < first + 7 * weeks)
    return closed
