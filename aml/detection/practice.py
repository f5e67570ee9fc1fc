"""Faults put into the training rows themselves, for the detector to learn what they look like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aml.detection.channels import Signals
from aml.detection.folds import SEASONS_US
from aml.detection.plan import Plan
from aml.detection.series import Integers, Ordered
from aml.holdout import Ground
from aml.rows import Rows, apart

_SEED = 0
_PER_KIND = 24
_ROWS_PER_FAULT = 360
_RULED = ("missing", "duplicated")  # found by rules on the times


@dataclass(frozen=True, eq=False)
class Faulty:
    """Faults, each a series of its own with the rows before it, called as the series it was put into.

    Attributes:
        origin: of each faulty row where it stood in the training rows, -1 of the rows before.
    """

    rows: Rows
    origin: Integers

    @classmethod
    def of(cls, ordered: Rows, rows: Ordered, plan: Plan) -> Faulty | None:
        """Some faults of each kind that can be there, in clean rows with all their context; None of a history that
        has not shown every season: what clean rows look like is not known well enough to tell faults from them.

        Args:
            ordered: what `rows` is of, in its order.
        """
        if int(np.ptp(rows.time)) < SEASONS_US:
            return None
        room = rows.clean & (rows.at - rows.begin >= plan.context)
        made = Ground(ordered, room, plan.context, _SEED, _PER_KIND).faults
        pieces, origins = [], []
        for injected in (made[name] for name in made if name not in _RULED):
            ends = np.flatnonzero(np.diff(injected.rows.series)) + 1
            for part in np.split(np.arange(len(injected.rows)), ends):
                pieces.append(injected.rows.take(part))
                origins.append(injected.origin[part])
        return cls(apart(pieces), np.concatenate(origins)) if pieces else None

    def __len__(self) -> int:
        return len(self.origin)

    def within(self, where: NDArray[np.bool_]) -> Faulty:
        """The faults whose last row stood where this is so."""
        last = np.append(np.diff(self.rows.series) != 0, True)
        take = where[self.origin[last]][self.rows.series]
        return Faulty(self.rows.take(take), self.origin[take])


@dataclass(frozen=True, eq=False)
class Practice:
    """Faulty rows as the detector sees them, and those just before them.

    Attributes:
        rows: each fault a series of its own.
        faulty: which of the rows are.
    """

    rows: Ordered
    faulty: NDArray[np.bool_]
    signals: Signals

    @classmethod
    def of(cls, rows: Ordered, faulty: NDArray[np.bool_], signals: Signals, plan: Plan) -> Practice:
        """Of all rows the first of each fault, and the day before it."""
        number = np.r_[0, np.cumsum(faulty)]
        number = number[1:] - number[rows.begin]  # of the fault's rows, those up to this one
        kept = np.flatnonzero(faulty & (number <= _ROWS_PER_FAULT))
        near = np.zeros(len(rows), dtype=bool)
        for back in range(plan.day + 1):
            near[np.maximum(kept - back, rows.begin[kept])] = True
        at = np.flatnonzero(near)
        return cls(rows.take(at), faulty[at], signals.take(at))

    @classmethod
    def joined(cls, parts: Sequence[Practice]) -> Practice:
        return cls(
            Ordered.joined([part.rows for part in parts]),
            np.concatenate([part.faulty for part in parts]),
            Signals.joined([part.signals for part in parts]),
        )
