"""What the detector says of meters: kinds, numbers, and that it depends on a row and its context alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.pipeline import Pipeline

from aml.contract import DatasetContract
from aml.detection.detector import threshold_of
from aml.detection.findings import Detections, Kind
from aml.detection.folds import halves_of
from aml.forest import Scorer, build_pipeline
from aml.rows import Rows, Times, apart, single_series
from tests.unit.aml.detection.pieces import alike_in_pieces
from tests.unit.aml.streams import CONTEXT_ROWS, HOUR_US, METERS, streams

_MONDAY = 1_704_067_200_000_000
_DAYS = 100


def meter(days: int, seed: int, size: float = 10.0, begin: int = 0) -> Rows:
    """Hourly volumes: a wave each day, quiet Sundays, noise of a tenth."""
    hours = begin + np.arange(days * 24)
    wave = 1.5 + np.sin((hours % 24 - 9) / 24 * 2 * np.pi)
    wave = np.where(hours // 24 % 7 == 6, 0.5, wave)
    noise = np.random.default_rng([seed, begin]).lognormal(0, 0.1, len(hours))
    return single_series(_MONDAY + hours * HOUR_US, size * wave * noise)


@pytest.fixture(scope="module")
def scorer(gas: DatasetContract) -> Scorer:
    contract = gas.model_copy(update={"holidays": None})
    return Scorer(build_pipeline(contract, 0.01).fit(meter(_DAYS, 1)))


@pytest.fixture(scope="module")
def many(gas: DatasetContract) -> Pipeline:
    """Two meters by name, and little context."""
    rows = apart([meter(21, 1), meter(21, 2, size=500.0)])
    named = Rows(rows.time, rows.value, rows.series, METERS[:2])
    small = gas.model_copy(update={"context_rows": CONTEXT_ROWS})
    return build_pipeline(small, 0.02).set_params(detector__n_estimators=10).fit(named)


def said(scorer: Scorer, change: dict[int, float] | None = None, time: Times | None = None) -> Detections:
    """Of the last three weeks of the next months, with some values changed; positions count from the end."""
    later = meter(50, 1, begin=_DAYS * 24)
    value = later.value.copy()
    for at, new in (change or {}).items():
        value[at] = new
    return scorer.detect(Rows(later.time if time is None else time, value, later.series)).after(29 * 24)


def test_few_clean_rows_that_were_never_seen_are_flagged(scorer: Scorer) -> None:
    found = said(scorer)

    assert found.anomaly.mean() < 0.03
    assert ((found.kind == Kind.NONE) == ~found.anomaly).all()
    assert ((found.severity > 0) == found.anomaly).all()
    clean = meter(50, 1, begin=_DAYS * 24).value[29 * 24 :]
    inside = (found.lower <= clean) & (clean <= found.upper)
    assert inside.mean() > 0.9
    assert np.median(np.abs(found.expected / clean - 1)) < 0.2


@pytest.mark.parametrize(
    ("change", "kind", "hours"),
    [
        ({-5: 200.0}, Kind.HIGH, 0.0),
        ({-5: -3.0}, Kind.NEGATIVE, 0.0),
        (dict.fromkeys(range(-8, 0), 0.0), Kind.ZERO, 8.0),
        (dict.fromkeys(range(-8, 0), 12.5), Kind.STUCK, 8.0),
    ],
)
def test_faults_are_found_and_called_by_their_kind(
    scorer: Scorer, change: dict[int, float], kind: Kind, hours: float
) -> None:
    found = said(scorer, change)

    last = max(change)
    assert found.anomaly[last]
    assert (Kind(int(found.kind[last])), found.hours[last]) == (kind, hours)
    if kind in (Kind.HIGH, Kind.NEGATIVE):
        assert not found.lower[last] <= change[last] <= found.upper[last]


def test_what_goes_on_was_said_when_it_began(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth more than usual for two days: rows that are no louder than others before them score less for it."""
    usual = meter(50, 1, begin=_DAYS * 24).value
    change = {at: 1.2 * usual[at] for at in range(-48, 0)}
    found = said(scorer, change)
    monkeypatch.setattr(scorer._detector, "lasting_", replace(scorer._detector.lasting_, factor=1.0))
    undamped = said(scorer, change)

    assert found.anomaly[-48:].any()
    assert (found.score <= undamped.score).all()
    assert (found.score[-48:] < undamped.score[-48:]).mean() > 0.5
    assert found.score.max() == undamped.score.max()


def test_what_is_far_out_for_days_stays_an_alarm_and_ranks_below_its_beginning(scorer: Scorer) -> None:
    """A hundred times the usual for four days, falling: hardly a row says more than the ones before it."""
    found = said(scorer, {at: 1500.0 - at for at in range(-96, 0)})

    assert found.anomaly[-96:].all()
    assert found.score[-96] > scorer.threshold + 1.1
    assert (found.score[-72:] < scorer.threshold + 1).mean() > 0.9


def test_an_alarm_ends_when_the_values_are_back(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of a day remember three hours at ten times the usual: what they say is no alarm."""
    change = {-48 + at: 150.0 + at for at in range(3)}
    clean, found = said(scorer), said(scorer, change)
    never = replace(scorer._detector.lasting_, near=-1.0)
    monkeypatch.setattr(scorer._detector, "lasting_", never)
    without = said(scorer, change)

    after = [int((each.anomaly & ~clean.anomaly)[-45:].sum()) for each in (found, without)]
    assert found.anomaly[-48]
    assert after[0] <= 6
    assert after[1] > 2 * after[0]
    assert (found.score <= without.score).all()


def test_a_short_history_warns_later_and_scores_the_same(gas: DatasetContract) -> None:
    """A month in which the level rises by a third each week: the next days are beyond all of it."""
    rows = meter(60, 5)
    value = rows.value * np.exp(np.arange(len(rows)) * 0.29 / 168)
    rising = Rows(rows.time, value, rows.series)
    pipeline = build_pipeline(gas, 0.01).set_params(detector__n_estimators=10).fit(rising.take(slice(0, 30 * 24)))
    detector = pipeline.named_steps["detector"]
    score = -detector.score_samples(pipeline.named_steps["signals"].transform(rising.take(slice(30 * 24, 37 * 24))))

    careful, hasty = detector.threshold_, threshold_of(0.01)
    assert careful > hasty + 0.5
    assert detector.threshold_at(0.1) < detector.threshold_at(0.01) < detector.threshold_at(0.001)
    assert (score > careful).mean() < 0.5 * (score > hasty).mean()
    detector.ahead_ = None
    assert detector.threshold_at(0.01) == hasty


def test_an_alarm_above_a_raised_threshold_stays_one_too(gas: DatasetContract) -> None:
    """What goes on ranks lower; it falls silent nowhere."""
    rows = meter(60, 5)
    value = rows.value * np.exp(np.arange(len(rows)) * 0.29 / 168)
    value[32 * 24 :] *= 1000
    rising = Rows(rows.time, value, rows.series)
    pipeline = build_pipeline(gas, 0.01).set_params(detector__n_estimators=10).fit(rising.take(slice(0, 30 * 24)))
    detector, later = pipeline.named_steps["detector"], rising.take(slice(30 * 24, 36 * 24))
    assert detector.threshold_ > detector.told_ + 0.2

    ranked = pipeline.score_samples(later)
    detector.told_ = 1e6
    as_they_are = pipeline.score_samples(later)

    flagged = -ranked > detector.threshold_
    assert flagged[2 * 24 :].mean() > 0.9
    assert (flagged == (-as_they_are > detector.threshold_)).all()
    assert (-ranked < -as_they_are - 0.1).any()


def test_one_threshold_means_the_same_for_every_judge(scorer: Scorer, gas: DatasetContract) -> None:
    contract = gas.model_copy(update={"holidays": None})
    pipeline = build_pipeline(contract, 0.01).set_params(detector__n_estimators=10).fit(meter(30, 4))
    own, score = Scorer(pipeline), -pipeline.score_samples(meter(30, 6))

    pipeline.named_steps["detector"].warn_above(9.0)

    np.testing.assert_allclose(-pipeline.score_samples(meter(30, 6)), score * 9.0 / own.threshold, atol=1e-5)
    whole, before = Scorer(pipeline).detect(meter(30, 6)), own.detect(meter(30, 6))
    assert Scorer(pipeline).threshold == Scorer(pipeline).threshold_at(0.01) == pytest.approx(9.0)
    np.testing.assert_array_equal(whole.anomaly, before.anomaly)
    np.testing.assert_array_equal(whole.kind, before.kind)


@pytest.mark.parametrize(("days", "halves"), [(0.0, 0), (0.05, 2), (31, 2), (299, 2), (300, 0), (731, 0)])
def test_halves_are_of_histories_that_have_not_shown_every_season(days: float, halves: int) -> None:
    time = _MONDAY + np.array([0, 0.2, 0.6, 1.0]) * days * 24 * HOUR_US

    found = halves_of(time.astype(np.int64))

    assert len(found) == halves
    if found:
        assert found[0].tolist() == [True, True, False, False]
        assert found[1].tolist() == [False, False, True, True]


def test_missing_and_repeated_rows_are_found_by_their_times(scorer: Scorer) -> None:
    time = meter(50, 1, begin=_DAYS * 24).time
    late, twice = time.copy(), time.copy()
    late[-10:] += 3 * HOUR_US
    twice[-10] = twice[-11]

    missing, repeated = said(scorer, time=late), said(scorer, time=twice)

    assert (Kind(int(missing.kind[-10])), missing.hours[-10]) == (Kind.GAP, 3.0)
    assert Kind(int(repeated.kind[-10])) == Kind.DUPLICATE


def test_the_change_of_the_clock_makes_neither_gaps_nor_duplicates(scorer: Scorer) -> None:
    """On the last Sundays of March and October 2024, by the wall clock of Madrid."""
    for day, hours in (("2024-03-31", [0, 1, 3, 4, 5]), ("2024-10-27", [0, 1, 2, 2, 3, 4])):
        begin = int(np.datetime64(day, "us").astype(np.int64))
        time = np.r_[begin - np.arange(700, 0, -1) * HOUR_US, begin + np.array(hours) * HOUR_US]
        value = meter(31, 3).value[: len(time)]

        found = scorer.detect(single_series(time, value))

        assert not np.isin(found.kind, (Kind.GAP, Kind.DUPLICATE)).any()


def test_a_meter_that_was_not_seen_is_judged_by_its_own_context(many: Pipeline) -> None:
    scorer = Scorer(many)
    rows = meter(14, 7, size=90_000.0)
    named = Rows(rows.time, rows.value, rows.series, ("another",))

    found = scorer.detect(named)

    assert np.isnan(found.expected[0])
    assert np.isfinite(found.expected[1:]).all()
    assert 0.2 < np.median(found.expected[48:] / rows.value[48:]) < 5
    assert found.anomaly.mean() < 0.05


def test_each_meter_finds_its_own_profile_again(many: Pipeline) -> None:
    rows = meter(14, 9, size=500.0)

    own = Scorer(many).detect(Rows(rows.time, rows.value, rows.series, (METERS[1],)))
    others = Scorer(many).detect(Rows(rows.time, rows.value, rows.series, (METERS[0],)))

    assert own.anomaly.mean() < 0.2 < others.anomaly.mean()


@settings(max_examples=50)
@given(streams(longest=120), st.data())
def test_nothing_that_is_said_depends_on_how_rows_are_cut(many: Pipeline, rows: Rows, data: st.DataObject) -> None:
    """Two meters that were seen and one that was not."""
    assert np.isfinite(alike_in_pieces(Scorer(many), rows, data).score).all()


@pytest.mark.parametrize(
    "rows",
    [
        single_series(_MONDAY + np.arange(336) * HOUR_US, np.full(336, 5.0)),
        single_series(_MONDAY + np.arange(336) * HOUR_US, np.zeros(336)),
        single_series(_MONDAY + np.arange(336) * HOUR_US, np.random.default_rng(0).normal(0, 3, 336)),
        single_series(_MONDAY + np.arange(4000) * HOUR_US // 60, np.random.default_rng(1).gamma(2, 1, 4000)),
        single_series(_MONDAY + np.arange(400) * HOUR_US * 24, np.random.default_rng(2).gamma(9, 1, 400)),
        single_series(_MONDAY + np.cumsum(np.random.default_rng(3).integers(1, 9, 900)) * HOUR_US, np.arange(900.0)),
    ],
    ids=["constant", "zeros", "negative", "minutes", "days", "irregular"],
)
def test_any_series_can_be_learnt_and_is_not_alarming_to_itself(gas: DatasetContract, rows: Rows) -> None:
    pipeline = build_pipeline(gas, 0.01).set_params(detector__n_estimators=10).fit(rows)

    found = Scorer(pipeline).detect(rows)

    assert found.anomaly.mean() < 0.05
    assert np.isfinite(found.score).all()
    assert np.isfinite(found.expected).all()
