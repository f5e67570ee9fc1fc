"""From one declared feature to columns of the matrix: imputed, scaled and encoded by scikit-learn's own transformers.

A fitted feature says of n rows `values` and `columns`, both of shape (n, k): the numbers, and in which of the feature's
own `width` columns each of them stands. A one-hot feature has k = 1 whatever its width, all others have k = width: the
matrix is filled in without a zero being written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from aml.expressions import parse
from aml.rows import Floats
from aml.tabular.folds import Folds
from aml.tabular.table import Table, Texts, texts_of_numbers

Indices = NDArray[np.int32]
Parts = tuple[Floats, Indices]

Encode = Literal["one_hot", "ordinal", "target", "frequency"]
Scale = Literal["none", "standard", "minmax", "robust"]
Impute = Literal["median", "mean", "mode"]

RARE = "(rare)"
"""What all rare categories are called."""

_SCALERS = {"standard": StandardScaler, "minmax": MinMaxScaler, "robust": RobustScaler}
_STRATEGIES = {"median": "median", "mean": "mean", "mode": "most_frequent"}
_TARGET_FOLDS = 5


@dataclass(frozen=True)
class Feature:
    """What a contract says of one feature, in plain values, whose pickled bytes are the same in every process.

    Attributes:
        column: the column that it reads; "" where it is an `expression`.
        text: whether that column holds text.
        categories: what the text may be, where that is declared.
        impute: what a missing value becomes; None is a number's median, where the value of an expression is missing.
        rare: share of the rows (0 to 1) below which categories count as one.
    """

    name: str
    column: str = ""
    expression: str = ""
    text: bool = False
    categories: tuple[str, ...] = ()
    impute: Impute | None = None
    encode: Encode | None = None
    scale: Scale = "none"
    rare: float = 0.0

    def numbers(self, table: Table) -> Floats:
        """The values of one that is no text, before anything is done to them, shape (n,)."""
        if self.expression:
            return parse(self.expression).of(table.computable)
        return table.numbers[self.column]


@dataclass(eq=False)
class NumberFeature:
    """A number, imputed and scaled."""

    feature: Feature
    width: int = field(default=1, init=False)
    imputer_: SimpleImputer = field(init=False)
    scaler_: Any = field(default=None, init=False)

    def fit(self, table: Table, classes: NDArray[Any], seed: int) -> Parts:
        """Learn from these rows; returns what they become."""
        # a column of which nothing is there becomes zeros, rather than no column
        self.imputer_ = _imputer(self.feature)
        filled = self.imputer_.fit_transform(self.feature.numbers(table)[:, None])
        if self.feature.scale != "none":
            self.scaler_ = _SCALERS[self.feature.scale]().fit(filled)
        return self.transform(table)

    def transform(self, table: Table) -> Parts:
        """What these rows become."""
        filled = self.imputer_.transform(self.feature.numbers(table)[:, None])
        if self.scaler_ is not None:
            filled = self.scaler_.transform(filled)
        return filled, np.zeros(filled.shape, dtype=np.int32)

    def names(self) -> list[str]:
        """What the columns are called."""
        return [self.feature.name]


@dataclass(eq=False)
class CategoryFeature:
    """A text, or a number that names something: imputed, its rare values taken together, encoded, and scaled."""

    feature: Feature
    width: int = field(default=1, init=False)
    filling_: str = field(default="", init=False)
    kept_: tuple[str, ...] | None = field(default=None, init=False)
    imputer_: SimpleImputer | None = field(default=None, init=False)
    encoder_: Any = field(default=None, init=False)
    scaler_: Any = field(default=None, init=False)

    def fit(self, table: Table, classes: NDArray[Any], seed: int) -> Parts:
        """Learn from these rows; returns what they become, which for target encoding is cross-fitted."""
        if not self.feature.text:
            self.imputer_ = _imputer(self.feature).fit(self.feature.numbers(table)[:, None])
        counts = self._read(table).counts()
        # of texts that are as frequent the first by name
        self.filling_ = min(counts, key=lambda name: (-counts[name], name), default="")
        texts = self._filled(table)
        self._keep(texts)
        column = self._common(texts).objects()[:, None]
        if self.feature.encode == "target":
            kind = "binary" if len(np.unique(classes)) == 2 else "multiclass"
            self.encoder_ = TargetEncoder(target_type=kind, cv=Folds(_TARGET_FOLDS, seed))
            codes = self.encoder_.fit_transform(column, classes)
            self.width = codes.shape[1]
            self._fit_scaler(codes)
            return self._placed(codes)
        self.encoder_ = self._encoder(column).fit(column)
        if self.feature.encode == "one_hot":
            self.width = len(self.encoder_.categories_[0])
        else:
            self._fit_scaler(self.encoder_.transform(column))
        return self.transform(table)

    def transform(self, table: Table) -> Parts:
        """What these rows become: each distinct text is encoded once."""
        texts = self._common(self._filled(table))
        if not texts.values:
            k = 1 if self.feature.encode == "one_hot" else self.width
            return np.zeros((0, k)), np.zeros((0, k), dtype=np.int32)
        distinct = np.empty((len(texts.values), 1), dtype=object)
        distinct[:, 0] = texts.values
        encoded = self.encoder_.transform(distinct)
        values, columns = _ones(encoded) if self.feature.encode == "one_hot" else self._placed(encoded)
        return values[texts.codes], columns[texts.codes]

    def names(self) -> list[str]:
        """What the columns are called."""
        if self.feature.encode == "one_hot":
            return [f"{self.feature.name}_{category}" for category in self.encoder_.categories_[0]]
        if self.width == 1:
            return [self.feature.name]
        return [f"{self.feature.name}_{name}" for name in self.encoder_.classes_]

    def _read(self, table: Table) -> Texts:
        if self.feature.text:
            return table.texts[self.feature.column]
        numbers = self.feature.numbers(table)
        if self.imputer_ is not None:
            numbers = self.imputer_.transform(numbers[:, None])[:, 0]
        return texts_of_numbers(numbers)

    def _filled(self, table: Table) -> Texts:
        texts = self._read(table)
        missing = texts.codes < 0
        if not missing.any():
            return texts
        return Texts(np.where(missing, len(texts.values), texts.codes), (*texts.values, self.filling_))

    def _keep(self, texts: Texts) -> None:
        """Which categories are not rare; None where none is."""
        counts = texts.counts()
        kept = [name for name, count in counts.items() if count >= self.feature.rare * len(texts)]
        self.kept_ = tuple(sorted(kept)) if len(kept) < len(counts) else None

    def _common(self, texts: Texts) -> Texts:
        if self.kept_ is None:
            return texts
        kept = set(self.kept_)
        return Texts(texts.codes, tuple(name if name in kept else RARE for name in texts.values))

    def _encoder(self, column: NDArray[np.object_]) -> Any:
        if self.feature.encode == "one_hot":
            return OneHotEncoder(handle_unknown="ignore")
        if self.feature.encode == "frequency":
            return FrequencyEncoder()
        there = set(column[:, 0].tolist())
        declared = [name for name in self.feature.categories if self.kept_ is None or name in self.kept_]
        order = [*declared, *sorted(there - set(declared))] if declared else sorted(there)
        categories = [np.array(order, dtype=object)]
        return OrdinalEncoder(categories=categories, handle_unknown="use_encoded_value", unknown_value=-1)

    def _fit_scaler(self, codes: Floats) -> None:
        if self.feature.scale != "none":
            self.scaler_ = _SCALERS[self.feature.scale]().fit(codes)

    def _placed(self, codes: Floats) -> Parts:
        scaled = codes if self.scaler_ is None else self.scaler_.transform(codes)
        return scaled, np.broadcast_to(np.arange(scaled.shape[1], dtype=np.int32), scaled.shape)


class FrequencyEncoder:
    """Every category as the share of the training rows that have it; scikit-learn has no such encoder."""

    def fit(self, column: NDArray[np.object_]) -> FrequencyEncoder:
        """Count; `column` has the shape (n, 1)."""
        names, counts = np.unique(column[:, 0].astype(str), return_counts=True)
        self.shares_ = dict(zip(names.tolist(), (counts / len(column)).tolist(), strict=True))
        return self

    def transform(self, column: NDArray[np.object_]) -> Floats:
        """Shares, shape (n, 1)."""
        return np.array([self.shares_.get(str(name), 0.0) for name in column[:, 0]])[:, None]


def fitting(feature: Feature) -> NumberFeature | CategoryFeature:
    """What fits this feature."""
    return CategoryFeature(feature) if feature.encode is not None else NumberFeature(feature)


def _imputer(feature: Feature) -> SimpleImputer:
    return SimpleImputer(strategy=_STRATEGIES[feature.impute or "median"], keep_empty_features=True)


def _ones(encoded: Any) -> Parts:
    """Of a one-hot matrix the one of each row and its column; a row that has none gets a 0 in the first column."""
    count = encoded.shape[0]
    values, columns = np.zeros((count, 1)), np.zeros((count, 1), dtype=np.int32)
    rows = np.repeat(np.arange(count), np.diff(encoded.indptr))
    values[rows, 0], columns[rows, 0] = encoded.data, encoded.indices
    return values, columns
