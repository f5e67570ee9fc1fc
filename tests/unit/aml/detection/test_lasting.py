"""What goes on, what is over, and what is around a row: order is kept, and nothing is taken off what is far out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aml.detection.channels import Signals
from aml.detection.lasting import Lasting, again, around, squeezed
from aml.detection.plan import Plan
from aml.detection.seasonal import Look
from aml.detection.series import Ordered
from aml.rows import Floats, Rows
from tests.unit.aml.streams import HOUR_US

_PLAN = Plan(HOUR_US, 696)
_CLEAN = np.linspace(0.0, 4.0, 401)


def look(ordinary: Floats, series: int = 1) -> Look:
    """Hourly rows, so far from what is usual; of as many series, one after the other."""
    each = len(ordinary) // series
    time = np.tile(np.arange(each) * HOUR_US, series)
    code = np.repeat(np.arange(series), each)
    rows = Rows(time, np.ones(len(time)), code, tuple("abc"[:series]))
    none = np.zeros((len(time), 0), dtype=np.float32)
    return Look(Ordered.of(rows), _PLAN, Signals(np.zeros((0, len(time))), ordinary, none, none))


@pytest.fixture(scope="module")
def fitted() -> Lasting:
    """Clean rows up to 4 decades loud and 4 deviations from what is usual; 1 % louder than 3.96."""
    found = Lasting.fit(look(_CLEAN), _CLEAN, 0.6)

    assert found.loud == pytest.approx(3.96)
    assert found.near == pytest.approx(3.4)
    return found


def test_the_first_rows_of_what_is_new_are_as_loud_as_they_are(fitted: Lasting) -> None:
    rising = np.linspace(0.5, 9.0, 40)

    found, goes_on = fitted.of(look(rising), rising)

    np.testing.assert_array_equal(found, rising)
    assert not goes_on.any()


def test_faint_rows_that_go_on_lose_much_and_loud_ones_nothing(fitted: Lasting) -> None:
    loud = np.array([20.0, 1.0, 3.0, 3.96, 5.94, 7.92, 12.0, 20.0])

    found, goes_on = fitted.of(look(loud), loud)

    assert goes_on.tolist() == [False] + [True] * 7
    np.testing.assert_allclose(found, [20.0, 0.6, 1.8, 2.376, 5.148, 7.92, 12.0, 20.0])


def test_a_day_later_and_in_another_series_it_is_new_again(fitted: Lasting) -> None:
    loud = np.tile(np.r_[2.0, np.zeros(_PLAN.day), 2.0], 2)

    found, goes_on = fitted.of(look(loud, series=2), loud)

    assert found[[0, 25, 26, 51]].tolist() == [2.0] * 4
    assert not goes_on[[0, 25, 26, 51]].any()


@settings(max_examples=100)
@given(
    st.lists(st.floats(0, 30), min_size=2, max_size=24),
    st.floats(0.05, 1.0),
    st.floats(0, 8),
)
def test_rows_that_go_on_keep_their_order_and_are_never_louder(loud: list[float], factor: float, knot: float) -> None:
    lasting = np.r_[31.0, loud]

    found, goes_on = Lasting(factor, knot, 1.0).of(look(lasting), lasting)

    assert goes_on[1:].all()
    order = np.argsort(lasting[1:], kind="stable")
    assert (np.diff(found[1:][order]) >= -1e-9).all()
    assert (found <= lasting).all()
    assert (found >= factor * lasting - 1e-9).all()


def test_a_value_is_back_when_it_has_been_so_for_an_eighth_of_a_day(fitted: Lasting) -> None:
    ordinary = np.array([0.1, 0.1, 9.0, 0.1, 0.1, 0.1, 3.5, 0.1])

    assert fitted.back(look(ordinary)).tolist() == [True, True, False, False, False, True, False, False]


def test_around_a_row_are_the_rows_of_half_a_day(fitted: Lasting) -> None:
    loud = np.zeros(40)
    loud[10] = 6.0

    found = around(look(loud), loud)

    assert found[9] == 0
    assert found[10] == pytest.approx(6 + 48 / 11)
    np.testing.assert_allclose(found[11:22], [48 / min(at + 1, 12) for at in range(11, 22)], rtol=1e-6)
    assert found[22] == 0


def test_what_was_told_in_the_day_before_is_told_again() -> None:
    told = np.zeros(60, dtype=bool)
    told[[3, 4, 28, 53]] = True

    found = again(look(np.zeros(60)), told)

    assert np.flatnonzero(found).tolist() == [4, 28]
    assert not again(look(np.zeros(2), series=2), np.ones(2, dtype=bool)).any()


@given(st.lists(st.floats(0, 300), min_size=2, max_size=20), st.floats(0, 5))
def test_what_is_squeezed_keeps_its_order_under_the_limit(rarity: list[float], low: float) -> None:
    ordered = np.sort(np.array(rarity))

    found = squeezed(ordered, low, low + 0.15)

    assert (np.diff(found) >= 0).all()
    assert (found < low + 0.15).all()
    np.testing.assert_array_equal(found[ordered <= low], ordered[ordered <= low])
