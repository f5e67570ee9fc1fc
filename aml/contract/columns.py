"""The columns of a dataset: what files may call them, what may stand in them, and what a model answers beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from aml.contract.base import ContractError, Declared, Formula
from aml.expressions import Expression, parse

_IGNORED_IN_NAMES = re.compile(r"[\s\-/_]+")


class Column(Declared):
    """One column of the dataset.

    Attributes:
        name: canonical, under which the model knows it; files may call it by any of `aliases`.
        required: whether a file must have it, and each of its fields must be filled in (but see `impute`).
        unit: of a number, for people.
        minimum, maximum: of a number; None: no bound. Numbers must be finite in any case.
        categories: what a text may be, in whatever case; empty: anything.
        length: how many characters a text has; codes that begin with zeros lose them in spreadsheets.
        outside: what a value beyond the bounds, the categories or the length does: `error`, and its row has no
            prediction; or `warning`, and the row is scored as it stands and the warning told.
        impute: what stands for an empty field: the `median` or `mean` of the training data's, or the commonest
            (`mode`). None: an empty field of a required column is an error.
        otherwise: what the column is where a file does not have it: an expression of other columns.
    """

    name: str = Field(min_length=1)
    type: Literal["time", "number", "text"]
    aliases: tuple[str, ...] = ()
    required: bool = True
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] = ()
    length: int | None = Field(default=None, ge=1)
    outside: Literal["error", "warning"] = "error"
    impute: Literal["median", "mean", "mode"] | None = None
    otherwise: Formula | None = None

    @property
    def source(self) -> Expression | None:
        """`otherwise`, understood."""
        return None if self.otherwise is None else parse(self.otherwise)

    @property
    def may_be_empty(self) -> bool:
        """Whether a row can be used in which this field is empty."""
        return self.impute is not None or not self.required

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        numbers = any(each is not None for each in (self.minimum, self.maximum, self.unit, self.otherwise))
        for belongs, to, wrong in (
            ("text", self.categories, f"{self.name!r} is no text, so it has no categories; leave them out"),
            ("text", self.length, f"{self.name!r} is no text, so it has no length; leave it out"),
            ("number", numbers, f"{self.name!r} is no number, so it has no bounds, unit or expression; leave them out"),
        ):
            if to and self.type != belongs:
                raise ValueError(wrong)
        if self.impute is not None and (self.type == "time" or (self.type == "text" and self.impute != "mode")):
            raise ValueError(
                f"{self.name!r} is a {self.type}, which has no {self.impute}; a number has all three, a text its mode"
            )
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"the minimum of {self.name!r} is above its maximum; exchange them")
        if len({normalise(each) for each in self.categories}) != len(self.categories):
            raise ValueError(f"two categories of {self.name!r} are one but for case, spaces, -, / and _; keep one")
        return self


class PredictionColumn(Declared):
    """One column that the model answers for every row; `in_file` says whether scored files have it too, or the app
    alone is told."""

    name: str = Field(min_length=1)
    type: Literal["integer", "number", "text"]
    in_file: bool = True


def normalise(name: str) -> str:
    """A column name without regard to case, spaces, `-`, `/` and `_`."""
    return _IGNORED_IN_NAMES.sub("", name).casefold()


def find(column: Column, header: Sequence[str]) -> int | None:
    """Where a header has the column, None where it does not.

    Raises:
        ContractError: ``ambiguous_column`` when two headers fit equally well.
    """
    plain = normalise(column.name)
    aliases = {normalise(alias) for alias in column.aliases}
    for fits in (
        [i for i, name in enumerate(header) if name == column.name],
        [i for i, name in enumerate(header) if normalise(name) == plain],
        [i for i, name in enumerate(header) if normalise(name) in aliases],
    ):
        if len(fits) > 1:
            names = " and ".join(repr(header[i]) for i in fits)
            raise ContractError(
                "ambiguous_column",
                f"The headers {names} all fit the column {column.name}; keep one, or rename the others.",
            )
        if fits:
            return fits[0]
    return None


def missing(column: Column, header: Sequence[str], sources: Sequence[str] = ()) -> ContractError:
    """The error of a file without this column; `sources` are the columns from which it would have followed."""
    aliases = f" (or {', '.join(column.aliases)})" if column.aliases else ""
    have = ", ".join(repr(name) for name in header) or "no columns"
    instead = f" It would follow from {' and '.join(sources)}." if sources else ""
    message = f"The column {column.name}{aliases} is missing; the file has: {have}.{instead}"
    return ContractError("missing_column", message)
