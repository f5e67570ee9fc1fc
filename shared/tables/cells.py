"""Rows of text that are kept as they came: whole lines, whole columns, or rows, whichever costs least.

A million rows are never a million lists. What the model needs of them is taken out column by column as Arrow strings,
and what is written again is written line by line as it stood.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from csv import reader
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

DELIMITER = ";"
"""What separates the fields of every table that the app writes."""


def quoted(text: str) -> str:
    """A field as it is written: in quotes as RFC 4180 where it needs them."""
    if DELIMITER in text or '"' in text or "\n" in text or "\r" in text:
        return '"' + text.replace('"', '""') + '"'
    return text


def quoted_column(column: Any) -> Any:
    """Arrow strings as they are written; nearly always the same array."""
    _, _, data = column.buffers()
    text = b"" if data is None else data.to_pybytes()
    if not any(mark in text for mark in (b";", b'"', b"\n", b"\r")):
        return column
    return pa.array(list(map(quoted, column.to_pylist())), pa.string())


class Rows(Protocol):
    """Some rows, each as wide as the header."""

    def __len__(self) -> int:
        """Number of rows."""

    def __iter__(self) -> Iterator[list[str]]:
        """Row by row, field by field: for few rows."""

    @property
    def size(self) -> int:
        """About how many bytes of text they hold."""

    def columns(self, positions: Sequence[int]) -> list[Any]:
        """Whole columns as Arrow strings, without nulls."""

    def written(self) -> Any:
        """Each row as it is written, `;` between its fields and without a line end, as Arrow strings."""

    def part(self, start: int, stop: int) -> Rows:
        """The rows from `start` to before `stop`."""


class LineRows:
    """Lines of fields, each on one line, in quotes where they need them.

    Args:
        data: UTF-8 lines, `;` between the fields, each ended by one newline.
        starts: where each line begins in `data`, and the end of the last.
        width: fields of each line; at least 2.
        quoted: some field is in quotes, as RFC 4180 has it.
    """

    def __init__(self, data: bytes, starts: NDArray[np.int64], width: int, quoted: bool = False) -> None:
        self.data = data
        self.starts = starts
        self.width = width
        self.quoted = quoted

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __iter__(self) -> Iterator[list[str]]:
        if self.quoted:
            return reader(self.data.decode().split("\n")[:-1], delimiter=DELIMITER, strict=True)
        return (line.split(DELIMITER) for line in self.data.decode().split("\n")[:-1])

    @property
    def size(self) -> int:
        """See `Rows`."""
        return len(self.data)

    def columns(self, positions: Sequence[int]) -> list[Any]:
        """See `Rows`."""
        if not len(self):
            return [pa.array([], pa.string()) for _ in positions]
        names = [str(position) for position in positions]
        table = csv.read_csv(
            pa.BufferReader(self.data),
            csv.ReadOptions(
                use_threads=False, block_size=len(self.data) + 1, column_names=list(map(str, range(self.width)))
            ),
            csv.ParseOptions(delimiter=DELIMITER, quote_char='"' if self.quoted else False, ignore_empty_lines=False),
            csv.ConvertOptions(check_utf8=False, include_columns=names, column_types=dict.fromkeys(names, pa.string())),
        )
        return [table.column(name).combine_chunks() for name in names]

    def written(self) -> Any:
        """See `Rows`."""
        data = self.data.replace(b"\n", b"")
        offsets = (self.starts - np.arange(len(self.starts))).astype(np.int32)
        return pa.StringArray.from_buffers(len(self), pa.py_buffer(offsets), pa.py_buffer(data))

    def part(self, start: int, stop: int) -> LineRows:
        """See `Rows`."""
        if (start, stop) == (0, len(self)):
            return self
        starts = self.starts[start : stop + 1]
        return LineRows(self.data[starts[0] : starts[-1]], starts - starts[0], self.width, self.quoted)


@dataclass(frozen=True)
class TextRows:
    """Rows as lists of fields: for lines with quotes, odd lines, records."""

    rows: list[list[str]]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[list[str]]:
        return iter(self.rows)

    @property
    def size(self) -> int:
        """See `Rows`."""
        return sum(map(len, chain.from_iterable(self.rows)))

    def columns(self, positions: Sequence[int]) -> list[Any]:
        """See `Rows`."""
        return [pa.array([row[position] for row in self.rows], pa.string()) for position in positions]

    def written(self) -> Any:
        """See `Rows`."""
        lines = list(map(DELIMITER.join, self.rows))
        text = "".join(lines)
        between = sum(map(len, self.rows)) - len(self.rows)
        if '"' in text or "\n" in text or "\r" in text or text.count(DELIMITER) != between:
            lines = [DELIMITER.join(map(quoted, row)) for row in self.rows]
        return pa.array(lines, pa.string())

    def part(self, start: int, stop: int) -> TextRows:
        """See `Rows`."""
        return TextRows(self.rows[start:stop])


@dataclass(frozen=True)
class ColumnRows:
    """Rows as whole columns: a record batch of strings without nulls."""

    batch: pa.RecordBatch

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def __iter__(self) -> Iterator[list[str]]:
        return map(list, zip(*(column.to_pylist() for column in self.batch.columns), strict=True))

    @property
    def size(self) -> int:
        """See `Rows`."""
        return int(self.batch.nbytes)

    def columns(self, positions: Sequence[int]) -> list[Any]:
        """See `Rows`."""
        return [self.batch.column(position) for position in positions]

    def written(self) -> Any:
        """See `Rows`."""
        fields = list(map(quoted_column, self.batch.columns))
        return fields[0] if len(fields) == 1 else pc.binary_join_element_wise(*fields, DELIMITER)

    def part(self, start: int, stop: int) -> ColumnRows:
        """See `Rows`."""
        return ColumnRows(self.batch.slice(start, stop - start))


class Cells:
    """Rows of one file that come from several of its blocks.

    `len` is their number; iterating gives each as a list of its fields, which is dear: for a few rows, and for tests.
    """

    def __init__(self, parts: Sequence[Rows] = ()) -> None:
        self._parts = list(parts)
        self._length = sum(map(len, self._parts))

    def __len__(self) -> int:
        return self._length

    @property
    def size(self) -> int:
        """About how many bytes of text they hold."""
        return sum(part.size for part in self._parts)

    def __iter__(self) -> Iterator[list[str]]:
        return chain.from_iterable(self._parts)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, (Cells, list)) else NotImplemented

    def columns(self, positions: Sequence[int]) -> list[Any]:
        """Whole columns as Arrow strings, without nulls."""
        parts = [part.columns(positions) for part in self._parts]
        return [_one([part[at] for part in parts]) for at in range(len(positions))]

    def written(self) -> Any:
        """Each row as it is written, `;` between its fields and without a line end, as Arrow strings."""
        return _one([part.written() for part in self._parts])


def _one(arrays: Sequence[Any]) -> Any:
    if len(arrays) == 1:
        return arrays[0]
    return pa.concat_arrays(arrays) if arrays else pa.array([], pa.string())
