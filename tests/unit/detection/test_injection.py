"""Faults stay within their rows: whatever is not theirs is the clean series, row for row."""

from itertools import pairwise

import numpy as np
import pytest

from aml.faults import FAULTS
from aml.rows import Rows
from benchmarks.detection.injection import Faulted, with_faults
from benchmarks.detection.simulator import INTERVALS, simulate

OFFICE = simulate("office", 11, days=240).rows
FIRST = len(OFFICE) // 2


def injected(rows: Rows = OFFICE, seed: int = 1, per_kind: int = 1) -> Faulted:
    return with_faults(rows, len(rows) // 2, seed, per_kind=per_kind)


@pytest.mark.parametrize("seed", range(5))
def test_no_fault_is_outside_its_rows(seed: int) -> None:
    faulted = injected(seed=seed)
    clean = ~faulted.labels

    for column in ("time", "value", "series"):
        now, before = getattr(faulted.rows, column), getattr(OFFICE, column)[faulted.origin]
        assert (now[clean] == before[clean]).all()
    assert (faulted.origin[:FIRST] == np.arange(FIRST)).all()
    assert not faulted.labels[:FIRST].any()
    assert (np.diff(faulted.rows.time) >= 0).all()


def test_every_kind_is_there_once_and_apart_from_the_others() -> None:
    faulted = injected()

    assert sorted(faulted.kinds) == sorted(fault.name for fault in FAULTS)
    assert faulted.left_out == ()
    spans = [np.flatnonzero(faulted.event == number) for number in range(len(faulted.kinds))]
    assert all(len(span) for span in spans)
    gaps = [faulted.origin[after[0]] - faulted.origin[before[-1]] for before, after in pairwise(spans)]
    assert min(gaps) >= 24


def test_only_missing_rows_are_gone_and_only_duplicated_ones_are_twice() -> None:
    faulted = injected()
    count = np.bincount(faulted.origin, minlength=len(OFFICE))
    kind_of = np.array([*faulted.kinds, ""])[faulted.event]

    gone = np.flatnonzero(count == 0)
    after = int(faulted.origin[kind_of == "missing"][0])
    assert gone.tolist() == list(range(after - len(gone), after))
    twice = np.flatnonzero(count == 2)
    assert (faulted.origin[kind_of == "duplicated"] == twice).all()
    assert count.max() == 2


def test_equal_seeds_give_equal_faults_and_others_others() -> None:
    one, same, other = injected(seed=1), injected(seed=1), injected(seed=2)

    assert (one.rows.value == same.rows.value).all()
    assert (one.event == same.event).all()
    assert one.event.tolist() != other.event.tolist()


@pytest.mark.parametrize("interval", INTERVALS)
def test_what_has_no_place_is_left_out_and_said_so(interval: str) -> None:
    rows = simulate("household", 3, interval=interval).rows
    faulted = injected(rows, per_kind=2)

    names = {fault.name for fault in FAULTS}
    assert set(faulted.kinds) | set(faulted.left_out) == names
    assert not set(faulted.kinds) & set(faulted.left_out)
    assert "pattern" in faulted.left_out
    assert ("shifted" in faulted.left_out) == (INTERVALS[interval] > 60)
    assert 0 < faulted.labels.mean() < 0.3
