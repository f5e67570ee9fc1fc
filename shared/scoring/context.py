"""Context rows: the rows of a series just before a row, which the features of a model over time depend on.

Between the requests of one file they come from the file; before its first row from the history of the dataset: the
tails of the training data and of the files that were scored before, chosen by event time and not by arrival.
"""

from __future__ import annotations

import hashlib
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
"""How many earlier files are opened, newest first, to find a file's context: many, for a file may hold few meters."""


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
        """The last `context_rows` rows of each series before `first`; of equal times the later file's."""
        found = no_rows(contract)
        if contract.context_rows == 0:
            return found
        names = [info.name for info in self._blobs.list_blobs(STATE, _folder(contract))]
        earlier = [name for name in sorted(names, reverse=True) if name < f"{_folder(contract)}{_stamp(first)}"]
        for name in islice(earlier, _TAILS_LOOKED_AT):
            try:
                rows = read_table(self._blobs.get(STATE, name)[0])
            except NotFoundError:
                continue  # its file was scored again meanwhile and its tail now lies under another name
            rows = conform(rows, contract)
            found = pa.concat_tables([rows.filter(pc.less(rows.column(contract.time), first)), found])
            if found.num_rows >= contract.context_rows and _one_series(found, contract):
                break
        found = _without_repeats(found.take(pa.array(time_order(found, contract))), contract)
        return tail(found, contract)


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
