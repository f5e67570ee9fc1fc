"""Text rows as the typed columns of a contract, and why a row cannot be used; for survey and reading alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from aml.contract import Column, DatasetContract, Expression, normalise
from shared.tables.cells import Cells, Rows
from shared.tables.kept import Understood
from shared.tables.model import Dialect, Flaws
from shared.tables.numbers import Verdict, read_numbers
from shared.tables.shapes import Shaped, shape
from shared.tables.times import Moments, settle, take_apart

FLAWS = ("empty", "not_a_time", "not_a_number", "not_finite", "out_of_range", "unknown_category", "wrong_length")
IMPUTED = "imputed"
"""The kind of the warning that a field is empty and the model will fill it in."""

_NOTHING = frozenset({"na", "n/a", "#n/a", "nan", "null", "none"})
"""What statistics programs write where there is nothing; taken so where a column's empty fields are filled in."""
_SHOWN = 60
_CATEGORIES_SHOWN = 5
_NO_TIME = "is not a time"
_KINDS = {
    _NO_TIME: "not_a_time",
    Verdict.EMPTY.value: "empty",
    Verdict.NOT_FINITE.value: "not_finite",
    Verdict.NO_NUMBER.value: "not_a_number",
}
_COUNTED_AS = {"empty": "empty", "out_of_range": "outside"}
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
        flaws: the same by column and kind of problem (`FLAWS`): positions, in order, and what is wrong there.
        warnings: likewise what is odd about rows that can be used all the same.
    """

    values: dict[str, Any]
    missing: dict[str, NDArray[np.bool_]]
    usable: NDArray[np.bool_]
    problems: dict[int, str]
    flaws: dict[tuple[str, str], list[tuple[int, str]]] = field(default_factory=dict)
    warnings: dict[tuple[str, str], list[tuple[int, str]]] = field(default_factory=dict)

    def warned(self) -> dict[int, list[str]]:
        """The warnings by position of the row."""
        found: dict[int, list[str]] = {}
        for warnings in self.warnings.values():
            for at, warning in warnings:
                found.setdefault(at, []).append(warning)
        return found

    def counted(self) -> dict[str, Flaws]:
        """How many fields have no usable value, by canonical name, of the columns that have any."""
        counts = {name: Flaws(empty=int(empty.sum())) for name, empty in self.missing.items() if empty.any()}
        for (name, kind), found in self.flaws.items():
            counts[name] = counts.get(name, Flaws()) + Flaws(**{_COUNTED_AS.get(kind, "invalid"): len(found)})
        return counts


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


def positions(header: Sequence[str], contract: DatasetContract) -> dict[str, int]:
    """Where a header has the columns that are taken from a file: those of `contract.carried`, and those from which the
    ones among them follow that it does not have.

    Raises:
        ContractError: as `DatasetContract.resolve`.
    """
    found = contract.resolve(header)
    wanted = {column.name for column in contract.carried}
    for column in contract.carried:
        if column.name not in found and column.source is not None:
            wanted.update(column.source.names)
    return {name: at for name, at in found.items() if name in wanted}


def typed(columns: Iterable[TextColumn], dialect: Dialect, size: int, contract: DatasetContract) -> TypedRows:
    """Read `size` rows under a settled dialect."""
    rows = TypedRows({}, {}, np.ones(size, np.bool_), {})
    for text in columns:
        if text.moments is not None:
            _add_times(rows, text, text.moments, dialect)
        elif text.shaped is not None:
            _add_numbers(rows, text, text.shaped, dialect)
        else:
            _add_text(rows, text)
    for column in contract.carried:
        if (
            column.source is not None
            and column.name not in rows.values
            and set(column.source.names) <= set(rows.values)
        ):
            _add_following(rows, column, column.source)
    if not rows.usable.all():
        of_usable = {key: [each for each in told if rows.usable[each[0]]] for key, told in rows.warnings.items()}
        rows.warnings = {key: told for key, told in of_usable.items() if told}
    return rows


def batch_of(rows: TypedRows, contract: DatasetContract) -> pa.RecordBatch:
    """The usable rows as Arrow columns, named canonically; an empty field that may be is null."""
    everything = bool(rows.usable.all())
    names, arrays = [], []
    for column in contract.carried:
        name = column.name
        if name not in rows.values:
            continue
        kind = _ARROW[column.type]
        values = rows.values[name]
        mask = rows.missing[name]
        if isinstance(values, np.ndarray):
            array = pa.array(values, mask=mask).cast(kind)
        else:
            array = pc.if_else(pa.array(mask), None, values) if mask.any() else values
        names.append(name)
        arrays.append(array if everything else array.filter(pa.array(rows.usable)))
    return pa.RecordBatch.from_arrays(arrays, names=names)


def understand(columns: Iterable[TextColumn], dialect: Dialect, size: int, contract: DatasetContract) -> Understood:
    """Read `size` rows under a settled dialect, and keep of them what is passed on."""
    rows = typed(columns, dialect, size, contract)
    return Understood(batch_of(rows, contract), rows.usable, rows.problems, rows.counted(), rows.warned())


def _add_times(rows: TypedRows, text: TextColumn, moments: Moments, dialect: Dialect) -> None:
    name = text.column.name
    micros, sound = settle(moments, dialect.times[name].day_first)
    rows.values[name] = micros
    rows.missing[name] = _blame(rows, text, np.flatnonzero(~sound).tolist(), lambda _: _NO_TIME)


def _add_numbers(rows: TypedRows, text: TextColumn, shaped: Shaped, dialect: Dialect) -> None:
    values, verdicts = read_numbers(shaped, dialect.decimal, dialect.thousands)
    rows.values[text.column.name] = values
    rows.missing[text.column.name] = _blame(rows, text, sorted(verdicts), lambda at: verdicts[at].value)
    _add_bounds(rows, text.column, values, lambda at: _shown(text.texts[at].as_py()))


def _add_bounds(rows: TypedRows, column: Column, values: NDArray[np.float64], shown: Callable[[int], str]) -> None:
    for bound, outside, word in (
        (column.minimum, np.less, "below"),
        (column.maximum, np.greater, "above"),
    ):
        if bound is not None:
            for at in np.flatnonzero(outside(values, bound)).tolist():
                _object(rows, at, f"{column.name}: {shown(at)} is {word} {bound:g}", column, "out_of_range")


def _add_text(rows: TypedRows, text: TextColumn) -> None:
    column = text.column
    coded = text.texts.dictionary_encode()
    declared = {normalise(category): category for category in column.categories}
    stripped = [_as_declared(value.strip(), column, declared) for value in coded.dictionary.to_pylist()]
    codes = coded.indices.to_numpy()
    blank = np.array([not value for value in stripped], np.bool_)
    bad = np.flatnonzero(blank[codes]).tolist() if blank.any() else []
    rows.values[column.name] = pa.array(stripped, pa.string()).take(coded.indices)
    rows.missing[column.name] = _blame(rows, text, bad, lambda _: Verdict.EMPTY.value)
    if column.categories:
        known = {"", *column.categories}
        strange = np.array([value not in known for value in stripped], np.bool_)
        for at in np.flatnonzero(strange[codes]).tolist() if strange.any() else []:
            problem = f"{column.name}: {_shown(stripped[codes[at]])} is none of {_listed(column.categories)}"
            _object(rows, at, problem, column, "unknown_category")
    if column.length is not None:
        wrong = np.array([len(value) not in (0, column.length) for value in stripped], np.bool_)
        for at in np.flatnonzero(wrong[codes]).tolist() if wrong.any() else []:
            value = stripped[codes[at]]
            problem = f"{column.name}: {_shown(value)} has {len(value)} characters, not {column.length}"
            _object(rows, at, problem, column, "wrong_length")


def _as_declared(value: str, column: Column, declared: Mapping[str, str]) -> str:
    """A text as its column declares it: a category in whatever case, and nothing where somebody wrote so.

    Args:
        declared: the column's categories by their normalised texts, of which no two are the same.
    """
    plain = normalise(value) if declared else ""
    if plain and plain in declared:
        return declared[plain]
    return "" if column.impute is not None and value.casefold() in _NOTHING else value


def _add_following(rows: TypedRows, column: Column, source: Expression) -> None:
    """A column that the file does not have, worked out from others."""
    given = {
        name: np.where(rows.missing[name], np.nan, np.asarray(rows.values[name], np.float64)) for name in source.names
    }
    values = source.of(given)
    nothing = np.isnan(values)
    rows.values[column.name] = values
    rows.missing[column.name] = nothing & column.may_be_empty
    for at in np.flatnonzero(nothing & rows.usable).tolist():
        problem = f"{column.name} cannot be worked out from {' and '.join(source.names)}"
        if column.may_be_empty:
            _warn(rows, at, problem, column, IMPUTED)
        else:
            _complain(rows, at, problem, column, "empty")
    _add_bounds(rows, column, values, lambda at: f"{values[at]:g}")


def _blame(rows: TypedRows, text: TextColumn, bad: list[int], reason: Callable[[int], str]) -> NDArray[np.bool_]:
    """Note what is wrong with the fields at `bad`. Answers which of them are empty, and may be."""
    missing = np.zeros(len(text.texts), np.bool_)
    column, name = text.column, text.column.name
    for at in bad:
        field = text.texts[at].as_py()
        if field.strip() and not (column.impute is not None and field.strip().casefold() in _NOTHING):
            word = reason(at)
            problem = f"{name} {word}" if word == Verdict.NOT_FINITE.value else f"{name}: {_shown(field)} {word}"
            _complain(rows, at, problem, column, _KINDS[word])
        elif not column.may_be_empty:
            _complain(rows, at, f"{name} {Verdict.EMPTY.value}", column, "empty")
        else:
            missing[at] = True
            if column.impute is not None:
                _warn(rows, at, f"{name} {Verdict.EMPTY.value}; the model fills it in", column, IMPUTED)
    return missing


def _object(rows: TypedRows, at: int, problem: str, column: Column, kind: str) -> None:
    """What the contract says of values outside: the row cannot be used, or it is told of."""
    (_complain if column.outside == "error" else _warn)(rows, at, problem, column, kind)


def _warn(rows: TypedRows, at: int, warning: str, column: Column, kind: str) -> None:
    rows.warnings.setdefault((column.name, kind), []).append((at, warning))


def _complain(rows: TypedRows, at: int, problem: str, column: Column, kind: str) -> None:
    rows.usable[at] = False
    rows.flaws.setdefault((column.name, kind), []).append((at, problem))
    rows.problems[at] = f"{rows.problems[at]}; {problem}" if at in rows.problems else problem


def _shown(field: str) -> str:
    return repr(field if len(field) <= _SHOWN else field[:_SHOWN] + "…")


def _listed(categories: Sequence[str]) -> str:
    more = ", …" if len(categories) > _CATEGORIES_SHOWN else ""
    return ", ".join(categories[:_CATEGORIES_SHOWN]) + more
