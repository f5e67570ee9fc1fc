"""Where a large file may be cut into parts that are scored apart, and what each part needs to know of those before it.

A part begins at a boundary that the survey met (`shared.tables.Boundary`). Its context is the essence of all rows
before it: of each series the first row, by which the history before the series is chosen, and the last ones, which are
context. The survey knows the essence of the usable rows; which of them the endpoint refuses is found out by scoring.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from aml.contract import DatasetContract
from shared.scoring.context import conform, no_rows, one_series, places, series_codes
from shared.scoring.preceding import Preceding
from shared.tables import Block, Boundary, PartSource, RangedSource, Survey

_CONTEXTS_BYTES = 64 * 1024 * 1024
"""So much may the contexts of a file's parts hold in memory; a file of more series than that allows is not cut."""

_GATHERED = 50_000
"""So many rows may wait before their essence is found."""


@dataclass(frozen=True)
class Range:
    """One part of a file: the bytes from `start` to before `end`, its first line, and what the survey counted in it."""

    index: int
    start: int
    end: int
    line: int
    rows: int
    rejected: int

    def of(self, source: RangedSource, found: Survey) -> PartSource:
        """The part as a table of its own."""
        turns = found.turns * self.rows // max(found.rows, 1)
        own = replace(found, rows=self.rows, rejected=self.rejected, turns=turns)
        return PartSource(source, own, Boundary(self.start, self.line), self.end)


@dataclass(frozen=True)
class _Cut:
    """A place where a part may begin: what was counted before it, and the essence of the usable rows before it."""

    at: Boundary
    rows: int
    rejected: int
    before: pa.Table


class Cutter:
    """Follows a survey (see `shared.tables.Follower`) and notes where parts may begin.

    Args:
        every: about how many bytes a part is to have; it ends at the first boundary behind them.
    """

    def __init__(self, contract: DatasetContract, every: int) -> None:
        self._contract = contract
        self._every = every
        self.begin()

    def begin(self) -> None:
        """See `Follower.begin`."""
        self._cuts: list[_Cut] = []
        self._next = self._every
        self._rows = self._rejected = self._held = 0
        self._before = Essence(self._contract)

    def take(self, block: Block, batch: pa.RecordBatch) -> None:
        """See `Follower.take`."""
        self._rows += len(block.rows)
        self._rejected += len(block.rejects)
        if self._held > _CONTEXTS_BYTES:
            return
        rows = conform(pa.Table.from_batches([batch]), self._contract)
        self._before.add(rows)
        if block.boundary is not None and block.boundary.offset >= self._next:
            before = self._before.rows
            self._cuts.append(_Cut(block.boundary, self._rows, self._rejected, before))
            self._next = block.boundary.offset + self._every
            self._held += before.nbytes

    def cut(self, found: Survey) -> tuple[tuple[Range, ...], tuple[pa.Table, ...]]:
        """The parts of the surveyed file, and the essence of what comes before each; nothing where it stays whole.

        It does so out of time order, where contexts cannot be known beforehand, and in containers that are no plain
        text.
        """
        cuts = [cut for cut in self._cuts if cut.at.offset < found.size]
        whole = found.dialect.container != "csv" or not found.ordered or self._held > _CONTEXTS_BYTES
        if not cuts or whole:
            return (), ()
        begins = [_Cut(Boundary(0, 1), 0, 0, no_rows(self._contract)), *cuts]
        ends = [*cuts, _Cut(Boundary(found.size, 0), found.rows, found.rejected, no_rows(self._contract))]
        ranges = [
            Range(
                index,
                begin.at.offset,
                end.at.offset,
                begin.at.line,
                end.rows - begin.rows,
                end.rejected - begin.rejected,
            )
            for index, (begin, end) in enumerate(zip(begins, ends, strict=True))
        ]
        return tuple(ranges), tuple(begin.before for begin in begins)


def essence(rows: pa.Table, contract: DatasetContract) -> pa.Table:
    """Of each series the first row and the last `context_rows`, in the table's order.

    It stands for the rows: ``before.then(essence(rows))`` is ``before.then(rows)``, and the essence of some rows and
    those behind them is that of the first ones' essence and those behind.
    """
    wanted = contract.context_rows
    if wanted == 0:
        return rows.slice(0, 0)
    size = rows.num_rows
    if contract.series is None or one_series(rows, contract):
        keep = np.unique(np.r_[: min(size, 1), max(size - wanted, 0) : size])
    else:
        at = places(series_codes(rows, contract.series))
        keep = np.flatnonzero((at.from_the_beginning == 1) | (at.from_the_end <= wanted))
    return rows.take(pa.array(keep)).combine_chunks()  # copied: a slice would hold on to all of the rows


class Essence:
    """The essence of rows that come one after the other; found anew only once as many have come as it has itself."""

    def __init__(self, contract: DatasetContract) -> None:
        self._contract = contract
        self._found = no_rows(contract)
        self._waiting: list[pa.Table] = []
        self._new = 0

    def add(self, rows: pa.Table) -> None:
        """The next rows."""
        self._waiting.append(rows)
        self._new += rows.num_rows
        if self._new > max(self._found.num_rows, _GATHERED):
            self._settle()

    @property
    def rows(self) -> pa.Table:
        """The essence of all rows so far."""
        self._settle()
        return self._found

    def _settle(self) -> None:
        if self._waiting:
            self._found = essence(pa.concat_tables([self._found, *self._waiting]), self._contract)
            self._waiting, self._new = [], 0


def series_of(rows: pa.Table, contract: DatasetContract) -> set[str | None]:
    """The series that occur in the rows."""
    if contract.series is None:
        return {None} if rows.num_rows else set()
    return set(pc.unique(rows.column(contract.series)).to_pylist())


def used(before: Preceding, names: Sequence[str | None], contract: DatasetContract) -> str:
    """A SHA-256 of what a part with these series takes from before its beginning."""
    if contract.context_rows == 0:
        return ""
    seen = sorted(json.dumps(name) for name in before.seen.intersection(names))
    rows = before.latest
    if contract.series is not None:
        column = rows.column(contract.series)
        wanted = pa.array([name for name in names if name is not None], pa.string())
        known = pc.is_in(column, value_set=wanted)
        rows = rows.filter(pc.or_(known, column.is_null()) if None in names else known)
        rows = rows.take(pc.sort_indices(rows.column(contract.series)))
    text = pa.BufferOutputStream()
    csv.write_csv(rows, text)
    return hashlib.sha256(json.dumps(seen).encode() + bytes(text.getvalue())).hexdigest()
