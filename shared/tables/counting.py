"""What the survey counts, block by block, in memory that does not grow with the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from aml.contract import DatasetContract
from shared.tables.model import Block, Example, Range, Tally
from shared.tables.typed import TypedRows

EXAMPLES = 5


@dataclass
class Finds:
    """Rows in which something was found: their number, and the first of them."""

    count: int = 0
    examples: list[Example] = field(default_factory=list)

    def add(self, count: int, examples: Iterable[Example]) -> None:
        """Some more of them; `examples` are not looked at once there are enough."""
        self.count += count
        if count and len(self.examples) < EXAMPLES:
            self.examples += islice(examples, EXAMPLES - len(self.examples))

    def tally(self) -> Tally:
        """What was found."""
        return Tally(self.count, tuple(self.examples))


@dataclass
class Counts:
    """What is known of the rows seen so far."""

    rows: int = 0
    unusable: int = 0
    examples: list[Example] = field(default_factory=list)
    rejects: Finds = field(default_factory=Finds)
    flaws: dict[str, dict[str, Finds]] = field(default_factory=dict)  # by column and kind
    warnings: dict[str, dict[str, Finds]] = field(default_factory=dict)
    classes: Counter[str] = field(default_factory=Counter)
    ranges: dict[str, Range] = field(default_factory=dict)
    span: tuple[int, int] | None = None
    backwards: Finds = field(default_factory=Finds)
    repeated: Finds = field(default_factory=Finds)
    turns: int = 0  # rows of another series than the row before
    _current: str | None = None  # the series of the last row
    _latest: dict[str, int] = field(default_factory=dict)  # by series
    _first_values: dict[str, Any] = field(default_factory=dict)
    _values: dict[str, int] = field(default_factory=dict)  # how many, while they are all the same
    _varied: set[str] = field(default_factory=set)

    @property
    def series(self) -> int:
        """How many series there are."""
        return len(self._latest)

    @property
    def ordered(self) -> bool:
        """Whether within each series the times never decreased."""
        return not self.backwards.count

    def constant(self) -> tuple[str, ...]:
        """The columns in which all values, two or more, were the same."""
        return tuple(name for name, count in self._values.items() if count > 1 and name not in self._varied)

    def add(self, block: Block, rows: TypedRows, contract: DatasetContract) -> None:
        """The next block."""
        self.rows += len(block.rows)
        self.rejects.add(len(block.rejects), (Example(each.line, each.reason) for each in block.rejects))
        self.unusable += len(rows.problems)
        if len(self.examples) < EXAMPLES:
            first = sorted(rows.problems)[: EXAMPLES - len(self.examples)]
            self.examples += [Example(block.lines[at], rows.problems[at]) for at in first]
        for known, seen in ((self.flaws, rows.flaws), (self.warnings, rows.warnings)):
            for (name, kind), told in seen.items():
                found = known.setdefault(name, {}).setdefault(kind, Finds())
                found.add(len(told), (Example(block.lines[at], words) for at, words in told))
        if not rows.usable.any():
            return
        for name, values in rows.values.items():
            here = rows.usable & ~rows.missing[name]
            if contract.column(name).type == "number":
                self._widen(name, values[here])
            if contract.column(name).type != "time" and name not in self._varied:
                self._compare(name, values[here] if isinstance(values, np.ndarray) else values.filter(pa.array(here)))
        if contract.target in rows.values:
            self._count_classes(rows.values[contract.target].filter(pa.array(rows.usable)))
        if contract.time in rows.values:
            self._add_times(block, rows, contract)

    def _count_classes(self, classes: Any) -> None:
        for entry in pc.value_counts(classes).to_pylist():
            self.classes[entry["values"]] += entry["counts"]

    def _widen(self, name: str, values: NDArray[np.int64] | NDArray[np.float64]) -> None:
        if len(values):
            low, high = float(values.min()), float(values.max())
            known = self.ranges.get(name, Range(low, high))
            self.ranges[name] = Range(min(low, known.minimum), max(high, known.maximum))

    def _compare(self, name: str, values: Any) -> None:
        """Whether the column still holds one value alone."""
        if not len(values):
            return
        different = pc.unique(values if isinstance(values, pa.Array) else pa.array(values))
        first = self._first_values.setdefault(name, different[0])
        self._values[name] = self._values.get(name, 0) + len(values)
        if len(different) > 1 or different[0] != first:
            self._varied.add(name)

    def _add_times(self, block: Block, rows: TypedRows, contract: DatasetContract) -> None:
        places = np.flatnonzero(rows.usable)
        times = np.asarray(rows.values[contract.time_column])[places]
        low, high = int(times.min()), int(times.max())
        self.span = (low, high) if self.span is None else (min(low, self.span[0]), max(high, self.span[1]))
        labels = rows.values.get(contract.series) if contract.series is not None else None
        if labels is None:
            self._follow([""], np.zeros(len(times), np.int64), times, places, block)
            return
        coded = labels.filter(pa.array(rows.usable)).dictionary_encode()
        self._follow(coded.dictionary.to_pylist(), coded.indices.to_numpy(), times, places, block)

    def _follow(
        self,
        labels: list[str],
        codes: NDArray[np.integer[Any]],
        times: NDArray[np.int64],
        places: NDArray[np.intp],
        block: Block,
    ) -> None:
        """The next times, each of the series `labels[code]`, and where in the block they stand; every label occurs."""
        first, last = labels[int(codes[0])], labels[int(codes[-1])]
        self.turns += int(np.count_nonzero(np.diff(codes))) + (first != self._current or not self._latest)
        self._current = last
        order = np.argsort(codes, kind="stable")
        codes, times, places = codes[order], times[order], places[order]
        begins = np.searchsorted(codes, np.arange(len(labels)))
        ends = np.append(begins[1:], len(times)) - 1
        firsts = times[begins].tolist()
        steps = np.diff(times, prepend=times[0])
        steps[begins] = [
            first - self._latest.get(label, first - 1) for label, first in zip(labels, firsts, strict=True)
        ]
        for finds, where, reason in (
            (self.backwards, steps < 0, "is earlier than the row before it"),
            (self.repeated, steps == 0, "is the time of the row before it"),
        ):
            at = np.flatnonzero(where)
            inside = at[np.argsort(places[at])][:EXAMPLES]
            finds.add(
                len(at), (Example(block.lines[int(places[i])], f"{moment(int(times[i]))} {reason}") for i in inside)
            )
        self._latest.update(zip(labels, times[ends].tolist(), strict=True))


def moment(micros: int) -> datetime:
    """The time that many microseconds after 1970 began."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).replace(tzinfo=None)
