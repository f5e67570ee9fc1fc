"""The exact, faster evaluation of a fitted isolation forest: compiled where that works, walked where it does not."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aml.forest_tables import tabulate
from aml.rows import Floats
from aml.trees import trees_of

if TYPE_CHECKING:
    from aml.forest_code import CompiledForest

_SEED = 42
_PROBES = 256

_log = logging.getLogger("dropscore.forest")


class TreeWalk:
    """scikit-learn's own walk of its trees, without `score_samples`' overhead: the reference, and what answers where
    nothing can be compiled.

    `IsolationForest.score_samples` hands each tree to joblib and gathers two numbers per row and tree; both numbers
    depend on the leaf alone. Here their sum is taken once per leaf, when the model is opened, and a request costs one
    `apply` and one gather per tree. Every row's depths are still added tree by tree in the same order with the same
    operands, so the result is the same to the last bit and does not depend on the rest of the batch.

    It reads private attributes of `IsolationForest`; a bundle is opened only under the scikit-learn version that saved
    it, and a test compares the scores with `score_samples`.
    """

    def __init__(self, forest: Any) -> None:
        self.trees = trees_of(forest)
        lengths = zip(forest._decision_path_lengths, forest._average_path_length_per_tree, strict=True)
        self.leaf_depths = [path + average - 1.0 for path, average in lengths]

    def depths(self, features: NDArray[np.float32]) -> Floats:
        """The sum over all trees of the depth at which each row ends."""
        depths = np.zeros(len(features))
        for tree, leaf_depths in zip(self.trees, self.leaf_depths, strict=True):
            depths += leaf_depths[tree.apply(features)]
        return depths


class ForestEvaluator:
    """Scores rows exactly as the fitted forest does, by the fastest way that works here.

    Attributes:
        evaluation: who evaluates the forest, to the same bits: `compiled` (`aml/forest_code.py`) or `scikit-learn`
            (`TreeWalk`).
    """

    def __init__(self, forest: Any) -> None:
        walk = TreeWalk(forest)
        compiled = _compiled(walk, forest.n_features_in_)
        self.evaluation = "scikit-learn" if compiled is None else "compiled"
        self._depths = (compiled or walk).depths
        self._denominator = len(walk.trees) * average_path_length(forest._max_samples)

    def scores(self, features: NDArray[np.float32]) -> Floats:
        """How strange each row is: minus `score_samples`, between 0 and 1, higher is stranger; shape (n,)."""
        if self._denominator == 0:  # trees of one row, where labels leave no more: scikit-learn tells nothing apart
            return np.full(len(features), 0.5)
        return np.power(2.0, -(self._depths(features) / self._denominator))


def average_path_length(rows: int) -> float:
    """Mean depth of an unsuccessful search in a binary search tree of `rows` rows.

    Equation 1 of Liu, Ting and Zhou, "Isolation Forest", ICDM 2008, with the harmonic number approximated as there.
    """
    if rows <= 2:
        return float(max(rows - 1, 0))
    return float(2.0 * (np.log(rows - 1.0) + np.euler_gamma) - 2.0 * (rows - 1.0) / rows)


def _compiled(walk: TreeWalk, features: int) -> CompiledForest | None:
    """The compiled forest, once it has given the walk's bits for rows that lie on its thresholds; None without one."""
    if os.environ.get("DROPSCORE_COMPILED_FOREST") == "off":
        return None
    try:
        from aml.forest_code import CompiledForest

        compiled = CompiledForest(tabulate(walk.trees, walk.leaf_depths, features), features)
        probe = _probe(walk.trees, features)
        if compiled.depths(probe).tobytes() == walk.depths(probe).tobytes():
            return compiled
        _log.error("the compiled forest is not exact here; scikit-learn evaluates the forest")
    except ModuleNotFoundError as error:
        _log.info("%s; scikit-learn evaluates the forest", error)
    # A library that is broken, or a processor it does not know, fails in many ways; none of them may stop serving.
    except Exception as error:
        _log.warning("the forest cannot be compiled (%s: %s); scikit-learn evaluates it", type(error).__name__, error)
    return None


def _probe(trees: Sequence[Any], features: int) -> NDArray[np.float32]:
    """Rows, always the same for a forest, whose values are thresholds of their feature, or as large as values get."""
    random = np.random.default_rng(_SEED)
    feature = np.concatenate([tree.feature for tree in trees])
    threshold = np.concatenate([tree.threshold for tree in trees]).astype(np.float32)
    extremes = np.array([-1e38, 0, 1e38], dtype=np.float32)
    columns = [random.choice(np.r_[threshold[feature == number], extremes], _PROBES) for number in range(features)]
    return np.ascontiguousarray(np.stack(columns, axis=1))
