"""Flagged rows of a series joined into events: what a person looks into is an episode, not each of its rows.

An event is a longest stretch of rows of one series, in time order, that begins and ends with a flagged row and holds no
more than `GAP_ROWS` rows in succession that are not flagged. Only accepted rows count, and they are counted, whatever
the time between them, as context is. A file's events are its own: of the one before it the answers are not known here.

Events of consecutive pieces of a file add up to those of the whole, bit for bit, however it was cut: sums are kept
exactly, and a piece remembers of each series the events that touch its ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from aml.contract import DatasetContract
from shared.scoring.context import one_series
from shared.scoring.event import UNKNOWN, VAGUE, Event, exact_sum
from shared.scoring.scorer import Scored

GAP_ROWS = 3
"""So many rows in succession that are not flagged do not end an event."""

SHOWN = 200
"""So many events at most are shown, the most severe ones."""

_FAR = GAP_ROWS + 1
_LARGEST = 1e290
"""Sums of values that are bounded like this stay finite."""

_FIELDS = tuple(Event.__dataclass_fields__)


@dataclass
class SeriesSoFar:
    """One series in a piece of a file: what was counted of it, and its events that may go on in the pieces beside it.

    Attributes:
        events: those counted so far, without `first` and `last`.
        severity: of the most severe of those.
        lead, trail: rows before its first and behind its last event, at most `_FAR`; all its rows where it has none.
        first, last: its first event, and its last where that is another one.
    """

    rows: int = 0
    flagged: int = 0
    events: int = 0
    severity: float = 0.0
    lead: int = 0
    trail: int = 0
    first: Event | None = None
    last: Event | None = None

    @property
    def count(self) -> int:
        """How many events it has."""
        return self.events + (self.first is not None) + (self.last is not None)

    @property
    def highest(self) -> float:
        """The severity of its most severe event."""
        return max(self.severity, *(each.severity for each in (self.first, self.last) if each is not None), 0.0)

    def then(self, later: SeriesSoFar, close: Callable[[Event], None]) -> SeriesSoFar:
        """This piece and the one behind it as one; events that cannot go on any more are closed."""
        both = SeriesSoFar(
            self.rows + later.rows,
            self.flagged + later.flagged,
            self.events + later.events,
            max(self.severity, later.severity),
            *(self.lead, later.trail, self.first, self.last),
        )
        if self.first is None or later.first is None:
            both.lead = self.lead if self.first else min(_FAR, self.lead + later.lead)
            both.trail = later.trail if later.first else min(_FAR, self.trail + later.trail)
            both.first, both.last = (self.first, self.last) if self.first else (later.first, later.last)
            return both
        mine, theirs = self.last or self.first, later.first
        parts = [mine.then(theirs)] if self.trail + later.lead <= GAP_ROWS else [mine, theirs]
        chain = [*([self.first] if self.last else []), *parts, *([later.last] if later.last else [])]
        for event in chain[1:-1]:
            close(event)
            both.severity = max(both.severity, event.severity)
        both.events += max(0, len(chain) - 2)
        both.first, both.last = chain[0], chain[-1] if len(chain) > 1 else None
        return both


@dataclass
class Events:
    """The events of consecutive rows of a file.

    `series` holds every series that was met; of the events that are closed the most severe are kept, and all counted.
    """

    contract: DatasetContract
    series: dict[str | None, SeriesSoFar] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    closed: list[Event] = field(default_factory=list)

    def add(self, rows: pa.Table, scored: Scored) -> None:
        """Takes the next rows into account, which come in time order within each series, and the answers to them."""
        if "anomaly" not in scored.predictions.schema.names:
            return
        for name, piece, amid in _pieces(rows, scored, self.contract):
            for event in amid:
                self._close(event)
            self._append(name, piece)

    def then(self, later: Events) -> Events:
        """The events of this piece of a file and of the piece behind it."""
        both = Events(self.contract, dict(self.series), self.kinds + later.kinds, [*self.closed, *later.closed])
        for name, piece in later.series.items():
            both._append(name, piece)
        both._forget()
        return both

    def _append(self, name: str | None, piece: SeriesSoFar) -> None:
        known = self.series.get(name)
        self.series[name] = piece if known is None else known.then(piece, self._close)

    def _close(self, event: Event) -> None:
        self.kinds[event.kind] += 1
        self.closed.append(event)
        if len(self.closed) >= 4 * SHOWN:
            self._forget()

    def _forget(self) -> None:
        self.closed = sorted(self.closed, key=Event.rank)[:SHOWN]

    def _at_the_ends(self) -> list[Event]:
        return [each for so_far in self.series.values() for each in (so_far.first, so_far.last) if each is not None]

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(each.count for each in self.series.values())

    def most_severe(self) -> list[Event]:
        """The most severe, these first, no more than `SHOWN`."""
        return sorted([*self.closed, *self._at_the_ends()], key=Event.rank)[:SHOWN]

    def by_kind(self) -> dict[str, int]:
        """How many there are of each kind, the most frequent first."""
        kinds = self.kinds + Counter(each.kind for each in self._at_the_ends())
        return dict(sorted(kinds.items(), key=lambda each: (-each[1], each[0])))

    def for_manifest(self) -> dict[str, Any]:
        """The manifest's `events`: how many there are, of each kind too, and the most severe in order of time."""
        items = sorted(self.most_severe(), key=lambda event: (event.start, event.series or "", event.end))
        return {
            "count": self.count,
            "kinds": self.by_kind(),
            "shown": len(items),
            "items": [event.as_dict() for event in items],
        }

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` reads it."""
        return {
            "series": [
                [name, *(_listed(getattr(piece, each)) for each in SeriesSoFar.__dataclass_fields__)]
                for name, piece in self.series.items()
            ],
            "kinds": dict(self.kinds),
            "closed": [_listed(event) for event in self.closed],
        }

    @classmethod
    def from_dict(cls, known: Mapping[str, Any], contract: DatasetContract) -> Self:
        """See `as_dict`."""
        series = {
            name: SeriesSoFar(*[*counts, _event(first), _event(last)]) for name, *counts, first, last in known["series"]
        }
        closed = [event for each in known["closed"] if (event := _event(each)) is not None]
        return cls(contract, series, Counter(known["kinds"]), closed)


def _listed(value: Any) -> Any:
    return [getattr(value, each) for each in _FIELDS] if isinstance(value, Event) else value


def _event(values: list[Any] | None) -> Event | None:
    if values is None:
        return None
    *others, seen, excess = values
    return Event(*[*others, tuple(seen), tuple(excess)])


def _pieces(
    rows: pa.Table, scored: Scored, contract: DatasetContract
) -> Iterator[tuple[str | None, SeriesSoFar, list[Event]]]:
    """What the rows come to, series by series in the order of first appearance, and the events amid each."""
    answers = scored.predictions
    if scored.refused:
        accepted = pa.array([row for row in range(rows.num_rows) if row not in scored.refused], pa.int64())
        rows, answers = rows.take(accepted), answers.take(accepted)
    flags = _numbers(answers, "anomaly") == 1
    if one_series(rows, contract):
        names, ends, order = [None], [rows.num_rows], None
    else:
        column = rows.column(contract.series).combine_chunks().dictionary_encode("encode")
        names, codes = column.dictionary.to_pylist(), np.asarray(column.indices)
        ends, order = np.cumsum(np.bincount(codes, minlength=len(names))).tolist(), np.argsort(codes, kind="stable")
        flags = flags[order]
    flagged = np.flatnonzero(flags)
    facts = _Facts.of(rows, answers, flagged if order is None else order[flagged], contract)
    places, cuts = flagged.tolist(), np.searchsorted(flagged, ends).tolist()
    bounds = zip(pairwise([0, *ends]), pairwise([0, *cuts]), strict=True)
    for name, ((start, end), (low, high)) in zip(names, bounds, strict=True):
        if end > start:
            yield name, *_piece(name, start, end, places, facts, low, high)


def _piece(
    name: str | None, start: int, end: int, places: list[int], facts: _Facts, low: int, high: int
) -> tuple[SeriesSoFar, list[Event]]:
    """The rows from `start` to before `end`, of which those at `places[low:high]` are flagged."""
    rows = end - start
    if low == high:
        return SeriesSoFar(rows=rows, lead=min(_FAR, rows), trail=min(_FAR, rows)), []
    begins = [low, *(at for at in range(low + 1, high) if places[at] - places[at - 1] > _FAR), high]
    events = [facts.event(name, *each) for each in pairwise(begins)]
    piece = SeriesSoFar(
        rows=rows,
        flagged=high - low,
        events=max(0, len(events) - 2),
        severity=max((event.severity for event in events[1:-1]), default=0.0),
        lead=min(_FAR, places[low] - start),
        trail=min(_FAR, end - 1 - places[high - 1]),
        first=events[0],
        last=events[-1] if len(events) > 1 else None,
    )
    return piece, events[1:-1]


def _numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    """A column as numbers; NaN where there is nothing, throughout where there is no such column."""
    if name not in table.schema.names:
        return np.full(table.num_rows, np.nan)
    return np.asarray(table.column(name).cast(pa.float64()).to_numpy(), dtype=np.float64)


def _texts(table: pa.Table, name: str) -> list[str]:
    if name not in table.schema.names:
        return [""] * int(table.num_rows)
    return [text or "" for text in table.column(name).to_pylist()]


@dataclass(frozen=True)
class _Facts:
    """What there is to know of flagged rows: times, values, what they exceed the expected ones by (NaN: unknown)."""

    time: list[int]
    value: list[float]
    excess: list[float]
    severity: list[float]
    score: list[float]
    kind: list[str]
    reason: list[str]

    @classmethod
    def of(cls, rows: pa.Table, answers: pa.Table, which: NDArray[np.intp], contract: DatasetContract) -> Self:
        taken, answers = rows.take(pa.array(which, pa.int64())), answers.take(pa.array(which, pa.int64()))
        value = np.clip(_numbers(taken, contract.value_column), -_LARGEST, _LARGEST)
        excess = value - np.clip(_numbers(answers, "expected"), -_LARGEST, _LARGEST)
        return cls(
            taken.column(contract.time_column).cast(pa.int64()).to_pylist(),
            value.tolist(),
            excess.tolist(),
            np.nan_to_num(_numbers(answers, "severity")).tolist(),
            np.nan_to_num(_numbers(answers, "anomaly_score")).tolist(),
            _texts(answers, "kind"),
            _texts(answers, "reason"),
        )

    def part(self, low: int, high: int) -> _Facts:
        return _Facts(*(getattr(self, name)[low:high] for name in self.__dataclass_fields__))

    def event(self, series: str | None, low: int, high: int) -> Event:
        """These rows as one event."""
        worst = max(range(low, high), key=lambda row: (*self._telling(row), row))
        return Event(
            series,
            self.time[low],
            self.time[high - 1],
            high - low,
            self.severity[worst],
            self.score[worst],
            self.time[worst],
            self._kind(worst),
            self.reason[worst],
            exact_sum(self.value[low:high]),
            exact_sum([each for each in self.excess[low:high] if each == each]),
        )

    def _kind(self, row: int) -> str:
        return self.kind[row] if self.kind[row] not in ("", "none") else UNKNOWN

    def _telling(self, row: int) -> tuple[bool, float, float]:
        return self._kind(row) not in VAGUE, self.severity[row], self.score[row]
