"""The first pass over a file: what it is, how it is written, and whether it can be scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import pyarrow as pa

from aml.contract import ContractError, DatasetContract
from shared.memory import Thrift
from shared.tables.containers import Table, open_table
from shared.tables.counting import Counts, Finds, moment
from shared.tables.kept import Kept, Portion, Understood
from shared.tables.model import Block, Dialect, Source, Survey, TableError, Tally
from shared.tables.numbers import NumberEvidence
from shared.tables.streams import Digest, weaker_encoding
from shared.tables.times import TimeEvidence
from shared.tables.typed import TextColumn, batch_of, positions, text_columns, typed


class Follower(Protocol):
    """Looks on while a file is surveyed."""

    def begin(self) -> None:
        """The file is read from its beginning; what was seen before does not count."""

    def take(self, block: Block, batch: pa.RecordBatch) -> None:
        """The next block, and its usable rows as `Chunk.batch` has them."""


def survey(
    source: Source,
    contract: DatasetContract,
    kept: Kept | None = None,
    follower: Follower | None = None,
    *,
    hopeless: bool = False,
) -> Survey:
    """Look over the whole file, in memory that does not grow with it.

    One pass is enough for nearly every file: it reads under what the first block says of decimals and day order, and
    gathers the evidence of all of it. Where the whole file says otherwise, it is read a second time under that; and
    again where some byte shows that the text is not UTF-8. The result is a function of the file's bytes and name alone.

    Args:
        kept: takes in what is understood of the rows, for `read`.
        follower: looks on.
        hopeless: whether a file of which no row can be used is surveyed too, for somebody who wants to know why.

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
            return look.result(hopeless)
        settled = look.final
        encoding = settled.encoding


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
        self._counts = Counts()
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
            thrift = Thrift()
            for block in self._table.blocks():
                self._add(block, known is None)
                thrift.worked(block.rows.size)
        self.final = known or self._decide()
        if self._under is not None:
            self.settled = _reads_alike(self._under, self.final)

    def _add(self, block: Block, weighing: bool) -> None:
        columns = text_columns(block.rows, self._columns, self._contract)
        if weighing:
            self._weigh(columns, block)
        if self._under is None or (weighing and not self._counts.rows):
            self._under = self._decide()
        rows = typed(columns, self._under, len(block.rows), self._contract)
        self._counts.add(block, rows, self._contract)
        if self._kept is None and self._follower is None:
            return
        batch = batch_of(rows, self._contract)
        if self._kept is not None:
            understood = Understood(batch, rows.usable, rows.problems, rows.counted())
            self._kept.add(Portion(block.rows, block.rejects, understood))
        if self._follower is not None:
            self._follower.take(block, batch)

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

    def result(self, hopeless: bool) -> Survey:
        """The survey, or why the file cannot be scored."""
        counts = self._counts
        if not counts.rows + counts.rejects.count:
            raise TableError("no_rows", "The file has a header and no rows.")
        if counts.rows == counts.unusable and not hopeless:
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
            rejected=counts.rejects.count,
            unusable=counts.unusable,
            examples=tuple(counts.examples),
            first_time=moment(span[0]) if span else None,
            last_time=moment(span[1]) if span else None,
            ordered=counts.ordered,
            duplicate_times=counts.repeated.count if counts.ordered else None,
            ranges=counts.ranges,
            flaws=_tallies(counts.flaws),
            warnings=_tallies(counts.warnings),
            classes=dict(sorted(counts.classes.items())),
            rejects=counts.rejects.tally(),
            backwards=counts.backwards.tally(),
            repeated=counts.repeated.tally(),
            constant=counts.constant(),
            series=counts.series,
            turns=counts.turns,
        )

    def _why_none(self, counts: Counts) -> str:
        message = f"None of the {counts.rows + counts.rejects.count} rows can be used."
        if counts.examples:
            return f"{message} Line {counts.examples[0].line}: {counts.examples[0].reason}."
        return f"{message} No line has as many fields as the header, which has {len(self._table.header)}."


def _tallies(found: Mapping[str, Mapping[str, Finds]]) -> dict[str, dict[str, Tally]]:
    return {name: {kind: finds.tally() for kind, finds in kinds.items()} for name, kinds in found.items()}


def _first_line(counts: Counts) -> int | None:
    return counts.examples[0].line if counts.examples else None


def _resolve(table: Table, contract: DatasetContract) -> dict[str, int]:
    try:
        return positions(table.header, contract)
    except ContractError as error:
        raise TableError(error.code, error.message) from error


def _reads_alike(one: Dialect, other: Dialect) -> bool:
    orders = [{name: form.day_first for name, form in each.times.items()} for each in (one, other)]
    return (one.decimal, one.thousands) == (other.decimal, other.thousands) and orders[0] == orders[1]
