"""Why a row was flagged, in a sentence of the reader's language.

A sentence follows from its row alone: from what the detector says of it, its time and its value. It holds neither `;`
nor quotes nor line ends, so that it is a plain field of a `;`-separated file, and never begins as a formula does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aml.detection.findings import Detections, Kind
from aml.detection.phrases import LANGUAGES, Language, Phrases
from aml.rows import Floats, Times

Texts = NDArray[np.object_]

_MINUTE_US = 60_000_000
_HOUR_US = 60 * _MINUTE_US
_DAY_US = 24 * _HOUR_US
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday; Monday is 0
_HOLIDAY = 7

_FAR_ABOVE = 99.0
"""A change beyond this says more of the past, which was next to nothing, than of the present."""

_LONGEST_HOURS = 1e10
"""More than there are between any two times."""
_TIMES_FROM, _TIMES_TO = 1.5, 1000.0
"""From here a ratio is said as "3.1 times", below as "32 % above", and beyond as "more than 1000 times"."""


def reasons(
    found: Detections,
    time: Times,
    value: Floats,
    interval: int | Times,
    language: Language,
    *,
    history_days: float = 28.0,
    holiday: NDArray[np.bool_] | None = None,
) -> Texts:
    """Why each row is flagged, shape (n,); the empty text where it is not.

    Args:
        found: what the detector says of the n rows; `hours` of a GAP are those without a reading, which is the time
            since the row before less one interval.
        time: microseconds since 1970 by the series' own clock, shape (n,).
        value: the values seen, shape (n,).
        interval: microseconds between two rows, as is usual for the series; for all, or of each row; 0 where the rows
            are irregular. From a day on the words name no hour, from a week on no weekday.
        history_days: the past with which LEAK, LEVEL and DRIFT compare.
        holiday: rows that are judged as a holiday's.
    """
    texts = np.full(len(time), "", dtype=object)
    where = np.flatnonzero(found.anomaly)
    if not len(where):
        return texts
    phrases = LANGUAGES[language]
    past = _past(history_days, phrases)
    days = (time[where] // _DAY_US + _EPOCH_WEEKDAY) % 7
    if holiday is not None:
        days = np.where(holiday[where], _HOLIDAY, days)
    columns = (found.kind, value, found.expected, found.hours, found.change, np.broadcast_to(interval, len(time)))
    flagged = zip(
        *(column[where].tolist() for column in columns),
        days.tolist(),
        (time[where] % _DAY_US // _MINUTE_US).tolist(),
        strict=True,
    )
    for at, (kind, *facts) in zip(where.tolist(), flagged, strict=True):
        texts[at] = _SENTENCES.get(kind, _unusual)(_Row(phrases, past, *facts))
    return texts


@dataclass(slots=True)
class _Row:
    """A flagged row, and how to speak of it; `minute` is that of its day, `day` its weekday or a holiday."""

    phrases: Phrases
    past: str
    value: float
    expected: float
    hours: float
    change: float
    interval: int
    day: int
    minute: int

    def when(self) -> str:
        """For which weekday and time its usual value holds."""
        if self.interval >= 7 * _DAY_US:
            return ""
        say, day = self.phrases, self.phrases.weekdays[self.day]
        if self.interval >= _DAY_US:
            return say.on_days.format(day=day)
        hour, minute = divmod(self.minute, 60)
        at = say.on_days_at_one if hour == 1 else say.on_days_at
        return at.format(day=day, time=f"{hour:02d}:{minute:02d}")

    def compared(self) -> str:
        """The values expected and seen, with digits enough to tell them apart."""
        if not math.isfinite(self.expected):
            return self.phrases.seen.format(seen=self.number(self.value))
        expected, seen = self.number(self.expected), self.number(self.value)
        digits = 4
        while expected == seen and self.expected != self.value and digits <= 9:
            expected, seen = self.number(self.expected, digits), self.number(self.value, digits)
            digits += 1
        return self.phrases.compared.format(expected=expected, seen=seen)

    def number(self, value: float, digits: int = 3) -> str:
        """A value in so many significant digits, whole ones never cut."""
        size = abs(value)
        if size == 0:
            return "0"
        if 1e-4 <= size < 1e9:
            places = max(0, digits - 1 - math.floor(math.log10(size)))
            text = f"{value:.{places}f}"
            text = text.rstrip("0").rstrip(".") if places else text
        else:
            text = f"{value:.{digits - 1}e}"
        return text.replace(".", self.phrases.decimal)

    def ratio(self, ratio: float) -> str:
        """How many times, in two digits or whole."""
        text = f"{ratio:.1f}".removesuffix(".0") if ratio < 9.95 else f"{ratio:.0f}" if ratio < 1e6 else f"{ratio:.1e}"
        return text.replace(".", self.phrases.decimal)

    def lasting(self) -> str:
        """How long it has lasted, in the unit that a person would take; empty where that is not known."""
        hours = self.hours
        if not 0 < hours < math.inf:
            return ""
        if hours >= (24 if self.interval >= _DAY_US else 48):
            return self._amount(hours / 24, "day")
        if hours >= 1:
            return self._amount(hours, "hour")
        if hours * 60 >= 1:
            return self._amount(round(hours * 60), "minute")
        return self._amount(max(1, round(hours * 3600)), "second")

    def _amount(self, amount: float, unit: str) -> str:
        text = self.ratio(amount)
        one, several = self.phrases.units[unit]
        return f"{text} {one if text == '1' else several}"

    def against_past(self) -> str:
        """How far its level is from that of the last weeks."""
        more, less, times, far, other = self.phrases.share
        if self.change >= _FAR_ABOVE:
            return far.format(past=self.past)
        if not self.change >= -_TIMES_TO:
            return other.format(past=self.past)
        percent = round(100 * abs(self.change))
        if percent == 0:
            return other.format(past=self.past)
        if self.change < 0:
            return less.format(percent=percent, past=self.past)
        if self.change >= 2:
            return times.format(ratio=self.ratio(1 + self.change), past=self.past)
        return more.format(percent=percent, past=self.past)


def _past(days: float, phrases: Phrases) -> str:
    """The past of so many days, in whole weeks from two on."""
    weeks, single, unknown = phrases.past
    number, words = (days / 7, weeks) if days >= 14 else (days, single)
    if not (math.isfinite(number) and round(number) >= 2):
        return unknown
    whole = round(number)
    return words.format(number=phrases.small[whole - 2] if whole <= 9 else whole)


def _high(row: _Row) -> str:
    say, when, compared = row.phrases, row.when(), row.compared()
    if not (math.isfinite(row.expected) and row.value > row.expected):
        return say.high_alone.format(compared=compared)
    ratio = row.value / row.expected if row.expected > 0 else 0.0
    if ratio >= _TIMES_TO:
        return say.many_times.format(ratio=round(_TIMES_TO), when=when, compared=compared)
    if ratio >= _TIMES_FROM:
        return say.times.format(ratio=row.ratio(ratio), when=when, compared=compared)
    percent = round(100 * (ratio - 1))
    if percent >= 1:
        return say.above.format(percent=percent, when=when, compared=compared)
    return say.high.format(when=when, compared=compared)


def _low(row: _Row) -> str:
    say, when, compared = row.phrases, row.when(), row.compared()
    if not row.value < row.expected:  # nor where it is not known
        return say.low_alone.format(compared=compared)
    if row.value == 0:
        return say.none.format(expected=row.number(row.expected), when=when)
    percent = math.floor(100 * (1 - row.value / row.expected)) if row.value > 0 else 0
    if percent >= 1:
        return say.below.format(percent=percent, when=when, compared=compared)
    return say.low.format(when=when, compared=compared)


def _negative(row: _Row) -> str:
    return row.phrases.negative.format(compared=row.compared())


def _zero(row: _Row) -> str:
    say, lasting = row.phrases, row.lasting()
    if not lasting:
        return say.zero_long
    if not 0 < row.expected < math.inf:
        return say.zero.format(lasting=lasting)
    return say.zero_expected.format(lasting=lasting, expected=row.number(row.expected))


def _stuck(row: _Row) -> str:
    say, lasting = row.phrases, row.lasting()
    words = say.stuck if lasting else say.stuck_long
    return words.format(lasting=lasting, seen=row.number(row.value))


def _leak(row: _Row) -> str:
    words = row.phrases.leak if row.interval < _DAY_US // 2 else row.phrases.leak_by_day
    return words.format(share=row.against_past())


def _level(row: _Row) -> str:
    return row.phrases.level.format(share=row.against_past())


def _drift(row: _Row) -> str:
    return row.phrases.drift.format(share=row.against_past())


def _pattern(row: _Row) -> str:
    if row.interval >= _DAY_US:
        return row.phrases.pattern_of_days.format(compared=row.compared())
    return row.phrases.pattern.format(day=row.phrases.a_weekday[row.day], compared=row.compared())


def _gap(row: _Row) -> str:
    say, lasting = row.phrases, row.lasting()
    if not lasting:
        return say.gap_unknown
    if row.interval <= 0:
        return say.gap_long.format(lasting=lasting)
    number = round(min(row.hours, _LONGEST_HOURS) * _HOUR_US / row.interval)
    if number == 0:
        return say.gap_unknown
    if number > 1 and row.interval < _DAY_US <= row.hours * _HOUR_US:
        return say.gap_lasting.format(number=number, lasting=lasting)
    return say.gap[number > 1].format(number=number)


def _duplicate(row: _Row) -> str:
    say = row.phrases
    words = say.duplicate_day if row.interval >= _DAY_US else say.duplicate
    return words.format(compared=say.seen.format(seen=row.number(row.value)))


def _shifted(row: _Row) -> str:
    return row.phrases.shifted


def _unusual(row: _Row) -> str:
    return row.phrases.unusual.format(when=row.when(), compared=row.compared())


_SENTENCES: dict[int, Callable[[_Row], str]] = {
    Kind.HIGH: _high,
    Kind.LOW: _low,
    Kind.NEGATIVE: _negative,
    Kind.ZERO: _zero,
    Kind.STUCK: _stuck,
    Kind.LEAK: _leak,
    Kind.LEVEL: _level,
    Kind.DRIFT: _drift,
    Kind.PATTERN: _pattern,
    Kind.GAP: _gap,
    Kind.DUPLICATE: _duplicate,
    Kind.SHIFTED: _shifted,
}
