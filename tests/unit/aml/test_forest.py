"""What is served is what scikit-learn's own pipeline says, to the last bit, for any cut of the rows."""

import copy
from itertools import pairwise

import numpy as np
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble._iforest import _average_path_length
from sklearn.pipeline import Pipeline

from aml.forest import Scorer, average_path_length
from aml.rows import Rows, single_series
from tests.unit.aml.streams import context_before, hourly, streams


def test_scores_and_anomalies_equal_scikit_learns(pipeline: Pipeline, training_rows: Rows) -> None:
    scorer = Scorer(pipeline)

    scores = scorer.scores(training_rows)

    assert scores.tobytes() == (-pipeline.score_samples(training_rows)).tobytes()
    assert np.array_equal(scorer.anomalies(scores) == 1, pipeline.predict(training_rows) == -1)
    assert 0 < scorer.anomalies(scores).sum() < len(scores) / 10


def test_a_score_equal_to_the_threshold_is_no_anomaly_as_in_predict(pipeline: Pipeline, training_rows: Rows) -> None:
    tied = copy.deepcopy(pipeline)
    samples = tied.score_samples(training_rows)
    forest = tied.named_steps["forest"]

    for forest.offset_ in (samples[5], np.nextafter(samples[5], 0), np.nextafter(samples[5], -1)):
        scorer = Scorer(tied)
        anomalies = scorer.anomalies(scorer.scores(training_rows))
        assert np.array_equal(anomalies == 1, tied.predict(training_rows) == -1)


@given(streams(), st.data())
def test_scores_of_chunks_with_context_join_to_the_scores_of_the_whole(
    pipeline: Pipeline, rows: Rows, data: st.DataObject
) -> None:
    scorer = Scorer(pipeline)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(rows)), max_size=2)) | {0, len(rows)})
    pieces = []
    for first, last in pairwise(cuts):
        context = context_before(rows, first)
        chunk = scorer.scores(rows.take(np.r_[context, np.arange(first, last)]))
        pieces.append(chunk[len(context) :])

    assert np.concatenate(pieces).tobytes() == scorer.scores(rows).tobytes()


def test_the_size_of_a_batch_does_not_matter(pipeline: Pipeline) -> None:
    rows = hourly(days=1500, seed=3)
    features = pipeline[:-1].transform(rows)
    scorer = Scorer(pipeline)

    whole = scorer.scores_of_features(features)
    pieces = [scorer.scores_of_features(features[at : at + 997]) for at in range(0, len(rows), 997)]
    with sklearn.config_context(working_memory=0.1):  # scikit-learn then scores about 1,300 rows at a time
        chunked = pipeline.named_steps["forest"].score_samples(features)

    assert np.concatenate(pieces).tobytes() == whole.tobytes() == (-chunked).tobytes()


def test_no_rows_have_no_scores(pipeline: Pipeline) -> None:
    assert Scorer(pipeline).scores(single_series(np.zeros(0, dtype=np.int64), np.zeros(0))).shape == (0,)


def test_average_path_length_is_scikit_learns() -> None:
    assert [average_path_length(rows) for rows in range(1, 300)] == list(_average_path_length(list(range(1, 300))))
