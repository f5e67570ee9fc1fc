"""Faults put into a clean series, some of each kind, away from each other: what a detector is to find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from aml.faults import FAULTS, HOUR_US, Change, Fault, Place, high_of, inject, step_of
from aml.rows import Rows, concatenate

_APART_HOURS = 24
_APART_ROWS = 12
_TRIES = 300
# Of short series: so much may be faulty at most, and so much of it must stay between faults.
_FAULTY_AT_MOST, _APART_AT_MOST = 0.5, 0.25


@dataclass(frozen=True, eq=False)
class Faulted:
    """A series with faults in it.

    Attributes:
        rows: in order of time.
        origin: for each row its position in the clean series.
        event: for each row the number of the fault that an alert in it finds, -1 where there is none.
        kinds: the name of each fault, by its number; they are numbered in order of time.
        left_out: the kinds of which there was no place for one.
    """

    rows: Rows
    origin: NDArray[np.int64]
    event: NDArray[np.int64]
    kinds: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def labels(self) -> NDArray[np.bool_]:
        """Which rows are faulty."""
        return self.event >= 0


def with_faults(clean: Rows, first: int, seed: int, *, per_kind: int = 1, faults: Sequence[Fault] = FAULTS) -> Faulted:
    """The series with so many faults of each kind in its rows from `first` on, at least a day apart.

    Args:
        clean: rows of one series in order of time.
        seed: equal seeds give equal faults.
    """
    random = np.random.default_rng([seed, len(clean)])
    space = _Space.of(clean, first, per_kind * len(faults))
    # the longest first, while there is room; those of a few rows find a place anywhere
    wanted = sorted(faults, key=lambda fault: -fault.longest if fault.in_hours else 0)
    drawn = [(space.place(fault, random), fault.name) for fault in wanted for _ in range(per_kind)]
    placed = sorted(((change, name) for change, name in drawn if change is not None), key=lambda item: item[0].begin)
    kinds = tuple(name for _, name in placed)
    rows, origin, event = _assemble(clean, [change for change, _ in placed])
    return Faulted(rows, origin, event, kinds, tuple(fault.name for fault in faults if fault.name not in kinds))


@dataclass(frozen=True, eq=False)
class _Space:
    """The clean series and where there is no room for another fault."""

    clean: Rows
    taken: NDArray[np.bool_]
    high: float
    step: int
    longest: int
    apart: int

    @staticmethod
    def of(clean: Rows, first: int, count: int) -> _Space:
        step, each = step_of(clean.time), (len(clean) - first) / max(count, 1)
        apart = min(max(_APART_ROWS, round(_APART_HOURS * HOUR_US / step)), int(_APART_AT_MOST * each))
        taken = np.arange(len(clean)) < first
        return _Space(clean, taken, high_of(clean.value), step, max(1, int(_FAULTY_AT_MOST * each)), apart)

    def place(self, fault: Fault, random: Generator) -> Change | None:
        """A fault somewhere free, and its rows and those around it taken; None where no place was found."""
        if not fault.suits(self.clean, self.step) or self.longest < fault.least:
            return None
        starts = np.flatnonzero(fault.begins(self.clean.time) & ~self.taken)
        for _ in range(_TRIES if len(starts) else 0):
            start = int(random.choice(starts))
            stop = start + min(fault.draw_length(self.step, random), self.longest)
            if stop > len(self.clean) or self.taken[start:stop].any():
                continue
            change = inject(fault, Place(self.clean, start, stop, self.high, self.step), random)
            if change is not None and not self.taken[change.begin : change.end].any():
                self.taken[max(0, change.begin - self.apart) : change.end + self.apart] = True
                return change
        return None


def _assemble(clean: Rows, changes: Sequence[Change]) -> tuple[Rows, NDArray[np.int64], NDArray[np.int64]]:
    """The series with the changes in it; they are in order of time and do not overlap."""
    parts, origins, events = [], [], []
    at = 0
    for number, change in enumerate(changes):
        between = np.arange(at, change.begin)
        parts += [clean.take(between), change.rows]
        origins += [between, change.origin]
        events += [np.full(len(between), -1), np.where(change.faulty, number, -1)]
        at = change.end
    rest = np.arange(at, len(clean))
    parts.append(clean.take(rest))
    return (
        concatenate(parts),
        np.concatenate([*origins, rest]).astype(np.int64),
        np.concatenate([*events, np.full(len(rest), -1)]).astype(np.int64),
    )
