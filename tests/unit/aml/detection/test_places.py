"""`Places` finds what a search finds, whatever the knots."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.detection.places import Places
from aml.rows import Floats

_NUMBERS = st.floats(-1.7e308, 1.7e308)
_ORDINARY = st.floats(-10, 10).map(lambda number: round(number, 3))


def _searched(knots: Floats, values: Floats) -> list[int]:
    found: list[int] = np.maximum(np.searchsorted(knots, values, "right") - 1, 0).tolist()
    return found


@given(
    knots=st.lists(_NUMBERS, min_size=1, max_size=48) | st.lists(_ORDINARY, min_size=1, max_size=48),
    others=st.lists(_NUMBERS),
)
def test_it_finds_the_last_knot_that_a_value_reaches(knots: list[float], others: list[float]) -> None:
    ascending = np.unique(np.array(knots) + 0.0)
    beside = [np.nextafter(ascending, -np.inf), np.nextafter(ascending, np.inf)]
    values = np.concatenate([ascending, *beside, np.array(others, dtype=np.float64), [-np.inf, np.inf, -0.0]])
    assert Places(ascending).of(values).tolist() == _searched(ascending, values)


@pytest.mark.parametrize("size", [1, 2, 48])
def test_it_finds_the_place_of_any_of_many_values(size: int) -> None:
    random = np.random.default_rng(size)
    knots, values = np.unique(random.gamma(2.0, 1.0, size)), random.gamma(2.0, 1.2, 5_000)
    assert Places(knots).of(values).tolist() == _searched(knots, values)
