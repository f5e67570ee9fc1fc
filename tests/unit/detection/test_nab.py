"""NAB's rules, against results that its authors published for its files (github.com/numenta/NAB, `results/`)."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aml.rows import Floats
from benchmarks.detection.nab import (
    ScoredFile,
    file_score,
    nab_score,
    one_alarm_per_episode,
    probation,
    row_weights,
    sigmoid_weight,
    tail_probability,
)

MINUTE_US = 60_000_000

# rows of a file, first and last row of each window, score of the random detector at the threshold 0.998449707031
PUBLISHED_RANDOM: dict[str, tuple[int, list[tuple[int, int]], float]] = {
    "ec2_cpu_utilization_24ae8d": (4032, [(3447, 3647), (3677, 3877)], -1.74479197233),
    "ec2_cpu_utilization_53ea38": (4032, [(1396, 1596), (2559, 2759)], -1.36765553529),
    "ec2_cpu_utilization_c6585a": (4032, [], -0.88),
    "grok_asg_anomaly": (4621, [(1177, 1331), (1492, 1646), (3676, 3830)], -1.84646462578),
    "iio_us-east-1_i-a2eb1cd9_NetworkIn": (1243, [(218, 280), (308, 370)], -0.639278295814),
    "ec2_request_latency_system_failure": (4032, [(2014, 2148), (3328, 3462), (3956, 4031)], -1.81477838062),
}


def scores_of_the_random_detector(rows: int) -> Floats:
    """NAB's own: uniform numbers of Python's generator, seeded with 42 for each file."""
    chance = random.Random(42)
    return np.array([chance.uniform(0, 1) for _ in range(rows)])


@pytest.mark.parametrize("name", PUBLISHED_RANDOM)
def test_the_random_detector_comes_to_what_was_published(name: str) -> None:
    rows, windows, published = PUBLISHED_RANDOM[name]

    score = file_score(ScoredFile(scores_of_the_random_detector(rows), windows), 0.998449707031)

    # published with a weight at a window's beginning that was rounded in the fifth place
    assert score == pytest.approx(published, abs=1e-5)


# ec2_cpu_utilization_ac20cd has one window, 403 rows wide: random cut forest, Skyline, Numenta
@pytest.mark.parametrize("published", [0.86067182427, 0.858908670438, 0.875727409493])
def test_scores_with_a_single_alert_are_the_weight_of_one_of_the_windows_rows(published: float) -> None:
    weights = row_weights(4032, [(1000, 1402)])[1000:1403]

    assert np.abs(weights - published).min() < 1e-11


def test_the_null_detector_has_nothing_and_the_perfect_one_everything() -> None:
    windows = [(300, 399), (700, 749)]
    null = ScoredFile(np.zeros(1000), windows)
    perfect = ScoredFile(np.isin(np.arange(1000), [300, 700]).astype(float), windows)

    assert file_score(null, 0.5) == -2.0
    assert nab_score([null]).score == 0.0
    assert file_score(perfect, 0.5) == pytest.approx(2.0)
    assert nab_score([perfect, perfect]).score == pytest.approx(100.0)


def test_weights_fall_from_1_at_a_windows_beginning_to_0_and_to_the_full_cost_behind_it() -> None:
    weights = row_weights(1000, [(100, 199)])

    assert weights[100] == pytest.approx(1.0)
    assert (np.diff(weights[100:200]) < 0).all()
    assert 0 < weights[199] < 0.03
    assert weights[:100].tolist() == [-0.11] * 100
    assert weights[200] == pytest.approx(0.11 * sigmoid_weight(1 / 99))
    assert -0.01 < weights[200] < 0
    assert weights[-1] == -0.11


def test_the_first_rows_count_for_nothing() -> None:
    assert [probation(rows) for rows in (0, 100, 4032, 5000, 22695)] == [0, 15, 604, 750, 750]
    noisy = ScoredFile(np.r_[np.ones(150), np.zeros(850)], [(500, 599)])

    assert file_score(noisy, 0.5) == -1.0
    assert nab_score([noisy]).score == 0.0


def naive_best(files: list[ScoredFile]) -> float:
    thresholds = np.unique(np.concatenate([file.scores for file in files]))
    totals = [sum(file_score(file, threshold) for file in files) for threshold in thresholds.tolist()]
    windows = sum(len(file.windows) for file in files)
    return max(0.0, 100 * (max(totals) + windows) / (2 * windows))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_the_best_threshold_is_the_best_of_all(seed: int, decimals: int) -> None:
    chance = np.random.default_rng(seed)
    files = [
        ScoredFile(np.round(chance.random(80), decimals), [(20, 29), (60, 64)]),
        ScoredFile(np.round(chance.random(60), decimals), [(30, 39)]),
    ]

    best = nab_score(files)

    assert best.score == pytest.approx(naive_best(files))
    if best.score > 0:
        total = sum(file_score(file, best.threshold) for file in files)
        assert best.score == pytest.approx(100 * (total + 3) / 6)


def times(minutes: list[int]) -> NDArray[np.int64]:
    return np.array(minutes, dtype=np.int64) * MINUTE_US


def test_an_alarm_is_a_new_high_of_the_last_hours() -> None:
    minutes = times([0, 60, 120, 180, 481, 540, 2000])

    kept = one_alarm_per_episode(minutes, np.array([5.0, 3.0, 7.0, 7.0, 6.0, 6.5, 1.0]), hours=5)

    assert kept.tolist() == [5.0, 0.0, 7.0, 0.0, 6.0, 6.5, 1.0]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(0, 40))
def test_an_alarm_depends_on_nothing_that_comes_later(scores: list[int], cut: int) -> None:
    values, minutes = np.array(scores, dtype=float), times(list(range(0, 60 * len(scores), 60)))
    cut = min(cut, len(scores))

    whole = one_alarm_per_episode(minutes, values)
    assert one_alarm_per_episode(minutes[:cut], values[:cut]).tolist() == whole[:cut].tolist()
    assert tail_probability(values[:cut], 0).tolist() == tail_probability(values, 0)[:cut].tolist()


def test_the_tail_is_the_share_of_earlier_scores_at_least_as_high() -> None:
    tail = tail_probability(np.array([1.0, 2.0, 3.0, 2.0, 9.0]), start=3)

    # of four scores (three before and itself) three are at least 2; of five one is at least 9
    assert tail.tolist() == [0.0, 0.0, 0.0, pytest.approx(-np.log10(3 / 4)), pytest.approx(-np.log10(1 / 5))]
