"""Made-up gas consumption for the demo: hourly volumes of one meter, always the same for the same seed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

# Share of the day's mean for each hour: a low night, a morning peak, a higher evening.
_DAY = (
    *(0.55, 0.50, 0.48, 0.48, 0.55, 0.80, 1.25, 1.55, 1.45, 1.20, 1.05, 1.00),
    *(1.05, 1.10, 1.00, 0.95, 1.00, 1.15, 1.40, 1.55, 1.50, 1.25, 0.90, 0.70),
)
_MEAN = 400.0
_WEEKEND = 0.82
_WINTER_SWING = 0.55
_COLDEST_DAY = 20
_LEAK = 90.0  # cubic metres an hour


@dataclass(frozen=True)
class Reading:
    """One hour of one meter; `volume` in cubic metres, `fault` names what was done to it."""

    time: datetime
    volume: float
    fault: str = ""


def hourly_gas(start: datetime, days: int, seed: int, *, noise: float = 0.03) -> list[Reading]:
    """That many days of clean hourly readings: season, week, time of day, slow weather and noise (a share)."""
    chance = random.Random(seed)
    weather = 0.0
    readings = []
    for hour in range(days * 24):
        time = start + timedelta(hours=hour)
        # an hourly AR(1) that forgets in about two days
        weather = 0.98 * weather + chance.gauss(0, 0.015)
        season = 1 + _WINTER_SWING * math.cos(2 * math.pi * (time.timetuple().tm_yday - _COLDEST_DAY) / 365.25)
        week = _WEEKEND if time.weekday() >= 5 else 1.0
        volume = _MEAN * season * week * _DAY[time.hour] * (1 + weather) * (1 + chance.gauss(0, noise))
        readings.append(Reading(time, round(volume, 2)))
    return readings


def with_faults(readings: Sequence[Reading]) -> list[Reading]:
    """The readings with a burst pipe, a stuck meter and a leak in them; needs twenty-four days or more."""
    changed = list(readings)

    def change(day: int, hour: int, hours: int, fault: str, how: Callable[[float], float]) -> None:
        first = 24 * (day - 1) + hour
        for row in range(first, first + hours):
            changed[row] = Reading(changed[row].time, round(how(changed[row].volume), 2), fault)

    change(3, 14, 3, "burst pipe", lambda volume: 3 * volume)
    evening = changed[24 * 7 + 18].volume
    change(8, 18, 14, "stuck meter", lambda _: evening)
    # what is lost does not depend on the time of day, and only nights are so quiet that it shows
    change(20, 0, 5 * 24, "leak", lambda volume: volume + _LEAK)
    return changed


def in_litres(readings: Sequence[Reading]) -> list[Reading]:
    """The same volumes in another unit, as after a change of the exporting system that nobody was told of."""
    return [Reading(reading.time, round(reading.volume * 1000, 2), reading.fault) for reading in readings]


def plain_csv(readings: Sequence[Reading]) -> str:
    """As a historian exports it: commas, a decimal point, ISO times."""
    lines = [f"{reading.time:%Y-%m-%d %H:%M:%S},{reading.volume:.2f}" for reading in readings]
    return "\n".join(["FechaHora,VolCorrected", *lines]) + "\n"


def spanish_csv(readings: Sequence[Reading], *, unreadable: Collection[int] = ()) -> str:
    """As a Spanish Excel saves it: semicolons, a decimal comma, day first; `unreadable` rows hold "n/d"."""
    lines = ["Fecha_Hora;Caudal_m3h"]
    for row, reading in enumerate(readings):
        volume = "n/d" if row in unreadable else f"{reading.volume:.2f}".replace(".", ",")
        lines.append(f"{reading.time:%d/%m/%Y %H:%M};{volume}")
    return "\n".join(lines) + "\n"
