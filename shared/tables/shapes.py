"""Text columns seen as a few shapes, so that thousands of fields cost a few decisions.

The shape of a field is its UTF-8 with every digit turned into `0`. A column of a million times has one shape or a
dozen; what a field means is decided once for each shape, and its digits are read by arithmetic on whole columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_TO_ZERO = bytes.maketrans(b"123456789", b"0" * 9)

Positions = NDArray[np.int64] | slice


@dataclass(frozen=True)
class Shaped:
    """A column's fields with their shapes.

    Attributes:
        texts: the fields, Arrow strings without nulls.
        kinds: the shapes that occur; `codes`: for each field the place of its shape in `kinds`.
        data: UTF-8 of the fields, one after the other; `starts`: where each begins in it.
    """

    texts: Any
    kinds: list[bytes]
    codes: NDArray[np.int32]
    data: NDArray[np.uint8]
    starts: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.codes)

    def where(self, code: int) -> tuple[Positions, Reader]:
        """The positions of the fields of one shape, and a reader of their digits."""
        if len(self.kinds) == 1:
            return slice(None), Reader(self.data, None, len(self.kinds[code]))
        positions = np.flatnonzero(self.codes == code)
        return positions, Reader(self.data, self.starts[positions], 0)

    def counts(self) -> list[int]:
        """How many fields have each of the shapes."""
        return list(map(int, np.bincount(self.codes, minlength=len(self.kinds))))


def shape(texts: Any) -> Shaped:
    """Shape a column of Arrow strings without nulls."""
    size = len(texts)
    _, offsets, data = texts.buffers()
    if not size or data is None:
        kinds = [b""] if size else []
        return Shaped(texts, kinds, np.zeros(size, np.int32), np.zeros(0, np.uint8), np.zeros(size, np.int32))
    starts = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + size + 1]
    own = np.frombuffer(data, np.uint8)[starts[0] : starts[-1]]
    starts = starts - starts[0]
    zeroed = pa.py_buffer(own.tobytes().translate(_TO_ZERO))
    coded = pa.Array.from_buffers(pa.binary(), size, [None, pa.py_buffer(starts), zeroed]).dictionary_encode()
    return Shaped(texts, coded.dictionary.to_pylist(), coded.indices.to_numpy(), own, starts[:-1])


@dataclass(frozen=True)
class Reader:
    """Reads numbers out of fields of one shape."""

    _data: NDArray[np.uint8]
    _starts: NDArray[np.int32] | None
    _stride: int

    def number(self, span: tuple[int, int]) -> NDArray[np.int64]:
        """The digits from `span[0]` to before `span[1]` of every field, as a number; zero for an empty span."""
        total: NDArray[np.int64] = np.zeros(1, np.int64)
        for place in range(*span):
            column = self._data[place :: self._stride] if self._starts is None else self._data[self._starts + place]
            total = total * 10 + (column.astype(np.int64) - 48)
        return total
