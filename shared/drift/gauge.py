"""Measuring one table while it is scored."""

from __future__ import annotations

import pyarrow as pa

from aml.contract import DatasetContract
from shared.drift.profile import Reference
from shared.drift.tally import Tally
from shared.tables import Chunk


class Gauge:
    """Counts the chunks of one table against the profile of the model that scores it; without one it does nothing.

    `tally` is what was counted: those of a table's parts, merged in any order, are that of the table.
    """

    def __init__(self, reference: Reference, contract: DatasetContract) -> None:
        self._reference = reference
        self._contract = contract
        self.tally = None if reference.profile is None else Tally.empty(reference.profile)

    def add(self, chunk: Chunk, answers: pa.Table) -> None:
        """Takes a chunk into account, and what the model said of its usable rows."""
        if self.tally is not None and self._reference.profile is not None:
            rows = len(chunk.cells) + len(chunk.rejects)
            self.tally.add(self._reference.profile, self._contract, rows, chunk.flaws, chunk.batch, answers)
