"""Rows of a file by series and time, for files that are out of order or in which many series take turns.

A request carries the context of every series in it. Where the rows of hundreds of meters are mixed, that is many times
the rows themselves; by series it is sent once for each. Memory stays bounded: rows are put aside in lots of whole
series, one lot at a time is sorted and scored, and the answers are put aside again until their rows come in the file.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from aml.contract import DatasetContract
from shared.scoring.context import Positions, one_series, row_schema, series_codes, stable_order, time_order
from shared.tables import CHUNK_BYTES, Survey
from shared.tables.spool import Spool

_LOT_ROWS = 250_000
"""About so many rows are sorted, or brought back into the order of the file, at once."""

_PLACE = "dropscore.place"
_EPOCH = datetime.fromisoformat("1970-01-01")


def is_grouped(found: Survey, contract: DatasetContract, chunk_rows: int) -> bool:
    """Whether a file is scored by series: it is out of order, or chunks of it would have more rows of context than of
    their own."""
    if not found.ordered:
        return True
    if found.series < 2 or not found.rows:
        return False
    chunk = min(chunk_rows, found.rows)
    in_a_chunk = min(found.series, 1 + chunk * found.turns // found.rows)
    return in_a_chunk > 1 and in_a_chunk * contract.context_rows > chunk


def way(found: Survey, contract: DatasetContract, chunk_rows: int) -> str:
    """Names in short how the rows are cut into batches, and their order: answers that were written down for others say
    nothing."""
    return "-by-series" if is_grouped(found, contract, chunk_rows) else f"-{CHUNK_BYTES}"


class Grouped:
    """A file's usable rows, added in its order and handed out in batches by series and time.

    Args:
        chunk_rows: of a batch at most, the context of all series in it but one counted with its rows.
        lot_rows: see `_LOT_ROWS`.
    """

    def __init__(self, found: Survey, contract: DatasetContract, chunk_rows: int, lot_rows: int = _LOT_ROWS) -> None:
        self._contract, self._chunk_rows, self._lot_rows = contract, chunk_rows, lot_rows
        self._lots = max(1, min(found.series, -(-found.rows // lot_rows)))
        self._span = (_micros(found.first_time), _micros(found.last_time))
        self._schema = row_schema(contract).append(pa.field(_PLACE, pa.int64()))
        self._spool = Spool(self._schema)
        self._added = 0

    def add(self, rows: pa.Table) -> None:
        """The next rows of the file, of the contract's columns."""
        places = pa.array(np.arange(self._added, self._added + rows.num_rows))
        self._added += rows.num_rows
        self._put(self._spool, rows.append_column(self._schema.field(_PLACE), places), self._by_series(rows))

    def batches(self) -> Iterator[tuple[Positions, pa.Table]]:
        """All rows, in time order within each series; with each batch its rows' positions in the file."""
        with self._spool:
            for lot in self._spool.lots:
                if self._spool.rows(lot) <= 2 * self._lot_rows:
                    yield from self._sorted(self._spool.take(lot))
                else:
                    yield from self._by_time(lot)

    def _by_time(self, lot: int) -> Iterator[tuple[Positions, pa.Table]]:
        """A lot that is too large, as one series may be: cut by time first."""
        count = -(-self._spool.rows(lot) // self._lot_rows)
        first, last = self._span
        with Spool(self._schema, 0) as cut:
            for part in self._spool.take(lot).to_batches(max_chunksize=self._lot_rows):
                rows = pa.Table.from_batches([part])
                times = _times(rows, self._contract) - first
                self._put(cut, rows, times // ((last - first) // count + 1))
            for each in cut.lots:
                yield from self._sorted(cut.take(each))

    def _sorted(self, rows: pa.Table) -> Iterator[tuple[Positions, pa.Table]]:
        rows = rows.take(pa.array(time_order(rows, self._contract)))
        places = rows.column(_PLACE).to_numpy()
        rows = rows.drop_columns([_PLACE])
        weight = np.arange(rows.num_rows)
        if self._contract.series is not None and not one_series(rows, self._contract):
            codes = series_codes(rows, self._contract.series)
            weight = weight + self._contract.context_rows * np.cumsum(np.append([False], codes[1:] != codes[:-1]))
        start = 0
        while start < rows.num_rows:
            stop = int(np.searchsorted(weight, weight[start] + self._chunk_rows))
            yield places[start:stop], rows.slice(start, stop - start)
            start = stop

    def _by_series(self, rows: pa.Table) -> NDArray[np.int64]:
        if self._lots == 1 or self._contract.series is None:
            return np.zeros(rows.num_rows, np.int64)
        coded = rows.column(self._contract.series).combine_chunks().dictionary_encode()
        lots = [zlib.crc32(name.encode()) % self._lots for name in coded.dictionary.to_pylist()]
        found: NDArray[np.int64] = np.array([*lots, 0], np.int64)[np.asarray(coded.indices.fill_null(-1))]
        return found

    def _put(self, spool: Spool, rows: pa.Table, lots: NDArray[np.int64]) -> None:
        _put(spool, _one_batch(rows), lots)


class Scattered:
    """Answers, added in the order of scoring and read in the order of the file."""

    def __init__(self, schema: pa.Schema, lot_rows: int = _LOT_ROWS) -> None:
        self._schema, self._lot_rows = schema.append(pa.field(_PLACE, pa.int64())), lot_rows
        self._spool = Spool(self._schema)
        self._next = schema.empty_table()

    def add(self, places: Positions, answers: pa.Table) -> None:
        """Answers, and the positions of their rows among the usable ones of the file."""
        batch = _one_batch(answers.append_column(self._schema.field(_PLACE), pa.array(places)))
        _put(self._spool, batch, places // self._lot_rows)

    def read(self, count: int) -> pa.Table:
        """The answers for the next rows of the file, of which there must be so many."""
        while self._next.num_rows < count:
            lot = self._spool.take(self._spool.lots[0])
            lot = lot.take(pc.sort_indices(lot.column(_PLACE))).drop_columns([_PLACE])
            self._next = pa.concat_tables([self._next, lot])
        found, self._next = self._next.slice(0, count), self._next.slice(count)
        return found

    def close(self) -> None:
        """Gives back what it holds."""
        self._spool.close()


def _put(spool: Spool, batch: pa.RecordBatch, lots: NDArray[np.int64]) -> None:
    """Puts each row into its lot."""
    if not len(lots) or lots[0] == lots[-1] == lots.min() == lots.max():
        spool.add(int(lots[0]) if len(lots) else 0, batch)
        return
    order = stable_order(lots)
    batch, lots = batch.take(pa.array(order)), lots[order]
    begins = np.flatnonzero(np.append([True], lots[1:] != lots[:-1]))
    for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(lots)], strict=True):
        spool.add(int(lots[begin]), batch.slice(begin, end - begin))


def _one_batch(rows: pa.Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([column.combine_chunks() for column in rows.columns], schema=rows.schema)


def _times(rows: pa.Table, contract: DatasetContract) -> NDArray[np.int64]:
    times: NDArray[np.int64] = rows.column(contract.time).to_numpy().astype("datetime64[us]").astype(np.int64)
    return times


def _micros(moment: datetime | None) -> int:
    if moment is None:
        return 0
    return round((moment - _EPOCH).total_seconds() * 1_000_000)
