"""One event: an episode of flagged rows of one series, and how it is told; `shared.scoring.events` finds them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import fsum
from typing import Any

UNKNOWN = "unknown"
"""Kind of an event of which the model does not say one."""

VAGUE = frozenset({UNKNOWN, "pattern", "shifted"})
"""Kinds that say that each value is possible and their course is not: so it is for a day after anything that has been
found more exactly, and then that is what the event is."""

_EPOCH = datetime.fromisoformat("1970-01-01")

Exact = tuple[float, ...]
"""A sum without rounding error: numbers, the largest first, that add up to it."""


@dataclass(frozen=True, slots=True)
class Event:
    """One episode; times in microseconds since 1970 by the series' own clock.

    Attributes:
        rows: how many of its rows are flagged; the sums are over these.
        severity, score, peak, kind, reason: of its most telling row: the most severe of those whose kind is not in
            `VAGUE`, or of all; of equals the higher score or the later, which knows best how long it has lasted.
        seen: the values' sum.
        excess: the sum of value less expected value, over those of the rows that have one; empty where none has.
    """

    series: str | None
    start: int
    end: int
    rows: int
    severity: float
    score: float
    peak: int
    kind: str
    reason: str
    seen: Exact
    excess: Exact

    def then(self, later: Event) -> Event:
        """This event and one behind it as one."""
        worst = later if later.telling() >= self.telling() else self
        return replace(
            worst,
            start=self.start,
            end=later.end,
            rows=self.rows + later.rows,
            seen=exact_sum([*self.seen, *later.seen]),
            excess=exact_sum([*self.excess, *later.excess]),
        )

    def telling(self) -> tuple[bool, float, float]:
        """How much its row that speaks tells, against that of another part of the same event."""
        return self.kind not in VAGUE, self.severity, self.score

    def rank(self) -> tuple[Any, ...]:
        """Orders events: the most severe first, then by time and series."""
        return -self.severity, -self.score, self.start, self.series or "", self.end

    def as_dict(self) -> dict[str, Any]:
        """As it stands in manifests."""
        return {
            "series": self.series,
            "start": moment(self.start),
            "end": moment(self.end),
            "rows": self.rows,
            "kind": self.kind,
            "severity": self.severity,
            "peak": moment(self.peak),
            "reason": self.reason,
            "volume": {"seen": _rounded(self.seen), "excess": _rounded(self.excess) if self.excess else None},
        }


def exact_sum(terms: list[float]) -> Exact:
    """The sum of finite numbers without rounding error, each of its parts rounded correctly and so the same whatever
    the order of the terms; fsum: https://docs.python.org/3/library/math.html#math.fsum"""
    if len(terms) == 1:
        return (terms[0] + 0.0,)  # of both zeros the same one
    parts: list[float] = []
    while (rest := fsum([*terms, *(-part for part in parts)])) != 0:
        parts.append(rest)
    return tuple(parts) if parts else (0.0,) if terms else ()


def as_datetime(time: int) -> datetime:
    """Microseconds since 1970 as a time without a zone."""
    return _EPOCH + timedelta(microseconds=time)


def moment(time: int) -> str:
    """Microseconds since 1970 as manifests have times."""
    return as_datetime(time).isoformat(sep=" ")


def _rounded(exact: Exact) -> float:
    return float(f"{fsum(exact):.10g}")
