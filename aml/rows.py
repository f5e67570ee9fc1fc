"""The rows that training and serving compute on: three numpy columns, with no data frame around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aml.contract.labels import UNLABELLED

Times = NDArray[np.int64]
Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Labels = NDArray[np.int8]

BEHIND_A_CUT = 2
"""Of a row that follows rows which were left out on purpose: what it says of the time before it is not to be learnt."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one or several series, in any order; rows of a series with equal times stay in the order given.

    Attributes:
        time: microseconds since 1970-01-01 00:00 of the series' own clock, shape (n,).
        value: the number that the model watches, finite, shape (n,).
        series: which series a row belongs to, by a number that means nothing else, shape (n,).
        names: what the series are called, by that number; None: the series 0 has no name, as where there is
            only one, and others are called by their numbers.
        outside: numbers that the value may follow, such as a temperature, NaN where they are missing, shape (n, k);
            None: there are none.
        label: what people say a row is, 1 (an anomaly), 0 (none) or `UNLABELLED`, shape (n,); or `BEHIND_A_CUT`; None:
            nobody has said anything.
    """

    time: Times
    value: Floats
    series: Codes
    names: tuple[str, ...] | None = None
    outside: Floats | None = None
    label: Labels | None = None

    def __post_init__(self) -> None:
        more = [len(each) for each in (self.outside, self.label) if each is not None]
        if {len(self.value), len(self.series), *more} != {len(self.time)}:
            raise ValueError("the columns differ in length")
        if not np.isfinite(self.value).all():
            raise ValueError("a value is not finite")

    def __len__(self) -> int:
        return len(self.time)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Rows:
        """The rows at these positions."""
        outside = None if self.outside is None else self.outside[index]
        label = None if self.label is None else self.label[index]
        return Rows(self.time[index], self.value[index], self.series[index], self.names, outside, label)

    def names_of(self, series: Codes) -> list[str]:
        """What these series are called."""
        codes = series.tolist()
        return [str(code or "") for code in codes] if self.names is None else [self.names[code] for code in codes]

    def by_series_and_time(self) -> NDArray[np.intp]:
        """Positions that put the rows into order: by series, within a series by time, equal times as they are."""
        return np.lexsort((self.time, self.series))

    def with_values(self, value: Floats) -> Rows:
        """The same rows with other values."""
        return Rows(self.time, value, self.series, self.names, self.outside, self.label)


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
        *_beside(parts),
    )


def apart(parts: Sequence[Rows]) -> Rows:
    """The rows of all parts, each part a series of its own, by the part's number; it is called as its first row's."""
    return Rows(
        np.concatenate([part.time for part in parts]),
        np.concatenate([part.value for part in parts]),
        np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
        tuple(part.names_of(part.series[:1])[0] if len(part) else "" for part in parts),
        *_beside(parts),
    )


def _beside(parts: Sequence[Rows]) -> tuple[Floats | None, Labels | None]:
    """What stands beside the values of all parts; parts without it have gaps there."""
    width = max((0 if part.outside is None else part.outside.shape[1] for part in parts), default=0)
    outside = [np.full((len(part), width), np.nan) if part.outside is None else part.outside for part in parts]
    label = [np.full(len(part), UNLABELLED, np.int8) if part.label is None else part.label for part in parts]
    told = any(part.label is not None for part in parts)
    return np.concatenate(outside) if width else None, np.concatenate(label) if told else None
