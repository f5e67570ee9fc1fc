"""The rows of a table, column by column: what training fits on and serving predicts.

A text column is held as codes into its distinct values, so that whatever is done to a text is done once for each
distinct one, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aml.rows import Codes, Floats

Index = NDArray[np.intp] | NDArray[np.bool_] | slice
Column = NDArray[np.float64] | NDArray[np.datetime64]


@dataclass(frozen=True, eq=False)
class Texts:
    """A text column: `codes` are positions in `values`, -1 where the text is missing, shape (n,)."""

    codes: Codes
    values: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, index: Index) -> Texts:
        """The texts at these positions; `values` stays, used or not."""
        return Texts(self.codes[index], self.values)

    def objects(self) -> NDArray[np.object_]:
        """Every row's text, None where it is missing, shape (n,)."""
        names = np.empty(len(self.values) + 1, dtype=object)
        names[:-1] = self.values
        taken: NDArray[np.object_] = names[self.codes]
        return taken

    def counts(self) -> dict[str, int]:
        """Rows of every text that there is, by text, which may stand in `values` more than once."""
        there = np.bincount(self.codes[self.codes >= 0], minlength=len(self.values))
        found: dict[str, int] = {}
        for value, count in zip(self.values, there.tolist(), strict=True):
            if count:
                found[value] = found.get(value, 0) + count
        return found


@dataclass(frozen=True, eq=False)
class Table:
    """`count` rows: numbers (nan: missing) and times (datetime64[us], NaT: missing) and texts, by canonical name."""

    count: int
    numbers: Mapping[str, Floats]
    texts: Mapping[str, Texts]
    times: Mapping[str, NDArray[np.datetime64]]

    def __len__(self) -> int:
        return self.count

    def take(self, index: Index) -> Table:
        """The rows at these positions."""
        numbers = {name: values[index] for name, values in self.numbers.items()}
        times = {name: values[index] for name, values in self.times.items()}
        texts = {name: values.take(index) for name, values in self.texts.items()}
        return Table(len(np.arange(self.count)[index]), numbers, texts, times)

    @property
    def computable(self) -> dict[str, Column]:
        """The columns that an expression may read."""
        return {**self.numbers, **self.times}


def texts_of_numbers(values: Floats) -> Texts:
    """Numbers as the names of categories: `7` for 7.0, `7.5` for 7.5."""
    there = np.isfinite(values)
    distinct, where = np.unique(values[there], return_inverse=True)
    codes = np.full(len(values), -1, dtype=np.int64)
    codes[there] = where
    return Texts(codes, tuple(str(int(value)) if value.is_integer() else repr(value) for value in distinct.tolist()))
