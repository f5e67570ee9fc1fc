"""What is gathered of a file's rows and their answers while they come by, beside the scored file itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa

from aml.contract import DatasetContract
from shared.reporting.curves import Curves
from shared.scoring.answers import Answers
from shared.scoring.events import Events
from shared.scoring.scorer import Scored
from shared.tables import Survey


@dataclass
class Observed:
    """The events of a series and the curves of its plot, or the answers to a table's rows; those of the parts of a file
    add up, in their order. What does not belong to the dataset stays as it was in the beginning."""

    contract: DatasetContract
    events: Events
    curves: Curves
    answers: Answers

    @classmethod
    def of(cls, found: Survey, contract: DatasetContract) -> Self:
        """Nothing yet, of a surveyed file or of a part of it."""
        return cls(contract, Events(contract), Curves.of(found, contract), Answers(contract))

    def add(self, rows: pa.Table, scored: Scored) -> None:
        """Takes the next rows into account, which come in time order within each series, and the answers to them."""
        if self.contract.is_table:
            self.answers.add(scored)
        else:
            self.events.add(rows, scored)
            self.curves.add(rows, scored)

    def then(self, later: Observed) -> Observed:
        """What was gathered of both pieces; `self` is used up."""
        if self.contract.is_table:
            return Observed(self.contract, self.events, self.curves, self.answers.then(later.answers))
        events, curves = self.events.then(later.events), self.curves.merge(later.curves)
        return Observed(self.contract, events, curves, self.answers)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` reads it."""
        if self.contract.is_table:
            return {"answers": self.answers.as_dict()}
        return {"events": self.events.as_dict(), "curves": self.curves.as_dict()}

    @classmethod
    def from_dict(cls, known: Mapping[str, Any], contract: DatasetContract, found: Survey) -> Self:
        """See `as_dict`; `found` is the survey of the file."""
        empty = cls.of(found, contract)
        if contract.is_table:
            empty.answers = Answers.from_dict(known["answers"], contract)
        else:
            empty.events = Events.from_dict(known["events"], contract)
            empty.curves = Curves.from_dict(known["curves"], contract)
        return empty
