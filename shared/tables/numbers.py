"""Numbers as people write them, and the evidence for what their commas and points mean."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.tables.shapes import Shaped

_GROUPING = " \u00a0\u202f'\u2019"
"""Marks that can only group digits."""

_SIGN = r"\s*[+-]?"
_ONE_MARK = re.compile(rf"{_SIGN}(0*)([.,])(0*)(?:[eE][+-]?0+)?\s*")
_GROUPED = re.compile(rf"{_SIGN}0{{1,3}}(?P<g>[.,{_GROUPING}])000(?:(?P=g)000)*(?:([.,])0*)?\s*")
_NOT_FINITE = re.compile(rf"{_SIGN}(?:nan|inf|infinity)\s*", re.IGNORECASE)


class Verdict(Enum):
    """What a field is, seen as a number."""

    NUMBER = ""
    EMPTY = "is empty"
    NOT_FINITE = "is not finite"
    NO_NUMBER = "is not a number"


@lru_cache(maxsize=4096)
def _verdict(kind: bytes, decimal: str, thousands: str) -> Verdict:
    text = kind.decode("utf-8", "replace")
    if not text.strip():
        return Verdict.EMPTY
    grouped = rf"0{{1,3}}(?P<g>[{re.escape(thousands)}])000(?:(?P=g)000)*" if thousands else "0+"
    mark = re.escape(decimal)
    number = rf"{_SIGN}(?:(?:{grouped}|0+)(?:{mark}0*)?|{mark}0+)(?:[eE][+-]?0+)?\s*"
    if re.fullmatch(number, text):
        return Verdict.NUMBER
    return Verdict.NOT_FINITE if _NOT_FINITE.fullmatch(text) else Verdict.NO_NUMBER


def read_numbers(shaped: Shaped, decimal: str, thousands: str) -> tuple[NDArray[np.float64], list[Verdict] | None]:
    """The column as float64 (NaN where there is no finite number), and each field's verdict; None: all are numbers.

    Args:
        decimal: `.` or `,`.
        thousands: the marks, each one character, that may group digits in threes.
    """
    verdicts = {kind: _verdict(kind, decimal, thousands) for kind in shaped.distinct()}
    if all(verdict is Verdict.NUMBER for verdict in verdicts.values()):
        values = _floats(shaped.texts, decimal, thousands)
        if np.isfinite(values).all():
            return values, None
    each = [verdicts[kind] for kind in shaped.shapes]
    places = [place for place, verdict in enumerate(each) if verdict is Verdict.NUMBER]
    values = np.full(len(each), np.nan)
    values[places] = _floats([shaped.texts[place] for place in places], decimal, thousands)
    for place in places:
        if not np.isfinite(values[place]):  # too large for a double
            values[place], each[place] = np.nan, Verdict.NOT_FINITE
    return values, each


def _floats(texts: Sequence[str], decimal: str, thousands: str) -> NDArray[np.float64]:
    if thousands or decimal != ".":
        joined = "\n".join(texts)
        for mark in thousands:
            joined = joined.replace(mark, "")
        texts = joined.replace(decimal, ".").split("\n") if texts else []
    return np.fromiter(map(float, texts), np.float64, len(texts))


@dataclass
class NumberEvidence:
    """What the number columns of a whole file say about points and commas.

    A value proves its decimal mark when the mark cannot group thousands (`1.5`, `0,123`, `1234,567`), when the
    other mark groups before it (`1.234,5`), or when the other mark groups twice (`1.234.567`). More proofs win. Without
    proof (only values like `1.234`) a single kind of mark is the decimal mark, but for a comma in a
    comma-delimited file.
    """

    _proofs: Counter[str] = field(default_factory=Counter)
    _unclear: Counter[str] = field(default_factory=Counter)
    _groups: set[str] = field(default_factory=set)
    _native: bool = False

    def add(self, shaped: Shaped, native: bool) -> None:
        """Take in the next fields of a column. `native`: some were numbers in the file; their mark is the point."""
        self._native |= native
        distinct = shaped.distinct()
        marked = {kind for kind in distinct if any(mark in kind for mark in _MARKS)}
        if not marked:
            return
        counts = Counter(shaped.shapes) if len(distinct) > 1 else Counter({next(iter(distinct)): len(shaped.shapes)})
        for kind in marked:
            self._weigh(kind.decode("utf-8", "replace"), counts[kind])
        for mark in ".,":
            # 0.123 has the shape of a thousand, but nobody writes a thousand so.
            start = f"0{mark}".encode()
            self._proofs[mark] += shaped.data.count(b"\n" + start) + shaped.data.count(b"\n-" + start)
            self._proofs[mark] += shaped.data.startswith((start, b"-" + start))

    def _weigh(self, text: str, count: int) -> None:
        other = {".": ",", ",": "."}
        if single := _ONE_MARK.fullmatch(text):
            before, mark, after = single.groups()
            if not before and not after:
                return
            may_group = 1 <= len(before) <= 3 and len(after) == 3 and "e" not in text.lower()
            (self._unclear if may_group else self._proofs)[mark] += count
        elif grouped := _GROUPED.fullmatch(text):
            group, mark = grouped.groups()
            if group == mark:
                return
            self._groups.add(group)
            if group in other or mark:
                self._proofs[mark or other[group]] += count

    def decide(self, delimiter: str) -> tuple[str, str]:
        """The decimal mark and the thousands marks of a file with this delimiter."""
        point, comma = self._proofs["."], self._proofs[","]
        if self._native or point > comma:
            decimal = "."
        elif comma > point:
            decimal = ","
        elif point or delimiter == "," or not self._unclear[","]:
            decimal = "."
        else:
            decimal = ","
        groups = self._groups | {mark for mark in ".," if self._unclear[mark]}
        return decimal, "".join(sorted(groups - {decimal}))


_MARKS = tuple(mark.encode() for mark in ".," + _GROUPING)
