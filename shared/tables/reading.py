"""The second pass over a file: exact rows and typed columns, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from aml.contract import DatasetContract
from shared.memory import Thrift
from shared.tables.cells import Cells, Rows
from shared.tables.containers import open_table
from shared.tables.kept import Kept, Portion, Understood
from shared.tables.model import Chunk, Flaws, Reject, Source, Survey, TableError
from shared.tables.typed import text_columns, understand

Part = tuple[Rows, Understood]

_MANY_REJECTS = 10_000
CHUNK_BYTES = 3 << 19
"""Of text; a chunk that has reached it ends with the block that is being read: two blocks make one. Some five chunks
are in memory at once, one of them in several forms."""


def read(
    source: Source, survey: Survey, contract: DatasetContract, *, rows_per_chunk: int, kept: Kept | None = None
) -> Iterator[Chunk]:
    """The file's rows in order, at most `rows_per_chunk` at a time, and fewer where they are long. Where very many
    lines are rejected, chunks of rejects alone come between.

    Rows, errors and rejects, taken together, do not depend on `rows_per_chunk` nor on the size of the source's pieces,
    and there are `survey.rows` and `survey.rejected` of them.

    Args:
        kept: what the survey has kept; where it is whole, the source is not asked again.

    Raises:
        TableError: `changed_file` when the source no longer holds what was surveyed.
    """
    if rows_per_chunk < 1:
        raise ValueError("rows_per_chunk must be at least 1")
    portions = kept.portions() if kept is not None and kept.whole else _portions(source, survey, contract)
    rows = rejected = 0
    for index, (parts, rejects, lines) in enumerate(_cut(portions, rows_per_chunk)):
        chunk = _chunk(index, rows, parts, rejects, survey, contract)
        yield replace(chunk, lines=lines)
        rows += len(chunk.cells)
        rejected += len(rejects)
    if (rows, rejected) != (survey.rows, survey.rejected):
        raise _changed(survey)


def _chunk(
    index: int, first_row: int, parts: list[Part], rejects: list[Reject], survey: Survey, contract: DatasetContract
) -> Chunk:
    cells = Cells([rows for rows, _ in parts])
    errors = [""] * len(cells)
    begin = 0
    flaws: dict[str, Flaws] = {}
    warnings: dict[int, list[str]] = {}
    for rows, understood in parts:
        for at, problem in understood.problems.items():
            errors[begin + at] = problem
        warnings |= {begin + at: told for at, told in understood.warnings.items()}
        for name, found in understood.flaws.items():
            flaws[name] = flaws.get(name, Flaws()) + found
        begin += len(rows)
    if not parts:
        nothing = understand(text_columns(cells, survey.columns, contract), survey.dialect, 0, contract)
        return Chunk(index, first_row, cells, nothing.batch, nothing.usable, errors, rejects)
    batch = pa.concat_batches([understood.batch for _, understood in parts])
    usable = np.concatenate([understood.usable for _, understood in parts])
    return Chunk(index, first_row, cells, batch, usable, errors, rejects, flaws, warnings=warnings)


def _portions(source: Source, survey: Survey, contract: DatasetContract) -> Iterator[Portion]:
    """The file's rows, read again."""
    dialect = survey.dialect
    try:
        opened = open_table(source, contract, encoding=dialect.encoding, delimiter=dialect.delimiter)
        with opened as table:
            if tuple(table.header) != survey.header:
                raise _changed(survey)
            for block in table.blocks():
                columns = text_columns(block.rows, survey.columns, contract)
                understood = understand(columns, dialect, len(block.rows), contract)
                yield Portion(block.rows, block.rejects, understood, block.lines)
    except UnicodeDecodeError as error:
        raise _changed(survey) from error


def _cut(portions: Iterable[Portion], size: int) -> Iterator[tuple[list[Part], list[Reject], list[Sequence[int]]]]:
    """Rows in lots of at most `size`, each with the rejects met before the next lot began, and their lines."""
    parts: list[Part] = []
    lines: list[Sequence[int]] = []
    held = weight = 0
    rejects: list[Reject] = []
    thrift = Thrift()
    for portion in portions:
        thrift.worked(portion.rows.size)
        rejects += portion.rejects
        if len(rejects) >= max(size, _MANY_REJECTS):
            # A file of nothing but rejects must not be gathered in memory.
            yield [], rejects, []
            rejects = []
        start = 0
        while start < len(portion.rows):
            stop = min(len(portion.rows), start + size - held)
            rows = portion.rows.part(start, stop)
            parts.append((rows, portion.understood.part(start, stop)))
            lines.append(portion.lines[start:stop])
            held, weight, start = held + stop - start, weight + rows.size, stop
            if held == size or weight >= CHUNK_BYTES:
                yield parts, rejects, lines
                parts, rejects, lines, held, weight = [], [], [], 0, 0
    if parts or rejects:
        yield parts, rejects, lines


def _changed(survey: Survey) -> TableError:
    return TableError("changed_file", f"{survey.name} has changed while it was being read.")
