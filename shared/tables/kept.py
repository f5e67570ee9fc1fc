"""What one pass over a file has understood, kept for the next pass where there is room for it.

Small files are kept in memory, larger ones in a temporary file: a pass that finds them there neither fetches nor parses
the file again. Whoever finds nothing kept reads the source; the rows are the same.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shared.tables.cells import ColumnRows, LineRows, Rows
from shared.tables.model import Flaws, Reject

_log = logging.getLogger(__name__)

_IN_MEMORY = 2 << 20
_ON_DISK = 1 << 30
_SHARE_OF_DISK = 4
"""At most this part of what is free: files are scored side by side, and others write there too."""
_MANY_WORDS = 10_000
"""Rejects and reasons stay in memory; a file with so many is no ordinary file."""


@dataclass(frozen=True)
class Understood:
    """Some rows in types.

    Attributes:
        batch: the usable rows, as in `Chunk.batch`.
        usable: shape (rows,); `problems`: by position of the row, why it cannot be used.
        flaws: see `Chunk.flaws`.
        warnings: by position of the row; a pass that is only to be remembered leaves them out.
    """

    batch: pa.RecordBatch
    usable: NDArray[np.bool_]
    problems: Mapping[int, str]
    flaws: Mapping[str, Flaws] = field(default_factory=dict)
    warnings: Mapping[int, list[str]] = field(default_factory=dict)

    def part(self, start: int, stop: int) -> Understood:
        """The rows from `start` to before `stop`."""
        if (start, stop) == (0, len(self.usable)):
            return self
        before, inside = int(self.usable[:start].sum()), int(self.usable[start:stop].sum())
        problems = {at - start: why for at, why in self.problems.items() if start <= at < stop}
        flaws = {} if start else self.flaws  # counts are of no row: the first part has them all
        warnings = {at - start: told for at, told in self.warnings.items() if start <= at < stop}
        return Understood(self.batch.slice(before, inside), self.usable[start:stop], problems, flaws, warnings)


@dataclass(frozen=True)
class Portion:
    """Rows as a container handed them out, the lines rejected since the portion before, the rows in types, and where
    they are known the lines on which they begin (they are not kept)."""

    rows: Rows
    rejects: list[Reject]
    understood: Understood
    lines: Sequence[int] = ()


@dataclass(frozen=True)
class _Stored:
    """A portion in the file: `lengths` of its parts there, which come one after the other, and the rest of it."""

    lengths: tuple[int, int, int]
    width: int
    quoted: bool
    schemas: tuple[pa.Schema | None, pa.Schema]
    rejects: list[Reject]
    usable: tuple[int, bytes]
    problems: Mapping[int, str]
    flaws: Mapping[str, Flaws]


class Kept:
    """The portions of one file, in order; a context manager, which gives back what it holds."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self.restart()

    def restart(self) -> None:
        """Forgets everything: another pass begins."""
        if self._file is not None:
            self._file.close()
        self._file = None
        self.whole = True
        self._held: list[Portion] = []
        self._stored: list[_Stored] = []
        self._size = self._words = self._most = 0

    def add(self, portion: Portion) -> None:
        """Takes the next portion; where there is no room for it, `whole` turns False and nothing is kept."""
        if not self.whole:
            return
        self._size += portion.rows.size + portion.understood.batch.nbytes
        self._words += len(portion.rejects) + len(portion.understood.problems)
        if self._file is None and self._size <= _IN_MEMORY:
            self._held.append(portion)
            return
        try:
            self._store(portion)
        except OSError as error:
            _log.info("nothing is kept of a file: %s", error)
            self._give_up()

    def portions(self) -> Iterator[Portion]:
        """All of them; only where they are `whole`."""
        if not self.whole:
            raise ValueError("a file that is not wholly kept")
        yield from self._held
        if self._file is not None:
            self._file.seek(0)
            for stored in self._stored:
                yield _load(self._file, stored)

    def close(self) -> None:
        """Gives back what it holds."""
        self._give_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _store(self, portion: Portion) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open until `close`
            self._most = min(_ON_DISK, shutil.disk_usage(tempfile.gettempdir()).free // _SHARE_OF_DISK)
        waiting, self._held = [*self._held, portion], []
        ordinary = all(isinstance(each.rows, LineRows | ColumnRows) or not len(each.rows) for each in waiting)
        if self._size > self._most or self._words > _MANY_WORDS or not ordinary:
            self._give_up()
            return
        self._stored += [self._saved(self._file, each) for each in waiting]

    def _saved(self, file: IO[bytes], portion: Portion) -> _Stored:
        """What remains in memory of a portion: its schemas are those of the one before, and may have 10,000 columns."""
        stored = _save(file, portion)
        if self._stored and stored.schemas == self._stored[-1].schemas:
            return replace(stored, schemas=self._stored[-1].schemas)
        return stored

    def _give_up(self) -> None:
        self.restart()
        self.whole = False


def _save(file: IO[bytes], portion: Portion) -> _Stored:
    rows, understood = portion.rows, portion.understood
    schema: pa.Schema | None = None
    width, text, starts = 1, b"", np.zeros(1, np.int32).tobytes()  # no row
    quoted = isinstance(rows, LineRows) and rows.quoted
    if isinstance(rows, ColumnRows):
        schema, text = rows.batch.schema, rows.batch.serialize().to_pybytes()
    elif isinstance(rows, LineRows):
        width, text, starts = rows.width, rows.data, rows.starts.astype(np.int32).tobytes()
    parts = (text, starts, understood.batch.serialize().to_pybytes())
    for part in parts:
        file.write(part)
    file.flush()  # a disk that is full says so here
    first, second, third = map(len, parts)
    packed = b"" if understood.usable.all() else np.packbits(understood.usable).tobytes()
    schemas = (schema, understood.batch.schema)
    usable = (len(understood.usable), packed)
    return _Stored(
        (first, second, third), width, quoted, schemas, portion.rejects, usable, understood.problems, understood.flaws
    )


def _load(file: IO[bytes], stored: _Stored) -> Portion:
    text, starts, typed = (file.read(length) for length in stored.lengths)
    schema, typed_schema = stored.schemas
    rows: Rows
    if schema is not None:
        rows = ColumnRows(pa.ipc.read_record_batch(pa.py_buffer(text), schema))
    else:
        rows = LineRows(text, np.frombuffer(starts, np.int32).astype(np.int64), stored.width, stored.quoted)
    size, packed = stored.usable
    usable = np.ones(size, np.bool_)
    if packed:
        usable = np.unpackbits(np.frombuffer(packed, np.uint8), count=size).astype(np.bool_)
    batch = pa.ipc.read_record_batch(pa.py_buffer(typed), typed_schema)
    return Portion(rows, stored.rejects, Understood(batch, usable, stored.problems, stored.flaws))
