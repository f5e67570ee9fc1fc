"""What the models of a table see: its columns, or what follows from them, encoded and scaled."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from aml.contract.base import Declared, Formula
from aml.expressions import Expression, parse


class Feature(Declared):
    """One thing that the models see: a `column`, or under a `name` an `expression` of number and time columns.

    Attributes:
        encode: how categories become numbers. `one_hot`: a column each, 1 where it is this one. `ordinal`: their
            position among the declared categories, or in sorted order. `target`: the share of each class among the
            training rows of the category, drawn towards that among all where there are few. `frequency`: the share of
            the training rows. A text needs one; a number that has one is taken for a category.
        rare: categories with less than this share of the training rows count as one.
        scale: `standard` (mean 0, deviation 1), `minmax` (0 to 1 over the training data), `robust` (median 0,
            interquartile range 1), of the number, or of what `ordinal`, `target` or `frequency` made of the category.

    A category that training has not seen counts as a rare one where there are any. Otherwise `one_hot` has 0 in all
    its columns, `ordinal` gives -1, `target` the shares among all rows, and `frequency` 0.
    """

    column: str | None = None
    name: str | None = Field(default=None, min_length=1)
    expression: Formula | None = None
    encode: Literal["one_hot", "ordinal", "target", "frequency"] | None = None
    rare: float | None = Field(default=None, gt=0, lt=1)
    scale: Literal["none", "standard", "minmax", "robust"] = "none"

    @property
    def label(self) -> str:
        """What it is called: its name, or its column's."""
        return self.name or self.column or ""

    @property
    def formula(self) -> Expression | None:
        """`expression`, understood."""
        return None if self.expression is None else parse(self.expression)

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns that it needs."""
        formula = self.formula
        return (self.column or "",) if formula is None else formula.names

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if (self.column is None) == (self.expression is None):
            raise ValueError("a feature is either a column or an expression; give one of the two")
        if self.expression is not None and self.name is None:
            raise ValueError("a feature that is an expression needs a name; add one")
        if self.rare is not None and self.encode is None:
            raise ValueError(f"{self.label!r} is not encoded, so rare says nothing; leave it out")
        if self.encode == "one_hot" and self.scale != "none":
            raise ValueError(f"{self.label!r} is encoded as zeros and ones, which are not scaled; leave scale out")
        return self
