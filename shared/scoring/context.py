"""Context rows: the rows of a series just before a row, which the features of a model over time depend on.

Between the requests of one file they come from the file; before its first row from the history of the dataset, see
`shared.scoring.history`. Context is counted in rows and not in hours: a gap in a series is stepped over, as it is in
training and within a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aml.contract import DatasetContract

_TYPES = {"time": pa.timestamp("us"), "number": pa.float64(), "text": pa.string()}

Firsts = Mapping[str | None, datetime]
"""When each series of a file begins; a file without a series column is the one series None."""


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
    if contract.series is None or one_series(table, contract):
        return table.slice(table.num_rows - wanted)
    codes = series_codes(table, contract.series)
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

    @classmethod
    def first(cls, history: pa.Table, contract: DatasetContract) -> Preceding:
        """What comes before the first batch of a table."""
        return cls(conform(history, contract), no_rows(contract))

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
    times = rows.column(contract.time)
    if contract.series is None:
        return opening(history, {None: times[0].as_py()}, contract)
    codes = pc.index_in(rows.column(contract.series), value_set=pa.array(names, pa.string()))
    firsts = {name: times[pc.index(codes, code).as_py()].as_py() for code, name in enumerate(names)}
    return opening(history, firsts, contract)


def opening(history: pa.Table, firsts: Firsts, contract: DatasetContract) -> pa.Table:
    """Of each of these series the last rows in `history` (in time order) that are older than its first row."""
    known = history.column(contract.time)
    if contract.series is None:
        bounds = pa.array([firsts[None]] * history.num_rows, known.type)
    else:
        codes = pc.index_in(history.column(contract.series), value_set=pa.array(list(firsts), pa.string()))
        bounds = pa.array(list(firsts.values()), known.type).take(codes)
    return tail(history.filter(pc.fill_null(pc.less(known, bounds), False)), contract)


def fingerprint(rows: pa.Table, contract: DatasetContract) -> str:
    """A SHA-256 of the rows of each series in their order, whatever the order of the series."""
    if rows.num_rows == 0:
        return ""
    found: dict[str, list[list[Any]]] = {}
    series = rows.column(contract.series).to_pylist() if contract.series is not None else [None] * rows.num_rows
    values = zip(*(column.to_pylist() for column in conform(rows, contract).columns), strict=True)
    for name, row in zip(series, values, strict=True):
        found.setdefault(json.dumps(name), []).append(list(row))
    return hashlib.sha256(json.dumps(found, sort_keys=True, default=str).encode()).hexdigest()


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
    return np.lexsort((times, series_codes(table, contract.series)))


def one_series(table: pa.Table, contract: DatasetContract) -> bool:
    """Whether the rows name no series at all, and so are one."""
    return contract.series is None or table.column(contract.series).null_count == table.num_rows


def series_codes(table: pa.Table, series: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    column = table.column(series).combine_chunks()
    return np.asarray(pc.fill_null(pc.index_in(column, pc.unique(column)), -1), dtype=np.int64)


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
