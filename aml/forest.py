"""The one model: features and an isolation forest in one scikit-learn pipeline, and its exact, faster evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import Pipeline

from aml.contract import DatasetContract
from aml.features import SeriesFeatures
from aml.rows import Floats, Rows

TREES = 300
SEED = 42


def build_pipeline(contract: DatasetContract, contamination: float) -> Pipeline:
    """The unfitted pipeline; `fit`, `score_samples` and `predict` take `Rows`.

    Args:
        contamination: share of the training rows (0 to 0.5) that the threshold declares anomalous.
    """
    return Pipeline(
        [
            ("features", SeriesFeatures(window=contract.context_rows + 1)),
            ("forest", IsolationForest(n_estimators=TREES, random_state=SEED, contamination=contamination)),
        ]
    )


class Scorer:
    """Scores rows exactly as the fitted pipeline does, without scikit-learn's per-request overhead.

    `IsolationForest.score_samples` hands each tree to joblib and gathers two numbers per row and tree; both numbers
    depend on the leaf alone. Here their sum is taken once per leaf, when the model is opened, and a request costs one
    `apply` and one gather per tree. Every row's depths are still added tree by tree in the same order with the same
    operands, so the result is the same to the last bit and does not depend on the rest of the batch.

    It reads private attributes of `IsolationForest`; a bundle is opened only under the scikit-learn version that saved
    it, and a test compares the scores with `score_samples`.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._features = pipeline.named_steps["features"]
        forest: Any = pipeline.named_steps["forest"]
        self._trees = [tree.tree_ for tree in forest.estimators_]
        lengths = zip(forest._decision_path_lengths, forest._average_path_length_per_tree, strict=True)
        self._leaf_depths = [path + average - 1.0 for path, average in lengths]
        self._denominator = len(self._trees) * average_path_length(forest._max_samples)
        self.threshold = -float(forest.offset_)

    def scores(self, rows: Rows) -> Floats:
        """How strange each row is: minus `score_samples`, between 0 and 1, higher is stranger; shape (len(rows),)."""
        return self.scores_of_features(self._features.transform(rows))

    def scores_of_features(self, features: NDArray[np.float32]) -> Floats:
        """The same, of the matrix that the pipeline's first step returns."""
        depths = np.zeros(len(features))
        for tree, leaf_depths in zip(self._trees, self._leaf_depths, strict=True):
            depths += leaf_depths[tree.apply(features)]
        # The trees have at least two rows each (training refuses less), so the denominator is not 0.
        return np.power(2.0, -(depths / self._denominator))

    def anomalies(self, scores: Floats) -> NDArray[np.int64]:
        """1 where the pipeline's `predict` says -1, else 0; a score equal to the threshold is no anomaly."""
        return (scores > self.threshold).astype(np.int64)


def average_path_length(rows: int) -> float:
    """Mean depth of an unsuccessful search in a binary search tree of `rows` rows.

    Equation 1 of Liu, Ting and Zhou, "Isolation Forest", ICDM 2008, with the harmonic number approximated as there.
    """
    if rows <= 2:
        return float(max(rows - 1, 0))
    return float(2.0 * (np.log(rows - 1.0) + np.euler_gamma) - 2.0 * (rows - 1.0) / rows)
