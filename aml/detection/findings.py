"""What a detector says of rows: the columns of a scored file, and the numbers that its words are made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from aml.rows import Floats


class Kind(IntEnum):
    """Of which kind an anomaly is; its name in lower case is what goes over the wire and into manifests."""

    NONE = 0
    HIGH = 1
    """Far above what is usual at this time."""
    LOW = 2
    """Far below what is usual at this time."""
    NEGATIVE = 3
    """Below zero where the training data never are."""
    ZERO = 4
    """Zero for longer than is usual here."""
    STUCK = 5
    """One and the same value for longer than is usual here."""
    LEAK = 6
    """The quietest hours of a day are higher than those of the last weeks."""
    LEVEL = 7
    """The level of whole days has moved at once."""
    DRIFT = 8
    """The level moves slowly."""
    PATTERN = 9
    """Each value is possible, their course is not: a Sunday that looks like a Wednesday."""
    GAP = 10
    """Rows are missing before this one."""
    DUPLICATE = 11
    """There was a row of this time already."""
    SHIFTED = 12
    """The clock is off: the course of the day comes too early or too late."""


@dataclass(frozen=True, eq=False)
class Detections:
    """One entry per row, in the order of the rows that were asked about; every array has shape (n,).

    Attributes:
        anomaly: whether the row is flagged.
        score: how strange the row is, finite, at least 0, higher is stranger; comparable between rows of one model.
        expected: the value that is usual here, NaN where nothing is known of the series yet.
        lower, upper: between them a value alone is nothing strange; NaN where `expected` is.
        severity: 0 to 1; 0 where the row is not flagged.
        kind: a `Kind` for each row, NONE where it is not flagged.
        hours: for ZERO and STUCK how long it has lasted, this row included; for GAP how long is missing; else 0.
        change: for LEAK, LEVEL and DRIFT the relative change against the last weeks (0.4 is 40 % more); else 0.
    """

    anomaly: NDArray[np.bool_]
    score: Floats
    expected: Floats
    lower: Floats
    upper: Floats
    severity: Floats
    kind: NDArray[np.int8]
    hours: Floats
    change: Floats

    def after(self, context_rows: int) -> Detections:
        """Without the first rows, which are context."""
        return Detections(*(getattr(self, name)[context_rows:] for name in self.__dataclass_fields__))

    def placed(
        self, at: NDArray[np.intp], judged: NDArray[np.bool_], count: int, among: Detections | None
    ) -> Detections:
        """Of `count` rows those that are judged here, which stand at `at`, beside what is said of the others."""
        columns = []
        for name in self.__dataclass_fields__:
            own = getattr(self, name)
            column = np.zeros(count, own.dtype) if among is None else getattr(among, name)
            column[at[judged]] = own[judged]
            columns.append(column)
        return Detections(*columns)

    def where(self, here: NDArray[np.bool_], other: Detections) -> Detections:
        """Of each row what this says, or what the other one does."""
        names = self.__dataclass_fields__
        return Detections(*(np.where(here, getattr(self, name), getattr(other, name)) for name in names))
