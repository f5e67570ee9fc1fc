"""The tails of several files as one history: rows in time order, and how far back or ahead it reaches."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from aml.contract import DatasetContract
from shared.scoring.context import no_rows, series_codes, time_order
from shared.scoring.tails import tokens

Times = dict[str, datetime]
"""A time for each series, by its token."""


def merged(found: Sequence[tuple[str, pa.Table]], contract: DatasetContract) -> pa.Table:
    """The rows of several files in time order within each series; of rows of one series and time those of the file that
    came last. Each file goes by the id of its run."""
    if not found:
        return no_rows(contract)
    arrived = sorted(found, key=itemgetter(0))
    rows = pa.concat_tables([each for _, each in arrived])
    order = time_order(rows, contract)
    arrival = np.repeat(np.arange(len(arrived)), [each.num_rows for _, each in arrived])[order]
    rows = rows.take(pa.array(order))
    ends = np.flatnonzero(_last_of_time(rows, contract))
    lasts = np.repeat(arrival[ends], np.diff(ends, prepend=-1))
    keep = arrival == lasts
    return rows if keep.all() else rows.filter(pa.array(keep))


def reach(rows: pa.Table, contract: DatasetContract) -> Times:
    """Of every series with a whole context in `rows` (as `merged` gives them), the time of the context's oldest row."""
    begins, ends = _spans(rows, contract)
    whole = ends - begins >= contract.context_rows
    return _told(rows, ends[whole] - contract.context_rows, contract)


def cutoff(rows: pa.Table, contract: DatasetContract) -> Times:
    """Of every series with a whole context in `rows`, the time from which on nothing older is context of anything."""
    rows = rows.take(pa.array(time_order(rows, contract)))
    rows = rows.filter(pa.array(_last_of_time(rows, contract)))
    begins, ends = _spans(rows, contract)
    whole = ends - begins >= contract.context_rows
    return _told(rows, begins[whole] + contract.context_rows - 1, contract)


def missing(rows: pa.Table, wanted: int | None, contract: DatasetContract) -> int:
    """How many rows the series with the fewest still lacks for a whole context; `wanted`: so many should be there."""
    begins, ends = _spans(rows, contract)
    if not len(begins) or len(begins) < (wanted or 0):
        return contract.context_rows
    return max(contract.context_rows - int((ends - begins).min()), 0)


def series_in(rows: pa.Table, contract: DatasetContract) -> int:
    """How many series the rows, which lie by series, have."""
    return len(_spans(rows, contract)[0])


def _last_of_time(rows: pa.Table, contract: DatasetContract) -> NDArray[np.bool_]:
    """Which rows are the last ones of their series and time; the rows are in that order."""
    times = rows.column(contract.time).to_numpy()
    differs = times[1:] != times[:-1]
    if contract.series is not None:
        codes = series_codes(rows, contract.series)
        differs = differs | (codes[1:] != codes[:-1])
    return np.append(differs, [True] * bool(len(times)))


def _spans(rows: pa.Table, contract: DatasetContract) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each series begins and where it ends, in rows that lie by series."""
    if contract.series is None or rows.num_rows == 0:
        return np.zeros(min(rows.num_rows, 1), np.int64), np.full(min(rows.num_rows, 1), rows.num_rows)
    codes = series_codes(rows, contract.series)
    begins = np.flatnonzero(np.append([True], codes[1:] != codes[:-1]))
    return begins, np.append(begins[1:], len(codes))


def _told(rows: pa.Table, at: NDArray[np.int64], contract: DatasetContract) -> Times:
    found = rows.take(pa.array(at, pa.int64()))
    names = [None] * len(at) if contract.series is None else found.column(contract.series).to_pylist()
    times: list[datetime] = found.column(contract.time).to_pylist()
    return {token: time for name, time in zip(names, times, strict=True) for token in tokens([name])}


def older(rows: pa.Table, moment: datetime, contract: DatasetContract) -> tuple[pa.Table, pa.Table]:
    """The rows before that moment, and the others."""
    times = rows.column(contract.time)
    before = pc.less(times, pa.scalar(moment, times.type))
    return rows.filter(before), rows.filter(pc.invert(before))
