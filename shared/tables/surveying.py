"""The first pass over a file: what it is, how it is written, and whether it can be scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from aml.contract import ContractError, DatasetContract
from shared.tables.containers import Table, open_table
from shared.tables.kept import Kept, Portion, Understood
from shared.tables.model import Block, Dialect, Example, Range, Source, Survey, TableError
from shared.tables.numbers import NumberEvidence
from shared.tables.streams import Digest, weaker_encoding
from shared.tables.times import TimeEvidence
from shared.tables.typed import TextColumn, TypedRows, batch_of, text_columns, typed

_EXAMPLES = 5


class Follower(Protocol):
    """Looks on while a file is surveyed."""

    def begin(self) -> None:
        """The file is read from its beginning; what was seen before does not count."""

    def take(self, block: Block, batch: pa.RecordBatch) -> None:
        """The next block, and its usable rows as `Chunk.batch` has them."""


def survey(
    source: Source, contract: DatasetContract, kept: Kept | None = None, follower: Follower | None = None
) -> Survey:
    """Look over the whole file, in memory that does not grow with it.

    One pass is enough for nearly every file: it reads under what the first block says of decimals and day order, and
    gathers the evidence of all of it. Where the whole file says otherwise, it is read a second time under that; and
    again where some byte shows that the text is not UTF-8. The result is a function of the file's bytes and name alone.

    Args:
        kept: takes in what is understood of the rows, for `read`.
        follower: looks on.

    Raises:
        TableError: the file is no table for this contract, or nothing in it can be scored.
    """
    encoding: str | None = None
    settled: Dialect | None = None
    while True:
        look = _Look(source, contract, encoding, settled, kept, follower)
        try:
            look.take()
        except UnicodeDecodeError as error:
            encoding, settled = weaker_encoding(error), None
            continue
        if look.settled:
            return look.result()
        settled = look.final
        encoding = settled.encoding


@dataclass
class _Counts:
    """What is known of the rows seen so far."""

    rows: int = 0
    rejected: int = 0
    unusable: int = 0
    examples: list[Example] = field(default_factory=list)
    ranges: dict[str, Range] = field(default_factory=dict)
    span: tuple[int, int] | None = None
    ordered: bool = True
    duplicates: int = 0
    latest: dict[str, int] = field(default_factory=dict)  # by series

    def add(self, block: Block, rows: TypedRows, contract: DatasetContract) -> None:
        self.rows += len(block.rows)
        self.rejected += len(block.rejects)
        self.unusable += len(rows.problems)
        if len(self.examples) < _EXAMPLES:
            first = sorted(rows.problems)[: _EXAMPLES - len(self.examples)]
            self.examples += [Example(block.lines[at], rows.problems[at]) for at in first]
        if not rows.usable.any():
            return
        for name, values in rows.values.items():
            if contract.column(name).type == "number":
                self._widen(name, values[rows.usable & ~rows.missing[name]])
        if contract.time in rows.values:
            self._add_times(rows, contract)

    def _widen(self, name: str, values: NDArray[np.int64] | NDArray[np.float64]) -> None:
        if len(values):
            low, high = float(values.min()), float(values.max())
            known = self.ranges.get(name, Range(low, high))
            self.ranges[name] = Range(min(low, known.minimum), max(high, known.maximum))

    def _add_times(self, rows: TypedRows, contract: DatasetContract) -> None:
        times = np.asarray(rows.values[contract.time])[rows.usable]
        low, high = int(times.min()), int(times.max())
        self.span = (low, high) if self.span is None else (min(low, self.span[0]), max(high, self.span[1]))
        labels = rows.values.get(contract.series) if contract.series is not None else None
        if labels is None:
            self._follow([""], np.zeros(len(times), np.int64), times)
            return
        coded = labels.filter(pa.array(rows.usable)).dictionary_encode()
        self._follow(coded.dictionary.to_pylist(), coded.indices.to_numpy(), times)

    def _follow(self, labels: list[str], codes: NDArray[np.integer[Any]], times: NDArray[np.int64]) -> None:
        """The next times, each of the series `labels[code]`; every label occurs."""
        order = np.argsort(codes, kind="stable")
        codes, times = codes[order], times[order]
        begins = np.searchsorted(codes, np.arange(len(labels)))
        ends = np.append(begins[1:], len(times)) - 1
        firsts = times[begins].tolist()
        steps = np.diff(times, prepend=times[0])
        steps[begins] = [first - self.latest.get(label, first - 1) for label, first in zip(labels, firsts, strict=True)]
        self.ordered = self.ordered and bool((steps >= 0).all())
        self.duplicates += int(np.count_nonzero(steps == 0))
        self.latest.update(zip(labels, times[ends].tolist(), strict=True))


class _Look:
    """One pass. `settled` afterwards tells whether it was made under the dialect that the whole file speaks for."""

    def __init__(
        self,
        source: Source,
        contract: DatasetContract,
        encoding: str | None,
        dialect: Dialect | None,
        kept: Kept | None,
        follower: Follower | None,
    ) -> None:
        self._source = source
        self._contract = contract
        self._encoding = encoding
        self._under = dialect
        self._kept = kept
        self._follower = follower
        self._digest = Digest()
        self._counts = _Counts()
        self._numbers = NumberEvidence()
        self._times: dict[str, TimeEvidence] = {}
        self.settled = dialect is not None

    def take(self) -> None:
        known = self._under
        if self._kept is not None:
            self._kept.restart()
        opened = open_table(
            self._source,
            self._contract,
            watch=self._digest.watch,
            encoding=self._encoding,
            delimiter=known.delimiter if known else None,
        )
        if self._follower is not None:
            self._follower.begin()
        with opened as self._table:
            self._columns = _resolve(self._table, self._contract)
            for block in self._table.blocks():
                self._add(block, known is None)
        self.final = known or self._decide()
        if self._under is not None:
            self.settled = _reads_alike(self._under, self.final)

    def _add(self, block: Block, weighing: bool) -> None:
        columns = text_columns(block.rows, self._columns, self._contract)
        if weighing:
            self._weigh(columns, block)
        if self._under is None or (weighing and not self._counts.rows):
            self._under = self._decide()
        rows = typed(columns, self._under, len(block.rows))
        self._counts.add(block, rows, self._contract)
        if self._kept is None and self._follower is None:
            return
        understood = Understood(batch_of(rows, self._columns, self._contract), rows.usable, rows.problems, rows.flaws)
        if self._kept is not None:
            self._kept.add(Portion(block.rows, block.rejects, understood))
        if self._follower is not None:
            self._follower.take(block, understood.batch)

    def _weigh(self, columns: Sequence[TextColumn], block: Block) -> None:
        for text in columns:
            if text.moments is not None and text.shaped is not None:
                name = text.column.name
                evidence = self._times.setdefault(name, TimeEvidence(name))
                evidence.add(text.shaped, text.moments, block.lines)
            elif text.shaped is not None:
                self._numbers.add(text.shaped, self._columns[text.column.name] in block.native)

    def _decide(self) -> Dialect:
        dialect = self._table.dialect()
        decimal, thousands = self._numbers.decide(dialect.delimiter)
        times = {name: evidence.decide() for name, evidence in self._times.items()}
        return replace(dialect, decimal=decimal, thousands=thousands, times=times)

    def result(self) -> Survey:
        """The survey, or why the file cannot be scored."""
        counts = self._counts
        if not counts.rows + counts.rejected:
            raise TableError("no_rows", "The file has a header and no rows.")
        if counts.rows == counts.unusable:
            raise TableError("no_usable_row", self._why_none(counts), _first_line(counts))
        span = counts.span
        return Survey(
            name=self._source.name,
            sha256=self._digest.hexdigest(),
            size=self._digest.size,
            dialect=self.final,
            header=tuple(self._table.header),
            columns=self._columns,
            rows=counts.rows,
            rejected=counts.rejected,
            unusable=counts.unusable,
            examples=tuple(counts.examples),
            first_time=_moment(span[0]) if span else None,
            last_time=_moment(span[1]) if span else None,
            ordered=counts.ordered,
            duplicate_times=counts.duplicates if counts.ordered else None,
            ranges=counts.ranges,
        )

    def _why_none(self, counts: _Counts) -> str:
        message = f"None of the {counts.rows + counts.rejected} rows can be used."
        if counts.examples:
            return f"{message} Line {counts.examples[0].line}: {counts.examples[0].reason}."
        return f"{message} No line has as many fields as the header, which has {len(self._table.header)}."


def _first_line(counts: _Counts) -> int | None:
    return counts.examples[0].line if counts.examples else None


def _resolve(table: Table, contract: DatasetContract) -> dict[str, int]:
    try:
        return contract.resolve(table.header)
    except ContractError as error:
        raise TableError(error.code, error.message) from error


def _reads_alike(one: Dialect, other: Dialect) -> bool:
    orders = [{name: form.day_first for name, form in each.times.items()} for each in (one, other)]
    return (one.decimal, one.thousands) == (other.decimal, other.thousands) and orders[0] == orders[1]


def _moment(micros: int) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).replace(tzinfo=None)
