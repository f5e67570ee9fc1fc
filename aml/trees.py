"""The trees of a fitted isolation forest, each as a tree over all columns, whatever part of them it was fitted on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class PartialTree:
    """A tree that was fitted on some of the columns; all else is scikit-learn's `tree_` itself.

    Attributes:
        feature: the column of all columns that each node asks, negative for a leaf.
    """

    def __init__(self, tree: Any, columns: NDArray[np.intp]) -> None:
        self._tree = tree
        self._columns = columns
        self.feature = np.where(tree.feature >= 0, columns[np.maximum(tree.feature, 0)], tree.feature)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tree, name)

    def apply(self, features: NDArray[np.float32]) -> NDArray[np.intp]:
        """The leaf of each row; `features` has all columns."""
        leaves: NDArray[np.intp] = self._tree.apply(features[:, self._columns])
        return leaves


def trees_of(forest: Any) -> list[Any]:
    """One tree per estimator, in their order, with the members of scikit-learn's `tree_`."""
    trees = [estimator.tree_ for estimator in forest.estimators_]
    if forest._max_features == forest.n_features_in_:
        return trees
    return [PartialTree(tree, columns) for tree, columns in zip(trees, forest.estimators_features_, strict=True)]
