"""Times as people write them, read as the wall clock says: offsets and `Z` are read over.

Layouts: `yyyy-mm-dd` or `dd-mm-yyyy` or `mm-dd-yyyy` (also with `/` or `.`, with one digit for a day or month, and with
two for the year when it comes last: 69-99 are 19xx), or `yyyymmdd`; then nothing, or after `T`, a space or a comma
`H:MM`, `:SS` and a fraction, am or pm, and an offset. Fractions are cut to microseconds; 24:00 is the next day's
midnight.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.tables.model import TableError, TimeFormat
from shared.tables.shapes import Reader, Shaped

Ints = NDArray[np.int64]
_DAY = 86_400_000_000
_END = 253_402_300_800_000_000  # 10000-01-01

_SPACE = "[ \u00a0\u202f]"
_LAYOUT = re.compile(
    rf"""\s*(?:
      (?P<y>0000)(?P<s1>[-/.])(?P<a>00?)(?P=s1)(?P<b>00?)
    | (?P<a2>00?)(?P<s2>[-/.])(?P<b2>00?)(?P=s2)(?P<y2>0000|00)
    | (?P<y3>0000)(?P<a3>00)(?P<b3>00)
    )
    (?:(?:T|,?{_SPACE}{{1,3}})
      (?P<h>00?):(?P<mi>00)(?::(?P<sec>00)(?:[.,](?P<f>0{{1,9}}))?)?
      (?:{_SPACE}?(?P<p>[AaPp])\.?{_SPACE}?[Mm]\.?)?
      {_SPACE}?(?P<z>[Zz]|UTC|[+-]00(?::?00)?)?
    )?\s*""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class _Plan:
    """Where the numbers of a shape stand, as byte positions; empty spans where there is none."""

    year: tuple[int, int]
    first: tuple[int, int]
    second: tuple[int, int]
    hour: tuple[int, int]
    minute: tuple[int, int]
    seconds: tuple[int, int]
    fraction: tuple[int, int]
    half: str  # "a", "p" or "" when the clock has 24 hours
    zoned: bool
    year_first: bool
    layout: str  # with aa and bb for the two numbers beside a year that comes last


@lru_cache(maxsize=4096)
def _plan(kind: bytes) -> _Plan | None:
    text = kind.decode("utf-8", "replace")
    found = _LAYOUT.fullmatch(text)
    if found is None:
        return None

    def span(*names: str) -> tuple[int, int]:
        for name in names:
            if found[name] is not None:
                start, stop = found.span(name)
                return len(text[:start].encode()), len(text[:stop].encode())
        return 0, 0

    separator = found["s1"] or found["s2"] or ""
    year_first = found["y2"] is None
    date = ["yyyy", "mm", "dd"] if year_first else ["aa", "bb", "y" * len(found["y2"])]
    clock = ""
    if found["h"]:
        clock = ("T" if "T" in text else " ") + "HH:MM" + (":SS" if found["sec"] else "")
        clock += (".f" if found["f"] else "") + (" am/pm" if found["p"] else "")
    return _Plan(
        year=span("y", "y2", "y3"),
        first=span("a", "a2", "a3"),
        second=span("b", "b2", "b3"),
        hour=span("h"),
        minute=span("mi"),
        seconds=span("sec"),
        fraction=span("f"),
        half=(found["p"] or "").lower(),
        zoned=found["z"] is not None,
        year_first=year_first,
        layout=separator.join(date) + clock,
    )


@dataclass(frozen=True)
class Moments:
    """A column taken apart; every array has one element for each field.

    Attributes:
        kind: 0 no time, 1 year first, 2 year last (day and month still to be told apart).
        first, second: the two numbers beside the year, in the order written.
        clock: microseconds since midnight.
        layouts: how often each layout occurs; `zoned`, `halves`: whether an offset, or am or pm, does.
    """

    kind: NDArray[np.int8]
    year: Ints
    first: Ints
    second: Ints
    clock: Ints
    layouts: Counter[str]
    zoned: bool
    halves: bool


def take_apart(shaped: Shaped) -> Moments:
    """Read the numbers of every field."""
    size = len(shaped)
    kinds = np.zeros(size, np.int8)
    year, first, second, clock = (np.zeros(size, np.int64) for _ in range(4))
    layouts: Counter[str] = Counter()
    zoned = halves = False
    for code, count in enumerate(shaped.counts()):
        plan = _plan(shaped.kinds[code])
        if plan is None:
            continue
        at, reader = shaped.where(code)
        clock[at], sound = _clock(plan, reader)
        years = reader.number(plan.year)
        if plan.year[1] - plan.year[0] == 2:
            years = years + np.where(years < 69, 2000, 1900)
        year[at] = years
        first[at] = reader.number(plan.first)
        second[at] = reader.number(plan.second)
        kinds[at] = np.where(sound & (years > 0), 1 if plan.year_first else 2, 0)
        layouts[plan.layout] += count
        zoned, halves = zoned or plan.zoned, halves or bool(plan.half)
    return Moments(kinds, year, first, second, clock, layouts, zoned, halves)


def _clock(plan: _Plan, reader: Reader) -> tuple[Ints, NDArray[np.bool_]]:
    """Microseconds since midnight, and which of them are times of a day."""
    hour, minute, seconds = (reader.number(span) for span in (plan.hour, plan.minute, plan.seconds))
    start, stop = plan.fraction
    fraction = reader.number((start, min(stop, start + 6))) * 10 ** max(0, 6 - (stop - start))
    if plan.half:
        sound = (hour >= 1) & (hour <= 12)
        hour = hour % 12 + (12 if plan.half == "p" else 0)
    else:
        sound = (hour < 24) | ((hour == 24) & (minute + seconds + fraction == 0))
    sound = sound & (minute < 60) & (seconds < 60)
    return ((hour * 60 + minute) * 60 + seconds) * 1_000_000 + fraction, sound


def settle(moments: Moments, day_first: bool) -> tuple[Ints, NDArray[np.bool_]]:
    """Microseconds since 1970 of every field, and which fields are times; the others are 0."""
    swapped = (moments.kind == 2) & day_first
    month = np.where(swapped, moments.second, moments.first)
    day = np.where(swapped, moments.first, moments.second)
    sound = (moments.kind > 0) & (month >= 1) & (month <= 12) & (day >= 1)
    months = np.where(sound, (moments.year - 1970) * 12 + month - 1, 0)
    low, high = (int(months.min()), int(months.max())) if len(months) else (0, 0)
    firsts = np.arange(low, high + 2).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    begins, ends = firsts[months - low], firsts[months - low + 1]
    sound &= begins + day <= ends
    micros = (begins + day - 1) * _DAY + moments.clock
    # The last moment of the year 9999 may be written as its 24:00, which Python's datetime does not know.
    sound &= micros < _END
    return np.where(sound, micros, 0), sound


@dataclass
class TimeEvidence:
    """What a whole column says about the order of day and month where the year comes last.

    A number above 12 proves which of the two is the day. Without proof, the number that changes at least twice as often
    from one row to the next is the day; else am or pm speaks for month first, and nothing at all for day first.
    """

    column: str
    layouts: Counter[str] = field(default_factory=Counter)
    zoned: bool = False
    halves: bool = False
    _proofs: dict[bool, tuple[int, str]] = field(default_factory=dict)  # by day_first: the first line, its text
    _changes: list[int] = field(default_factory=lambda: [0, 0])
    _latest: tuple[int, int] | None = None

    def add(self, shaped: Shaped, moments: Moments, lines: Sequence[int]) -> None:
        """Take in the next fields of the column; `lines` are their line numbers."""
        self.layouts.update(moments.layouts)
        self.zoned |= moments.zoned
        self.halves |= moments.halves
        places = np.flatnonzero(moments.kind == 2)
        if not len(places):
            return
        first, second = moments.first[places], moments.second[places]
        for day_first, day, month in ((True, first, second), (False, second, first)):
            proofs = np.flatnonzero((day > 12) & (day <= 31) & (month >= 1) & (month <= 12))
            if len(proofs) and day_first not in self._proofs:
                place = int(places[proofs[0]])
                self._proofs[day_first] = lines[place], shaped.texts[place].as_py()
        before = self._latest or (int(first[0]), int(second[0]))
        for which, numbers in enumerate((first, second)):
            self._changes[which] += int(np.count_nonzero(np.diff(numbers, prepend=before[which])))
        self._latest = int(first[-1]), int(second[-1])

    def decide(self) -> TimeFormat:
        """The format of the column.

        Raises:
            TableError: `contradictory_times` when there is proof of both orders.
        """
        if len(self._proofs) == 2:
            (day_line, day_text), (month_line, month_text) = self._proofs[True], self._proofs[False]
            message = (
                f"The column {self.column} has times with the day first and with the month first: line {day_line} has "
                f"{day_text!r}, line {month_line} has {month_text!r}."
            )
            raise TableError("contradictory_times", message, max(day_line, month_line))
        day_first, evidence = self._order()
        layout = min(self.layouts, key=lambda name: (-self.layouts[name], name), default="")
        day, month = ("aa", "bb") if day_first else ("bb", "aa")
        return TimeFormat(layout.replace(day, "dd").replace(month, "mm"), day_first, evidence, self.zoned)

    def _order(self) -> tuple[bool, str]:
        if self._latest is None:
            return True, "year first" if self.layouts else "default"
        if self._proofs:
            return True in self._proofs, "proof"
        first, second = self._changes
        if max(first, second) > 0 and max(first, second) >= 2 * min(first, second):
            return first > second, "order"
        return (False, "am/pm") if self.halves else (True, "default")
