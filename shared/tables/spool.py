"""Rows put aside in lots, each taken back as a whole: in memory while they are few, then in a temporary file."""

from __future__ import annotations

import logging
import tempfile
from typing import IO, Self

import pyarrow as pa

_log = logging.getLogger(__name__)

_IN_MEMORY = 8 << 20


class Spool:
    """Lots of rows of one schema; a context manager, which gives back what it holds.

    Args:
        in_memory: bytes that are held before a file is used.
    """

    def __init__(self, schema: pa.Schema, in_memory: int = _IN_MEMORY) -> None:
        self._schema, self._room = schema, in_memory
        self._file: IO[bytes] | None = None
        self._lots: dict[int, list[pa.RecordBatch | tuple[int, int]]] = {}
        self._rows: dict[int, int] = {}
        self._end = 0

    @property
    def lots(self) -> list[int]:
        """The numbers of the lots that have rows and were not taken yet, ascending."""
        return sorted(self._lots)

    def rows(self, lot: int) -> int:
        """How many rows a lot has."""
        return self._rows.get(lot, 0)

    def add(self, lot: int, rows: pa.RecordBatch) -> None:
        """Puts rows aside, behind those that the lot has."""
        if not rows.num_rows:
            return
        self._room -= rows.nbytes
        self._lots.setdefault(lot, []).append(rows if self._room >= 0 else self._written(rows))
        self._rows[lot] = self.rows(lot) + rows.num_rows

    def take(self, lot: int) -> pa.Table:
        """A lot's rows in the order in which they came; it holds them no longer."""
        self._rows.pop(lot, None)
        parts = [self._loaded(each) for each in self._lots.pop(lot, [])]
        return pa.Table.from_batches(parts, self._schema)

    def close(self) -> None:
        """Gives back what it holds."""
        self._lots.clear()
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _written(self, rows: pa.RecordBatch) -> pa.RecordBatch | tuple[int, int]:
        """Where the rows lie in the file; the rows themselves where the disk has no room for them."""
        data = rows.serialize()
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open until `close`
            self._file.seek(self._end)
            self._file.write(data)
            self._file.flush()  # a disk that is full says so here
        except OSError as error:
            _log.warning("rows are held in memory: %s", error)
            return rows
        self._end += data.size
        return self._end - data.size, data.size

    def _loaded(self, part: pa.RecordBatch | tuple[int, int]) -> pa.RecordBatch:
        if not isinstance(part, tuple) or self._file is None:
            return part
        at, size = part
        self._file.seek(at)
        return pa.ipc.read_record_batch(pa.py_buffer(self._file.read(size)), self._schema)
