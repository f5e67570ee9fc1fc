"""The second pass over a file: exact rows and typed columns, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator

from aml.contract import DatasetContract
from shared.tables.model import Chunk, Source, Survey


def read(source: Source, survey: Survey, contract: DatasetContract, *, rows_per_chunk: int) -> Iterator[Chunk]:
    """The file's rows in order, `rows_per_chunk` at a time (the last chunk may be shorter).

    Rows, errors and rejects, taken together, do not depend on `rows_per_chunk` nor on the size of the source's pieces.
    """
    raise NotImplementedError
