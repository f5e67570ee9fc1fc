"""What the classifiers of a table answered, gathered while its rows come by: how sure they were, how far they agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from aml.contract import DatasetContract
from shared.scoring.scorer import Scored

CONFIDENCE = "confidence"
BINS = 10
"""Of equal width, from 0 to 1; a confidence of 1 is in the last one."""


@dataclass
class Answers:
    """Rows by confidence, of one model that answers; where several do, the rows that all answer alike.

    Attributes:
        bins: shape (10,), rows by confidence; none where no confidence is answered.
        compared, alike: rows that several models answered, and those of them that got one answer.
    """

    contract: DatasetContract
    bins: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    compared: int = 0
    alike: int = 0

    def add(self, scored: Scored) -> None:
        """Takes the answers to some rows into account."""
        names = [column.name for column in self.contract.predictions]
        if CONFIDENCE in names:
            sure = np.asarray(scored.predictions.column(CONFIDENCE).drop_null(), dtype=np.float64)
            places = np.clip((sure * BINS).astype(np.int64), 0, BINS - 1)
            self.bins += np.bincount(places, minlength=BINS)
        elif len(names) > 1 and self.contract.task == "classification":
            first, *others = (scored.predictions.column(name) for name in names)
            same = pc.is_valid(first)
            self.compared += int(pc.sum(same).as_py() or 0)
            for other in others:
                same = pc.and_(same, pc.fill_null(pc.equal(first, other), False))
            self.alike += int(pc.sum(same).as_py() or 0)

    def then(self, other: Answers) -> Answers:
        """The answers to the rows of both."""
        bins = self.bins + other.bins
        return Answers(self.contract, bins, self.compared + other.compared, self.alike + other.alike)

    def for_manifest(self) -> dict[str, Any]:
        """The manifest's words: rows by confidence in tenths, or the share of the rows that all models answer alike."""
        if self.bins.any():
            return {"confidence": self.bins.tolist()}
        return {"agreement": round(self.alike / self.compared, 6)} if self.compared else {}

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` reads it."""
        return {"bins": self.bins.tolist(), "compared": self.compared, "alike": self.alike}

    @classmethod
    def from_dict(cls, known: Mapping[str, Any], contract: DatasetContract) -> Self:
        """See `as_dict`."""
        return cls(contract, np.array(known["bins"], np.int64), known["compared"], known["alike"])
