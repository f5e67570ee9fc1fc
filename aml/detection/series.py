"""Windows over the rows of each series, whose results are the same bits wherever the array begins.

A running sum of floats carries rounding errors from where it began. Sums of whole numbers carry none: every quantity
that is summed is first put on a grid of 2^-24 (`fixed`), and a window's sum is the difference of two running sums of
int64, exact whatever came before. Minima, medians and counts are exact by nature.

All windows count rows of the same series that end at the row itself (or `skip` rows before it). At the start of a
series a window holds the rows there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from aml.rows import Floats, Rows, Times

Integers = NDArray[np.int64]
Sums = Integers
"""Running sums of `fixed` numbers, with a leading 0."""

Lines = Sequence[Floats]
"""One array for each channel, each used up before the next, while it lies in the processor's cache."""

_GRID = float(1 << 24)
BOUND = float(1 << 20)
"""Numbers beyond this are summed as this: 700 of them fit into int64 with 2^-24 to spare."""


@dataclass(eq=False)
class Ordered:
    """Rows in order of series and time.

    Attributes:
        order: where each row stood.
        code: the row's series, from 0 without gaps, shape (n,).
        begin: position of the first row of the row's series.
        at: 0 to n - 1.
        clean: whether the row may be learnt from: nobody has said that it is an anomaly, and it is not the first behind
            rows left out on purpose; all rows, where none may.
    """

    order: NDArray[np.intp]
    time: Times
    value: Floats
    code: Integers
    begin: Integers
    at: Integers
    clean: NDArray[np.bool_]
    _windows: dict[tuple[int, int], tuple[Integers, Integers]] = field(default_factory=dict)
    _counts: dict[tuple[int, int], Floats] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Rows) -> Ordered:
        """The rows, ordered; rows of a series with equal times stay as they are."""
        order = rows.by_series_and_time()
        clean = np.ones(len(order), dtype=bool) if rows.label is None else rows.label[order] < 1
        clean |= not clean.any()
        return cls._ordered(order, rows.time[order], rows.value[order], rows.series[order], clean)

    @classmethod
    def _ordered(
        cls, order: NDArray[np.intp], time: Times, value: Floats, series: Integers, clean: NDArray[np.bool_]
    ) -> Ordered:
        at = np.arange(len(order))
        new = np.r_[True, series[1:] != series[:-1]][: len(order)]
        begin = np.maximum.accumulate(np.where(new, at, 0))
        return cls(order, time, value, np.cumsum(new) - 1, begin, at, clean)

    def take(self, at: NDArray[np.intp]) -> Ordered:
        """The rows at these ascending positions, as if there were no others."""
        return self._ordered(self.order[at], self.time[at], self.value[at], self.code[at], self.clean[at])

    @classmethod
    def joined(cls, parts: Sequence[Ordered]) -> Ordered:
        """The rows of all parts, no series of one being that of another."""
        series = np.cumsum([0, *(int(part.code.max(initial=-1)) + 1 for part in parts)])
        return cls._ordered(
            np.arange(sum(len(part) for part in parts)),
            np.concatenate([part.time for part in parts]),
            np.concatenate([part.value for part in parts]),
            np.concatenate([part.code + first for part, first in zip(parts, series[:-1], strict=True)]),
            np.concatenate([part.clean for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.at)

    @property
    def single(self) -> bool:
        """Whether all rows are of one series: its windows are slices, which cost less than positions."""
        return not len(self.begin) or int(self.begin[-1]) == 0

    def total(self, sums: Sums, width: int, skip: int = 0) -> Floats:
        """The sum over each row's window."""
        total: Floats
        if self.single:
            total = np.zeros(len(self))
            there = sums[1 : max(len(self) + 1 - skip, 1)]
            total[skip : skip + width] = there[:width]
            total[skip + width :] = there[width:] - there[: max(len(there) - width, 0)]
            total *= 1 / _GRID
            return total
        first, end = self._window(width, skip)
        total = (sums[end] - sums[first]).astype(np.float64) * (1 / _GRID)
        return total

    def count(self, width: int, skip: int = 0) -> Floats:
        """How many rows each row's window has."""
        found = self._counts.get((width, skip))
        if found is None:
            found = np.clip(self.at - self.begin + (1 - skip), 0, width).astype(np.float64)
            self._counts[width, skip] = found
        return found

    def _window(self, width: int, skip: int) -> tuple[Integers, Integers]:
        """Where each row's window begins and ends (exclusively) in running sums."""
        found = self._windows.get((width, skip))
        if found is None:
            end = np.maximum(self.at + (1 - skip), self.begin)
            found = np.maximum(end - width, self.begin), end
            self._windows[width, skip] = found
        return found

    def mean(self, sums: Sums, width: int, skip: int = 0, shrink: float = 0.0) -> Floats:
        """The mean over each row's window, drawn towards 0 as by `shrink` further rows of 0; 0 where it is empty."""
        return self.total(sums, width, skip) / np.maximum(self.count(width, skip) + shrink, 1.0)

    def lag(self, of: Floats, rows: int, fill: float = 0.0) -> Floats:
        """What stood so many rows earlier, `fill` where there is no such row."""
        out = np.full(len(of), fill)
        if rows < len(of):
            earlier = of[: len(of) - rows]
            out[rows:] = earlier if self.single else np.where(self.at[rows:] - rows >= self.begin[rows:], earlier, fill)
        return out

    def lowest(self, of: Floats, width: int) -> Floats:
        """The minimum of each row's window."""
        found, covered = of, 1
        while covered < width:
            step = min(covered, width - covered)
            found = np.minimum(found, self.lag(found, step, np.inf))
            covered += step
        return found

    def last(self, where: NDArray[np.bool_]) -> Integers:
        """Position of the last row at or before each row, in its series, that is one of `where`; else its series'
        first row."""
        return np.maximum(np.maximum.accumulate(np.where(where, self.at, 0)), self.begin)


def fixed(of: Floats) -> Sums:
    """Running sums of these numbers on a grid of 2^-24, beginning with 0."""
    sums = np.zeros(len(of) + 1, dtype=np.int64)
    scaled = np.clip(of, -BOUND, BOUND)
    scaled *= _GRID
    np.rint(scaled, out=scaled)
    np.cumsum(scaled.astype(np.int64), out=sums[1:])
    return sums
