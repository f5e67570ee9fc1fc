"""Context rows: the rows of a series just before a row, which the features of a model over time depend on.

Between the requests of one file they come from the file; before its first row from the history of the dataset, see
`shared.scoring.history`. Context is counted in rows and not in hours: a gap in a series is stepped over, as it is in
training and within a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from aml.contract import DatasetContract

_TYPES = {"time": pa.timestamp("us"), "number": pa.float64(), "text": pa.string()}

_COMPRESSED_FROM = 1000

Positions = NDArray[np.int64]

Firsts = Mapping[str | None, datetime]
"""When each series of a file begins; a file without a series column is the one series None."""


def row_schema(contract: DatasetContract) -> pa.Schema:
    """The Arrow schema of the rows that a model of this dataset takes, or is trained on: see `carried`."""
    return pa.schema([(column.name, _TYPES[column.type]) for column in contract.carried])


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
    keep = places(series_codes(table, contract.series)).from_the_end <= wanted
    return table if keep.all() else table.filter(pa.array(keep))


@dataclass(frozen=True)
class Places:
    """Where the rows of a table stand within their series: 1 for the first one, and 1 for the last one."""

    from_the_beginning: Positions
    from_the_end: Positions


def places(codes: NDArray[np.int32]) -> Places:
    """The places of rows whose series are these."""
    order = stable_order(codes)
    counts = np.bincount(codes + 1)
    begins = np.repeat(np.cumsum(counts) - counts, counts)
    forth = np.empty(len(codes), np.int64)
    forth[order] = np.arange(1, len(codes) + 1) - begins
    return Places(forth, counts[codes + 1] - forth + 1)


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
    rows = conform(rows, contract)
    if contract.series is not None:
        rows = rows.take(pa.array(stable_order(series_codes(rows, contract.series))))
    digest = hashlib.sha256()
    for column in rows.columns:
        for part in _content(column.combine_chunks()):
            digest.update(part)
    return digest.hexdigest()


def _content(column: pa.Array) -> Iterator[bytes]:
    """What a column holds, as bytes that do not depend on how it came to hold it."""
    yield np.packbits(column.is_null().to_numpy(zero_copy_only=False)).tobytes()
    if pa.types.is_string(column.type):
        coded = column.fill_null("").dictionary_encode()
        yield pc.binary_length(coded.dictionary).to_numpy().tobytes()
        yield "".join(coded.dictionary.to_pylist()).encode()
        yield coded.indices.to_numpy().tobytes()
    else:
        nothing = pa.scalar(0, pa.int64()).cast(column.type)
        yield np.ascontiguousarray(column.fill_null(nothing).to_numpy(zero_copy_only=False)).tobytes()


def context_of(before: pa.Table, rows: pa.Table, contract: DatasetContract) -> pa.Table:
    """Those rows of `before` that belong to a series which occurs in `rows`."""
    if contract.series is None or before.num_rows == 0:
        return before
    values = pc.unique(rows.column(contract.series))
    return before.filter(pc.is_in(before.column(contract.series), value_set=values))


def time_order(table: pa.Table, contract: DatasetContract) -> Positions:
    """The row numbers in the order of time within each series; equal times, and rows without one, keep the table's."""
    if contract.time is None:
        return np.arange(table.num_rows)
    times = table.column(contract.time).to_numpy()
    order = stable_order(times)
    if contract.series is None or one_series(table, contract):
        return order
    return order[stable_order(series_codes(table, contract.series)[order])]


def stable_order(keys: NDArray[Any]) -> Positions:
    """The positions of these keys, none of them null, in ascending order; equal ones keep theirs."""
    if len(keys) < 2 or bool((keys[1:] >= keys[:-1]).all()):
        return np.arange(len(keys))
    return np.argsort(keys, kind="stable")


def one_series(table: pa.Table, contract: DatasetContract) -> bool:
    """Whether the rows name no series at all, and so are one."""
    return contract.series is None or table.column(contract.series).null_count == table.num_rows


def series_codes(table: pa.Table, series: str) -> NDArray[np.int32]:
    """The series of each row as a number, in the order of their names; -1 where the row names none."""
    coded = table.column(series).combine_chunks().dictionary_encode()
    ranks = np.empty(len(coded.dictionary) + 1, np.int32)
    ranks[np.asarray(pc.sort_indices(coded.dictionary), dtype=np.int64)] = np.arange(len(coded.dictionary))
    ranks[-1] = -1
    indices = np.asarray(coded.indices.fill_null(-1), dtype=np.int32)
    codes: NDArray[np.int32] = ranks[indices]
    return codes


def write_table(table: pa.Table) -> bytes:
    """The table as an Arrow IPC stream, compressed where it is not small: names of series and times come again."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4" if table.num_rows >= _COMPRESSED_FROM else None)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def read_table(body: bytes) -> pa.Table:
    """The table in an Arrow IPC stream."""
    with pa.ipc.open_stream(body) as reader:
        return reader.read_all()
