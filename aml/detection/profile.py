"""What is usual for a series at each hour of the week: robust location and spread, shrunk where the data are thin.

Values are divided by the size of their series and looked at in two scales: as they are, and compressed
(`compressed`: linear around 0, logarithmic beyond, so that a third less is as strange at night as by day). Each cell of
series and hour of the week is a median, drawn towards that of the hour of the day, which is drawn towards that of the
series, by so many rows as are imagined there (`_IMAGINED`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aml.detection.hours import SLOTS
from aml.detection.series import Integers, Ordered
from aml.rows import Floats

Table = NDArray[np.float32]

_HOURS = 24
_BEND = 0.1  # in sizes of the series: where the compressed scale turns from linear to logarithmic
_IMAGINED = 2.0
_SPREAD_IMAGINED = 6.0
_MAD = 1.4826  # a normal distribution's standard deviation in median absolute deviations
_LEAST_SPREAD = 0.02  # in sizes of the series: nothing is measured more finely


def compressed(value: Floats) -> Floats:
    """sign(x) log(1 + |x| / bend)."""
    return np.copysign(np.log1p(np.abs(value) * (1 / _BEND)), value)


def expanded(value: Floats) -> Floats:
    """The inverse of `compressed`."""
    return np.copysign(np.expm1(np.minimum(np.abs(value), 600.0)) * _BEND, value)


def sizes(value: Floats, code: Integers, series: int) -> Floats:
    """The median absolute value of each series other than 0; 1 where there is none."""
    sized = np.abs(value)
    found = grouped_median(sized[sized > 0], code[sized > 0], series)[0]
    return np.where(found > 0, found, 1.0)


def grouped_median(value: Floats, group: Integers, groups: int) -> tuple[Floats, Floats]:
    """The median of each group, 0 where it is empty, and how many there are."""
    order = np.lexsort((value, group))
    count = np.bincount(group, minlength=groups)
    start = np.cumsum(count) - count
    ordered = np.append(value[order], 0.0)
    low, high = start + np.maximum(count - 1, 0) // 2, start + count // 2
    high = np.where(count > 0, high, low)
    middle = ordered[np.minimum(low, len(value))] / 2 + ordered[np.minimum(high, len(value))] / 2
    return np.where(count > 0, middle, 0.0), count.astype(np.float64)


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells that rows fall into.

    Attributes:
        code: the series of each row, `series` where the training data do not have it.
        slot: hour of the week of each row.
        series: how many series the training data have.
    """

    code: Integers
    slot: Integers
    series: int

    @property
    def cell(self) -> Integers:
        """Position in a flattened table of a line for each series and one for all others."""
        return self.code * SLOTS + self.slot

    def take(self, where: NDArray[np.bool_]) -> Cells:
        return Cells(self.code[where], self.slot[where], self.series)


def located(value: Floats, cells: Cells, depth: int) -> Table:
    """Medians by cell, shape (series + 1, SLOTS); the last line is the median over the series.

    Args:
        depth: 0: one number for each series, 1: one for each hour of the day, 2: one for each hour of the week.
    """
    lines = cells.series
    whole, _ = grouped_median(value, cells.code, lines)
    table = np.repeat(whole[:, None], SLOTS, axis=1)
    for slots in (_HOURS, SLOTS)[:depth]:
        cell = cells.code * slots + cells.slot % slots
        rest = value - table[cells.code, cells.slot]
        median, count = grouped_median(rest, cell, lines * slots)
        step = (median * count / (count + _IMAGINED)).reshape(lines, slots)
        table = table + np.tile(step, (1, SLOTS // slots))
    return _with_pooled(table)


def spread(rest: Floats, cells: Cells, depth: int) -> Table:
    """Robust standard deviations by cell of what is left of values, as `located`; never 0."""
    lines, away = cells.series, np.abs(rest)
    whole, _ = grouped_median(away, cells.code, lines)
    mean = np.bincount(cells.code, away, lines) / np.maximum(np.bincount(cells.code, minlength=lines), 1)
    whole = np.maximum(np.maximum(_MAD * whole, 0.5 * mean), _LEAST_SPREAD)
    table = np.repeat(whole[:, None], SLOTS, axis=1)
    for slots in (_HOURS, SLOTS)[:depth]:
        cell = cells.code * slots + cells.slot % slots
        median, count = grouped_median(away, cell, lines * slots)
        average = np.bincount(cell, away, lines * slots) / np.maximum(count, 1)
        own = np.maximum(_MAD * median, 0.5 * average).reshape(lines, slots)
        weight = (count / (count + _SPREAD_IMAGINED)).reshape(lines, slots)
        table = table * np.tile(1 - weight, (1, SLOTS // slots)) + np.tile(own * weight, (1, SLOTS // slots))
    least = np.maximum(0.1 * whole[:, None], _LEAST_SPREAD)
    return _with_pooled(np.maximum(table, least))


def share(where: NDArray[np.bool_], cells: Cells) -> Table:
    """How often something is so at each hour of the day, by series, as minus its decimal logarithm; never 0."""
    lines = cells.series
    there = where.astype(np.float64)
    rows = np.bincount(cells.code, minlength=lines)
    whole = (np.bincount(cells.code, there, lines) + 0.5) / (rows + 1.0)
    cell = cells.code * _HOURS + cells.slot % _HOURS
    count = np.bincount(cell, minlength=lines * _HOURS).reshape(lines, _HOURS)
    hits = np.bincount(cell, there, lines * _HOURS).reshape(lines, _HOURS)
    rate = (hits + 5.0 * whole[:, None]) / (count + 5.0)
    return np.maximum(_with_pooled(np.tile(-np.log10(rate), (1, SLOTS // _HOURS))), 0.01).astype(np.float32)


def _with_pooled(table: Floats) -> Table:
    return np.vstack([table, np.median(table, axis=0)]).astype(np.float32)


def size_of_rows(rows: Ordered, code: Integers, known: Floats, own: int) -> Floats:
    """By what each row is divided: the size of its series or, where the training data do not have that, the median
    absolute value of the row and some of the `own` rows before it."""
    size = np.append(known, 1.0)[code]
    strange = np.flatnonzero(code == len(known))
    if len(strange):
        step = max(1, own // 8)
        back = strange[:, None] - np.arange(0, own + 1, step)
        there = back >= rows.begin[strange][:, None]
        value = np.abs(rows.value)[np.maximum(back, 0)]
        value = np.sort(np.where(there & (value > 0), value, np.inf), axis=1)
        count = (value < np.inf).sum(axis=1)
        median = value[np.arange(len(strange)), np.maximum(count - 1, 0) // 2]
        size[strange] = np.where(count > 0, median, 1.0)
    return size
