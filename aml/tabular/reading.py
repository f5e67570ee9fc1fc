"""From the columns of a file or of a request to a `Table`, naming every row that cannot be used and why.

Training and both forms of request come through here. Whatever is looked at in a text (whether it is a number, one of
the categories, long enough) is looked at once for each distinct text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from aml.columns import InputError, parse_number, parse_time
from aml.contract import Column, DatasetContract, normalise
from aml.rows import Codes, Floats
from aml.tabular.table import Table, Texts

Bits = NDArray[np.bool_]
Times = NDArray[np.datetime64]
_NO_TIME = np.datetime64("NaT", "us")
# What statistics programs write where there is nothing; taken so where a column's empty fields are filled in.
_NOTHING = frozenset({"na", "n/a", "#n/a", "nan", "null", "none"})


@dataclass(frozen=True, eq=False)
class ParsedTable:
    """Every row that was there, in order; rows named in `problems` (position: why) hold placeholders.

    `classes` are the values of the target where it was asked for.
    """

    table: Table
    problems: Mapping[int, str]
    classes: Texts | None = None

    def usable(self) -> tuple[Table, NDArray[Any]]:
        """The rows without problems, and their classes, shape (n,); "" where they were not asked for."""
        keep = np.ones(len(self.table), dtype=bool)
        keep[list(self.problems)] = False
        table = self.table.take(keep)
        none = np.full(len(table), "")
        return table, none if self.classes is None else self.classes.take(keep).objects().astype(str)


def table_from_arrow(table: pa.Table, contract: DatasetContract, *, labelled: bool = False) -> ParsedTable:
    """The columns that the features need out of an Arrow table, whose columns go by canonical names or aliases.

    Args:
        labelled: read the target too, which must be there in every row.

    Raises:
        ContractError: a column is missing or ambiguous.
        InputError: ``wrong_type`` when a column's type can hold neither what the contract says nor text.
    """
    reader = _Reader(needed_of(contract.labelled() if labelled else contract), table.num_rows)
    found = reader.contract.resolve(table.column_names)
    needed = [*_needed(contract, found), *([contract.target] if labelled and contract.target else [])]
    try:
        for name in needed:
            if name in found:
                column = table.column(found[name])
                reader.add(name, column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)
    except pa.ArrowException as error:  # a type that converts in principle, and values that do not
        raise InputError("wrong_type", f"A column cannot be converted: {error}") from error
    return reader.done(labelled=labelled)


def table_from_columns(columns: Mapping[str, Sequence[object]], contract: DatasetContract, count: int) -> ParsedTable:
    """The same out of Python values, one sequence of `count` values per canonical name; those that are not there are
    missing."""
    reader = _Reader(contract, count)
    for name in _needed(contract, columns):
        if name in columns:
            reader.add(name, _arrow(columns[name], contract.column(name)))
    return reader.done(labelled=False)


def needed_of(contract: DatasetContract) -> DatasetContract:
    """The contract as models need it: a column that no feature reads may be left out, but for a required target."""
    needed = {*contract.inputs, contract.target}
    columns = (
        column if column.name in needed else column.model_copy(update={"required": False})
        for column in contract.columns
    )
    return contract.model_copy(update={"columns": tuple(columns)})


def _needed(contract: DatasetContract, there: Mapping[str, object]) -> list[str]:
    """What the features read, and what that follows from where it is not there itself."""
    names = dict.fromkeys(contract.inputs)
    for name in contract.inputs:
        source = contract.column(name).source
        if name not in there and source is not None:
            names |= dict.fromkeys(source.names)
    return list(names)


def _arrow(values: Sequence[object], column: Column) -> pa.Array:
    """Numbers stay numbers where all of them are; anything else becomes text, to be read like that of a file."""
    if column.type == "number" and all(isinstance(v, float) or v is None for v in values):
        return pa.array(values, pa.float64())
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    # half a surrogate pair, which JSON can spell, is no text that Arrow could hold
    return str(value).encode("utf-8", errors="replace").decode("utf-8")


@dataclass(eq=False)
class _Reader:
    """Reads columns and keeps the first problem of every row."""

    contract: DatasetContract
    count: int
    problems: dict[int, str] = field(default_factory=dict)
    numbers: dict[str, Floats] = field(default_factory=dict)
    texts: dict[str, Texts] = field(default_factory=dict)
    times: dict[str, Times] = field(default_factory=dict)

    def add(self, name: str, values: pa.Array) -> None:
        column = self.contract.column(name)
        if pa.types.is_null(values.type):  # as a writer leaves a column in which nothing is
            values = values.cast(pa.string())
        if column.type == "number":
            self.numbers[name] = self._bounded(column, self._numbers(column, values))
        elif column.type == "time":
            self.times[name] = self._times(column, values)
        else:
            self.texts[name] = self._texts(column, values)

    def done(self, *, labelled: bool) -> ParsedTable:
        target = self.contract.target
        classes = self.texts.pop(target) if labelled and target is not None else None
        for name in self.contract.inputs:
            self._follow(self.contract.column(name))
        table = Table(self.count, self.numbers, self.texts, self.times)
        return ParsedTable(table, self.problems, classes)

    def _follow(self, column: Column) -> None:
        """A column that is not there is what its expression says, or is missing in every row."""
        if column.name in self.numbers or column.name in self.texts or column.name in self.times:
            return
        source = column.source
        known = {**self.numbers, **self.times}
        if column.type == "text":
            self.texts[column.name] = Texts(np.full(self.count, -1, dtype=np.int64), ())
        elif column.type == "time":
            self.times[column.name] = np.full(self.count, _NO_TIME)
        elif source is not None and set(source.names) <= set(known):
            values = source.of(known)
            self._empty(column, np.isnan(values), f"cannot be worked out from {' and '.join(source.names)}")
            self.numbers[column.name] = self._bounded(column, values)
        else:
            self.numbers[column.name] = np.full(self.count, np.nan)

    def _numbers(self, column: Column, values: pa.Array) -> Floats:
        kind = values.type
        if _is_text(kind):
            return self._parsed(column, values, parse_number, np.nan).astype(np.float64)
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
            raise InputError("wrong_type", f"The column {column.name} holds {kind}, not numbers.")
        found = np.asarray(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
        self._empty(column, np.isnan(found))
        endless = np.isinf(found)
        if not endless.any():
            return found
        self._mark(column, endless, "is not a finite number")
        return np.where(endless, np.nan, found)

    def _times(self, column: Column, values: pa.Array) -> Times:
        kind = values.type
        if _is_text(kind):
            missing = int(_NO_TIME.astype(np.int64))
            return self._parsed(column, values, parse_time, missing).astype("datetime64[us]")
        if pa.types.is_timestamp(kind) and kind.tz is not None:
            values = pc.local_timestamp(values)
        elif not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
            raise InputError("wrong_type", f"The column {column.name} holds {kind}, not times.")
        self._empty(column, np.asarray(values.is_null()))
        finer = pa.types.is_timestamp(kind) and kind.unit == "ns"
        found = values.cast(pa.timestamp("us"), safe=not finer).to_numpy(zero_copy_only=False)
        return np.asarray(found, dtype="datetime64[us]")

    def _texts(self, column: Column, values: pa.Array) -> Texts:
        codes, distinct = _encoded(values.cast(pa.string()))
        trimmed = ["" if _is_nothing(column, text) else text.strip() for text in distinct]
        called = {normalise(name): name for name in column.categories}
        names = [called.get(normalise(text), text) if called else text for text in trimmed]
        if column.outside == "error":
            if called:
                unknown = np.array([bool(text) and normalise(text) not in called for text in trimmed], dtype=bool)
                self._mark_codes(column, codes, unknown, "is none of its categories")
            if column.length is not None:
                other = np.array([bool(text) and len(text) != column.length for text in trimmed], dtype=bool)
                self._mark_codes(column, codes, other, f"does not have {column.length} characters")
        known: dict[str, int] = {}
        places = [known.setdefault(name, len(known)) if name else -1 for name in names]
        found = np.array([*places, -1], dtype=np.int64)[codes]
        self._empty(column, found < 0)
        return Texts(found, tuple(known))

    def _parsed(
        self, column: Column, values: pa.Array, parse: Callable[[object], float | int], missing: float
    ) -> NDArray[Any]:
        """Texts read as something else, each distinct one once; what cannot be read is missing."""
        codes, distinct = _encoded(values)
        read = [missing] * (len(distinct) + 1)
        empty = np.zeros(len(distinct) + 1, dtype=bool)
        empty[-1] = True
        unreadable: dict[int, str] = {}
        for place, text in enumerate(distinct):
            if _is_nothing(column, text):
                empty[place] = True
                continue
            try:
                read[place] = parse(text)
            except ValueError as error:
                unreadable[place] = str(error)
        for position in np.flatnonzero(np.isin(codes, list(unreadable))) if unreadable else ():
            self.problems.setdefault(int(position), f"{column.name} {unreadable[int(codes[position])]}")
        self._empty(column, empty[codes])
        found: NDArray[Any] = np.array(read)[codes]
        return found

    def _bounded(self, column: Column, values: Floats) -> Floats:
        if column.outside == "error":
            if column.minimum is not None:
                self._mark(column, values < column.minimum, f"is below its minimum {column.minimum:g}")
            if column.maximum is not None:
                self._mark(column, values > column.maximum, f"is above its maximum {column.maximum:g}")
        return values

    def _empty(self, column: Column, where: Bits, why: str = "is empty") -> None:
        if not column.may_be_empty:
            self._mark(column, where, why)

    def _mark_codes(self, column: Column, codes: Codes, wrong: Bits, why: str) -> None:
        if wrong.any():
            self._mark(column, np.append(wrong, False)[codes], why)

    def _mark(self, column: Column, where: Bits, why: str) -> None:
        for position in np.flatnonzero(where):
            self.problems.setdefault(int(position), f"{column.name} {why}")


def _is_nothing(column: Column, text: str) -> bool:
    plain = text.strip().casefold()
    return not plain or (
        plain in _NOTHING
        and column.impute is not None
        and plain not in {normalise(category) for category in column.categories}
    )


def _is_text(kind: pa.DataType) -> bool:
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner))


def _encoded(texts: pa.Array) -> tuple[Codes, list[str]]:
    """Positions in the distinct texts, -1 where there is none."""
    encoded = texts if pa.types.is_dictionary(texts.type) else texts.dictionary_encode()
    codes = encoded.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    return np.asarray(codes, dtype=np.int64), encoded.dictionary.to_pylist()
