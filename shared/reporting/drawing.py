"""One series as an SVG picture: the value over its usual range, with what is flagged.

The colours are Okabe and Ito's, which people with any colour vision tell apart (https://jfly.uni-koeln.de/color/), and
what is flagged has a shape of its own besides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from shared.reporting.labels import Labels
from shared.scoring.event import Event, as_datetime

Floats = NDArray[np.float64]

_WIDTH, _HEIGHT = 1080, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 14, 34
_GAP = 4
"""A line breaks where nothing comes for so many times as long as is usual."""
_CLIP = 3.0
"""Flagged values this far beyond all others do not set the scale."""

_DAY_US = 86_400_000_000
_STEPS_US = [
    *(minutes * 60_000_000 for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * 3_600_000_000 for hours in (1, 2, 3, 6, 12)),
    *(days * _DAY_US for days in (1, 2, 7, 14)),
]
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 2400, 4800, 9600)
_MOST_TICKS = 12


@dataclass(frozen=True)
class _Scale:
    """From time and value to places in the picture."""

    first: float
    last: float
    low: float
    high: float

    def x(self, time: Floats | float) -> Floats:
        span = max(1.0, self.last - self.first)
        return np.asarray(_LEFT + (np.asarray(time) - self.first) / span * (_WIDTH - _LEFT - _RIGHT), np.float64)

    def y(self, value: Floats | float) -> Floats:
        share = (np.asarray(value) - self.low) / (self.high - self.low)
        return np.asarray(_HEIGHT - _BOTTOM - np.clip(share, 0, 1) * (_HEIGHT - _TOP - _BOTTOM), np.float64)


@dataclass(frozen=True)
class Picture:
    """A drawing, and whether flagged values lie beyond its scale."""

    svg: Markup
    clipped: bool


def draw(
    times: Floats, lines: dict[str, Floats], span: tuple[int, int], events: Sequence[Event], labels: Labels, name: str
) -> Picture:
    """The picture of one series.

    Args:
        times, lines: see `shared.reporting.curves.Curves`.
        span: from when to when, microseconds since 1970.
        events: those of the series that are marked.
        name: what the picture is called, for those who do not see it.
    """
    low, high = _limits(lines)
    scale = _Scale(float(span[0]), float(span[1]), low, high)
    parts = [
        *_grid(scale, labels),
        *(_episode(event, scale, labels) for event in events),
        _area("band", times, lines["lower"], lines["upper"], scale),
        _line("expected", times, (lines["expected_low"] + lines["expected_high"]) / 2, scale),
        _area("value", times, lines["value_low"], lines["value_high"], scale),
        *_flags(times, lines, scale),
    ]
    beyond = [values for values in (lines["flagged_low"], lines["flagged_high"]) if _any_beyond(values, scale)]
    svg = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, name, Markup("\n").join(parts)
    )
    return Picture(svg, bool(beyond))


def _limits(lines: dict[str, Floats]) -> tuple[float, float]:
    """Least and greatest value of the scale: all that there is, less flagged values far beyond everything else."""
    usual = np.concatenate([lines["lower"], lines["upper"], _unflagged(lines, "low"), _unflagged(lines, "high")])
    every = np.concatenate([usual, lines["value_low"], lines["value_high"]])
    usual, every = usual[np.isfinite(usual)], every[np.isfinite(every)]
    if not len(every):
        return 0.0, 1.0
    usual = usual if len(usual) else every
    low, high = float(usual.min()), float(usual.max())
    size = high - low or abs(high) or 1.0
    low, high = max(float(every.min()), low - _CLIP * size), min(float(every.max()), high + _CLIP * size)
    if 0 < low <= high / 2:
        low = 0.0
    margin = 0.05 * (high - low or abs(high) or 1.0)
    return (low - margin if low else low), high + margin


def _unflagged(lines: dict[str, Floats], end: str) -> Floats:
    """The values of those buckets in which nothing is flagged."""
    return np.where(np.isnan(lines["flagged_low"]), lines[f"value_{end}"], np.nan)


def _stretches(values: Floats) -> Iterator[NDArray[np.intp]]:
    """The buckets that hold something, cut where too many in succession hold nothing."""
    there = np.flatnonzero(np.isfinite(values))
    if not len(there):
        return
    steps = np.diff(there)
    usual = float(np.median(steps)) if len(steps) else 1.0
    yield from np.split(there, np.flatnonzero(steps > _GAP * usual) + 1)


def _points(x: Floats, y: Floats) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))


def _area(kind: str, times: Floats, low: Floats, high: Floats, scale: _Scale) -> Markup:
    """Between two lines; where they are one, that line."""
    shapes = []
    for at in _stretches(low + high):
        x, bottom, top = scale.x(times[at]), scale.y(low[at]), scale.y(high[at])
        if len(at) == 1:
            x = np.r_[x - 1, x + 1]
            bottom, top = np.repeat(bottom, 2), np.repeat(top, 2)
        shapes.append(f"M{_points(x, top)} {_points(x[::-1], bottom[::-1])}Z")
    return Markup('<path class="{}" d="{}"/>').format(kind, "".join(shapes))


def _line(kind: str, times: Floats, values: Floats, scale: _Scale) -> Markup:
    shapes = [f"M{_points(scale.x(times[at]), scale.y(values[at]))}" for at in _stretches(values)]
    return Markup('<path class="{}" d="{}"/>').format(kind, "".join(shapes))


def _flags(times: Floats, lines: dict[str, Floats], scale: _Scale) -> Iterator[Markup]:
    """A dot at each flagged value, a triangle at the edge where it lies beyond the scale."""
    both = np.r_[
        lines["flagged_low"], np.where(lines["flagged_high"] == lines["flagged_low"], np.nan, lines["flagged_high"])
    ]
    at = np.flatnonzero(np.isfinite(both))
    value = both[at]
    places = zip(scale.x(np.r_[times, times][at]).tolist(), scale.y(value).tolist(), value.tolist(), strict=True)
    for x, y, seen in places:
        if scale.low <= seen <= scale.high:
            yield Markup(f'<circle class="flag" cx="{x:.1f}" cy="{y:.1f}" r="3.2"/>')
        else:
            up = 1 if seen > scale.high else -1
            yield Markup(f'<path class="flag" d="M{x:.1f},{y - 8 * up:.1f}l6,{11 * up}h-12Z"/>')


def _any_beyond(values: Floats, scale: _Scale) -> bool:
    known = values[np.isfinite(values)]
    return bool(((known < scale.low) | (known > scale.high)).any())


def _episode(event: Event, scale: _Scale, labels: Labels) -> Markup:
    """The time of an event, with its words where a pointer rests on it."""
    start, end = float(scale.x(event.start)), float(scale.x(event.end))
    width = max(2.0, end - start)
    return Markup('<rect class="event" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>').format(
        f"{min(start, end - width / 2):.1f}",
        _TOP,
        f"{width:.1f}",
        _HEIGHT - _TOP - _BOTTOM,
        f"{labels.time(as_datetime(event.start))} · {labels.kind(event.kind)} · {event.reason}",
    )


def _grid(scale: _Scale, labels: Labels) -> Iterator[Markup]:
    for value in _value_ticks(scale.low, scale.high):
        y = float(scale.y(value))
        yield Markup('<path class="grid" d="M{},{}H{}"/><text x="{}" y="{}" text-anchor="end">{}</text>').format(
            _LEFT, f"{y:.1f}", _WIDTH - _RIGHT, _LEFT - 8, f"{y + 4:.1f}", labels.number(value)
        )
    for time, text in _time_ticks(int(scale.first), int(scale.last), labels):
        x = float(scale.x(time))
        yield Markup('<path class="tick" d="M{},{}v5"/><text x="{}" y="{}" text-anchor="middle">{}</text>').format(
            f"{x:.1f}", _HEIGHT - _BOTTOM, f"{x:.1f}", _HEIGHT - _BOTTOM + 20, text
        )
    yield Markup('<path class="axis" d="M{},{}H{}"/>').format(_LEFT, _HEIGHT - _BOTTOM, _WIDTH - _RIGHT)


def _value_ticks(low: float, high: float) -> list[float]:
    """Round numbers between them, four to nine."""
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    for factor in (5, 2):
        if (high - low) / (factor * step) >= 4:
            step *= factor
            break
    first = math.ceil(low / step)
    return [round(number * step, 12) for number in range(first, math.floor(high / step) + 1)]


def _time_ticks(first: int, last: int, labels: Labels) -> Iterator[tuple[int, str]]:
    """Round times between them, twelve at most, and how each is written."""
    step = next((each for each in _STEPS_US if (last - first) / each <= _MOST_TICKS), None)
    if step is None:
        yield from _month_ticks(first, last)
        return
    offset = 4 * _DAY_US if step % (7 * _DAY_US) == 0 else 0  # weeks begin on Monday; 1970-01-01 was a Thursday
    for time in range(-((offset - first) // step) * step + offset, last + 1, step):
        moment = as_datetime(time)
        yield time, _date(moment, labels) if step >= _DAY_US or moment.hour == moment.minute == 0 else f"{moment:%H:%M}"


def _date(moment: datetime, labels: Labels) -> str:
    return f"{moment:%d/%m}" if labels.language == "es" else f"{moment:%m-%d}"


def _month_ticks(first: int, last: int) -> Iterator[tuple[int, str]]:
    begin, end = as_datetime(first), as_datetime(last)
    months = range(begin.year * 12 + begin.month - 1, end.year * 12 + end.month)
    step = next((each for each in _MONTHS if len(months) / each <= _MOST_TICKS), _MONTHS[-1])
    for month in months:
        time = begin.replace(year=month // 12, month=month % 12 + 1, day=1, hour=0, minute=0, second=0, microsecond=0)
        if month % step == 0 and time >= begin:
            yield (time - as_datetime(0)) // timedelta(microseconds=1), f"{time:%Y}" if step >= 12 else f"{time:%Y-%m}"
