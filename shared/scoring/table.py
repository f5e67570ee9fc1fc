"""Scoring one table: chunks of text and typed rows go in, the same rows with their predictions come out."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aml.contract import DatasetContract
from shared.drift.gauge import Gauge
from shared.scoring import wire
from shared.scoring.context import Positions, conform, no_rows
from shared.scoring.grouping import Grouped, Scattered, is_grouped
from shared.scoring.journal import Journal
from shared.scoring.preceding import Preceding
from shared.scoring.scorer import Scored, Scorer
from shared.tables import Cells, Chunk, Kept, Reject, Source, Survey, read, render_predictions, render_scored

WAITING_BYTES = 16 << 20
"""Of text whose answers are under way: however many requests the settings allow, no more chunks are read meanwhile."""


@dataclass(frozen=True)
class ScoredChunk:
    """Rows in file order: their fields as they stand in the file, their predictions (null for none), and why none.

    `predictions` are all columns that the model answers; the scored file has those that `shown` names. `warnings` has
    the texts about each row, where the rows were not taken from what the survey had kept.
    """

    cells: Cells
    predictions: pa.Table
    errors: list[str]
    rejects: list[Reject]
    shown: tuple[str, ...]
    warnings: Sequence[Sequence[str]] = ()

    def render(self) -> bytes:
        """The chunk's lines of the scored file."""
        everywhere = np.ones(len(self.cells), dtype=np.bool_)
        texts = render_predictions(_one_batch(self.predictions), self.shown, everywhere)
        return render_scored(self.cells, [*texts, self.errors])


@dataclass
class Counts:
    """What became of the rows; `classes` counts the answers of the columns that are `counted`, see `class_names`."""

    counted: tuple[str, ...] = ()
    scored: int = 0
    errors: int = 0
    rejected: int = 0
    classes: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, chunk: ScoredChunk) -> None:
        """Takes one chunk into account."""
        errors = len(chunk.errors) - chunk.errors.count("")
        self.errors += errors
        self.scored += len(chunk.cells) - errors
        self.rejected += len(chunk.rejects)
        for name in self.counted:
            seen = self.classes.setdefault(name, Counter())
            for entry in pc.value_counts(chunk.predictions.column(name).drop_null()).to_pylist():
                seen[str(entry["values"])] += entry["counts"]

    @property
    def rows(self) -> int:
        """All data rows that came by."""
        return self.scored + self.errors + self.rejected

    def as_dict(self) -> dict[str, object]:
        """As they stand in manifests: rows, scored, errors, rejected, and anomalies or the counts of each class."""
        found: dict[str, object] = {
            "rows": self.rows,
            "scored": self.scored,
            "errors": self.errors,
            "rejected": self.rejected,
        }
        for name, seen in self.classes.items():
            if name == "anomaly":
                found["anomalies"] = seen["1"]
            else:
                found[name] = dict(sorted(seen.items()))
        return found


class TableScoring:
    """Scores the rows of one surveyed table; `latest` holds, after the last chunk, the rows that later files need.

    Args:
        before: what is known from before the table's rows, see `History.before`; or, where the table is a part of a
            file in time order, all that comes before it.
        alive: called now and then while no chunk can be handed out yet.
        journal: where earlier attempts left their answers, and this one leaves its own.
        kept: what the survey has kept of the rows.
        follow: is shown every batch, in time order within each series, and the answer to it.
        gauge: counts the rows as they come by, for what the manifest says of drift.
    """

    def __init__(
        self,
        source: Source,
        survey: Survey,
        contract: DatasetContract,
        scorer: Scorer,
        before: pa.Table | Preceding,
        chunk_rows: int,
        alive: Callable[[], None] = lambda: None,
        journal: Journal | None = None,
        kept: Kept | None = None,
        follow: Callable[[pa.Table, Scored], None] = lambda rows, scored: None,
        gauge: Gauge | None = None,
    ) -> None:
        self._source = source
        self._survey = survey
        self._contract = contract
        self._scorer = scorer
        self._before = before
        self._chunk_rows = chunk_rows
        self._alive = alive
        self._journal = journal
        self._kept = kept
        self._follow = follow
        self._gauge = gauge
        self._shown = tuple(prediction_names(contract))
        self.counts = Counts(class_names(contract))
        self._last = Preceding.first(no_rows(contract), contract)

    def chunks(self) -> Iterator[ScoredChunk]:
        """The table's rows in file order, scored as if the file were sorted by time within each series.

        Raises:
            RuntimeError: a row was lost or made up; nothing of the table may be committed then.
        """
        grouped = is_grouped(self._survey, self._contract, self._chunk_rows)
        for chunk in self._grouped() if grouped else self._streamed():
            self.counts.add(chunk)
            yield chunk
        if self.counts.rows != self._survey.data_rows:
            raise RuntimeError(
                f"{self._survey.name}: {self._survey.data_rows} data rows went in and {self.counts.rows} came out"
            )

    def _read(self) -> Iterator[Chunk]:
        return read(self._source, self._survey, self._contract, rows_per_chunk=self._chunk_rows, kept=self._kept)

    def _typed(self, chunk: Chunk) -> pa.Table:
        return conform(pa.Table.from_batches([chunk.batch]), self._contract)

    @property
    def latest(self) -> pa.Table:
        """The last rows of each series so far that were not refused, in time order."""
        return self._last.latest

    def _remember(self, rows: pa.Table) -> None:
        if self._contract.context_rows:
            self._last = self._last.then(rows)

    def _answers(self, batches: Iterator[pa.Table], full: Callable[[], bool] = lambda: False) -> Iterator[Scored]:
        """One for each batch: as an earlier attempt wrote it down, otherwise as the endpoint gives it.

        Args:
            full: see `Scorer.score`.
        """
        before = self._before
        if not isinstance(before, Preceding):
            before = Preceding.first(before, self._contract)
        if self._journal is None:
            yield from self._scorer.score(batches, before, full)
            return
        for scored, rows in zip(self._journal.replay(), batches, strict=False):
            before = before.then(scored.accepted(rows))
            yield scored
        for scored in self._scorer.score(batches, before, full):
            self._journal.add(scored)
            yield scored

    def _streamed(self) -> Iterator[ScoredChunk]:
        waiting: deque[tuple[Chunk, pa.Table, int]] = deque()

        def batches() -> Iterator[pa.Table]:
            for chunk in self._read():
                rows = self._typed(chunk)
                waiting.append((chunk, rows, chunk.cells.size))
                yield rows

        def full() -> bool:
            return sum(size for _, _, size in waiting) >= WAITING_BYTES

        for scored in self._answers(batches(), full):
            chunk, rows, _ = waiting.popleft()
            self._follow(rows, scored)
            self._remember(scored.accepted(rows))
            yield self._joined(chunk, scored)

    def _grouped(self) -> Iterator[ScoredChunk]:
        """By series and time; holds neither the text, which is read again, nor all of the rows."""
        grouped = Grouped(self._survey, self._contract, self._chunk_rows)
        for chunk in self._read():
            grouped.add(self._typed(chunk))
            self._alive()
        waiting: deque[tuple[Positions, pa.Table]] = deque()

        def batches() -> Iterator[pa.Table]:
            for places, rows in grouped.batches():
                waiting.append((places, rows))
                yield rows

        refused: dict[int, str] = {}
        with closing(Scattered(wire.prediction_schema(self._contract))) as answers:
            for scored in self._answers(batches()):
                places, rows = waiting.popleft()
                self._follow(rows, scored)
                self._remember(scored.accepted(rows))
                self._alive()
                answers.add(places, scored.predictions)
                refused.update({int(places[row]): why for row, why in scored.refused.items()})
            yield from self._in_file_order(answers, refused)

    def _in_file_order(self, answers: Scattered, refused: Mapping[int, str]) -> Iterator[ScoredChunk]:
        places, start = sorted(refused), 0
        for chunk in self._read():
            stop = start + chunk.batch.num_rows
            here = places[bisect_left(places, start) : bisect_left(places, stop)]
            why = {place - start: refused[place] for place in here}
            yield self._joined(chunk, Scored(answers.read(stop - start), why))
            start = stop

    def _joined(self, chunk: Chunk, scored: Scored) -> ScoredChunk:
        if self._gauge is not None:
            self._gauge.add(chunk, scored.predictions)
        return _joined(chunk, scored, self._shown)


def _joined(chunk: Chunk, scored: Scored, shown: tuple[str, ...]) -> ScoredChunk:
    """The chunk's rows with the predictions of those among them that could be asked about."""
    predictions = scored.predictions
    if not chunk.usable.all():
        positions = np.cumsum(chunk.usable) - 1
        predictions = predictions.take(pa.array(positions, pa.int64(), mask=~chunk.usable))
    errors = list(chunk.errors)
    rows = np.flatnonzero(chunk.usable)
    for row, why in {**_unanswered(scored.predictions), **scored.refused}.items():
        errors[rows[row]] = why
    warnings = [chunk.warnings.get(row, []) for row in range(len(chunk.cells))] if chunk.warnings else []
    return ScoredChunk(chunk.cells, predictions, errors, chunk.rejects, shown, warnings)


def _unanswered(predictions: pa.Table) -> dict[int, str]:
    """The rows for which the endpoint answered nothing at all, although it did not refuse them."""
    if not predictions.num_columns or not all(column.null_count for column in predictions.columns):
        return {}
    empty = np.logical_and.reduce([column.is_null().to_numpy() for column in predictions.columns])
    return {int(row): "The endpoint gave no prediction for this row." for row in np.flatnonzero(empty)}


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def prediction_names(contract: DatasetContract) -> list[str]:
    """The names of the prediction columns that scored files have, in the order in which they are written."""
    return [column.name for column in contract.predictions if column.in_file]


def class_names(contract: DatasetContract) -> tuple[str, ...]:
    """The prediction columns whose answers are classes: the integers, and the texts that are no words about a row."""
    classes = ("integer",) if contract.task == "anomaly" else ("integer", "text")
    return tuple(column.name for column in contract.predictions if column.type in classes)
