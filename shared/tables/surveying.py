"""The first pass over a file: what it is, how it is written, and whether it can be scored."""

from __future__ import annotations

from aml.contract import DatasetContract
from shared.tables.model import Source, Survey


def survey(source: Source, contract: DatasetContract) -> Survey:
    """Look over the whole file once, in constant memory.

    Raises:
        TableError: the file is no table for this contract; nothing can be scored.
    """
    raise NotImplementedError
