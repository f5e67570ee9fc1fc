"""What comes before the next rows of a table: of each series the last rows so far, and history where a series begins.

What is kept lies by series, so that a batch costs what its own series take, however many the table has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from aml.contract import DatasetContract
from shared.scoring.context import conform, no_rows, one_series, row_schema, series_codes, stable_order

Series = Mapping[str | None, pa.RecordBatch]
"""Rows by their series, in order."""


@dataclass(frozen=True)
class Preceding:
    """What comes before the next batch of a table; a value, of which `then` makes the next one.

    Attributes:
        contract: of the dataset.
        history: rows known from elsewhere, in time order within each series, of any time.
        lasts: the last rows of the table so far, as many of each series as a context takes.
    """

    contract: DatasetContract
    history: Series
    lasts: Series

    @classmethod
    def first(cls, history: pa.Table, contract: DatasetContract) -> Preceding:
        """What comes before the first batch of a table."""
        return cls(contract, by_series(conform(history, contract), contract), {})

    @property
    def seen(self) -> frozenset[str | None]:
        """The series that the table has had so far."""
        return frozenset(self.lasts)

    @cached_property
    def latest(self) -> pa.Table:
        """All of the table's last rows."""
        return pa.Table.from_batches(self.lasts.values(), row_schema(self.contract))

    def context(self, rows: pa.Table) -> pa.Table:
        """The context of a batch; of the history only what is older than the batch's first row of the same series."""
        if self.contract.context_rows == 0 or not (self.history or self.lasts):
            return no_rows(self.contract)
        found = [self._before(name, own) for name, own in by_series(rows, self.contract).items()]
        return pa.Table.from_batches([each for each in found if each is not None], row_schema(self.contract))

    def then(self, rows: pa.Table) -> Preceding:
        """What comes before the batch after `rows`."""
        if self.contract.context_rows == 0:
            return self  # rows that stand for themselves leave nothing behind
        wanted, lasts = self.contract.context_rows, dict(self.lasts)
        for name, own in by_series(rows, self.contract).items():
            before = self._before(name, own) if own.num_rows < wanted else None
            own = own.slice(max(own.num_rows - wanted, 0))
            if before is None:
                lasts[name] = own.take(pa.array(np.arange(own.num_rows)))  # a slice would hold on to all of the batch
            else:
                short = wanted - own.num_rows
                lasts[name] = pa.concat_batches([before.slice(max(before.num_rows - short, 0)), own])
        return Preceding(self.contract, self.history, lasts)

    def _before(self, name: str | None, own: pa.RecordBatch) -> pa.RecordBatch | None:
        """What comes before the batch's rows of one series."""
        if name in self.lasts:
            return self.lasts[name]
        known = self.history.get(name)
        if known is None:
            return None
        first = own.column(self.contract.time)[0].value
        times = np.asarray(known.column(self.contract.time)).astype("datetime64[us]").astype(np.int64)
        end = int(np.searchsorted(times, first))
        begin = max(end - self.contract.context_rows, 0)
        return known.slice(begin, end - begin) if end else None


def by_series(rows: pa.Table, contract: DatasetContract) -> dict[str | None, pa.RecordBatch]:
    """The rows of each series that occurs in a table of the contract's columns, in the table's order."""
    if rows.num_rows == 0:
        return {}
    if contract.series is None or one_series(rows, contract):
        return {None: _batch(rows)}
    codes = series_codes(rows, contract.series)
    order = stable_order(codes)
    codes = codes[order]
    begins = np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]]))
    sorted_rows = _batch(rows.take(pa.array(order)) if len(begins) > 1 else rows)
    names = sorted_rows.column(contract.series)
    ends = np.append(begins[1:], len(codes))
    return {
        names[begin].as_py(): sorted_rows.slice(begin, end - begin)
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
    }


def _batch(rows: pa.Table) -> pa.RecordBatch:
    """At least one row; of rows in one piece nothing is copied, as `ChunkedArray.combine_chunks` would."""
    (batch,) = rows.combine_chunks().to_batches()
    return batch
