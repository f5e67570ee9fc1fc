"""What is held out of a dataset, and the faults that are injected into it: the ground on which models are judged.

A fifth of the time is held out. Of ten weeks or more it is every fifth of up to fifty equal stretches, the last one
among them, so that what is held out has the seasons that the rest has; of less, it is the last fifth. The fit sees the
rest alone, as a series with gaps, and is told which gaps are not the meter's (`remaining`).

The held-out rows, each stretch with the rows before it that features need, are kept beside the model. So the model that
comes next can be judged on them too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.random import Generator
from numpy.typing import NDArray

from aml.contract.labels import UNLABELLED
from aml.faults import FAULTS, Fault, Place, high_of, inject, step_of
from aml.rows import BEHIND_A_CUT, Rows, apart, concatenate

FILE_NAME = "holdout.parquet"
HOLD_OUT_SHARE = 0.2
FAULTS_PER_KIND = 25
_EVERY = 5
_WEEK_US = 7 * 86_400_000_000
_STRETCHES_AT_MOST = 10
_ROWS_PER_FAULT_AT_MOST = 720
_TRIES = 40
_OUTSIDE = "outside_"  # and a number: the columns of `Rows.outside` in the file

Mask = NDArray[np.bool_]


class TooFewRowsError(ValueError):
    """There is too little to hold anything out."""


class GroundError(ValueError):
    """Held-out rows that were kept cannot be read."""


@dataclass(frozen=True, eq=False)
class Injected:
    """Faults of one kind, each a series of its own with the context before it; `origin` says where a faulty row came
    from in the ground's rows, and is -1 for context."""

    rows: Rows
    origin: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ground:
    """Rows in order of series and time, and which of them are held out; the others are there as context.

    Attributes:
        seed: of all that is drawn; the same ground has the same faults, whoever is judged on it.
        per_kind: how many faults of each kind; 0: `FAULTS_PER_KIND`.
    """

    rows: Rows
    held: Mask
    context_rows: int
    seed: int
    per_kind: int = 0

    @cached_property
    def positions(self) -> NDArray[np.intp]:
        """Where the held-out rows stand."""
        return np.flatnonzero(self.held)

    @cached_property
    def faults(self) -> dict[str, Injected]:
        """So many faults of each kind, each by itself somewhere in a held-out stretch; without the kinds that
        cannot be in these rows."""
        drawn = {
            fault.name: self._inject(fault, np.random.default_rng([self.seed, number]))
            for number, fault in enumerate(FAULTS)
        }
        return {name: injected for name, injected in drawn.items() if injected is not None}

    @property
    def left_out(self) -> tuple[str, ...]:
        """The kinds of faults that cannot be in these rows (`aml.faults` says why)."""
        return tuple(fault.name for fault in FAULTS if fault.name not in self.faults)

    def kept(self) -> Ground:
        """The held-out rows and the context before each stretch, without the rest."""
        keep = self.held.copy()
        begins = self.held & (~np.r_[False, self.held[:-1]] | (self._before == 0))
        for start in np.flatnonzero(begins).tolist():
            keep[start - min(self.context_rows, int(self._before[start])) : start] = True
        return Ground(self.rows.take(keep), self.held[keep], self.context_rows, self.seed)

    def save(self, folder: Path) -> None:
        """Write what is kept into the folder, as Parquet."""
        kept = self.kept()
        codes, where = np.unique(kept.rows.series, return_inverse=True)
        names = np.array([*kept.rows.names_of(codes), ""])[where]
        columns = {"time": kept.rows.time, "value": kept.rows.value, "series": names, "held": kept.held}
        if kept.rows.outside is not None:
            columns |= {f"{_OUTSIDE}{number}": each for number, each in enumerate(kept.rows.outside.T)}
        if kept.rows.label is not None:
            columns["label"] = kept.rows.label
        about = {"context_rows": str(self.context_rows), "seed": str(self.seed)}
        pa.parquet.write_table(pa.table(columns).replace_schema_metadata(about), folder / FILE_NAME)

    @cached_property
    def _before(self) -> NDArray[np.int64]:
        """Rows of the same series before a row."""
        return _position_in_run(self.rows.series)

    @cached_property
    def _left(self) -> NDArray[np.int64]:
        """Rows of a held-out stretch from a row on, itself included."""
        run = np.cumsum(np.r_[False, (np.diff(self.rows.series) != 0) | (np.diff(self.held) != 0)])
        left: NDArray[np.int64] = np.bincount(run)[run] - _position_in_run(run)
        return left

    @cached_property
    def _series(self) -> dict[int, _Series]:
        """What faults need to know of each series."""
        parts = {int(code): self.rows.take(self.rows.series == code) for code in np.unique(self.rows.series)}
        return {code: _Series(rows, high_of(rows.value), step_of(rows.time)) for code, rows in parts.items()}

    def _inject(self, fault: Fault, random: Generator) -> Injected | None:
        suited = [code for code, series in self._series.items() if fault.suits(series.rows, series.step)]
        may_begin = self.held & np.isin(self.rows.series, suited) & fault.begins(self.rows.time)
        starts = np.flatnonzero(may_begin & (self._left >= fault.least))
        if not len(starts):
            return None
        pieces = [self._piece(fault, starts, random) for _ in range(self.per_kind or FAULTS_PER_KIND)]
        made = [piece for piece in pieces if piece is not None]
        if len(made) < len(pieces):
            return None
        return Injected(apart([rows for rows, _ in made]), np.concatenate([origin for _, origin in made]))

    def _piece(
        self, fault: Fault, starts: NDArray[np.intp], random: Generator
    ) -> tuple[Rows, NDArray[np.int64]] | None:
        """One fault with its context; None where none of many places takes it."""
        for _ in range(_TRIES):
            start, length = self._place(fault, starts, random)
            first = start - min(int(self._before[start]), self.context_rows)
            there = slice(first, start + int(self._left[start]))
            series = self._series[int(self.rows.series[start])]
            place = Place(self.rows.take(there), start - first, start - first + length, series.high, series.step)
            change = inject(fault, place, random)
            if change is not None:
                rows = concatenate([place.rows.take(slice(0, change.begin)), change.rows])
                origin = np.r_[np.full(change.begin, -1), np.where(change.faulty, first + change.origin, -1)]
                return rows, origin
        return None

    def _place(self, fault: Fault, starts: NDArray[np.intp], random: Generator) -> tuple[int, int]:
        """Where a fault begins and how many rows it lasts; fewer where no held-out stretch has that many."""
        start = int(random.choice(starts))
        length = fault.draw_length(self._series[int(self.rows.series[start])].step, random)
        length = min(length, _ROWS_PER_FAULT_AT_MOST, int(self._left[starts].max()))
        if self._left[start] < length:
            start = int(random.choice(starts[self._left[starts] >= length]))
        return start, length


@dataclass(frozen=True, eq=False)
class _Series:
    rows: Rows
    high: float
    step: int


def hold_out(rows: Rows, context_rows: int, seed: int) -> tuple[Ground, Mask]:
    """The ground that a dataset gives, and which of its rows may be fitted on.

    Args:
        rows: in order of series and time.
        context_rows: rows before a row that its features depend on.

    Raises:
        TooFewRowsError: nothing can be held out.
    """
    times = np.sort(rows.time)
    if len(times) < 2:
        raise TooFewRowsError("there are too few rows to hold some out")
    weeks = (int(times[-1]) - int(times[0])) / _WEEK_US
    stretches = _EVERY * int(np.clip(weeks / _EVERY, 1, _STRETCHES_AT_MOST))
    # One moment cuts all series, so that no row is judged by what another series saw of the same time.
    cuts = times[(len(times) * np.arange(1, stretches) // stretches)]
    held: Mask = np.searchsorted(cuts, rows.time, side="right") % _EVERY == _EVERY - 1
    fit = ~held
    if int(fit.sum()) < 2 or not held.any():
        raise TooFewRowsError("the rows lie too close together in time to hold some out")
    return Ground(rows, held, context_rows, seed), fit


def remaining(rows: Rows, fit: Mask) -> Rows:
    """What may be learnt from: the rows of `fit`.

    The first row behind rows that were left out has a gap before it that no meter has made. It is marked, so that
    nobody learns from it that rows are missing now and then; a meter that loses none would be found no gap in.

    Args:
        rows: in order of series and time.
    """
    behind = fit & np.r_[False, ~fit[:-1] & (rows.series[1:] == rows.series[:-1])]
    if not behind.any():
        return rows.take(fit)
    label = np.full(len(rows), UNLABELLED, np.int8) if rows.label is None else rows.label
    return replace(rows, label=np.where(behind, np.int8(BEHIND_A_CUT), label)).take(fit)


def load_ground(folder: Path) -> Ground:
    """The held-out rows that were kept in the folder, or below it.

    Raises:
        GroundError: there are none, or they cannot be read.
    """
    found = sorted(folder.rglob(FILE_NAME))
    if len(found) != 1:
        raise GroundError(f"there is no {FILE_NAME} beside the model")
    try:
        table = pa.parquet.read_table(found[0])
        time, value, held = (table.column(name).to_numpy() for name in ("time", "value", "held"))
        # Rows from before series had names hold their numbers here.
        called = table.column("series").cast(pa.string()).combine_chunks().dictionary_encode()
        series, names = np.asarray(called.indices.to_numpy(), dtype=np.int64), tuple(called.dictionary.to_pylist())
        about = table.schema.metadata
        more = [name for name in table.column_names if name.startswith(_OUTSIDE)]
        outside = np.stack([table.column(name).to_numpy() for name in more], axis=1) if more else None
        label = table.column("label").to_numpy() if "label" in table.column_names else None
        rows = Rows(time, value, series, names, outside, label)
        ground = Ground(rows, held, int(about[b"context_rows"]), int(about[b"seed"]))
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise GroundError(f"{FILE_NAME} cannot be read ({type(error).__name__}: {error})") from error
    if not len(ground.positions):
        raise GroundError(f"{FILE_NAME} has no held-out row")
    return ground


def _position_in_run(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many equal values stand directly before each."""
    here = np.arange(len(values))
    begins = np.r_[True, np.diff(values) != 0][: len(values)]
    return here - np.maximum.accumulate(np.where(begins, here, 0))
