"""The profile that training left of its data (`profile.json`, written by `aml/profile.py`), and where it lies."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from shared.drift.statistics import STRATA, Counts, Floats
from shared.errors import NotFoundError
from shared.naming import TRAINING
from shared.storage import BlobStore

FORMAT = 1


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True)


class Chance(_Read):
    """What stretches of the training data themselves came to: of so many days, of all series or of one; `rows` is the
    median of theirs, `psi` and `ks` the 99th percentiles."""

    series: Literal["all", "one"]
    days: float
    windows: int
    rows: int
    psi: float
    ks: float


class NumberProfile(_Read):
    """A number column, or the score. `edges` are the upper ends of all bins but the last, themselves included."""

    model_config = ConfigDict(frozen=True, ignored_types=(cached_property,))

    kind: Literal["number"]
    missing: float
    minimum: float = 0.0
    maximum: float = 0.0
    edges: tuple[float, ...] = ()
    deciles: tuple[int, ...] = (0,)
    counts: Mapping[int, tuple[int, ...]] = {}
    chance: tuple[Chance, ...] = ()

    @cached_property
    def ends(self) -> Floats:
        """The edges as an array."""
        return np.array(self.edges)

    @cached_property
    def cells(self) -> Counts:
        """Training rows by stratum and bin, shape (48, bins)."""
        cells = np.zeros((STRATA, len(self.edges) + 1), dtype=np.int64)
        for stratum, counts in self.counts.items():
            cells[stratum] = counts
        return cells


class TextProfile(_Read):
    """A text column: training rows by category, and of all categories that are too rare to be named."""

    kind: Literal["text"]
    missing: float
    counts: Mapping[str, int]
    others: int


class ScoreProfile(NumberProfile):
    """The score, by the name of its column."""

    name: str


class Profile(_Read):
    """The profile of a dataset's training data; `unusable` is the share of the dataset's rows that could not be used,
    `series` how many series there were. Of a table without time all rows are in the first stratum, and `classes` are
    the rows that its model gave each class."""

    format: Literal[1]
    dataset: str
    rows: int
    series: int
    unusable: float
    last_time: str
    columns: Mapping[str, NumberProfile | TextProfile]
    score: ScoreProfile
    classes: Mapping[str, int] = {}

    @property
    def numbers(self) -> dict[str, NumberProfile]:
        """All that is counted in bins: the number columns that had any value, and the score by its column's name."""
        columns = {name: each for name, each in self.columns.items() if isinstance(each, NumberProfile)}
        return {name: each for name, each in {**columns, self.score.name: self.score}.items() if each.counts}

    @property
    def texts(self) -> dict[str, TextProfile]:
        """The text columns."""
        return {name: each for name, each in self.columns.items() if isinstance(each, TextProfile)}


@dataclass(frozen=True)
class Reference:
    """The profile to compare with, or in words why there is none; `run` is the training run that left it."""

    profile: Profile | None
    run: str = ""
    why_none: str = ""


class Profiles:
    """The profiles of training runs, the latest of every dataset kept in memory; safe for several threads."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._lock = threading.Lock()
        self._known: dict[str, Reference] = {}

    def find(self, dataset: str, run: str) -> Reference:
        """The profile that the training run left; '' for either says that nobody knows where the model comes from."""
        if not dataset or not run:
            return Reference(
                None, run, "the endpoint is somebody else's, and what its model was trained on is not known"
            )
        with self._lock:
            known = self._known.get(dataset)
        if known is None or known.run != run:
            known = self._read(dataset, run)
            if known.profile is not None:  # else somebody may put it there yet
                with self._lock:
                    self._known[dataset] = known
        return known

    def _read(self, dataset: str, run: str) -> Reference:
        name = f"{dataset}/{run}/model/profile.json"
        try:
            body: Any = json.loads(self._blobs.get(TRAINING, name)[0])
            return Reference(Profile.model_validate(body), run)
        except NotFoundError:
            return Reference(None, run, f"the training run {run} left no profile of its data")
        except (ValueError, ValidationError):
            return Reference(None, run, f"the profile {TRAINING}/{name} cannot be read")
