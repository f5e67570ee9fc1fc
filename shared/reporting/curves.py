"""What a plot of a file needs, gathered while its rows come by: of each meter and stretch of time the extremes.

The file's time is divided into equal buckets, of which each keeps least and greatest of value, expected range and
flagged value; a bucket of one row shows that row. Extremes add up in any order, so that the curves of the parts of a
file, or of its chunks, are those of the file. Memory is bounded: the more meters, the wider the buckets, and of very
many meters there is no plot.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from aml.contract import DatasetContract
from shared.scoring.context import one_series
from shared.scoring.scorer import Scored
from shared.tables import Survey

BUCKETS = 1024
"""Of a file of up to `_FULL` meters; halved for each doubling of them."""

_FULL = 128
_LEAST_BUCKETS = 128
_EPOCH = datetime.fromisoformat("1970-01-01")

LINES = ("value_low", "value_high", "lower", "upper", "expected_low", "expected_high", "flagged_low", "flagged_high")
_LOW = np.array([True, False, True, False, True, False, True, False])

Floats = NDArray[np.float64]


@dataclass
class Curves:
    """The lines of each meter of one file, as far as its rows came by.

    Attributes:
        first, last: least and greatest time of the whole file, microseconds since 1970 by the series' own clock.
        places: which slot of `lines` a meter has.
        lines: shape (slots, 8, buckets), NaN where there is nothing; the second axis is `LINES`.
        too_many: there are more meters than are ever plotted; nothing is kept then.
    """

    contract: DatasetContract
    first: int
    last: int
    places: dict[str | None, int] = field(default_factory=dict)
    lines: Floats = field(default_factory=lambda: np.full((1, len(LINES), BUCKETS), np.nan))
    too_many: bool = False

    @classmethod
    def of(cls, found: Survey, contract: DatasetContract) -> Self:
        """Nothing yet, of a surveyed file or of a part of it."""
        first, last = found.first_time or _EPOCH, found.last_time or _EPOCH
        return cls(contract, _microseconds(first), _microseconds(last))

    @property
    def buckets(self) -> int:
        """How many there are."""
        return int(self.lines.shape[2])

    def times(self) -> Floats:
        """The middle of each bucket, in microseconds since 1970."""
        width = self._width * BUCKETS // self.buckets
        return np.asarray(self.first + width * (np.arange(self.buckets) + 0.5), dtype=np.float64)

    @property
    def _width(self) -> int:
        """Of a bucket while they are at their narrowest."""
        return -(-(self.last - self.first + 1) // BUCKETS)

    def add(self, rows: pa.Table, scored: Scored) -> None:
        """Takes rows into account, which come in time order within each series, and the answers to them."""
        if self.too_many or rows.num_rows == 0:
            return
        names, codes = _meters(rows, self.contract)
        self._know(names)
        if self.too_many:
            return
        slot = np.array([self.places[name] for name in names])[codes]
        time = np.asarray(rows.column(self.contract.time_column).cast(pa.int64()))
        bucket = (time - self.first) // self._width * self.buckets // BUCKETS
        cell = slot * self.buckets + bucket
        if len(names) > 1:
            order = np.argsort(cell, kind="stable")
            cell = cell[order]
        starts = np.flatnonzero(np.r_[True, cell[1:] != cell[:-1]])
        slot, bucket = np.divmod(cell[starts], self.buckets)
        for line, values in enumerate(self._values(rows, scored)):
            least = np.fmin if _LOW[line] else np.fmax
            values = values if len(names) == 1 else values[order]
            here = self.lines[:, line, :]
            here[slot, bucket] = least(here[slot, bucket], least.reduceat(values, starts))

    def _values(self, rows: pa.Table, scored: Scored) -> list[Floats]:
        """What each of `LINES` takes from the rows; refused rows have neither a flag nor an expected value."""
        value = _numbers(rows, self.contract.value_column)
        expected = _numbers(scored.predictions, "expected")
        flagged = np.where(_numbers(scored.predictions, "anomaly") == 1, value, np.nan)
        lower, upper = _numbers(scored.predictions, "lower"), _numbers(scored.predictions, "upper")
        return [value, value, lower, upper, expected, expected, flagged, flagged]

    def _know(self, names: Iterable[str | None]) -> None:
        """Slots for these meters too, in buckets as narrow as the number of all of them allows."""
        for name in names:
            self.places.setdefault(name, len(self.places))
        meters, slots = len(self.places), len(self.lines)
        buckets = BUCKETS >> ((meters - 1) // _FULL).bit_length()
        if buckets < _LEAST_BUCKETS:
            self.too_many, self.lines = True, self.lines[:0]
            self.places.clear()
            return
        self._widen(buckets)
        if meters > slots:
            more = np.full((max(slots, meters - slots), len(LINES), self.buckets), np.nan)
            self.lines = np.concatenate([self.lines, more])

    def _widen(self, buckets: int) -> None:
        while self.buckets > buckets:
            pairs = self.lines.reshape(len(self.lines), len(LINES), -1, 2)
            low, high = np.fmin(pairs[..., 0], pairs[..., 1]), np.fmax(pairs[..., 0], pairs[..., 1])
            self.lines = np.where(_LOW[None, :, None], low, high)

    def merge(self, other: Curves) -> Curves:
        """The curves of both, which are of the same file; `self` is used up."""
        if self.too_many or other.too_many:
            return self if self.too_many else other
        if not other.places:
            return self
        self._know(other.places)
        if self.too_many:
            return self
        theirs = replace(other)
        theirs._widen(self.buckets)
        for name, place in other.places.items():
            mine, new = self.lines[self.places[name]], theirs.lines[place]
            self.lines[self.places[name]] = np.where(_LOW[:, None], np.fmin(mine, new), np.fmax(mine, new))
        return self

    def of_meter(self, name: str | None) -> dict[str, Floats]:
        """The lines of one meter, by name; NaN throughout where it has no row."""
        place = self.places.get(name)
        nothing = np.full((len(LINES), self.buckets), np.nan)
        return dict(zip(LINES, nothing if place is None else self.lines[place], strict=True))

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` reads it."""
        names = sorted(self.places, key=lambda name: self.places[name])
        lines = self.lines[: len(names)]
        slot, bucket = np.nonzero(~np.isnan(lines[:, 0, :]))
        columns = {"slot": slot.astype(np.int32), "bucket": bucket.astype(np.int32)}
        columns |= {name: lines[slot, line, bucket] for line, name in enumerate(LINES)}
        sink, table = pa.BufferOutputStream(), pa.table(columns)
        with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
            writer.write_table(table)
        cells = base64.b64encode(sink.getvalue().to_pybytes()).decode()
        about = {"first": self.first, "last": self.last, "buckets": self.buckets, "too_many": self.too_many}
        return {**about, "names": names, "cells": cells}

    @classmethod
    def from_dict(cls, known: Mapping[str, Any], contract: DatasetContract) -> Self:
        """See `as_dict`."""
        names = known["names"]
        lines = np.full((0 if known["too_many"] else max(1, len(names)), len(LINES), known["buckets"]), np.nan)
        with pa.ipc.open_stream(base64.b64decode(known["cells"])) as reader:
            cells = reader.read_all()
        slot, bucket = cells.column("slot").to_numpy(), cells.column("bucket").to_numpy()
        for line, name in enumerate(LINES):
            lines[slot, line, bucket] = cells.column(name).to_numpy()
        places = {name: place for place, name in enumerate(names)}
        return cls(contract, known["first"], known["last"], places, lines, known["too_many"])


def _meters(rows: pa.Table, contract: DatasetContract) -> tuple[list[str | None], NDArray[np.int64]]:
    """The meters of the rows, and which of them each row belongs to."""
    if one_series(rows, contract):
        return [None], np.zeros(rows.num_rows, np.int64)
    column = rows.column(contract.series).combine_chunks().dictionary_encode("encode")
    return column.dictionary.to_pylist(), np.asarray(column.indices).astype(np.int64)


def _numbers(table: pa.Table, name: str) -> Floats:
    """A column as numbers; NaN where there is nothing, throughout where there is no such column."""
    if name not in table.schema.names:
        return np.full(table.num_rows, np.nan)
    return np.asarray(table.column(name).cast(pa.float64()).to_numpy(), dtype=np.float64)


def _microseconds(time: datetime) -> int:
    return int(np.datetime64(time, "us").astype(np.int64))
