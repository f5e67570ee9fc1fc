"""The second pass over a file: exact rows and typed columns, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator

from aml.contract import DatasetContract
from shared.tables.containers import open_table
from shared.tables.model import Chunk, Reject, Source, Survey, TableError
from shared.tables.typed import batch_of, text_columns, typed

_MANY_REJECTS = 10_000


def read(source: Source, survey: Survey, contract: DatasetContract, *, rows_per_chunk: int) -> Iterator[Chunk]:
    """The file's rows in order, `rows_per_chunk` at a time; the last chunk may be shorter. Where very many lines are
    rejected, chunks of rejects alone come between.

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


def _cut(
    source: Source, survey: Survey, contract: DatasetContract, size: int
) -> Iterator[tuple[list[list[str]], list[Reject]]]:
    """Rows in portions of `size`, each with the rejects met before the next portion began."""
    dialect = survey.dialect
    cells: list[list[str]] = []
    rejects: list[Reject] = []
    try:
        opened = open_table(source, contract, encoding=dialect.encoding, delimiter=dialect.delimiter)
        with opened as table:
            if tuple(table.header) != survey.header:
                raise _changed(survey)
            for block in table.blocks():
                start = 0
                rejects += block.rejects
                if len(rejects) >= max(size, _MANY_REJECTS):
                    # A file of nothing but rejects must not be gathered in memory.
                    yield [], rejects
                    rejects = []
                while len(cells) + len(block.rows) - start >= size:
                    stop = start + size - len(cells)
                    yield cells + block.rows[start:stop], rejects
                    cells, rejects, start = [], [], stop
                cells += block.rows[start:]
    except UnicodeDecodeError as error:
        raise _changed(survey) from error
    if cells or rejects:
        yield cells, rejects


def _changed(survey: Survey) -> TableError:
    return TableError("changed_file", f"{survey.name} has changed while it was being read.")
