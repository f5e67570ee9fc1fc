"""The law of serving: a row's features depend on the row and its window, to the last bit, and on nothing else."""

import random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.features import SeriesFeatures
from aml.rows import Rows, single_series
from tests.unit.aml.streams import context_before, streams

_FEATURES = SeriesFeatures(window=24)


@given(streams(), st.data())
def test_a_chunk_with_its_context_has_the_features_of_the_whole(rows: Rows, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(rows) - 1))
    last = data.draw(st.integers(first + 1, len(rows)))
    context = context_before(rows, first)

    chunk = _FEATURES.transform(rows.take(np.r_[context, np.arange(first, last)]))[len(context) :]

    assert chunk.tobytes() == _FEATURES.transform(rows)[first:last].tobytes()


@given(streams(longest=40))
def test_a_row_served_alone_with_its_context_has_the_features_it_had_in_training(rows: Rows) -> None:
    trained = _FEATURES.transform(rows)

    for at in range(len(rows)):
        served = _FEATURES.transform(rows.take(np.r_[context_before(rows, at), at]))[-1]
        assert served.tobytes() == trained[at].tobytes()


@given(streams())
def test_features_are_finite_for_values_of_any_size(rows: Rows) -> None:
    assert np.isfinite(_FEATURES.transform(rows)).all()


@given(streams(), st.randoms())
def test_the_order_of_rows_in_a_request_does_not_matter(rows: Rows, shuffler: random.Random) -> None:
    distinct = Rows(np.arange(len(rows)) * 60_000_000, rows.value, rows.series)
    order = list(range(len(rows)))
    shuffler.shuffle(order)
    shuffled = np.array(order)

    features = _FEATURES.transform(distinct.take(shuffled))

    assert features.tobytes() == _FEATURES.transform(distinct)[shuffled].tobytes()


def test_features_are_what_pandas_would_say() -> None:
    time = pd.Series(pd.date_range("2023-12-30 22:00", periods=200, freq="h", unit="us"))
    volumes = np.random.default_rng(1).gamma(2, 50, len(time))
    value = pd.Series(volumes)
    rolling = value.rolling(24, min_periods=1)

    features = _FEATURES.transform(single_series(time.to_numpy().astype(np.int64), volumes))

    columns: tuple[pd.Series[Any], ...] = (
        value,
        time.dt.hour,
        time.dt.day_of_week,
        value.shift().fillna(value),
        rolling.mean(),
        rolling.std().fillna(0.0),
    )
    for computed, expected in zip(features.T.tolist(), columns, strict=True):
        assert computed == pytest.approx(expected.tolist(), rel=1e-6)
    names = ["value", "hour", "day_of_week", "lag_1", "mean_24", "deviation_24"]
    assert list(_FEATURES.get_feature_names_out()) == names


def test_a_series_begins_with_the_rows_there_are() -> None:
    rows = single_series(np.arange(2) * 3_600_000_000, np.array([4.0, 6.0]))

    features = _FEATURES.transform(rows)

    # 1970-01-01 was a Thursday
    assert features.tolist() == [[4, 0, 3, 4, 4, 0], [6, 1, 3, 4, 5, pytest.approx(2**0.5)]]


def test_no_rows_have_no_features() -> None:
    assert _FEATURES.transform(single_series(np.zeros(0, dtype=np.int64), np.zeros(0))).shape == (0, 6)


def test_values_that_are_not_finite_never_become_rows() -> None:
    with pytest.raises(ValueError, match="finite"):
        single_series(np.zeros(1, dtype=np.int64), np.array([np.nan]))
