"""Numbers as people write them, and the evidence for what their commas and points mean."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
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


def read_numbers(shaped: Shaped, decimal: str, thousands: str) -> tuple[NDArray[np.float64], dict[int, Verdict]]:
    """The column as float64 (NaN where there is no finite number), and by position the verdict of what is no number.

    Args:
        decimal: `.` or `,`.
        thousands: the marks, each one character, that may group digits in threes.
    """
    verdicts = [_verdict(kind, decimal, thousands) for kind in shaped.kinds]
    good = np.array([verdict is Verdict.NUMBER for verdict in verdicts], np.bool_)
    bad: dict[int, Verdict] = {}
    if good.all():
        values = _floats(shaped.texts, decimal, thousands)
    else:
        sound = good[shaped.codes]
        values = np.full(len(shaped), np.nan)
        values[sound] = _floats(shaped.texts.filter(pa.array(sound)), decimal, thousands)
        places = np.flatnonzero(~sound)
        bad = {place: verdicts[code] for place, code in zip(places.tolist(), shaped.codes[places], strict=True)}
    infinite = np.isinf(values)
    if infinite.any():  # too large for a double
        values = np.where(infinite, np.nan, values)
        bad |= dict.fromkeys(np.flatnonzero(infinite).tolist(), Verdict.NOT_FINITE)
    return values, bad


def _floats(texts: Any, decimal: str, thousands: str) -> NDArray[np.float64]:
    for mark in thousands:
        texts = pc.replace_substring(texts, mark, "")
    if decimal != ".":
        texts = pc.replace_substring(texts, decimal, ".")
    try:
        values: NDArray[np.float64] = texts.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:  # blanks around a number, for one
        values = np.fromiter(map(float, texts.to_pylist()), np.float64, len(texts))
    return values


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
        for code, count in enumerate(shaped.counts()):
            kind = shaped.kinds[code]
            if not any(mark in kind for mark in _MARKS):
                continue
            mark = self._weigh(kind.decode("utf-8", "replace"), count)
            # 0.123 has the shape of a thousand, but nobody writes a thousand so.
            if mark and kind.removeprefix(b"-").startswith(b"0" + mark.encode()):
                leading = shaped.where(code)[1].number((kind[0] == _MINUS, 1 + (kind[0] == _MINUS)))
                self._proofs[mark] += int(np.count_nonzero(leading == 0))

    def _weigh(self, text: str, count: int) -> str:
        """Count what such values prove. The mark that may be either of the two, if they prove nothing; else empty."""
        other = {".": ",", ",": "."}
        if single := _ONE_MARK.fullmatch(text):
            before, mark, after = single.groups()
            if not before and not after:
                return ""
            may_group = 1 <= len(before) <= 3 and len(after) == 3 and "e" not in text.lower()
            (self._unclear if may_group else self._proofs)[mark] += count
            return str(mark) if may_group else ""
        if grouped := _GROUPED.fullmatch(text):
            group, mark = grouped.groups()
            if group == mark:
                return ""
            self._groups.add(group)
            if group in other or mark:
                self._proofs[mark or other[group]] += count
        return ""

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


_MINUS = ord("-")
_MARKS = tuple(mark.encode() for mark in ".," + _GROUPING)
