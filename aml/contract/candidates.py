"""What a series contract says about finding anomalies beyond its columns: the candidates among which training chooses,
and the budget of alarms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from aml.contract.base import Declared, Fault, Key

if TYPE_CHECKING:
    from aml.contract.dataset import DatasetContract

Family = Literal["level", "residual", "stuck", "slow", "course", "times"]
"""Kinds of features: the value itself; what is left of it when the usual is taken off; runs of one value and of zero;
leaks, steps and drifts; the course of a day; gaps and duplicates."""


class Candidate(Declared):
    """A way to set up the detector; whatever it leaves out is as in the default.

    Attributes:
        families: features that may speak; None: all.
        trees, max_samples, max_features: of the forests, as in `tuning`.
        together: share of the sum of all rarities that is added to the largest.
        lasting: what a row's loudness is multiplied by where it says nothing new and is not far out.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    families: tuple[Family, ...] | None = Field(default=None, min_length=1)
    trees: int | None = Field(default=None, ge=1, le=5000)
    max_samples: int | None = Field(default=None, ge=2, le=1_000_000)
    max_features: float | None = Field(default=None, ge=0.05, le=1)
    together: float | None = Field(default=None, ge=0, le=1)
    lasting: float | None = Field(default=None, gt=0, le=1)

    @property
    def parameters(self) -> dict[str, Any]:
        """What it declares, but for its name."""
        return {name: value for name, value in self if name != "name" and value is not None}


class Alarms(Declared):
    """How many new alarms a series may raise on clean time: episodes, of as many rows as they have."""

    per_week: float = Field(gt=0, le=50)


def faults_of_roles(contract: DatasetContract) -> Iterator[Fault]:
    """The label is an optional text column, each of `exogenous` an optional number column, and none has two roles."""
    columns = {column.name: column for column in contract.columns}
    wanted: list[tuple[Key, str, str]] = [] if contract.label is None else [(("label",), contract.label, "text")]
    wanted += [(("exogenous", at), name, "number") for at, name in enumerate(contract.exogenous)]
    taken = [contract.time, contract.value, contract.series]
    for key, name, kind in wanted:
        column = columns.get(name)
        if column is None or column.type != kind or column.required:
            right = f"{name!r} must be declared as a column of type {kind} with required: false"
            yield Fault(key, f"{name!r} is none", right)
        elif name in taken:
            yield Fault(key, f"{name!r} has another role already", "a column has one of the roles alone")
        taken.append(name)


def faults_of_candidates(contract: DatasetContract) -> Iterator[Fault]:
    """Candidates differ, and are not searched for parameters besides."""
    names: set[str] = set()
    said: list[object] = []
    for at, candidate in enumerate(contract.candidates):
        if candidate.name in names:
            yield Fault(("candidates", at, "name"), f"{candidate.name!r} stands there twice", "call it otherwise")
        if candidate.parameters in said:
            yield Fault(("candidates", at), "says what another one says", "keep one of them")
        names.add(candidate.name)
        said.append(candidate.parameters)
    if contract.candidates and contract.tuning.method != "none":
        yield Fault(("candidates",), "are a search of their own", "leave them out, or have no tuning")
