"""What both readers hand out, and how they fail."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field

import pyarrow as pa


class UnpackError(Exception):
    """The file cannot be read: a code of `TableError`, a message, and the line where it is known."""

    def __init__(self, code: str, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.line = line


@dataclass(frozen=True)
class Sheet:
    """Some rows.

    Attributes:
        batch: one column of strings without nulls for each column of the header.
        lines: the line of each row.
        rejects: line, reason and text of what is no row.
        native: positions of columns with fractions that were numbers in the file.
    """

    batch: pa.RecordBatch
    lines: Sequence[int]
    rejects: Sequence[tuple[int, str, str]] = ()
    native: Set[int] = field(default_factory=frozenset)


def batch_of(columns: Sequence[Sequence[str] | pa.Array]) -> pa.RecordBatch:
    """Columns of text as a batch; their names are their positions."""
    arrays = [column if isinstance(column, pa.Array) else pa.array(column, pa.string()) for column in columns]
    return pa.RecordBatch.from_arrays(arrays, names=list(map(str, range(len(arrays)))))
