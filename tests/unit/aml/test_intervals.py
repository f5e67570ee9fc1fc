"""Meters read every hour and meters read every day in one dataset: each is judged as if the others were not there."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.pipeline import Pipeline

from aml.contract import Alarms, Candidate, DatasetContract
from aml.detection.calendar import Calendar
from aml.detection.findings import Detections
from aml.evaluation import evaluate
from aml.forest import Scorer, build_pipeline
from aml.intervals import Routes, commonest
from aml.rows import Rows, concatenate
from aml.selection import select
from tests.unit.aml.streams import CONTEXT_ROWS, HOUR_US, METERS, context_before, hourly, streams

DAY_US = 24 * HOUR_US
NO_CLOCK = Calendar.of(None, None)


def named(rows: Rows, name: str) -> Rows:
    return Rows(rows.time, rows.value, rows.series, (name,))


def daily(days: int, seed: int = 0, name: str = METERS[1]) -> Rows:
    """Volumes of days: quiet Sundays, noise of a twentieth."""
    day = np.arange(days)
    value = (200 - 80 * (day % 7 == 6)) * np.random.default_rng([seed, 3]).lognormal(0, 0.05, days)
    return Rows(1_704_067_200_000_000 + day * DAY_US, value, np.zeros(days, np.int64), (name,))


HOURLY, DAILY = named(hourly(days=60), METERS[0]), daily(300)
BOTH = concatenate([DAILY, HOURLY])


def model(gas: DatasetContract, rows: Rows, context: int = 200) -> Pipeline:
    contract = gas.model_copy(update={"context_rows": context})
    return build_pipeline(contract, 0.02).set_params(detector__n_estimators=8).fit(rows)


@pytest.fixture(scope="module")
def mixed(gas: DatasetContract) -> Pipeline:
    return model(gas, BOTH)


def same(one: Detections, other: Detections) -> bool:
    return all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in Detections.__dataclass_fields__
    )


def test_each_interval_is_learnt_as_if_it_were_alone(gas: DatasetContract, mixed: Pipeline) -> None:
    scorer = Scorer(mixed)

    assert mixed.routes_.intervals == (HOUR_US, DAY_US)
    assert scorer.interval == HOUR_US
    for rows in (HOURLY, DAILY):
        alone = model(gas, rows)
        alone.named_steps["detector"].warn_above(scorer.threshold)
        assert same(scorer.detect(rows), Scorer(alone).detect(rows))
        np.testing.assert_array_equal(mixed.score_samples(rows), alone.score_samples(rows))
    whole = scorer.detect(BOTH)
    assert whole.score.tolist() == [*scorer.detect(DAILY).score, *scorer.detect(HOURLY).score]
    np.testing.assert_array_equal(-mixed.score_samples(BOTH), whole.score)
    np.testing.assert_array_equal(mixed.predict(BOTH) == -1, whole.anomaly)
    assert np.unique(np.asarray(scorer.intervals(BOTH))[: len(DAILY)]).tolist() == [DAY_US]


def test_one_threshold_holds_whatever_is_known_of_the_rows(gas: DatasetContract) -> None:
    cold = np.random.default_rng(8).normal(size=(len(BOTH), 1))
    rows = Rows(BOTH.time, BOTH.value, BOTH.series, BOTH.names, cold)
    alarmed = gas.model_copy(update={"alarms": Alarms(per_week=2), "context_rows": 200})
    pipeline = build_pipeline(alarmed, 0.01).set_params(detector__n_estimators=8).fit(rows)

    found = Scorer(pipeline).detect(BOTH)  # of which nothing else is known

    assert pipeline.others_[0].named_steps["detector"].without_ is not None
    np.testing.assert_array_equal(found.anomaly, pipeline.predict(BOTH) == -1)
    np.testing.assert_array_equal(found.anomaly, found.score > Scorer(pipeline).threshold)


def test_series_of_one_interval_have_one_model(gas: DatasetContract) -> None:
    half_an_hour_more = Rows(HOURLY.time * 3 // 2, HOURLY.value, HOURLY.series, (METERS[2],))
    rows = concatenate([HOURLY, half_an_hour_more])

    pipeline = model(gas, rows)

    assert pipeline.others_ == ()
    assert Scorer(pipeline).intervals(rows) == Scorer(pipeline).interval
    few = concatenate([HOURLY, daily(99)])
    assert Routes.of(few, NO_CLOCK).intervals == (HOUR_US,)
    assert commonest(few, None, None) is few
    assert commonest(BOTH, None, None).names_of(np.unique(commonest(BOTH, None, None).series)) == [METERS[0]]


def test_a_meter_that_was_not_seen_is_judged_by_the_interval_of_its_rows(mixed: Pipeline) -> None:
    other = daily(40, seed=5, name="another")

    to = mixed.routes_.to(concatenate([other, named(hourly(days=2), "a third")]))

    assert to[0] == 0  # of one row nobody knows
    assert to[1:40].all()
    assert not to[40:].any()
    assert Scorer(mixed).detect(other).anomaly[10:].mean() < 0.2


def test_meters_of_all_intervals_are_held_out_and_the_commonest_chooses(
    gas: DatasetContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aml.holdout.FAULTS_PER_KIND", 3)
    monkeypatch.setattr("aml.evaluation.FAULTS_PER_KIND", 3)
    monkeypatch.setattr("aml.selection.PER_KIND", 3)
    candidates = (Candidate(name="default"), Candidate(name="level", families=("level",), trees=6))
    contract = gas.model_copy(update={"candidates": candidates, "context_rows": 100})
    rows = BOTH.take(BOTH.by_series_and_time())

    found = evaluate(rows, lambda: build_pipeline(contract, 0.02).set_params(detector__n_estimators=8), 100)
    chosen = select(rows, contract, 0.02)

    assert 0 <= float(found.metrics["alert_rate"]) < 0.2
    assert float(found.metrics["recall"]) > 0.3
    assert [each.candidate for each in chosen.tried] == list(candidates)


@pytest.fixture(scope="module")
def small(gas: DatasetContract) -> Pipeline:
    return model(gas, BOTH, CONTEXT_ROWS)


@settings(max_examples=40)
@given(streams(longest=120), st.data())
def test_nothing_that_is_said_depends_on_how_rows_are_cut(small: Pipeline, rows: Rows, data: st.DataObject) -> None:
    """An hourly and a daily meter that were seen, and one that was not, whose steps are of both kinds."""
    scorer = Scorer(small)
    stretched = data.draw(st.sampled_from([1, 24]))
    rows = Rows(rows.time[0] + (rows.time - rows.time[0]) * stretched, rows.value, rows.series, rows.names)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(rows)), max_size=2)) | {0, len(rows)})

    whole, pieces = scorer.detect(rows), []
    for first, last in pairwise(cuts):
        context = context_before(rows, first)
        piece = rows.take(np.r_[context, np.arange(first, last)])
        pieces.append(scorer.detect(piece).after(len(context)))
        np.testing.assert_array_equal(
            np.asarray(scorer.intervals(piece))[len(context) :], np.asarray(scorer.intervals(rows))[first:last]
        )

    for name in Detections.__dataclass_fields__:
        joined = np.concatenate([getattr(piece, name) for piece in pieces])
        assert joined.tobytes() == getattr(whole, name).tobytes(), name
    assert np.isfinite(whole.score).all()
