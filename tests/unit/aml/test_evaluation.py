"""The metrics measure what they are named after, and measure it again the same way."""

from collections.abc import Callable
from functools import partial
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from aml.contract import DatasetContract
from aml.evaluation import Evaluation, Metrics, evaluate, measure
from aml.forest import Scorer, build_pipeline
from aml.holdout import TooFewRowsError
from aml.rows import Rows, concatenate, single_series
from tests.unit.aml.streams import HOUR_US, hourly


@pytest.fixture(scope="module")
def build(gas: DatasetContract) -> Callable[[], Pipeline]:
    return partial(build_pipeline, gas, 0.02)


@pytest.fixture(scope="module")
def evaluation(build: Callable[[], Pipeline], training_rows: Rows) -> Evaluation:
    return evaluate(training_rows, build, 23)


@pytest.fixture(scope="module")
def metrics(evaluation: Evaluation) -> Metrics:
    return evaluation.metrics


def test_the_last_fifth_is_held_out_and_the_model_that_is_measured_has_not_seen_it(
    metrics: Metrics, build: Callable[[], Pipeline], training_rows: Rows
) -> None:
    value = np.where(np.arange(720) < 576, training_rows.value, 1e6)
    jumped = evaluate(Rows(training_rows.time, value, training_rows.series), build, 23).metrics

    assert (metrics["rows_fit"], metrics["rows_holdout"]) == (576, 144)
    assert metrics["holdout_from"] == "2024-01-25T00:00:00"
    assert jumped["score_threshold_holdout"] == metrics["score_threshold_holdout"]
    assert jumped["alert_rate"] == 1.0
    # where every clean row alerts already, no alert can be the fault's
    assert jumped["recall"] == 0.0


def test_detection_does_not_depend_on_the_threshold(evaluation: Evaluation) -> None:
    other = measure(evaluation.ground, evaluation.scorer, threshold=20.0)

    assert other["recall"] != evaluation.metrics["recall"]
    for name in ("detection", "recall_at_0.001", "recall_at_0.01"):
        assert other[name] == evaluation.metrics[name]
    rates = [evaluation.metrics["recall_at_0.001"], evaluation.metrics["recall_at_0.01"]]
    assert evaluation.metrics["detection"] == pytest.approx(np.mean(np.array(rates, dtype=float)))


def test_a_model_that_knows_nothing_detects_nothing(evaluation: Evaluation) -> None:
    class Indifferent:
        threshold = 0.5

        def intervals(self, rows: Rows) -> int:
            return 3_600_000_000

        def scores(self, rows: Rows) -> NDArray[np.float64]:
            return np.full(len(rows), 0.5)

    blind = measure(evaluation.ground, cast(Scorer, Indifferent()))

    assert {blind["alert_rate"], blind["recall"], blind["detection"]} == {0.0}


def test_alert_rate_is_the_share_of_clean_held_out_rows_that_the_measured_model_alerts_on(
    metrics: Metrics, build: Callable[[], Pipeline], training_rows: Rows
) -> None:
    model = build().fit(training_rows.take(slice(0, 576)))

    assert metrics["alert_rate"] == np.mean(model.predict(training_rows)[576:] == -1) < 0.1


def test_gross_faults_in_an_easy_series_are_found(metrics: Metrics) -> None:
    for fault in ("zero_run", "level_shift", "leak"):
        assert float(metrics[f"recall_{fault}"]) > 0.9
    recalls = [float(value) for name, value in metrics.items() if name.startswith("recall_") and "_at_" not in name]
    assert len(recalls) == 12
    assert metrics["recall"] == pytest.approx(np.mean(recalls))


def test_rows_left_out_for_the_hold_out_do_not_teach_that_rows_are_missing_now_and_then(
    build: Callable[[], Pipeline],
) -> None:
    metrics = evaluate(hourly(days=365), build, 23).metrics

    assert metrics["recall_missing"] == 1.0


def test_the_same_rows_give_the_same_metrics(
    metrics: Metrics, build: Callable[[], Pipeline], training_rows: Rows
) -> None:
    assert evaluate(training_rows, build, 23).metrics == metrics


def test_short_series_take_shorter_faults_and_one_moment_cuts_them_all(build: Callable[[], Pipeline]) -> None:
    short = hourly(days=1)
    many = concatenate([Rows(short.time, short.value * (code + 1), short.series + code) for code in range(9)])

    metrics = evaluate(many, build, 23).metrics

    assert metrics["rows_holdout"] == 9 * 5
    assert metrics["faults_left_out"] == "drift, pattern"
    recalls = [float(value) for name, value in metrics.items() if name.startswith("recall_")]
    assert len(recalls) == 10 + 2
    assert all(0 <= recall <= 1 for recall in recalls)


@pytest.mark.parametrize("times", [[], [0], [0, 1], [5, 5, 5, 5]])
def test_too_little_to_hold_out(build: Callable[[], Pipeline], times: list[int]) -> None:
    rows = single_series(np.array(times, dtype=np.int64) * HOUR_US, np.ones(len(times)))

    with pytest.raises(TooFewRowsError):
        evaluate(rows, build, 23)
