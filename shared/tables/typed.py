"""Text rows as the typed columns of a contract, and why a row cannot be used; for survey and reading alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from aml.contract import Column, DatasetContract
from shared.tables.cells import Cells, Rows
from shared.tables.kept import Understood
from shared.tables.model import Dialect, Flaws
from shared.tables.numbers import Verdict, read_numbers
from shared.tables.shapes import Shaped, shape
from shared.tables.times import Moments, settle, take_apart

_SHOWN = 60
_ARROW = {"time": pa.timestamp("us"), "number": pa.float64(), "text": pa.string()}


@dataclass
class TextColumn:
    """One contract column of some rows, as Arrow strings, with what is dear to find out twice."""

    column: Column
    texts: Any
    shaped: Shaped | None = None
    moments: Moments | None = None


@dataclass
class TypedRows:
    """Rows in types.

    Attributes:
        values: per canonical name microseconds since 1970, float64 or Arrow text; void where `usable` is False.
        missing: per canonical name which optional fields are empty.
        usable: shape (rows,).
        problems: by position of the row, why it cannot be used.
        flaws: by canonical name, of the columns that have any.
    """

    values: dict[str, Any]
    missing: dict[str, NDArray[np.bool_]]
    usable: NDArray[np.bool_]
    problems: dict[int, str]
    flaws: dict[str, Flaws] = field(default_factory=dict)


def text_columns(rows: Rows | Cells, positions: Mapping[str, int], contract: DatasetContract) -> list[TextColumn]:
    """The contract's columns of these rows, shaped."""
    columns = []
    for name, texts in zip(positions, rows.columns(list(positions.values())), strict=True):
        column = TextColumn(contract.column(name), texts)
        if column.column.type != "text":
            column.shaped = shape(column.texts)
        if column.column.type == "time" and column.shaped is not None:
            column.moments = take_apart(column.shaped)
        columns.append(column)
    return columns


def typed(columns: Iterable[TextColumn], dialect: Dialect, size: int) -> TypedRows:
    """Read `size` rows under a settled dialect."""
    rows = TypedRows({}, {}, np.ones(size, np.bool_), {})
    for text in columns:
        if text.moments is not None:
            _add_times(rows, text, text.moments, dialect)
        elif text.shaped is not None:
            _add_numbers(rows, text, text.shaped, dialect)
        else:
            _add_text(rows, text)
    return rows


def batch_of(rows: TypedRows, positions: Mapping[str, int], contract: DatasetContract) -> pa.RecordBatch:
    """The usable rows as Arrow columns, named canonically; an empty optional field is null."""
    everything = bool(rows.usable.all())
    names, arrays = [], []
    for name in positions:
        kind = _ARROW[contract.column(name).type]
        values = rows.values[name]
        mask = rows.missing[name]
        if isinstance(values, np.ndarray):
            array = pa.array(values, mask=mask).cast(kind)
        else:
            array = pc.if_else(pa.array(mask), None, values) if mask.any() else values
        names.append(name)
        arrays.append(array if everything else array.filter(pa.array(rows.usable)))
    return pa.RecordBatch.from_arrays(arrays, names=names)


def understand(
    columns: Iterable[TextColumn], dialect: Dialect, size: int, positions: Mapping[str, int], contract: DatasetContract
) -> Understood:
    """Read `size` rows under a settled dialect, and keep of them what is passed on."""
    rows = typed(columns, dialect, size)
    return Understood(batch_of(rows, positions, contract), rows.usable, rows.problems, rows.flaws)


def _add_times(rows: TypedRows, text: TextColumn, moments: Moments, dialect: Dialect) -> None:
    name = text.column.name
    micros, sound = settle(moments, dialect.times[name].day_first)
    rows.values[name] = micros
    rows.missing[name] = _blame(rows, text, np.flatnonzero(~sound).tolist(), lambda _: "is not a time")


def _add_numbers(rows: TypedRows, text: TextColumn, shaped: Shaped, dialect: Dialect) -> None:
    column = text.column
    values, verdicts = read_numbers(shaped, dialect.decimal, dialect.thousands)
    rows.values[column.name] = values
    rows.missing[column.name] = _blame(rows, text, sorted(verdicts), lambda at: verdicts[at].value)
    for bound, outside, word in (
        (column.minimum, np.less, "below"),
        (column.maximum, np.greater, "above"),
    ):
        if bound is not None:
            beyond = np.flatnonzero(outside(values, bound)).tolist()
            _count(rows, column, Flaws(outside=len(beyond)))
            for at in beyond:
                _complain(rows, at, f"{column.name}: {_shown(text.texts[at].as_py())} is {word} {bound:g}")


def _add_text(rows: TypedRows, text: TextColumn) -> None:
    coded = text.texts.dictionary_encode()
    stripped = [value.strip() for value in coded.dictionary.to_pylist()]
    codes = coded.indices.to_numpy()
    blank = np.array([not value for value in stripped], np.bool_)
    bad = np.flatnonzero(blank[codes]).tolist() if blank.any() else []
    rows.values[text.column.name] = pa.array(stripped, pa.string()).take(coded.indices)
    rows.missing[text.column.name] = _blame(rows, text, bad, lambda _: Verdict.EMPTY.value)


def _blame(rows: TypedRows, text: TextColumn, bad: list[int], reason: Callable[[int], str]) -> NDArray[np.bool_]:
    """Note what is wrong with the fields at `bad`. Answers which of them are empty, and may be."""
    missing = np.zeros(len(text.texts), np.bool_)
    name = text.column.name
    invalid = 0
    for at in bad:
        field = text.texts[at].as_py()
        if field.strip():
            invalid += 1
            word = reason(at)
            _complain(
                rows, at, f"{name} {word}" if word == Verdict.NOT_FINITE.value else f"{name}: {_shown(field)} {word}"
            )
        elif text.column.required:
            _complain(rows, at, f"{name} {Verdict.EMPTY.value}")
        else:
            missing[at] = True
    _count(rows, text.column, Flaws(empty=len(bad) - invalid, invalid=invalid))
    return missing


def _count(rows: TypedRows, column: Column, found: Flaws) -> None:
    if found != Flaws():
        rows.flaws[column.name] = rows.flaws.get(column.name, Flaws()) + found


def _complain(rows: TypedRows, at: int, problem: str) -> None:
    rows.usable[at] = False
    rows.problems[at] = f"{rows.problems[at]}; {problem}" if at in rows.problems else problem


def _shown(field: str) -> str:
    return repr(field if len(field) <= _SHOWN else field[:_SHOWN] + "…")
