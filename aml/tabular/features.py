"""All features of a dataset as one scikit-learn transformer: from a `Table` to a sparse matrix."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, TransformerMixin

from aml.rows import Floats
from aml.tabular.encoding import CategoryFeature, Feature, NumberFeature, Parts, fitting
from aml.tabular.table import Table


class TableFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc] # sklearn has no type information
    """Computes, imputes, scales and encodes the declared features, in their order.

    The matrix is sparse, of 64-bit floats with 32-bit indices: a product with it sums every row by itself in the order
    of its columns, so that what a linear model says of a row does not depend on the rows beside it, as it would with
    the blocked sums of dense matrices.

    Args:
        features: of the contract; what a missing value becomes is part of each.
        seed: of the cross-fitting of target encodings.
    """

    def __init__(self, features: tuple[Feature, ...], seed: int = 42) -> None:
        self.features = features
        self.seed = seed

    def fit(self, table: Table, classes: NDArray[Any]) -> Self:
        """Learn the fillings, scales and codes."""
        self.fit_transform(table, classes)
        return self

    def fit_transform(self, table: Table, classes: NDArray[Any]) -> csr_matrix:
        """Learn, and return the matrix to fit a model on: as `transform`'s, but that a target encoding of a row does
        not know the row's own class (Micci-Barreca 2001; scikit-learn's cross-fitting)."""
        self.fitted_: list[NumberFeature | CategoryFeature] = [fitting(each) for each in self.features]
        parts = [each.fit(table, classes, self.seed) for each in self.fitted_]
        self.width_ = sum(each.width for each in self.fitted_)
        return self._matrix(parts, len(table))

    def transform(self, table: Table) -> csr_matrix:
        """The matrix of these rows, shape (n, `width_`)."""
        return self._matrix([each.transform(table) for each in self.fitted_], len(table))

    def get_feature_names_out(self, names: object = None) -> NDArray[np.object_]:
        """What the matrix's columns are called."""
        return np.array([name for each in self.fitted_ for name in each.names()], dtype=object)

    def _matrix(self, parts: list[Parts], count: int) -> csr_matrix:
        slots = sum(values.shape[1] for values, _ in parts)
        data = np.empty((count, slots))
        indices = np.empty((count, slots), dtype=np.int32)
        at = first = 0
        for each, (values, columns) in zip(self.fitted_, parts, strict=True):
            here = slice(at, at + values.shape[1])
            data[:, here] = values
            np.add(columns, first, out=indices[:, here], casting="unsafe")
            at, first = here.stop, first + each.width
        ends = np.arange(0, count * slots + 1, slots, dtype=np.int32) if slots else np.zeros(count + 1, np.int32)
        matrix = csr_matrix((data.ravel(), indices.ravel(), ends), shape=(count, first), copy=False)
        matrix.has_canonical_format = True
        return matrix


class Dense(TransformerMixin, BaseEstimator):  # type: ignore[misc] # sklearn has no type information
    """The same matrix with its zeros, for the models that take no sparse one."""

    def fit(self, matrix: csr_matrix, classes: object = None) -> Self:
        """There is nothing to learn."""
        self.width_ = matrix.shape[1]
        return self

    def transform(self, matrix: csr_matrix) -> Floats:
        """Shape (n, width)."""
        filled: Floats = matrix.toarray()
        return filled
