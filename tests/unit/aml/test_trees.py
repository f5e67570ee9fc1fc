"""Trees that saw a part of the columns score as scikit-learn scores them."""

import importlib.util

import numpy as np
import pytest

from aml.contract import DatasetContract
from aml.forest import Scorer, build_pipeline
from aml.rows import Rows
from aml.trees import trees_of
from tests.unit.aml.streams import hourly


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_a_forest_over_parts_of_the_columns_scores_as_scikit_learn_does(
    gas: DatasetContract, training_rows: Rows, share: float
) -> None:
    pipeline = build_pipeline(gas, 0.05).set_params(detector__n_estimators=20, detector__max_features=share)
    pipeline.fit(training_rows)
    rows = hourly(days=9, seed=3)

    scorer = Scorer(pipeline)
    scores = scorer.scores(rows)

    assert scorer.evaluation == ("compiled" if importlib.util.find_spec("llvmlite") else "scikit-learn")
    assert scores.tobytes() == (-pipeline.score_samples(rows)).tobytes()
    assert len(np.unique(scores)) > 10


def test_the_nodes_of_a_partial_tree_ask_for_columns_of_the_whole(gas: DatasetContract, training_rows: Rows) -> None:
    pipeline = build_pipeline(gas, 0.05).set_params(detector__n_estimators=5, detector__max_features=0.5)
    forest = pipeline.fit(training_rows).named_steps["detector"].forests_[0]

    for tree, estimator, drawn in zip(trees_of(forest), forest.estimators_, forest.estimators_features_, strict=True):
        inner = tree.children_left >= 0
        assert tree.node_count == estimator.tree_.node_count
        assert (tree.feature[~inner] < 0).all()
        assert list(tree.feature[inner]) == [drawn[own] for own in estimator.tree_.feature[inner]]
