"""Windows over a series are the same bits beside other series as alone, where they are taken as slices."""

from __future__ import annotations

import numpy as np
import pytest

from aml.detection.series import Ordered, fixed
from aml.rows import Rows, single_series


@pytest.mark.parametrize("rows", [1, 2, 7, 60])
@pytest.mark.parametrize("width", [1, 3, 24, 100])
@pytest.mark.parametrize("skip", [0, 1, 5])
def test_windows_are_those_of_the_series_alone(rows: int, width: int, skip: int) -> None:
    random = np.random.default_rng(rows)
    time, value = np.arange(rows), random.normal(size=rows)
    alone = Ordered.of(single_series(time, value))
    beside = Ordered.of(
        Rows(np.tile(time, 2), np.append(random.normal(size=rows), value), np.repeat(np.arange(2), rows))
    )
    assert alone.single
    assert not beside.single
    for ours, theirs in (
        (alone.total(fixed(alone.value), width, skip), beside.total(fixed(beside.value), width, skip)),
        (alone.count(width, skip), beside.count(width, skip)),
        (alone.mean(fixed(alone.value), width, skip, 1.0), beside.mean(fixed(beside.value), width, skip, 1.0)),
        (alone.lag(alone.value, width, -1.0), beside.lag(beside.value, width, -1.0)),
        (alone.lowest(alone.value, width), beside.lowest(beside.value, width)),
    ):
        assert ours.tobytes() == theirs[rows:].tobytes()
