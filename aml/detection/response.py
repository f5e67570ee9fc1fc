"""How values follow numbers from outside, such as a temperature: learnt bin by bin, robustly, and looked up.

A building feels the weather of the last half day, so what is looked at is the mean of that (`felt`), of the rows up to
and with the row itself. What is left of a value (in the compressed scale) when the course of the day is taken off is
put into bins of what was felt; each bin is a median, for each series, and again for each hour of working days and of
weekends, drawn to that of the series where rows are few. Between the middles of bins it is linear, beyond the outer
ones it stays what it is. Several columns are fitted one after the other, each to what the others leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aml.detection.plan import Plan
from aml.detection.profile import Cells, grouped_median, located
from aml.detection.series import BOUND, Ordered, fixed
from aml.rows import Floats

_BINS = 12
_BINS_LEAST = 3
_PARTS = 48  # the hours of a working day, and of a Saturday, Sunday or holiday
_WEEKEND = 5 * 24  # the first hour of the week that is of a weekend
_IMAGINED, _IMAGINED_PART = 24.0, 12.0
_ROUNDS = 2
_MISSING_MOST = 0.05  # of the rows of the last week

Table = NDArray[np.float64]


def felt(rows: Ordered, outside: Floats, plan: Plan) -> list[Floats]:
    """Of each column the mean over the half day up to each row, NaN where all of that is missing.

    Args:
        outside: in order of series and time, shape (n, columns); a number beyond `BOUND` counts as that, for
            the sake of exact sums, so that a column in units that are always beyond it teaches nothing.
    """
    width = max(1, min(plan.own, plan.day // 2))
    found = []
    for number in range(outside.shape[1]):
        column: Floats = np.clip(outside[:, number], -BOUND, BOUND)
        there = np.isfinite(column)
        count = rows.total(fixed(np.where(there, 1.0, 0.0)), width)
        total = rows.total(fixed(np.where(there, column, 0.0)), width)
        found.append(np.where(count > 0, total / np.maximum(count, 1.0), np.nan))
    return found


def known(rows: Ordered, outside: Floats, feels: Sequence[Floats], plan: Plan) -> NDArray[np.bool_]:
    """Which rows can be judged by what was felt: it is there for them and, but for one in twenty, for the rows of the
    week before, on which what is expected rests."""
    missing = ~np.isfinite(outside).all(axis=1)
    few = rows.total(fixed(np.where(missing, 1.0, 0.0)), plan.week) <= _MISSING_MOST * rows.count(plan.week)
    here: NDArray[np.bool_] = few & np.isfinite(np.stack(feels)).all(axis=0)
    return here


@dataclass(frozen=True, eq=False)
class Response:
    """What was learnt.

    Attributes:
        knots: for each column the middles of its bins, increasing; empty where it says nothing.
        tables: for each column what it adds at them, shape (series + 1, parts, bins), the last line for all others.
    """

    knots: tuple[Floats, ...]
    tables: tuple[Table, ...]

    @classmethod
    def fit(cls, bent: Floats, cells: Cells, feels: Sequence[Floats], use: NDArray[np.bool_]) -> Response:
        """Learn from the rows of `use`, for all of which everything was felt.

        Args:
            bent: values in the compressed scale.
        """
        own, value = cells.take(use), bent[use]
        drivers = [each[use] for each in feels]
        knots = tuple(_knots(each) for each in drivers)
        found = cls(knots, tuple(np.zeros((cells.series + 1, _PARTS, max(len(each), 1))) for each in knots))
        for _ in range(_ROUNDS):
            for number, driver in enumerate(drivers):
                if not len(knots[number]):
                    continue
                others = value - found.of(own, drivers) + found._part(number, own, driver)
                course = located(others - found._part(number, own, driver), own, 1)
                rest = others - course[own.code, own.slot]
                table = _table(rest, own, _nearest(knots[number], driver), len(knots[number]))
                found = cls(knots, (*found.tables[:number], table, *found.tables[number + 1 :]))
        return found

    def of(self, cells: Cells, feels: Sequence[Floats]) -> Floats:
        """What each row's value has of it, in the compressed scale; 0 where nothing was felt."""
        total = np.zeros(len(cells.code))
        for number, each in enumerate(feels):
            total = total + self._part(number, cells, each)
        return total

    def _part(self, number: int, cells: Cells, driver: Floats) -> Floats:
        knots, table = self.knots[number], self.tables[number]
        if not len(knots):
            return np.zeros(len(driver))
        there = np.isfinite(driver)
        place = np.where(there, driver, knots[0])
        left = np.clip(np.searchsorted(knots, place, "right") - 1, 0, len(knots) - 2)
        share = np.clip((place - knots[left]) / (knots[left + 1] - knots[left]), 0.0, 1.0)
        part = _part_of(cells)
        low, high = table[cells.code, part, left], table[cells.code, part, left + 1]
        return np.where(there, low + (high - low) * share, 0.0)


def _part_of(cells: Cells) -> NDArray[np.int64]:
    return cells.slot % 24 + 24 * (cells.slot >= _WEEKEND)


def _knots(driver: Floats) -> Floats:
    if not len(driver):
        return np.zeros(0)
    knots = np.unique(np.quantile(driver, (np.arange(_BINS) + 0.5) / _BINS))
    return knots if len(knots) >= _BINS_LEAST else np.zeros(0)


def _nearest(knots: Floats, driver: Floats) -> NDArray[np.intp]:
    return np.searchsorted((knots[1:] + knots[:-1]) / 2, driver)


def _table(rest: Floats, cells: Cells, bins: NDArray[np.intp], count: int) -> Table:
    lines = cells.series
    cell = cells.code * count + bins
    median, rows = (each.reshape(lines, count) for each in grouped_median(rest, cell, lines * count))
    pooled, _ = grouped_median(rest, bins, count)
    weight = rows / (rows + _IMAGINED)
    whole = median * weight + pooled * (1 - weight)
    whole = whole - (whole * rows).sum(axis=1, keepdims=True) / np.maximum(rows.sum(axis=1, keepdims=True), 1.0)
    cell = (cells.code * _PARTS + _part_of(cells)) * count + bins
    median, rows = grouped_median(rest - whole[cells.code, bins], cell, lines * _PARTS * count)
    own = (median * rows / (rows + _IMAGINED_PART)).reshape(lines, _PARTS, count)
    table = whole[:, None, :] + own
    return np.round(np.concatenate([table, np.median(table, axis=0, keepdims=True)]), 6)
