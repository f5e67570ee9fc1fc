"""Context rows: the rows of a series just before a row, which the features of a model over time depend on.

Between the requests of one file they come from the file; before its first row from the history of the dataset: the
tails of the training data and of the files that were scored before, chosen by event time and not by arrival.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aml.contract import DatasetContract
from shared.errors import NotFoundError
from shared.naming import STATE
from shared.storage import BlobStore

_TYPES = {"time": pa.timestamp("us"), "number": pa.float64(), "text": pa.string()}

_TAILS_LOOKED_AT = 50
"""How many files are opened on either side of a file's first row to find its context: many, for a file may hold few
meters."""


def row_schema(contract: DatasetContract) -> pa.Schema:
    """The Arrow schema of the rows that a model of this dataset takes: every declared column, in order."""
    return pa.schema([(column.name, _TYPES[column.type]) for column in contract.columns])


def conform(table: pa.Table, contract: DatasetContract) -> pa.Table:
    """The table with exactly the contract's columns; optional ones that it lacks are null."""
    schema = row_schema(contract)
    present = set(table.schema.names)
    columns = [
        table.column(field.name).cast(field.type) if field.name in present else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def no_rows(contract: DatasetContract) -> pa.Table:
    """A table of the contract's columns without a row."""
    return row_schema(contract).empty_table()


def tail(table: pa.Table, contract: DatasetContract) -> pa.Table:
    """The last `context_rows` rows of each series in the table, in the table's order."""
    wanted = contract.context_rows
    if wanted == 0 or table.num_rows <= wanted:
        return table.slice(0, table.num_rows if wanted else 0)
    if contract.series is None or _one_series(table, contract):
        return table.slice(table.num_rows - wanted)
    codes = _series_codes(table, contract.series)
    order = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[order], codes[order], side="right")
    from_the_end = ends - np.arange(len(codes))  # 1 for the last row of its series
    return table.take(pa.array(np.sort(order[from_the_end <= wanted])))


@dataclass(frozen=True)
class Preceding:
    """What comes before the next batch of a table: rows of the table itself, and `history` where a series begins.

    Attributes:
        history: rows known from elsewhere, in time order within each series, of any time.
        latest: the last rows of the table so far, as many of each series as a context takes.
        seen: the series that the table has had so far.
    """

    history: pa.Table
    latest: pa.Table
    seen: frozenset[str | None] = frozenset()

    def context(self, rows: pa.Table, contract: DatasetContract) -> pa.Table:
        """The context of a batch; of the history only what is older than the batch's first row of the same series."""
        return pa.concat_tables([context_of(self.latest, rows, contract), self._opening(rows, contract)])

    def _opening(self, rows: pa.Table, contract: DatasetContract) -> pa.Table:
        new = [name for name in _series_names(rows, contract) if name not in self.seen]
        return _older(self.history, rows, new, contract)

    def then(self, rows: pa.Table, contract: DatasetContract) -> Preceding:
        """What comes before the batch after `rows`."""
        latest = tail(pa.concat_tables([self.latest, self._opening(rows, contract), rows]), contract)
        return Preceding(self.history, latest, self.seen.union(_series_names(rows, contract)))


def _series_names(rows: pa.Table, contract: DatasetContract) -> list[str | None]:
    if contract.series is None:
        return [None] if rows.num_rows else []
    names: list[str | None] = pc.unique(rows.column(contract.series)).to_pylist()
    return names


def _older(history: pa.Table, rows: pa.Table, names: list[str | None], contract: DatasetContract) -> pa.Table:
    """Of each of these series the last rows in `history` that are older than its first one in `rows`."""
    if history.num_rows == 0 or not names:
        return no_rows(contract)
    known, times = history.column(contract.time), rows.column(contract.time)
    if contract.series is None:
        return tail(history.filter(pc.less(known, times[0])), contract)
    wanted = pa.array(names, pa.string())
    codes = pc.index_in(rows.column(contract.series), value_set=wanted)
    firsts = [times[pc.index(codes, code).as_py()].as_py() for code in range(len(names))]
    bounds = pa.array(firsts, times.type).take(pc.index_in(history.column(contract.series), value_set=wanted))
    return tail(history.filter(pc.fill_null(pc.less(known, bounds), False)), contract)


def context_of(before: pa.Table, rows: pa.Table, contract: DatasetContract) -> pa.Table:
    """Those rows of `before` that belong to a series which occurs in `rows`."""
    if contract.series is None or before.num_rows == 0:
        return before
    values = pc.unique(rows.column(contract.series))
    return before.filter(pc.is_in(before.column(contract.series), value_set=values))


def time_order(table: pa.Table, contract: DatasetContract) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The row numbers in the order of time within each series; equal times keep the table's order."""
    times = table.column(contract.time).to_numpy()
    if contract.series is None:
        return np.argsort(times, kind="stable")
    return np.lexsort((times, _series_codes(table, contract.series)))


def _one_series(table: pa.Table, contract: DatasetContract) -> bool:
    """Whether the rows name no series at all, and so are one."""
    return contract.series is None or table.column(contract.series).null_count == table.num_rows


def _series_codes(table: pa.Table, series: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    column = table.column(series).combine_chunks()
    return np.asarray(pc.fill_null(pc.index_in(column, pc.unique(column)), -1), dtype=np.int64)


class History:
    """The tails of what was trained on and scored, in the `state` container, one blob per source file."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def remember(self, contract: DatasetContract, source: str, rows: pa.Table) -> None:
        """Keeps the tail of `rows` (in time order) under the name of their file, replacing an earlier one."""
        kept = tail(rows, contract)
        if kept.num_rows == 0:
            return
        digest = hashlib.sha256(source.encode()).hexdigest()[:16]
        last = pc.max(kept.column(contract.time)).as_py()
        name = f"{_folder(contract)}{_stamp(last)}_{digest}.arrow"
        for info in self._blobs.list_blobs(STATE, _folder(contract)):
            if info.name.endswith(f"_{digest}.arrow") and info.name != name:
                self._blobs.delete(STATE, info.name)
        self._blobs.put(STATE, name, write_table(kept))

    def before(self, contract: DatasetContract, first: datetime) -> pa.Table:
        """What is known around `first`, a table's first time, in time order within each series.

        The last `context_rows` rows of each series in files that end before it; and, because a series may begin later
        than the table does, the tails of files that end later. Of rows with equal series and time the later file's.
        """
        if contract.context_rows == 0:
            return no_rows(contract)
        bound = f"{_folder(contract)}{_stamp(first)}"
        names = [info.name for info in self._blobs.list_blobs(STATE, _folder(contract))]
        earlier = no_rows(contract)
        for rows in self._tails(contract, [name for name in reversed(names) if name < bound]):
            earlier = pa.concat_tables([rows, earlier])
            if earlier.num_rows >= contract.context_rows and _one_series(earlier, contract):
                break
        later = self._tails(contract, [name for name in names if name >= bound])
        return _in_order(pa.concat_tables([tail(_in_order(earlier, contract), contract), *later]), contract)

    def _tails(self, contract: DatasetContract, names: list[str]) -> Iterator[pa.Table]:
        for name in islice(names, _TAILS_LOOKED_AT):
            try:
                yield conform(read_table(self._blobs.get(STATE, name)[0]), contract)
            except NotFoundError:
                continue  # its file was scored again meanwhile and its tail now lies under another name


def _in_order(rows: pa.Table, contract: DatasetContract) -> pa.Table:
    """The rows in time order within each series; of rows with equal series and time the last one."""
    return _without_repeats(rows.take(pa.array(time_order(rows, contract))), contract)


def _without_repeats(rows: pa.Table, contract: DatasetContract) -> pa.Table:
    """Of rows with equal series and time, the last one."""
    if rows.num_rows < 2:
        return rows
    times = rows.column(contract.time).to_numpy()
    differs = times[1:] != times[:-1]
    if contract.series is not None:
        codes = _series_codes(rows, contract.series)
        differs |= codes[1:] != codes[:-1]
    return rows.filter(pa.array(np.append(differs, True)))


def _folder(contract: DatasetContract) -> str:
    return f"history/{contract.name}/"


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y%m%dT%H%M%S%f}"


def write_table(table: pa.Table) -> bytes:
    """The table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def read_table(body: bytes) -> pa.Table:
    """The table in an Arrow IPC stream."""
    with pa.ipc.open_stream(body) as reader:
        return reader.read_all()
