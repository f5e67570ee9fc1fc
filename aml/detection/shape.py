"""What a model has learnt of its series, and how rows look against it: levels, residuals, and what was foreseen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from aml.detection.calendar import Calendar
from aml.detection.hours import SLOTS, hour_of_week
from aml.detection.plan import Plan
from aml.detection.profile import Cells, Table, compressed, located, share, size_of_rows, spread
from aml.detection.series import Integers, Ordered, Sums, fixed
from aml.rows import Floats

_LARGEST = 1e6  # in sizes of the series; beyond it all is alike
_TAME = 4.0  # standard deviations beyond which a residual weighs no more in a level or in what is foreseen
_RIDGE = 1e-3
_COMPONENTS = 4
_NEGATIVE_SHARE = 1 / 2000


@dataclass(frozen=True, eq=False)
class Seen:
    """Rows as every later step sees them.

    Attributes:
        size: what each row's value was divided by.
        plain: values in sizes of their series.
        bent: the same, `compressed`.
        driven: what of that follows numbers from outside (`aml.detection.response`); 0 where there are none.
    """

    rows: Ordered
    cells: Cells
    size: Floats
    plain: Floats
    bent: Floats
    driven: Floats

    @classmethod
    def of(cls, rows: Ordered, code: Integers, sizes: Floats, calendar: Calendar, plan: Plan) -> Seen:
        """Args:
        code: of each row the series of the training data, `len(sizes)` where it is none of them.
        """
        size = size_of_rows(rows, code, sizes, plan.own)
        with np.errstate(over="ignore"):
            plain = np.clip(rows.value / size, -_LARGEST, _LARGEST)
        cells = Cells(code, hour_of_week(calendar, rows.time), len(sizes))
        return cls(rows, cells, size, plain, compressed(plain), np.zeros(len(rows)))

    @cached_property
    def own(self) -> Floats:
        """What of the compressed value does not follow numbers from outside."""
        return self.bent - self.driven


@dataclass(frozen=True, eq=False)
class Shape:
    """The tables of one fit; each has a line for each series and one for all others, and a column for each hour of the
    week.

    Attributes:
        usual, usual_plain: location in the compressed and in the plain scale.
        spread_far, spread_near, spread_plain, spread_foreseen: standard deviations of the residual, of the residual
            less what the last days let expect, of that in the plain scale, and of what was not foreseen.
        slow, weights: of what a residual is expected from (`slow_inputs`), and foreseen from (`foresight`).
        wild: the mean sizes of three residuals, of the plain scale, of what was not expected and not foreseen.
        components, lengths: principal components of the course of a day, (k, rows), and their variances.
        zero, same: how seldom a value is 0, and the value before it.
        negative: 1 where the training data of a series have values below 0, more than one in 2,000, else 0.
    """

    plan: Plan
    usual: Table
    usual_plain: Table
    spread_far: Table
    spread_near: Table
    spread_plain: Table
    spread_foreseen: Table
    slow: Floats
    weights: Floats
    wild: tuple[float, ...]
    components: Floats
    lengths: Floats
    zero: Table
    same: Table
    negative: Table

    @classmethod
    def fit(cls, seen: Seen, plan: Plan, use: NDArray[np.bool_], depth: int) -> Shape:
        """Learn from the rows of `use`; the others are what came before them.

        Args:
            depth: how fine the profile is, as in `located`.
        """
        rows, cells, kept = seen.rows, seen.cells, seen.cells.take(use)
        usual = usual_of(seen, plan, use, depth)
        rest = seen.own - usual.ravel()[cells.cell]
        usual_plain = _usual_plain(seen, plan, use, depth)
        plain = plain_of(seen, usual_plain, plan)
        wild: tuple[float, ...] = _wildness(plain[use])
        plain = plain / swing(rows, plan, plain, wild[0])
        spread_far = spread(rest[use], kept, depth)
        scaled = rest / spread_far.ravel()[cells.cell]
        slow_in = slow_inputs(rows, plan, scaled)
        slow = _regression(slow_in, scaled, use)
        near = scaled - weighted(slow_in, slow)
        wild += _wildness(near[use])
        near = near / swing(rows, plan, near, wild[1])
        inputs = foresight(rows, plan, scaled, slow_in)
        weights = _regression(inputs, scaled, use)
        surprise = scaled - weighted(inputs, weights)
        wild += _wildness(surprise[use])
        surprise = surprise / swing(rows, plan, surprise, wild[2])
        components, lengths = _principal(rows, tamed(scaled), plan, use)
        again = rows.lag(rows.value, 1, np.nan) == rows.value
        return cls(
            plan,
            usual,
            usual_plain,
            spread_far,
            spread(near[use], kept, depth),
            spread(plain[use], kept, depth),
            spread(surprise[use], kept, depth),
            slow,
            weights,
            wild,
            components,
            lengths,
            share(seen.rows.value[use] == 0, kept),
            share(again[use], kept),
            _negative(rows.value[use], kept),
        )


@dataclass(frozen=True, eq=False)
class Against:
    """Rows against a shape; everything is computed when it is asked for, and once."""

    seen: Seen
    shape: Shape
    calendar: Calendar

    @property
    def plan(self) -> Plan:
        return self.shape.plan

    def at(self, table: Table) -> Floats:
        """The table's entry for each row."""
        return table.ravel()[self.seen.cells.cell].astype(np.float64)

    @cached_property
    def usual(self) -> Floats:
        return self.at(self.shape.usual) + self.seen.driven

    @cached_property
    def rest(self) -> Floats:
        """Value less what is usual, in the compressed scale."""
        return self.seen.own - self.at(self.shape.usual)

    @cached_property
    def rest_sums(self) -> Sums:
        return fixed(np.clip(self.rest, -_TAME, _TAME))

    @cached_property
    def slow_inputs(self) -> list[Floats]:
        return slow_inputs(self.seen.rows, self.plan, self.far)

    @cached_property
    def near(self) -> Floats:
        """The residual less what the last days let expect at this time of day, in standard deviations."""
        return self.unexpected / self.swing / self.spread_near

    @cached_property
    def unexpected(self) -> Floats:
        return self.far - weighted(self.slow_inputs, self.shape.slow)

    @cached_property
    def swing(self) -> Floats:
        """How large such residuals have been in the week before."""
        return swing(self.seen.rows, self.plan, self.unexpected, self.shape.wild[1])

    @cached_property
    def spread_near(self) -> Floats:
        return self.at(self.shape.spread_near)

    @cached_property
    def unit(self) -> Floats:
        """A standard deviation of `near`, in the compressed scale."""
        return self.at(self.shape.spread_far) * self.swing * self.spread_near

    @cached_property
    def far(self) -> Floats:
        """The residual in standard deviations, whatever the level of the last day."""
        return self.rest / self.at(self.shape.spread_far)

    @cached_property
    def plain(self) -> Floats:
        """The residual in the plain scale, with the profile scaled to the last day, in standard deviations."""
        rest = plain_of(self.seen, self.shape.usual_plain, self.plan)
        return rest / swing(self.seen.rows, self.plan, rest, self.shape.wild[0]) / self.at(self.shape.spread_plain)

    @cached_property
    def surprise(self) -> Floats:
        """What the residuals before let not foresee, in standard deviations."""
        expected = weighted(foresight(self.seen.rows, self.plan, self.far, self.slow_inputs), self.shape.weights)
        rest = self.far - expected
        recent = swing(self.seen.rows, self.plan, rest, self.shape.wild[2])
        return rest / recent / self.at(self.shape.spread_foreseen)

    @cached_property
    def week_level(self) -> Floats:
        """The mean residual of a week that ended a day ago: what has just begun to be wrong is not in it."""
        rows, plan = self.seen.rows, self.plan
        return rows.mean(self.rest_sums, plan.week, plan.day, shrink=plan.day / 2)

    @cached_property
    def lowest(self) -> Floats:
        """The lowest value of the last day, in the compressed scale."""
        return self.seen.rows.lowest(self.seen.bent, self.plan.day)

    @cached_property
    def lowest_before(self) -> Floats:
        """The mean of that over the weeks before."""
        return self.seen.rows.mean(fixed(self.lowest), self.plan.weeks, self.plan.day)

    @cached_property
    def moved(self) -> Floats:
        """The mean residual of the last day less that of the week before."""
        rows, plan = self.seen.rows, self.plan
        return rows.mean(self.rest_sums, plan.day) - rows.mean(self.rest_sums, plan.week, plan.day)


def tamed(scaled: Floats) -> Floats:
    return np.clip(scaled, -_TAME, _TAME)


def swing(rows: Ordered, plan: Plan, rest: Floats, wild: float) -> Floats:
    """The mean size of residuals in the week that ended a day before each row, against their mean size in all: the
    season makes some weeks quieter than others."""
    sums = fixed(np.minimum(np.abs(rest), _TAME * wild))
    count = rows.count(plan.week, plan.day)
    mean = (rows.total(sums, plan.week, plan.day) + wild * plan.day) / (count + plan.day)
    return np.clip(mean / wild, 0.2, 5.0)


def _wildness(rest: Floats) -> tuple[float]:
    middle = float(np.median(np.abs(rest)))
    return (max(float(np.minimum(np.abs(rest), 10.0 * middle).mean()), 1e-3),)


def level_before(rows: Ordered, sums: Sums, plan: Plan) -> Floats:
    """The mean residual of the day that ends before each row."""
    return rows.mean(sums, plan.day, 1, shrink=1.0)


def usual_of(seen: Seen, plan: Plan, use: NDArray[np.bool_], depth: int) -> Table:
    """Location by cell in the compressed scale, learnt from the rows of `use`.

    A median over a year of what is high in winter and low in summer, at some hours more than at others, is no hour's
    usual value. So the course of the week is learnt from what is left of values when the mean of the week before them
    is taken off, and each series is then put where it lies as a whole.
    """
    rows = seen.rows
    rest = seen.own - rows.mean(fixed(seen.own), plan.week, 1)
    settled = use & (rows.count(plan.week, 1) >= min(plan.day, plan.week))
    settled = settled if settled.any() else use
    course = located(rest[settled], seen.cells.take(settled), depth)
    left = seen.own - course.ravel()[seen.cells.cell]
    return course + located(left[use], seen.cells.take(use), 0)


def _usual_plain(seen: Seen, plan: Plan, use: NDArray[np.bool_], depth: int) -> Table:
    """The course of the week in the plain scale, in means of the week before."""
    rows = seen.rows
    before = rows.mean(fixed(np.abs(seen.plain)), plan.week, 1)
    settled = use & (rows.count(plan.week, 1) >= min(plan.day, plan.week))
    settled = settled if settled.any() else use
    ratio = np.clip(seen.plain / np.maximum(before, 0.05), -20.0, 20.0)
    return located(ratio[settled], seen.cells.take(settled), depth)


def near_of(seen: Seen, usual: Table, plan: Plan) -> Floats:
    """Residuals less the level before them."""
    rest = seen.own - usual.ravel()[seen.cells.cell]
    return rest - level_before(seen.rows, fixed(np.clip(rest, -_TAME, _TAME)), plan)


def plain_of(seen: Seen, usual: Table, plan: Plan) -> Floats:
    """Value less the profile scaled to the last day, divided by that scale."""
    rows = seen.rows
    expected = usual.ravel()[seen.cells.cell].astype(np.float64)
    there = rows.total(fixed(np.clip(seen.plain, -20.0, 20.0)), plan.day, 1)
    known = rows.total(fixed(np.abs(expected)), plan.day, 1)
    scale = np.clip((there + 1.0) / (known + 1.0), 0.1, 10.0)
    return (seen.plain - expected * scale) / scale


def slow_inputs(rows: Ordered, plan: Plan, scaled: Floats) -> list[Floats]:
    """What a residual is expected from, as the season moves levels and the course of a day: the means of the last day
    and week, and of the same time of the last days."""
    tame = tamed(scaled)
    sums = fixed(tame)
    same = np.zeros(len(rows))
    for back in plan.days:
        same += rows.lag(tame, back)
    same /= max(len(plan.days), 1)
    return [rows.mean(sums, plan.day, 1, 1.0), rows.mean(sums, plan.week, 1, 1.0), same]


def foresight(rows: Ordered, plan: Plan, scaled: Floats, slow: Sequence[Floats]) -> list[Floats]:
    """What the next residual is foreseen from: some before it, and what is expected."""
    tame = tamed(scaled)
    return [*(rows.lag(tame, lag) for lag in plan.lags), *slow]


def weighted(inputs: Sequence[Floats], weights: Floats) -> Floats:
    """Their weighted sum, added one by one: the same bits for any number of rows."""
    out = np.zeros(len(inputs[0]))
    for one, weight in zip(inputs, weights.tolist(), strict=True):
        out += one * weight
    return out


def _negative(value: Floats, cells: Cells) -> Table:
    rows = np.maximum(np.bincount(cells.code, minlength=cells.series), 1)
    often = np.bincount(cells.code, value < 0, cells.series) / rows > _NEGATIVE_SHARE
    table = np.repeat(np.append(often, often.any())[:, None], SLOTS, axis=1)
    return table.astype(np.float32)


def _regression(inputs: Sequence[Floats], scaled: Floats, use: NDArray[np.bool_]) -> Floats:
    """Least squares with a small ridge, and tame residuals."""
    matrix = np.stack(inputs, axis=1)[use]
    target = tamed(scaled)[use]
    gram = matrix.T @ matrix
    ridge = _RIDGE * (np.trace(gram) / len(gram) + 1.0)
    solved: Floats = np.linalg.solve(gram + ridge * np.eye(len(gram)), matrix.T @ target)
    return np.round(solved, 6)


def _principal(rows: Ordered, tame: Floats, plan: Plan, use: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Principal components of the last `day` residuals, newest first; none where there are too few rows.

    Whether there are is decided by all rows: a fit to some of them must be one of the same kind.
    """
    whole = rows.at - rows.begin >= plan.day - 1
    if whole.sum() < 10 * plan.day:
        return np.zeros((0, plan.day)), np.zeros(0)
    courses = np.stack([rows.lag(tame, back)[use & whole] for back in range(plan.day)], axis=1)
    values, vectors = np.linalg.eigh(courses.T @ courses / max(len(courses), 1))
    best = np.argsort(-values, kind="stable")[: min(_COMPONENTS, plan.day)]
    found = vectors[:, best].T
    found = found * np.where(found[np.arange(len(found)), np.abs(found).argmax(axis=1)] < 0, -1.0, 1.0)[:, None]
    return np.round(found, 6), np.maximum(values[best], 1e-3)
