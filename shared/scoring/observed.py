"""What is gathered of a file's rows and their answers while they come by, beside the scored file itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa

from aml.contract import DatasetContract
from shared.reporting.curves import Curves
from shared.scoring.events import Events
from shared.scoring.scorer import Scored
from shared.tables import Survey


@dataclass
class Observed:
    """The events of a file and the curves of its plot; those of its parts add up, in their order."""

    events: Events
    curves: Curves

    @classmethod
    def of(cls, found: Survey, contract: DatasetContract) -> Self:
        """Nothing yet, of a surveyed file or of a part of it."""
        return cls(Events(contract), Curves.of(found, contract))

    def add(self, rows: pa.Table, scored: Scored) -> None:
        """Takes the next rows into account, which come in time order within each series, and the answers to them."""
        self.events.add(rows, scored)
        self.curves.add(rows, scored)

    def then(self, later: Observed) -> Observed:
        """What was gathered of both pieces; `self` is used up."""
        return Observed(self.events.then(later.events), self.curves.merge(later.curves))

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` reads it."""
        return {"events": self.events.as_dict(), "curves": self.curves.as_dict()}

    @classmethod
    def from_dict(cls, known: Mapping[str, Any], contract: DatasetContract) -> Self:
        """See `as_dict`."""
        return cls(Events.from_dict(known["events"], contract), Curves.from_dict(known["curves"], contract))
