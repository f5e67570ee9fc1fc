"""The second pass over a file: exact rows and typed columns, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator

from aml.contract import DatasetContract
from shared.tables.cells import Cells, Rows
from shared.tables.containers import open_table
from shared.tables.model import Chunk, Reject, Source, Survey, TableError
from shared.tables.typed import batch_of, text_columns, typed

_MANY_REJECTS = 10_000
_CHUNK_BYTES = 8 << 20
"""Of text; a chunk that has reached it ends with the block that is being read."""


def read(source: Source, survey: Survey, contract: DatasetContract, *, rows_per_chunk: int) -> Iterator[Chunk]:
    """The file's rows in order, at most `rows_per_chunk` at a time, and fewer where they are long. Where very many
    lines are rejected, chunks of rejects alone come between.

    Rows, errors and rejects, taken together, do not depend on `rows_per_chunk` nor on the size of the source's pieces,
    and there are `survey.rows` and `survey.rejected` of them.

    Raises:
        TableError: `changed_file` when the source no longer holds what was surveyed.
    """
    if rows_per_chunk < 1:
        raise ValueError("rows_per_chunk must be at least 1")
    rows = rejected = 0
    for index, (cells, rejects) in enumerate(_cut(source, survey, contract, rows_per_chunk)):
        columns = text_columns(cells, survey.columns, contract)
        found = typed(columns, survey.dialect, len(cells))
        errors = [""] * len(cells)
        for at, problem in found.problems.items():
            errors[at] = problem
        batch = batch_of(found, survey.columns, contract)
        yield Chunk(index, rows, cells, batch, found.usable, errors, rejects)
        rows += len(cells)
        rejected += len(rejects)
    if (rows, rejected) != (survey.rows, survey.rejected):
        raise _changed(survey)


def _cut(source: Source, survey: Survey, contract: DatasetContract, size: int) -> Iterator[tuple[Cells, list[Reject]]]:
    """Rows in portions of at most `size`, each with the rejects met before the next portion began."""
    dialect = survey.dialect
    parts: list[Rows] = []
    held = weight = 0
    rejects: list[Reject] = []
    try:
        opened = open_table(source, contract, encoding=dialect.encoding, delimiter=dialect.delimiter)
        with opened as table:
            if tuple(table.header) != survey.header:
                raise _changed(survey)
            for block in table.blocks():
                rejects += block.rejects
                if len(rejects) >= max(size, _MANY_REJECTS):
                    # A file of nothing but rejects must not be gathered in memory.
                    yield Cells(), rejects
                    rejects = []
                start = 0
                while start < len(block.rows):
                    stop = min(len(block.rows), start + size - held)
                    parts.append(block.rows.part(start, stop))
                    held, weight, start = held + stop - start, weight + parts[-1].size, stop
                    if held == size or weight >= _CHUNK_BYTES:
                        yield Cells(parts), rejects
                        parts, rejects, held, weight = [], [], 0, 0
    except UnicodeDecodeError as error:
        raise _changed(survey) from error
    if parts or rejects:
        yield Cells(parts), rejects


def _changed(survey: Survey) -> TableError:
    return TableError("changed_file", f"{survey.name} has changed while it was being read.")
