"""A fitted forest as plain tables: what its compiled evaluation (`aml/forest_code.py`) reads.

Every tree is padded to `LEVELS` full levels: a leaf that stands higher is repeated below itself, so that every row
takes the same number of steps in every tree and no step has to ask whether it has arrived. Node `i` of a tree (the root
is 1) has the children `2i` and `2i + 1`.

Only comparisons decide a walk, so values become whole numbers first: a value's code is the number of the forest's
thresholds of that feature below it, and `value <= threshold` is `code(value) <= rank(threshold)`. Codes have 13 bits,
and the feature's number takes the other 3 of 16. A forest with more thresholds is split into groups of trees with codes
of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = 8
FEATURES = 8
CODES = 8192

_FEATURE_BITS = 3


class UnsuitableForestError(Exception):
    """The forest does not fit into the tables: its trees are too deep, or it has too many features."""


@dataclass(frozen=True, eq=False)
class TreeGroup:
    """Consecutive trees that share their codes.

    Attributes:
        thresholds: ascending thresholds of each feature, the rest filled with infinity; float32, (features, CODES).
        nodes: rank of the node's threshold times 8, plus its feature; uint16, (trees, 2 ** LEVELS), the first unused.
        leaves: what a row that ends there adds to its depth; float64, (trees, 2 ** LEVELS).
    """

    thresholds: NDArray[np.float32]
    nodes: NDArray[np.uint16]
    leaves: NDArray[np.float64]


def tabulate(trees: Sequence[Any], depths: Sequence[NDArray[np.float64]], features: int) -> list[TreeGroup]:
    """The groups of a forest, in the order of its trees.

    Args:
        trees: scikit-learn's `tree_` of each tree.
        depths: for each tree a number per node, of which those of the leaves count.
        features: number of columns of the rows.

    Raises:
        UnsuitableForestError: more than `LEVELS` levels or `FEATURES` features.
    """
    if features > FEATURES:
        raise UnsuitableForestError(f"the forest has {features} features; {FEATURES} fit")
    feature, threshold, leaves = _padded(trees, depths)
    return [
        _group(feature[part], threshold[part], leaves[part], features)
        for part in _parts(feature, threshold, features, slice(0, len(trees)))
    ]


def _padded(
    trees: Sequence[Any], depths: Sequence[NDArray[np.float64]]
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float64]]:
    """Feature and threshold of every inner node and the number of every leaf, each of shape (trees, 2 ** LEVELS)."""
    counts = [tree.node_count for tree in trees]
    starts = np.cumsum([0, *counts[:-1]])
    offset = np.repeat(starts, counts)
    left, right = (
        np.concatenate([getattr(tree, side) for tree in trees]) + offset for side in ("children_left", "children_right")
    )
    inner = np.concatenate([tree.children_left for tree in trees]) >= 0
    own_feature = np.where(inner, np.concatenate([tree.feature for tree in trees]), 0)
    own_threshold = np.where(inner, _as_float32(np.concatenate([tree.threshold for tree in trees])), np.inf)

    feature = np.zeros((len(trees), 1 << LEVELS), dtype=np.int64)
    threshold = np.full((len(trees), 1 << LEVELS), np.inf, dtype=np.float32)
    nodes = starts[:, None]
    for level in range(LEVELS):
        here = slice(1 << level, 2 << level)
        feature[:, here], threshold[:, here] = own_feature[nodes], own_threshold[nodes]
        children = [np.where(inner[nodes], child[nodes], nodes) for child in (left, right)]
        nodes = np.stack(children, axis=2).reshape(len(trees), -1)
    if inner[nodes].any():
        raise UnsuitableForestError(f"a tree is deeper than {LEVELS} levels")
    return feature, threshold, np.concatenate(depths)[nodes]


def _as_float32(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 that is not above: a float32 is below or at the one exactly where it is so for the other."""
    nearest = threshold.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest > threshold, below, nearest)


def _parts(feature: NDArray[np.int64], threshold: NDArray[np.float32], features: int, trees: slice) -> Iterator[slice]:
    """Runs of trees, as long as halving makes them, whose thresholds leave one code free per feature."""
    known = (_ranked(feature[trees], threshold[trees], number) for number in range(features))
    if all(len(ranked) < CODES - 1 for ranked in known):
        yield trees
        return
    middle = (trees.start + trees.stop) // 2  # one tree alone has at most 255 thresholds
    yield from _parts(feature, threshold, features, slice(trees.start, middle))
    yield from _parts(feature, threshold, features, slice(middle, trees.stop))


def _ranked(feature: NDArray[np.int64], threshold: NDArray[np.float32], number: int) -> NDArray[np.float32]:
    return np.unique(threshold[(feature == number) & (threshold < np.inf)])


def _group(
    feature: NDArray[np.int64], threshold: NDArray[np.float32], leaves: NDArray[np.float64], features: int
) -> TreeGroup:
    thresholds = np.full((features, CODES), np.inf, dtype=np.float32)
    ranks = np.zeros(threshold.shape, dtype=np.int64)
    for number in range(features):
        ranked = _ranked(feature, threshold, number)
        thresholds[number, : len(ranked)] = ranked
        of_feature = feature == number
        ranks[of_feature] = np.searchsorted(ranked, threshold[of_feature])
    nodes = ((ranks << _FEATURE_BITS) | feature).astype(np.uint16)
    return TreeGroup(thresholds, nodes, np.ascontiguousarray(leaves))
