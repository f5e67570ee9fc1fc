"""From the columns of a file or of a request to `Rows`, naming every row that cannot be used and why.

Training and both forms of request come through here, so that a text is read as the same number everywhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from aml.contract import Column, DatasetContract
from aml.contract.labels import UNLABELLED, label_of
from aml.labels import labels_of
from aml.rows import Codes, Floats, Labels, Rows, Times

_T = TypeVar("_T")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - times are the series' own clock, without a zone
_MICROSECOND = timedelta(microseconds=1)


class InputError(Exception):
    """A file or a request cannot be used.

    Attributes:
        code: stable identifier, the same on stderr of the training job and in the endpoint's answers.
        message: one line of words that says what is wrong.
        row: the row at fault, counted from 1, where it is one row.
    """

    def __init__(self, code: str, message: str, row: int | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.row = row


@dataclass(frozen=True, eq=False)
class Parsed:
    """Every row that was there, in order; rows named in `problems` (position: why) hold placeholders."""

    rows: Rows
    problems: Mapping[int, str]

    def usable(self) -> Rows:
        """The rows without problems."""
        keep = np.ones(len(self.rows), dtype=bool)
        keep[list(self.problems)] = False
        return self.rows.take(keep)


def parse_time(value: object) -> int:
    """Microseconds since 1970 of an ISO 8601 text; a zone is dropped, because features are about the local clock.

    Raises:
        ValueError: with words that continue "<column> ...".
    """
    if value is None or value == "":
        raise ValueError("is empty")
    if isinstance(value, str):
        try:
            return (datetime.fromisoformat(value.strip()).replace(tzinfo=None) - _EPOCH) // _MICROSECOND
        except ValueError:
            pass
    raise ValueError(f"is not a time: {_shown(value)}; write it like 2024-01-31 13:00:00")


def parse_number(value: object) -> float:
    """A finite number, from a number or from a text with a decimal point or comma (and no thousands separator).

    Raises:
        ValueError: with words that continue "<column> ...".
    """
    if value is None or value == "":
        raise ValueError("is empty")
    number = math.nan
    if isinstance(value, str) and _NUMBER.fullmatch(text := value.strip()):
        number = float(text.replace(",", "."))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    if math.isnan(number):
        raise ValueError(f"is not a number: {_shown(value)}")
    if math.isinf(number):
        raise ValueError(f"is not a finite number: {_shown(value)}")
    return number


def rows_from_columns(columns: Mapping[str, Sequence[object]], contract: DatasetContract, count: int) -> Parsed:
    """Rows from Python values, one sequence of `count` values per canonical name; optional columns may be missing."""
    reader = _Reader(contract)
    time = np.array(reader.each(contract.time_column, columns[contract.time_column], parse_time, 0), dtype=np.int64)
    name = contract.value_column
    value = np.array(reader.each(name, columns[name], parse_number, 0.0), dtype=np.float64)
    names = columns.get(contract.series) if contract.series is not None else None
    if names is not None:
        reader.categories(pa.array(["" if name is None else str(name) for name in names], pa.string()))
    series, called = _codes(names) if names is not None else (np.zeros(count, dtype=np.int64), ("",))
    outside = [
        np.array(reader.each(name, columns.get(name, [None] * count), _number_or_nothing, 0.0), dtype=np.float64)
        for name in contract.exogenous
    ]
    said = columns.get(contract.label) if contract.label is not None else None
    label = None if said is None else np.array([label_of(each) for each in said], dtype=np.int8)
    return reader.done(Rows(time, value, series, called, _side_by_side(outside), _readable(label)))


def rows_from_table(table: pa.Table, contract: DatasetContract) -> Parsed:
    """Rows from an Arrow table whose columns go by canonical names or aliases; columns of other names are ignored.

    Raises:
        ContractError: a column is missing or ambiguous.
        InputError: ``wrong_type`` when a column's type can hold neither what the contract says nor text.
    """
    found = contract.resolve(table.column_names)
    reader = _Reader(contract)
    series = np.zeros(table.num_rows, dtype=np.int64)
    called: tuple[str, ...] = ("",)
    try:
        time = reader.times(contract.time_column, table.column(found[contract.time_column]))
        value = reader.numbers(contract.value_column, table.column(found[contract.value_column]))
        if contract.series in found:
            names = table.column(found[contract.series]).cast(pa.string()).fill_null("")
            reader.categories(names)
            series, called = _codes_of_arrow(names)
        nothing = np.full(table.num_rows, np.nan)
        outside = [
            reader.numbers(name, table.column(found[name]), may_miss=True) if name in found else nothing
            for name in contract.exogenous
        ]
        label = labels_of(table.column(found[contract.label])) if contract.label in found else None
    except pa.ArrowException as error:  # a type that converts in principle, and values that do not
        raise InputError("wrong_type", f"A column cannot be converted: {error}") from error
    return reader.done(Rows(time, value, series, called, _side_by_side(outside), _readable(label)))


@dataclass(eq=False)
class _Reader:
    """Reads columns and keeps the first problem of every row."""

    contract: DatasetContract
    problems: dict[int, str] = field(default_factory=dict)

    def each(self, name: str, values: Sequence[object], parse: Callable[[object], _T], fill: _T) -> list[_T]:
        """Read value by value."""
        read: list[_T] = []
        for position, value in enumerate(values):
            try:
                read.append(parse(value))
            except ValueError as error:
                self.problems.setdefault(position, f"{name} {error}")
                read.append(fill)
        return read

    def times(self, name: str, column: pa.ChunkedArray) -> Times:
        kind = column.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return np.array(self.each(name, column.to_pylist(), parse_time, 0), dtype=np.int64)
        if pa.types.is_timestamp(kind) and kind.tz is not None:
            column = pc.local_timestamp(column)
        elif not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
            raise InputError("wrong_type", f"The column {name} holds {kind}, not times.")
        self._mark(name, column.is_null().to_numpy(), "is empty")
        finer = pa.types.is_timestamp(kind) and kind.unit == "ns"  # cut off below a microsecond; overflow is refused
        microseconds = column.cast(pa.timestamp("us"), safe=not finer).cast(pa.int64()).fill_null(0)
        return np.asarray(microseconds.to_numpy(), dtype=np.int64)

    def numbers(self, name: str, column: pa.ChunkedArray, *, may_miss: bool = False) -> Floats:
        """Finite numbers; NaN where they are missing and may be."""
        kind = column.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            read = _number_or_nothing if may_miss else parse_number
            return np.array(self.each(name, column.to_pylist(), read, 0.0), dtype=np.float64)
        if may_miss and pa.types.is_null(kind):
            return np.full(len(column), np.nan)
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
            raise InputError("wrong_type", f"The column {name} holds {kind}, not numbers.")
        empty = column.is_null().to_numpy()
        value = np.asarray(column.cast(pa.float64(), safe=False).fill_null(0.0).to_numpy(), dtype=np.float64)
        if may_miss:
            value = np.where(empty, np.nan, value)
            endless = np.isinf(value)
        else:
            self._mark(name, empty, "is empty")
            endless = ~np.isfinite(value)
        if not endless.any():
            return value
        self._mark(name, endless, "is not a finite number")
        return np.where(endless, 0.0, value)

    def categories(self, names: pa.Array | pa.ChunkedArray) -> None:
        """Every series that is named must be one of its column's categories, where that declares any."""
        column = self.contract.column(self.contract.series or "")
        if column.categories and column.outside == "error":
            known = pc.is_in(pc.utf8_trim_whitespace(names), value_set=pa.array(["", *column.categories]))
            self._mark(column.name, ~np.asarray(known.to_numpy(zero_copy_only=False)), "is none of its categories")

    def done(self, rows: Rows) -> Parsed:
        self._bounds(self.contract.column(self.contract.value_column), rows.value)
        for position, name in enumerate(self.contract.exogenous):
            if rows.outside is not None:
                self._bounds(self.contract.column(name), rows.outside[:, position])
        return Parsed(rows, self.problems)

    def _bounds(self, column: Column, value: Floats) -> None:
        if column.outside != "error":  # the app tells of it, and the row is scored
            return
        if column.minimum is not None:
            self._mark(column.name, value < column.minimum, f"is below its minimum {column.minimum:g}")
        if column.maximum is not None:
            self._mark(column.name, value > column.maximum, f"is above its maximum {column.maximum:g}")

    def _mark(self, name: str, where: NDArray[np.bool_], why: str) -> None:
        for position in np.flatnonzero(where):
            self.problems.setdefault(int(position), f"{name} {why}")


def _number_or_nothing(value: object) -> float:
    """As `parse_number`; NaN where there is none."""
    if value is None or (isinstance(value, str) and not value.strip()) or (isinstance(value, float) and value != value):
        return math.nan
    return parse_number(value)


def _side_by_side(outside: Sequence[Floats]) -> Floats | None:
    return np.stack(outside, axis=1) if outside else None


def _readable(label: Labels | None) -> Labels | None:
    """What cannot be read says nothing; the check before training tells of it."""
    return None if label is None else np.maximum(label, UNLABELLED).astype(np.int8)


def _codes(names: Sequence[object]) -> tuple[Codes, tuple[str, ...]]:
    """A number for every name, by first appearance, and the names; a missing name is the empty one."""
    known: dict[str, int] = {}
    codes = [known.setdefault("" if name is None else str(name), len(known)) for name in names]
    return np.array(codes, dtype=np.int64), tuple(known)


def _codes_of_arrow(text: pa.ChunkedArray) -> tuple[Codes, tuple[str, ...]]:
    if text.num_chunks == 0:
        return np.zeros(0, dtype=np.int64), ()
    encoded = text.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0)
    codes = np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)
    return codes, tuple(encoded.dictionary.to_pylist())


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
