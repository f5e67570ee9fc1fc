"""Arithmetic that a contract may declare: a column that follows from others, worked out without `eval`.

    sum      = product { ("+" | "-") product }
    product  = factor { ("*" | "/") factor }
    factor   = ["-"] ( number | column | function "(" column ")" | "(" sum ")" )
    column   = letters, digits and "_", or anything between backquotes

The functions are `month` (1 to 12), `day` (1 to 31), `weekday` (0 is Monday) and `hour` (0 to 23) of a time column.
What has no finite value (a division by zero, an overflow, anything of a missing value) is missing, that is NaN.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|([^\W\d]\w*)|`([^`]+)`|([-+*/()]))")
_DEEPEST = 40
_DAY_US = 86_400_000_000
_EPOCH_WEEKDAY = 3
"""1970-01-01 was a Thursday."""


class ExpressionError(ValueError):
    """A text is no expression: its message says at which character, counted from 1, and what was expected there."""


@dataclass(frozen=True)
class _Number:
    value: float

    def of(self, columns: Mapping[str, Any]) -> Any:
        return np.float64(self.value)


@dataclass(frozen=True)
class _Column:
    name: str

    def of(self, columns: Mapping[str, Any]) -> Any:
        return np.asarray(columns[self.name], np.float64)


@dataclass(frozen=True)
class _Part:
    """A part of a time."""

    function: str
    name: str

    def of(self, columns: Mapping[str, Any]) -> Any:
        time, known = _microseconds(columns[self.name])
        return np.where(known, FUNCTIONS[self.function](time), np.nan)


@dataclass(frozen=True)
class _Negative:
    term: _Node

    def of(self, columns: Mapping[str, Any]) -> Any:
        return -self.term.of(columns)


@dataclass(frozen=True)
class _Binary:
    operator: str
    left: _Node
    right: _Node

    def of(self, columns: Mapping[str, Any]) -> Any:
        return _OPERATORS[self.operator](self.left.of(columns), self.right.of(columns))


_Node = _Number | _Column | _Part | _Negative | _Binary
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}


@dataclass(frozen=True)
class Expression:
    """A text that was understood.

    Attributes:
        text: as it was written.
        names: the columns that it needs, in the order of their first mention.
        times: those of them that must be columns of time; the others are of numbers.
    """

    text: str
    names: tuple[str, ...]
    times: frozenset[str]
    _root: _Node

    def of(self, columns: Mapping[str, Any]) -> Floats:
        """Its value, row by row.

        Args:
            columns: by name n numbers (NaN where missing), and of a time column n `datetime64`, or microseconds since
                1970 (NaN where missing).

        Returns:
            n float64, NaN where there is no finite value; of an expression without columns a single one.

        Raises:
            KeyError: a column is not there.
        """
        with np.errstate(all="ignore"):
            values = np.atleast_1d(np.asarray(self._root.of(columns), np.float64))
        return np.where(np.isfinite(values), values, np.nan)


@cache
def parse(text: str) -> Expression:
    """Understand a text.

    Raises:
        ExpressionError: it is no expression.
    """
    parser = _Parser(text)
    root = parser.whole()
    return Expression(text, tuple(parser.columns), frozenset(parser.times), root)


class _Parser:
    """Recursive descent over the tokens of a text; `columns` and `times` are what it came by."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._at = 0
        self.columns: dict[str, None] = {}
        self.times: set[str] = set()
        self._numbers: set[str] = set()

    def whole(self) -> _Node:
        root = self._sum(0)
        if self._kind() != "end":
            self._expected("an operator (+ - * /) or the end")
        for name in self.columns:
            if name in self.times and name in self._numbers:
                raise ExpressionError(f"{name} is used as a time and as a number")
        return root

    def _sum(self, depth: int) -> _Node:
        return self._chain("+-", self._product, depth)

    def _product(self, depth: int) -> _Node:
        return self._chain("*/", self._factor, depth)

    def _chain(self, operators: str, operand: Callable[[int], _Node], depth: int) -> _Node:
        left = operand(depth)
        links = 0
        while self._kind() == "mark" and self._word() in operators:
            operator = self._take()
            left = _Binary(operator, left, operand(depth))
            links += 1
            if links > _DEEPEST:
                raise ExpressionError(f"more than {_DEEPEST} operators in a row; work it out in steps")
        return left

    def _factor(self, depth: int) -> _Node:
        if depth > _DEEPEST:
            raise ExpressionError(f"more than {_DEEPEST} parentheses or signs inside one another")
        if self._kind() == "number":
            return _Number(float(self._take()))
        if self._kind() in ("name", "quoted"):
            return self._named()
        if self._word() == "-":
            self._take()
            return _Negative(self._factor(depth + 1))
        if self._word() == "(":
            self._take()
            inside = self._sum(depth + 1)
            self._require(")")
            return inside
        return self._expected("a number, a column or a parenthesis")

    def _named(self) -> _Node:
        plain = self._kind() == "name"
        name = self._take()
        if not plain or self._word() != "(":
            self.columns[name] = None
            self._numbers.add(name)
            return _Column(name)
        if name not in FUNCTIONS:
            self._at -= 1
            self._expected(f"one of the functions {', '.join(FUNCTIONS)}")
        self._require("(")
        if self._kind() not in ("name", "quoted"):
            self._expected("a column of time")
        column = self._take()
        self.columns[column] = None
        self.times.add(column)
        self._require(")")
        return _Part(name, column)

    def _kind(self) -> str:
        return self._tokens[self._at][0]

    def _word(self) -> str:
        kind, word, _ = self._tokens[self._at]
        return word if kind == "mark" else ""

    def _take(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _require(self, mark: str) -> None:
        if self._word() != mark:
            self._expected(f"'{mark}'")
        self._at += 1

    def _expected(self, what: str) -> NoReturn:
        kind, word, place = self._tokens[self._at]
        found = "the end" if kind == "end" else repr(word)
        raise ExpressionError(f"{self._text!r}: at character {place + 1} {what} was expected, not {found}")


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Kind, word and position of every token, and last an `end`."""
    if len(text) > 1000:
        raise ExpressionError("longer than 1,000 characters")
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            begin = at + len(text[at:]) - len(text[at:].lstrip())
            expected = "a number, a column or an operator was expected"
            raise ExpressionError(f"{text!r}: at character {begin + 1} {expected}, not {text[begin]!r}")
        group = found.lastindex or 1
        yield ("number", "name", "quoted", "mark")[group - 1], found[group], found.start(group)
        at = found.end()
    yield "end", "", len(text)


def _microseconds(values: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Microseconds since 1970, 0 where they are missing, and where they are known."""
    array = np.atleast_1d(np.asarray(values))
    if np.issubdtype(array.dtype, np.datetime64):
        known = ~np.isnat(array)
        micros = array.astype("datetime64[us]").astype(np.int64)
    elif np.issubdtype(array.dtype, np.integer):
        return array.astype(np.int64), np.ones(len(array), np.bool_)
    else:
        known = np.isfinite(array)
        micros = np.where(known, array, 0).astype(np.int64)
    return np.where(known, micros, 0), known


def _months(time: NDArray[np.int64]) -> NDArray[np.int64]:
    return time.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)


def _month(time: NDArray[np.int64]) -> Floats:
    return (_months(time) % 12 + 1).astype(np.float64)


def _day(time: NDArray[np.int64]) -> Floats:
    first = _months(time).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return (time // _DAY_US - first + 1).astype(np.float64)


def _weekday(time: NDArray[np.int64]) -> Floats:
    return ((time // _DAY_US + _EPOCH_WEEKDAY) % 7).astype(np.float64)


def _hour(time: NDArray[np.int64]) -> Floats:
    return (time % _DAY_US // 3_600_000_000).astype(np.float64)


FUNCTIONS: dict[str, Callable[[NDArray[np.int64]], Floats]] = {
    "month": _month,
    "day": _day,
    "weekday": _weekday,
    "hour": _hour,
}
