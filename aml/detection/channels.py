"""The channels: statistics of a row and the rows before it, each of which grows with one kind of strangeness.

No one of them is best everywhere. The absolute level finds a cold spell's record load, the scatter of a day one that
swings as none did; residuals find what is wrong for the hour, means find what is small and lasts, runs find meters that
hang, the course of the day finds a Sunday that looks like a Wednesday; forests find what is odd together and not alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aml.detection.findings import Kind
from aml.detection.hours import SLOTS, elapsed
from aml.detection.plan import Plan
from aml.detection.series import Integers, Ordered, fixed
from aml.detection.shape import Against, tamed
from aml.rows import Floats


@dataclass(frozen=True)
class Channel:
    """One statistic.

    Attributes:
        above, below: of which kind a row is that it finds, where the value is above what is usual, or is not.
        unit: a difference of the statistic that is never taken for more than one decade of rarity.
        memory: for how many days (0: a row) the statistic stays what it is.
    """

    name: str
    above: Kind
    below: Kind
    unit: float = 0.05
    memory: float = 0.0


CHANNELS = (
    # In the order in which they speak for a row that several find too strange: what is counted, what is slow, what is
    # seen of the value itself, and the course of a day, which everything else disturbs too.
    Channel("stuck", Kind.STUCK, Kind.STUCK, unit=1.0),
    Channel("zero", Kind.ZERO, Kind.ZERO, unit=1.0),
    # A row that is missing, or there twice, where that never was so, is as rare as one in 10,000.
    Channel("gap", Kind.GAP, Kind.GAP, unit=0.25),
    Channel("duplicate", Kind.DUPLICATE, Kind.DUPLICATE, unit=0.25),
    Channel("leak", Kind.LEAK, Kind.LEAK, memory=2),
    Channel("step", Kind.LEVEL, Kind.LEVEL, memory=2),
    Channel("drift", Kind.DRIFT, Kind.DRIFT, memory=7),
    Channel("high", Kind.HIGH, Kind.HIGH),
    Channel("low", Kind.LOW, Kind.LOW),
    Channel("far", Kind.HIGH, Kind.LOW),
    Channel("near", Kind.HIGH, Kind.LOW),
    Channel("plain", Kind.HIGH, Kind.LOW),
    Channel("surprise", Kind.HIGH, Kind.LOW),
    Channel("hours", Kind.HIGH, Kind.LOW, memory=0.1),
    Channel("half_day", Kind.LEVEL, Kind.LEVEL, memory=0.5),
    Channel("clock", Kind.SHIFTED, Kind.SHIFTED, memory=1),
    Channel("weekday", Kind.PATTERN, Kind.PATTERN, memory=1),
    Channel("course", Kind.PATTERN, Kind.PATTERN, memory=1),
    Channel("components", Kind.PATTERN, Kind.PATTERN, memory=1),
    Channel("remainder", Kind.PATTERN, Kind.PATTERN, memory=1),
    Channel("scatter", Kind.PATTERN, Kind.PATTERN, memory=1),
)
FORESTS = (
    Channel("forest_levels", Kind.HIGH, Kind.LOW),
    Channel("forest_residuals", Kind.PATTERN, Kind.PATTERN),
)
_SHORT = 3  # rows
_SIZES = 1e3  # of a series' usual size; values beyond it scatter alike


@dataclass(frozen=True, eq=False)
class Signals:
    """What is known of rows, in order of series and time.

    Attributes:
        statistics: one line for each of `CHANNELS`, shape (len(CHANNELS), n).
        ordinary: how far the value is from what the last weeks let expect, in standard deviations.
        levels, residuals: what the two forests look at, float32, (n, columns).
    """

    statistics: Floats
    ordinary: Floats
    levels: NDArray[np.float32]
    residuals: NDArray[np.float32]

    def take(self, at: NDArray[np.intp]) -> Signals:
        """Of the rows at these positions."""
        return Signals(self.statistics[:, at], self.ordinary[at], self.levels[at], self.residuals[at])

    @classmethod
    def joined(cls, parts: Sequence[Signals]) -> Signals:
        """Of the rows of all parts, one part after the other."""
        return cls(
            np.concatenate([part.statistics for part in parts], axis=1),
            np.concatenate([part.ordinary for part in parts]),
            np.concatenate([part.levels for part in parts]),
            np.concatenate([part.residuals for part in parts]),
        )


def signals(against: Against) -> Signals:
    """All statistics of rows against a shape."""
    seen, plan, rows = against.seen, against.plan, against.seen.rows
    near_sums = fixed(tamed(against.near))
    short = rows.mean(near_sums, min(_SHORT, plan.day), shrink=1.0)
    half = rows.mean(near_sums, max(1, plan.day // 2), shrink=2.0)
    course = _scatter(rows, tamed(against.near), plan.day)
    components, remainder = _principal(against)
    leak = against.lowest - against.lowest_before
    step = np.abs(against.moved) * _known(rows, plan.day, plan.week)
    week = rows.mean(against.rest_sums, plan.week)
    rest = max(1, plan.weeks - plan.week + plan.day)
    drift = np.abs(week - rows.mean(against.rest_sums, rest, plan.week)) * _known(rows, plan.week, rest)
    found = {
        "high": seen.bent,
        "low": -seen.bent,
        "far": np.abs(against.far),
        "near": np.abs(against.near),
        "plain": np.abs(against.plain),
        "surprise": np.abs(against.surprise),
        "hours": np.abs(short),
        "half_day": np.abs(half),
        "course": course,
        "weekday": _weekday(against, course),
        "clock": _clock(against, course),
        "components": components,
        "remainder": remainder,
        "scatter": _scatter(rows, np.clip(seen.plain, -_SIZES, _SIZES), plan.day),
        "stuck": _run(rows, against.at(against.shape.same), same_as_before(rows) & (rows.value != 0), plan.run),
        "zero": _run(rows, against.at(against.shape.zero), rows.value == 0, plan.run),
        "leak": _record(rows, leak * _known(rows, plan.day, plan.weeks), plan),
        "step": _record(rows, step, plan),
        "drift": _record(rows, drift, plan),
        "gap": np.log2(1.0 + missing(against)),
        "duplicate": duplicated(against).astype(np.float64),
    }
    mean_far = rows.mean(fixed(tamed(against.far)), plan.day)
    before = rows.lag(seen.bent, 1)
    levels = [seen.bent, before, np.abs(seen.bent - before), rows.lag(seen.bent, plan.day), against.lowest, mean_far]
    residuals = [against.far, against.near, against.plain, against.surprise, short, half, course, mean_far]
    return Signals(
        np.stack([found[channel.name] for channel in CHANNELS]),
        np.abs(against.rest - against.week_level) / against.unit,
        np.stack(levels, axis=1).astype(np.float32),
        np.stack([np.clip(one, -50, 50) for one in residuals], axis=1).astype(np.float32),
    )


def run_begin(rows: Ordered, inside: NDArray[np.bool_], longest: int) -> Integers:
    """Position of the first row of the run of `inside` rows that each row ends, at most `longest` rows before it."""
    outside = rows.last(~inside)
    begin = np.where(inside[outside], outside, outside + 1)
    return np.maximum(begin, rows.at - longest)


def same_as_before(rows: Ordered) -> NDArray[np.bool_]:
    """Whether a row has the value of the row before it, at another time."""
    same = np.zeros(len(rows), dtype=bool)
    same[1:] = (rows.value[1:] == rows.value[:-1]) & (rows.time[1:] > rows.time[:-1])
    same &= rows.at > rows.begin
    return same


def missing(against: Against) -> Floats:
    """How many rows are missing before each row, as the interval has it; summer time takes none away."""
    rows, found = against.seen.rows, np.zeros(len(against.seen.rows))
    passed = elapsed(against.calendar, rows.time[:-1], rows.time[1:])
    found[1:] = np.maximum(np.rint(passed / against.plan.interval) - 1.0, 0.0)
    found[rows.at == rows.begin] = 0.0
    return found


def duplicated(against: Against) -> NDArray[np.bool_]:
    """Whether there was a row of this time already, and its clock shows this time but once."""
    rows, found = against.seen.rows, np.zeros(len(against.seen.rows), dtype=bool)
    found[1:] = (rows.time[1:] == rows.time[:-1]) & (rows.at[1:] > rows.begin[1:])
    found &= against.calendar.occurrences(rows.time) < 2
    return found


def _run(rows: Ordered, weight: Floats, inside: NDArray[np.bool_], longest: int) -> Floats:
    """How unlikely the run is that a row ends: the sum over it of how seldom such rows are, in decades."""
    sums = fixed(weight)
    begin = run_begin(rows, inside, longest)
    total = (sums[1:] - sums[np.minimum(begin, rows.at)]) * (1.0 / (1 << 24))
    return np.where(inside, total, 0.0)


def _known(rows: Ordered, width: int, before: int) -> Floats:
    """0 to 1: how much of two windows, one before the other, is there; nothing of a level is said without it."""
    return np.sqrt(rows.count(before, width) / max(before, 1))


def _record(rows: Ordered, of: Floats, plan: Plan) -> Floats:
    """By how much a statistic is higher than ever in the week that ended a day ago: the season moves levels for weeks,
    and what has been said of a change is not said again."""
    highest = -rows.lag(rows.lowest(-np.maximum(of, 0.0), plan.week), plan.day)
    return of - np.maximum(highest, 0.0)


def _scatter(rows: Ordered, scaled: Floats, width: int) -> Floats:
    """The sum of squares over the last rows, about their mean."""
    total = rows.total(fixed(scaled), width)
    return rows.total(fixed(scaled * scaled), width) - total * total / rows.count(width)


def _beside(against: Against, slots: int) -> Floats:
    """The scatter of the last day against the profile of other hours, so many slots later."""
    cells, shape = against.seen.cells, against.shape
    other = cells.code * SLOTS + (cells.slot + slots) % SLOTS
    apart = against.at(shape.usual) - shape.usual.ravel()[other]
    return _scatter(against.seen.rows, tamed(against.near + apart / against.unit), against.plan.day)


def _weekday(against: Against, course: Floats) -> Floats:
    """By how much the last day fits another day of the week better than its own."""
    best = course
    for days in range(1, 7):
        best = np.minimum(best, _beside(against, 24 * days))
    return course - best


def _clock(against: Against, course: Floats) -> Floats:
    """By how much the last day fits better when the clock is put an hour forward or back."""
    if not against.plan.shift:
        return np.zeros(len(course))
    best = np.minimum(course, np.minimum(_beside(against, 1), _beside(against, SLOTS - 1)))
    return course - best


def _principal(against: Against) -> tuple[Floats, Floats]:
    """Of the last day's residuals: how far out it lies in the principal components, and how far from them."""
    rows, shape, tame = against.seen.rows, against.shape, tamed(against.far)
    if not len(shape.components):
        return np.zeros(len(rows)), np.zeros(len(rows))
    scores = [np.zeros(len(rows)) for _ in shape.components]
    for back in range(shape.components.shape[1]):
        earlier = rows.lag(tame, back)
        for score, weight in zip(scores, shape.components[:, back].tolist(), strict=True):
            score += earlier * weight
    inside, far = np.zeros(len(rows)), np.zeros(len(rows))
    for score, length in zip(scores, shape.lengths.tolist(), strict=True):
        squared = score * score
        inside += squared
        far += squared / length
    whole = rows.total(fixed(tame * tame), shape.components.shape[1])
    return far, np.maximum(whole - inside, 0.0)
