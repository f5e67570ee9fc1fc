"""What the gate is measured with: the datasets are what they are called, and verdicts are those of the app."""

from __future__ import annotations

import numpy as np
import pytest

from aml.contract import load_contract
from aml.rows import Rows, single_series
from benchmarks.gate import CASES, Case, Judged, faulty, judged, moved, scaled, shuffled, spiked, stuck, tables, zeroed

HOUR_US = 3_600_000_000
HOURS = 24 * 84


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Twelve weeks of a day's course with some noise."""
    at, random = np.arange(HOURS), np.random.default_rng(1)
    course = 100 + 40 * np.sin(at / 24 * 2 * np.pi) + random.normal(0, 3, HOURS)
    return single_series(1_704_067_200_000_000 + at * HOUR_US, np.round(course, 2))


def test_cases_have_names_of_their_own_and_take_what_they_say(rows: Rows) -> None:
    length = HOURS // 2
    taken = {case.name: case.of(rows, length, np.random.default_rng(1)) for case in CASES}

    assert len(taken) == len(CASES)
    again, following, twice = taken["the same again"], taken["the next as long"], taken["twice as long"]
    assert again is not None
    assert following is not None
    assert twice is not None
    assert (len(again), len(following), len(twice)) == (length, length, 2 * length)
    assert following.time[0] == rows.time[length]
    assert Case("too long", True, 0, 3).of(rows, length, np.random.default_rng(1)) is None
    assert Case("too short", True, 0, 0.01).of(rows, length, np.random.default_rng(1)) is None


def test_damage_is_as_large_as_it_is_called(rows: Rows) -> None:
    random = np.random.default_rng(2)

    assert (scaled(10)(rows, random).value == 10 * rows.value).all()
    assert sorted(shuffled(rows, random).value) == sorted(rows.value)
    assert np.mean(zeroed(0.3)(rows, random).value == 0) == pytest.approx(0.3, abs=0.05)
    assert np.mean(spiked(0.05)(rows, random).value > rows.value) == pytest.approx(0.05, abs=0.02)
    more = moved(1.5, 0.25)(rows, random).value / rows.value
    assert np.unique(more.round(6)).tolist() == [1.0, 1.5]
    assert np.mean(more > 1) == 0.25
    half = stuck(0.5)(rows, random)
    assert len(np.unique(half.value[HOURS // 2 :])) == 1
    assert (half.value[: HOURS // 2] == rows.value[: HOURS // 2]).all()


def test_faults_cover_the_share_of_the_rows_that_is_asked_for(rows: Rows) -> None:
    made = faulty(0.2)(rows, np.random.default_rng(3))
    before = dict(zip(rows.time.tolist(), rows.value.tolist(), strict=True))
    touched = sum(
        before.get(time) != value for time, value in zip(made.time.tolist(), made.value.tolist(), strict=True)
    )

    assert 0.05 < (touched + max(len(rows) - len(made), 0)) / len(rows) < 0.5
    assert (np.diff(made.time) >= 0).all()


def test_the_same_again_is_promoted_and_another_unit_is_not(rows: Rows) -> None:
    cases = [case for case in CASES if case.name in ("the same again", "in another unit (x 1000)", "twice as long")]
    found = list(judged("sine", rows, HOURS * 2 // 3, load_contract("gas"), cases))

    assert [(each.case, each.promoted) for each in found] == [
        ("the same again", True),
        ("in another unit (x 1000)", False),
    ]
    again, litres = found
    assert again.reasons == ()
    assert "fresh_alert_rate" in litres.reasons
    assert litres.worse["fresh_alert_rate"] > 0.3
    assert abs(again.worse["reference_detection"]) < 0.2


def test_the_tables_count_and_say_how_far_apart_the_two_were() -> None:
    case = Case("damaged", False)
    rules = [{"fresh_recall": 0.1}, {"fresh_recall": 0.3}]
    found = [
        Judged(f"meter {number}", "damaged", False, number == 0, ("fresh_recall",) * number, worse)
        for number, worse in enumerate(rules)
    ]

    lines = list(tables(found, [case, Case("never tried", True)]))

    assert "| damaged | refused | 1 / 2 | fresh_recall |" in lines
    assert "| damaged | 0.200, 0.300 |" in lines
    assert not any("never tried" in line for line in lines)
