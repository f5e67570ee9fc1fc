"""What is served is what the fitted pipeline says, to the last bit, for any cut of the rows."""

import copy
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import IsolationForest
from sklearn.ensemble._iforest import _average_path_length
from sklearn.pipeline import Pipeline

from aml.detection.findings import Detections
from aml.evaluator import ForestEvaluator, average_path_length
from aml.forest import Scorer
from aml.rows import Rows, single_series
from tests.unit.aml.streams import context_before, hourly, streams


def _joined(parts: list[Detections]) -> list[bytes]:
    names = Detections.__dataclass_fields__
    return [np.concatenate([getattr(part, name) for part in parts]).tobytes() for name in names]


def test_scores_and_anomalies_equal_the_pipelines(pipeline: Pipeline, training_rows: Rows) -> None:
    scorer = Scorer(pipeline)

    found = scorer.detect(training_rows)

    assert found.score.tobytes() == (-pipeline.score_samples(training_rows)).tobytes()
    assert np.array_equal(found.anomaly, pipeline.predict(training_rows) == -1)
    assert np.array_equal(scorer.anomalies(found.score) == 1, found.anomaly)
    assert found.anomaly.sum() < len(training_rows) / 10


def test_a_score_equal_to_the_threshold_is_no_anomaly_as_in_predict(pipeline: Pipeline, training_rows: Rows) -> None:
    tied = copy.deepcopy(pipeline)
    scores = -tied.score_samples(training_rows)
    detector = tied.named_steps["detector"]

    for detector.threshold_ in (scores[50], np.nextafter(scores[50], 0), np.nextafter(scores[50], 1)):
        anomalies = Scorer(tied).detect(training_rows).anomaly
        assert np.array_equal(anomalies, tied.predict(training_rows) == -1)
        assert anomalies[50] == (scores[50] > detector.threshold_)


@settings(max_examples=60)
@given(streams(), st.data())
def test_what_is_said_of_chunks_with_context_joins_to_what_is_said_of_the_whole(
    pipeline: Pipeline, rows: Rows, data: st.DataObject
) -> None:
    scorer = Scorer(pipeline)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(rows)), max_size=2)) | {0, len(rows)})
    pieces = []
    for first, last in pairwise(cuts):
        context = context_before(rows, first)
        chunk = scorer.detect(rows.take(np.r_[context, np.arange(first, last)]))
        pieces.append(chunk.after(len(context)))

    assert _joined(pieces) == _joined([scorer.detect(rows)])


def test_the_size_of_a_batch_does_not_matter(pipeline: Pipeline) -> None:
    rows = hourly(days=300, seed=3)
    scorer = Scorer(pipeline)

    pieces = []
    for at in range(0, len(rows), 997):
        context = context_before(rows, at)
        pieces.append(scorer.detect(rows.take(slice(at - len(context), at + 997))).after(len(context)))

    assert _joined(pieces) == _joined([scorer.detect(rows)])


def test_no_rows_have_no_scores(pipeline: Pipeline) -> None:
    assert Scorer(pipeline).scores(single_series(np.zeros(0, dtype=np.int64), np.zeros(0))).shape == (0,)


def test_average_path_length_is_scikit_learns() -> None:
    assert [average_path_length(rows) for rows in range(1, 300)] == list(_average_path_length(list(range(1, 300))))


def test_a_forest_of_one_row_tells_nothing_apart_as_in_scikit_learn() -> None:
    features = np.array([[1.0], [2.0]], dtype=np.float32)
    forest = IsolationForest(n_estimators=3, random_state=1).fit(features[:1])

    np.testing.assert_array_equal(ForestEvaluator(forest).scores(features), -forest.score_samples(features))
