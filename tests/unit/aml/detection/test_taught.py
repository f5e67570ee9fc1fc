"""A detector that was taught by faults: what it says depends on a row and its context alone, of every kind of model."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.pipeline import Pipeline

from aml.contract import DatasetContract
from aml.detection.channels import CHANNELS
from aml.detection.detector import CalibratedDetector
from aml.detection.findings import Detections
from aml.detection.seasonal import Look, SeasonalSignals
from aml.forest import Scorer, build_pipeline
from aml.rows import Rows, apart
from tests.unit.aml.detection.pieces import alike_in_pieces
from tests.unit.aml.streams import CONTEXT_ROWS, METERS, hourly, streams

_DAYS, _LATER = 310, 40
_TREES = {"detector__n_estimators": 10}


def detector_of(pipeline: Pipeline) -> CalibratedDetector:
    detector: CalibratedDetector = pipeline.named_steps["detector"]
    return detector


@pytest.fixture(scope="module")
def many(gas: DatasetContract) -> Pipeline:
    """Two meters by name, and little context."""
    rows = apart([hourly(_DAYS, 1), hourly(_DAYS, 2)])
    small = gas.model_copy(update={"context_rows": CONTEXT_ROWS})
    return build_pipeline(small, 0.02).set_params(**_TREES).fit(Rows(rows.time, rows.value, rows.series, METERS[:2]))


@pytest.fixture(scope="module")
def scorer(gas: DatasetContract) -> Scorer:
    return Scorer(build_pipeline(gas, 0.01).set_params(**_TREES).fit(hourly(_DAYS)))


@pytest.fixture(scope="module")
def warm(gas: DatasetContract) -> Pipeline:
    return build_pipeline(gas, 0.01).set_params(**_TREES).fit(heated(hourly(_DAYS)))


@pytest.fixture(scope="module")
def look() -> Look:
    return SeasonalSignals(200).fit_transform(hourly(_DAYS))


def heated(rows: Rows) -> Rows:
    """With a temperature that says a little of the values."""
    noise = np.random.default_rng(len(rows)).normal(0, 2, len(rows))
    return Rows(rows.time, rows.value, rows.series, METERS[:1], (rows.value + noise)[:, None])


def later_with_a_fault() -> Rows:
    """The next days, of which some hours are four fifths more than usual."""
    rows = hourly(_DAYS + _LATER)
    value = rows.value.copy()
    value[-40:-20] *= 1.8
    return rows.with_values(value).take(slice(_DAYS * 24, None))


@settings(max_examples=40)
@given(streams(longest=120), st.data())
def test_nothing_that_is_said_depends_on_how_rows_are_cut(many: Pipeline, rows: Rows, data: st.DataObject) -> None:
    """Two meters that were seen and one that was not."""
    assert detector_of(many).likeness_ is not None
    alike_in_pieces(Scorer(many), rows, data)


@pytest.mark.parametrize("cut", [1, 23, 39, 200])
def test_nor_on_rows_before_the_context(scorer: Scorer, cut: int) -> None:
    rows = later_with_a_fault()
    at = len(rows) - cut

    whole, tail = scorer.detect(rows), scorer.detect(rows.take(slice(at - 696, None))).after(696)

    assert whole.anomaly[-40:-20].any()
    for name in Detections.__dataclass_fields__:
        assert getattr(tail, name).tobytes() == getattr(whole, name)[at:].tobytes(), name


def test_the_pipeline_scores_as_the_scorer_says(warm: Pipeline) -> None:
    """With and without numbers from outside, which have a detector each."""
    rows = heated(later_with_a_fault())
    assert rows.outside is not None
    rows.outside[300:500] = np.nan
    without = detector_of(warm).without_

    assert detector_of(warm).likeness_ is not None
    assert without is not None
    assert without.likeness_ is not None
    np.testing.assert_allclose(-warm.score_samples(rows), Scorer(warm).detect(rows).score, atol=2e-6)


def test_what_may_not_speak_is_not_taught(look: Look) -> None:
    names = ["near", "hours", "step", "forest_levels"]
    plain = CalibratedDetector(n_estimators=10, random_state=0).fit(look)
    rarities = plain.rarities(look, plain._plain_forests())

    sibling = plain.like(look, rarities, channels=names)
    alone = CalibratedDetector(n_estimators=10, random_state=0, channels=names).fit(look)

    assert sibling.likeness_ is not None
    assert alone.likeness_ is not None
    assert sibling.likeness_.weights.tobytes() == alone.likeness_.weights.tobytes()
    assert sibling.threshold_ == alone.threshold_
    heard = [channel.name in names for channel in CHANNELS]
    assert (sibling.likeness_.weights[: len(CHANNELS)][~np.array(heard)] == 0).all()
    assert sibling.likeness_.weights.any()


def test_what_was_practised_looks_like_a_fault_where_it_begins_and_clean_rows_do_not(look: Look) -> None:
    detector = CalibratedDetector(n_estimators=10, random_state=0).fit(look)
    practice, likeness = look.practice, detector.likeness_
    assert practice is not None
    assert likeness is not None
    forests = detector._plain_forests()

    louder = likeness.of(practice.rows, detector._rarities(practice, detector._statistics(practice, forests)))
    usual = likeness.of(look.rows, detector.rarities(look, forests))

    best = np.zeros(int(practice.rows.code.max()) + 1)
    np.maximum.at(best, practice.rows.code[practice.faulty], louder[practice.faulty])
    assert (best > 2).mean() > 0.5
    assert (usual > 2).mean() < 0.015
