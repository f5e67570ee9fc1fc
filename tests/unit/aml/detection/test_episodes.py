"""How often alarms begin, against the plain count of events, and thresholds that keep a budget."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.contract import Alarms, DatasetContract
from aml.detection.episodes import GAP_ROWS, WEEK_US, Beginnings, Frequency
from aml.detection.series import Ordered
from aml.forest import Scorer, build_pipeline
from aml.rows import Rows
from shared.scoring import events
from tests.unit.aml.streams import HOUR_US, hourly


def ordered(count: int, series: list[int]) -> Ordered:
    return Ordered.of(Rows(np.arange(count), np.ones(count), np.array(sorted(series), np.int64), ("a", "b", "c")))


def counted(score: list[float], series: list[int], threshold: float) -> int:
    """Events as they are made of a file: at most `GAP_ROWS` unflagged rows in succession."""
    found, since, current = 0, GAP_ROWS + 1, -1
    for each, code in zip(score, sorted(series), strict=True):
        since = GAP_ROWS + 1 if code != current else since
        current = code
        if each > threshold:
            found += since > GAP_ROWS
            since = 0
        else:
            since += 1
    return found


_scores = st.lists(st.tuples(st.integers(0, 6).map(float), st.integers(0, 2)), min_size=1, max_size=60)


@given(_scores, st.floats(-1, 7))
def test_beginnings_are_those_of_events(rows: list[tuple[float, int]], threshold: float) -> None:
    score, series = [each for each, _ in rows], [code for _, code in rows]

    found = Beginnings.of(ordered(len(rows), series), np.array(score))

    assert found.count(threshold) == counted(score, series, threshold)
    assert GAP_ROWS == events.GAP_ROWS


@given(_scores, st.integers(8, 20))
def test_a_threshold_keeps_its_budget_and_so_do_all_above(rows: list[tuple[float, int]], wanted: int) -> None:
    score, series = np.array([each for each, _ in rows]), [code for _, code in rows]
    found = Beginnings.of(ordered(len(rows), series), score)

    threshold = Frequency.fit(found, 1.0).threshold_for(wanted)

    for higher in (threshold, *np.unique(score[score > threshold])):
        assert found.count(float(higher)) <= wanted


def test_rare_episodes_are_extrapolated() -> None:
    score = np.random.default_rng(3).exponential(1 / np.log(10), 20_000)  # calibrated
    found = Frequency.fit(Beginnings.of(ordered(20_000, [0] * 20_000), score), 119.0)

    assert found.threshold_for(0.002) == pytest.approx(found.threshold_for(0.02) + 1)
    assert found.threshold_for(0.01) == pytest.approx(np.log10(168 / 0.01), abs=0.25)
    assert found.threshold_for(3) < found.threshold_for(1)


def test_a_model_keeps_its_budget_of_alarms_on_rows_it_has_not_seen(gas: DatasetContract) -> None:
    contract = gas.model_copy(update={"alarms": Alarms(per_week=2)})
    rows = hourly(days=200, seed=5)

    scorer = Scorer(build_pipeline(contract, gas.contamination or 0.01).fit(rows.take(slice(0, 120 * 24))))

    fresh = scorer.scores(rows.take(slice(91 * 24, None)))[29 * 24 :]
    weeks = len(fresh) * HOUR_US / WEEK_US
    alarms = Beginnings.of(ordered(len(fresh), [0] * len(fresh)), fresh).count(scorer.threshold)
    assert scorer.alarms_per_week == 2
    assert 1 / 1.5 <= alarms / weeks / 2 <= 1.5
    assert build_pipeline(contract, 0.02).named_steps["detector"].alarms_per_week is None
