"""PSI, KS and what chance does to them, against their definitions, scipy, and the same in training."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from aml import profile as training
from shared.drift import statistics
from shared.drift.statistics import STRATA, Counts, expected_shares, in_season, ks, psi, psi_by_chance

_counts = st.lists(st.integers(0, 500), min_size=2, max_size=12).map(lambda each: np.array(each, np.int64))


@given(_counts)
def test_equal_shares_have_no_distance(counts: Counts) -> None:
    assume(counts.any())
    shares = counts / counts.sum()

    assert psi(counts, shares, int(counts.sum())) == 0
    assert psi(counts * 7, shares, int(counts.sum())) == pytest.approx(0, abs=1e-12)
    assert ks(counts, shares) == pytest.approx(0, abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=12))
def test_both_are_symmetric(pairs: list[tuple[int, int]]) -> None:
    one, other = (np.array(each, np.int64) for each in zip(*pairs, strict=True))
    assume(one.any() and other.any())
    shares = one / one.sum(), other / other.sum()

    there = psi(one, shares[1], int(other.sum()))

    assert there == pytest.approx(psi(other, shares[0], int(one.sum())))
    assert there >= -1e-12
    assert ks(one, shares[1]) == pytest.approx(ks(other, shares[0]))


def test_psi_is_the_symmetric_relative_entropy_where_no_bin_is_empty() -> None:
    p, e = np.array([30, 50, 20]), np.array([0.2, 0.5, 0.3])

    assert psi(p, e, 1000) == pytest.approx(stats.entropy(p / 100, e) + stats.entropy(e, p / 100))
    assert psi(p, e, 1000) == pytest.approx(0.1 * np.log(1.5) + 0.1 * np.log(1.5))


def test_an_empty_bin_counts_as_half_a_row() -> None:
    assert psi(np.array([0, 10]), np.array([0.5, 0.5]), 100) == pytest.approx(0.45 * np.log(10) + 0.5 * np.log(2))
    assert psi(np.array([5, 5]), np.array([0.0, 1.0]), 50) == pytest.approx(0.49 * np.log(50) + 0.5 * np.log(2))


@given(st.integers(0, 2**32 - 1), st.integers(30, 400), st.floats(-2, 2), st.floats(0.2, 3))
def test_ks_is_the_exact_one_but_for_the_fullest_bin(seed: int, rows: int, shift: float, scale: float) -> None:
    random = np.random.default_rng(seed)
    reference, sample = random.normal(size=2000), random.normal(shift, scale, rows)
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, 201)[1:-1], method="inverted_cdf"))
    known, seen = (np.bincount(np.searchsorted(edges, each), minlength=200) for each in (reference, sample))

    exact = stats.ks_2samp(reference, sample).statistic
    binned = ks(seen, known / 2000)

    assert binned <= exact + 1e-12
    assert exact - binned <= known.max() / 2000 + 1e-12


@pytest.mark.parametrize(("bins", "n", "m"), [(10, 24, 8760), (10, 720, 8760), (3, 100, 100), (50, 1000, 5000)])
def test_chance_is_chi_squares(bins: int, n: int, m: int) -> None:
    exact = (1 / n + 1 / m) * stats.chi2.ppf(0.99, bins - 1)

    assert psi_by_chance(bins, n, m) == pytest.approx(exact, rel=0.01)


def test_independent_rows_exceed_chance_about_once_in_a_hundred() -> None:
    random = np.random.default_rng(11)
    shares = np.full(10, 0.1)

    found = [psi(random.multinomial(200, shares), shares, 10**6) for _ in range(4000)]

    assert 0.004 < np.mean(np.array(found) > psi_by_chance(10, 200, 10**6)) < 0.02


def _cells(**months: list[int]) -> Counts:
    cells = np.zeros((STRATA, 2), np.int64)
    for name, counts in months.items():
        cells[int(name[1:]) * 4 : int(name[1:]) * 4 + 4] = counts
    return cells


def _weights(*months: int) -> Counts:
    weights = np.zeros(STRATA, np.int64)
    for month in months:
        weights[month * 4] += 1
    return weights


def test_what_is_expected_is_that_of_the_season() -> None:
    cells = _cells(m0=[10, 0], m1=[10, 0], m11=[10, 0], m5=[0, 10], m6=[0, 20], m7=[0, 30])

    assert expected_shares(cells, _weights(0))[0].tolist() == [1, 0]
    assert expected_shares(cells, _weights(6))[0].tolist() == [0, 1]
    assert expected_shares(cells, _weights(6))[1] == 60
    assert expected_shares(cells, _weights(0, 6))[0].tolist() == [0.5, 0.5]
    assert in_season(cells, _weights(0, 6)) == 1


def test_without_the_season_all_months_stand_in_and_without_the_hours_all_rows() -> None:
    cells = _cells(m0=[30, 10])
    cells[3] = 0

    assert expected_shares(cells, _weights(6))[0].tolist() == [0.75, 0.25]
    evening = np.zeros(STRATA, np.int64)
    evening[6 * 4 + 3] = 5
    assert expected_shares(cells, evening)[0].tolist() == [0.75, 0.25]
    assert in_season(cells, _weights(0, 6, 6, 6)) == 0.25


@given(st.integers(0, 2**32 - 1))
def test_training_computes_the_same(seed: int) -> None:
    random = np.random.default_rng(seed)
    cells = random.integers(0, 5, (STRATA, 6)) * random.integers(0, 2, (STRATA, 1))
    weights = random.integers(0, 4, STRATA)
    observed = random.integers(0, 9, 6)
    assume(cells.any() and weights.any() and observed.any())

    here, there = statistics.expected_shares(cells, weights), training.expected_shares(cells, weights)

    assert here[0].tolist() == there[0].tolist()
    assert here[1] == there[1]
    assert statistics.psi(observed, *here) == training.psi(observed, *there)
    assert statistics.ks(observed, here[0]) == training.ks(observed, there[0])
