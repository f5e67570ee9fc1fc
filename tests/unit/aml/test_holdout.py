"""What is held out: spread over the seasons, unseen by the fit, and the same ground wherever it is opened again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from aml.contract.labels import UNLABELLED
from aml.faults import FAULTS
from aml.holdout import (
    FAULTS_PER_KIND,
    FILE_NAME,
    Ground,
    GroundError,
    TooFewRowsError,
    hold_out,
    load_ground,
    remaining,
)
from aml.rows import BEHIND_A_CUT, Rows, concatenate
from tests.unit.aml.streams import hourly, streams

CONTEXT = 23
YEAR = hourly(days=365)


def meters(count: int, days: int) -> Rows:
    rows = hourly(days=days)
    return concatenate([Rows(rows.time, rows.value * (code + 1), rows.series + code) for code in range(count)])


def test_a_year_is_held_out_in_ten_stretches_with_the_last_days_among_them() -> None:
    ground, fit = hold_out(YEAR, CONTEXT, 1)
    starts = np.flatnonzero(np.diff(ground.held.astype(int)) == 1)

    assert len(starts) == 10
    assert ground.held[-1]
    assert ground.held.mean() == pytest.approx(0.2, abs=0.002)
    months = np.unique(YEAR.time[ground.held].astype("datetime64[us]").astype("datetime64[M]"))
    assert len(months) >= 10
    assert (fit == ~ground.held).all()


def test_the_first_row_behind_what_is_left_out_is_marked_and_nothing_else_changes() -> None:
    rows = meters(2, 100)
    said = Rows(rows.time, rows.value, rows.series, label=np.arange(len(rows)).astype(np.int8) % 2)
    _, fit = hold_out(rows, CONTEXT, 1)
    where = np.flatnonzero(fit)
    behind = np.r_[False, (np.diff(where) > 1) & (np.diff(rows.series[where]) == 0)]

    for whole in (rows, said):
        left = remaining(whole, fit)
        assert left.label is not None
        assert (left.time == whole.time[fit]).all()
        assert (left.value == whole.value[fit]).all()
        assert ((left.label == BEHIND_A_CUT) == behind).all()
        before = np.full(len(rows), UNLABELLED) if whole.label is None else whole.label
        assert (left.label[~behind] == before[where][~behind]).all()
    assert int(behind.sum()) == 2  # of each meter's two held-out stretches one is the last


def test_where_the_end_alone_is_left_out_nothing_is_marked() -> None:
    rows = hourly(days=60)
    _, fit = hold_out(rows, CONTEXT, 1)

    assert remaining(rows, fit).label is None


def test_less_than_ten_weeks_are_held_out_at_their_end() -> None:
    ground, fit = hold_out(hourly(days=60), CONTEXT, 1)

    assert ground.held.tolist() == [False] * 1152 + [True] * 288
    assert (fit == ~ground.held).all()


@pytest.mark.parametrize(
    ("rows", "left_out"),
    [(meters(3, 100), ()), (meters(1, 8), ("pattern",)), (meters(2, 30), ())],
    ids=["3x100", "1x8", "2x30"],
)
def test_faults_lie_in_held_out_stretches_of_one_series_behind_their_true_context(
    rows: Rows, left_out: tuple[str, ...]
) -> None:
    ground, _ = hold_out(rows, CONTEXT, 1)

    assert ground.left_out == left_out
    assert [*ground.faults] == [fault.name for fault in FAULTS if fault.name not in left_out]
    for injected in ground.faults.values():
        assert len(np.unique(injected.rows.series)) == FAULTS_PER_KIND
        for identity in range(FAULTS_PER_KIND):
            mine = injected.rows.series == identity
            origin = injected.origin[mine]
            faulty = origin[origin >= 0]
            assert ground.held[faulty].all()
            assert (np.diff(faulty) == 1).all()
            assert len(set(rows.series[faulty])) == 1
            before = int(np.argmax(origin >= 0))
            context = Rows(*(getattr(injected.rows, name)[mine][:before] for name in ("time", "value", "series")))
            first = int(np.searchsorted(rows.series, rows.series[faulty[0]]))
            there = np.flatnonzero(np.isin(rows.time[first : faulty[0] + 1], context.time))[-before:] + first
            assert (context.value == rows.value[there]).all()
            assert before >= CONTEXT or there[0] == first


@given(streams())
def test_what_is_kept_has_the_same_held_out_rows_with_the_same_context(rows: Rows) -> None:
    rows = rows.take(rows.by_series_and_time())
    try:
        ground, _ = hold_out(rows, CONTEXT, 1)
    except TooFewRowsError:
        return
    kept = ground.kept()

    assert (kept.rows.value[kept.held] == rows.value[ground.held]).all()
    for new, old in zip(kept.positions, ground.positions, strict=True):
        before = min(CONTEXT, int(np.sum(rows.series[:old] == rows.series[old])))
        assert (kept.rows.value[new - before : new] == rows.value[old - before : old]).all()
        assert (kept.rows.series[new - before : new] == rows.series[old]).all()


def test_a_ground_that_was_saved_is_the_same_ground(tmp_path: Path) -> None:
    ground, _ = hold_out(meters(2, 100), CONTEXT, 7)
    (tmp_path / "model").mkdir()
    ground.save(tmp_path / "model")
    again, kept = load_ground(tmp_path), ground.kept()

    assert (again.seed, again.context_rows) == (7, CONTEXT)
    for name in ("time", "value", "series"):
        assert (getattr(again.rows, name) == getattr(kept.rows, name)).all()
    for name, injected in again.faults.items():
        assert (injected.rows.value == kept.faults[name].rows.value).all()
        assert (injected.origin == kept.faults[name].origin).all()


@pytest.mark.parametrize("content", [None, b"", b"PAR1 and no more"])
def test_a_ground_that_is_not_there_or_broken_says_so(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / FILE_NAME).write_bytes(content)

    with pytest.raises(GroundError, match=FILE_NAME):
        load_ground(tmp_path)


def test_a_ground_without_a_held_out_row_is_none(tmp_path: Path) -> None:
    rows = hourly(days=1)
    Ground(rows, np.zeros(len(rows), dtype=bool), CONTEXT, 1).save(tmp_path)

    with pytest.raises(GroundError, match="no held-out row"):
        load_ground(tmp_path)
