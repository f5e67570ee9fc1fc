"""Text columns seen as a few shapes, so that thousands of fields cost a few decisions.

The shape of a field is its UTF-8 with every digit turned into `0`. A column of a million times has one shape or a
dozen; what a field means is decided once for each shape, and its digits are read by arithmetic on whole columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_TO_ZERO = bytes.maketrans(b"123456789", b"0" * 9)

Positions = NDArray[np.int64] | slice


@dataclass(frozen=True)
class Shaped:
    """A column's fields with their shapes.

    Attributes:
        texts: the fields; line ends in them have become spaces.
        shapes: shape of each field.
        data: the fields' UTF-8, each followed by one newline.
    """

    texts: Sequence[str]
    shapes: list[bytes]
    data: bytes

    def distinct(self) -> set[bytes]:
        """The shapes that occur."""
        return set(self.shapes)


def shape(texts: Sequence[str]) -> Shaped:
    """Shape a column."""
    joined = "\n".join(texts)
    if joined.count("\n") != max(len(texts) - 1, 0):
        texts = [text.replace("\n", " ") for text in texts]
        joined = "\n".join(texts)
    data = joined.encode("utf-8", "surrogatepass") + b"\n"
    shapes = data.translate(_TO_ZERO).split(b"\n")[:-1] if texts else []
    return Shaped(texts, shapes, data)


class Digits:
    """Reads numbers at fixed places out of all fields of some shapes."""

    def __init__(self, shaped: Shaped) -> None:
        self._bytes = np.frombuffer(shaped.data, np.uint8)
        self._shapes = shaped.shapes
        self._starts: NDArray[np.int64] | None = None

    def where(self, kind: bytes, uniform: bool) -> tuple[Positions, Reader]:
        """The positions of the fields of one shape, and a reader of their digits. `uniform`: it is the only shape."""
        if uniform:
            return slice(None), Reader(self._bytes, None, len(kind) + 1)
        if self._starts is None:
            lengths = np.fromiter(map(len, self._shapes), np.int64, len(self._shapes)) + 1
            self._starts = np.cumsum(lengths) - lengths
        positions = np.array([at for at, shape in enumerate(self._shapes) if shape == kind], np.int64)
        return positions, Reader(self._bytes, self._starts[positions], 0)


@dataclass(frozen=True)
class Reader:
    """Reads numbers out of the fields of one shape."""

    _bytes: NDArray[np.uint8]
    _starts: NDArray[np.int64] | None
    _stride: int

    def number(self, span: tuple[int, int]) -> NDArray[np.int64]:
        """The digits from `span[0]` to before `span[1]` of every field, as a number; zero for an empty span."""
        total: NDArray[np.int64] = np.zeros(1, np.int64)
        for place in range(*span):
            column = self._bytes[place :: self._stride] if self._starts is None else self._bytes[self._starts + place]
            total = total * 10 + (column.astype(np.int64) - 48)
        return total
