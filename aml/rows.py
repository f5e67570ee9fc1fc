"""The rows that training and serving compute on: three numpy columns, with no data frame around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one or several series, in any order; rows of a series with equal times stay in the order given.

    Attributes:
        time: microseconds since 1970-01-01 00:00 of the series' own clock, shape (n,).
        value: the number that the model watches, finite, shape (n,).
        series: which series a row belongs to, by a number that means nothing else, shape (n,).
        names: what the series are called, by that number; None: the series 0 has no name, as where there is
            only one, and others are called by their numbers.
    """

    time: Times
    value: Floats
    series: Codes
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not len(self.time) == len(self.value) == len(self.series):
            raise ValueError("the columns differ in length")
        if not np.isfinite(self.value).all():
            raise ValueError("a value is not finite")

    def __len__(self) -> int:
        return len(self.time)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Rows:
        """The rows at these positions."""
        return Rows(self.time[index], self.value[index], self.series[index], self.names)

    def names_of(self, series: Codes) -> list[str]:
        """What these series are called."""
        codes = series.tolist()
        return [str(code or "") for code in codes] if self.names is None else [self.names[code] for code in codes]

    def by_series_and_time(self) -> NDArray[np.intp]:
        """Positions that put the rows into order: by series, within a series by time, equal times as they are."""
        return np.lexsort((self.time, self.series))

    def with_values(self, value: Floats) -> Rows:
        """The same rows with other values."""
        return Rows(self.time, value, self.series, self.names)


def single_series(time: Times, value: Floats) -> Rows:
    """Rows that all belong to one series, which has no name."""
    return Rows(time, value, np.zeros(len(time), dtype=np.int64))


def concatenate(parts: Sequence[Rows]) -> Rows:
    """The rows of all parts, one part after the other; at least one part. A series is the one of the same name."""
    known: dict[str, int] = {}
    series = []
    for part in parts:
        codes, where = np.unique(part.series, return_inverse=True)
        named = [known.setdefault(name, len(known)) for name in part.names_of(codes)]
        series.append(np.array(named, dtype=np.int64)[where])
    return Rows(
        np.concatenate([part.time for part in parts]),
        np.concatenate([part.value for part in parts]),
        np.concatenate(series),
        tuple(known),
    )


def apart(parts: Sequence[Rows]) -> Rows:
    """The rows of all parts, each part a series of its own, by the part's number; it is called as its first row's."""
    return Rows(
        np.concatenate([part.time for part in parts]),
        np.concatenate([part.value for part in parts]),
        np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
        tuple(part.names_of(part.series[:1])[0] if len(part) else "" for part in parts),
    )
