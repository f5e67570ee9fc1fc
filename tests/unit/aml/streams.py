"""Streams of rows as Hypothesis draws them, and the context that the function app sends with a chunk of one."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from aml.rows import Rows, single_series

CONTEXT_ROWS = 40
METERS = ("meter 0", "meter 1", "meter 2")
HOUR_US = 3_600_000_000

_values = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(min_value=0, max_value=100),
    st.sampled_from([0.0, -0.0, 0.1, 1e16, -1e16, 1.7e308, -1.7e308, 5e-324]),
)


@st.composite
def streams(draw: st.DrawFn, longest: int = 90) -> Rows:
    """Rows in order of time, of up to three series interleaved as they come; equal times occur."""
    count = draw(st.integers(1, longest))
    values = draw(st.lists(_values, min_size=count, max_size=count))
    steps = draw(st.lists(st.integers(0, 5_000_000_000), min_size=count, max_size=count))
    series = draw(st.lists(st.integers(0, draw(st.integers(0, 2))), min_size=count, max_size=count))
    start = draw(st.integers(-(10**15), 10**16))
    return Rows(start + np.cumsum(steps), np.array(values), np.array(series), METERS)


def context_before(rows: Rows, cut: int) -> NDArray[np.intp]:
    """Positions of the last `CONTEXT_ROWS` rows of each series before `cut`: what the function app sends along."""
    before = [np.flatnonzero(rows.series[:cut] == code)[-CONTEXT_ROWS:] for code in np.unique(rows.series)]
    return np.sort(np.concatenate(before)) if cut else np.zeros(0, dtype=np.intp)


def hourly(days: int, seed: int = 0) -> Rows:
    """Hourly volumes of a plant from 2024-01-01 on: a daily wave, a weekly rest, noise."""
    hours = np.arange(days * 24)
    random = np.random.default_rng(seed)
    wave = 10 + 3 * np.sin(hours / 24 * 2 * np.pi) - 2 * (hours // 24 % 7 >= 5)
    start = 1_704_067_200_000_000
    return single_series(start + hours * HOUR_US, wave * random.lognormal(0, 0.05, len(hours)))
