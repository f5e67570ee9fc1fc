"""Each kind of fault is what it is called, touches its own rows only, and stays out of series that it cannot be in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.faults import DAY_US, FAULTS, HOUR_US, Change, Fault, Place, high_of, inject, step_of
from aml.rows import Floats, Rows, single_series
from aml.weekdays import SUNDAY, day_of, has_weekly_cycle, weekday_of
from tests.unit.aml.streams import hourly

BY_NAME = {fault.name: fault for fault in FAULTS}
WEEKS = hourly(days=42)


def place(fault: Fault, rows: Rows, start: int, length: int) -> Place:
    return Place(rows, start, start + length, high_of(rows.value), step_of(rows.time))


def made(name: str, seed: int = 0, start: int = 500, length: int = 240) -> Change:
    change = inject(BY_NAME[name], place(BY_NAME[name], WEEKS, start, length), np.random.default_rng(seed))
    assert change is not None
    return change


@given(st.sampled_from(FAULTS[:7]), st.lists(st.floats(0.1, 1000), min_size=3, max_size=72), st.integers(0, 2**32 - 1))
def test_faults_of_values_are_what_they_are_called(fault: Fault, values: list[float], seed: int) -> None:
    clean = np.array(values)
    rows = single_series(np.arange(len(clean)) * HOUR_US, clean)
    here = place(fault, rows, 0, len(clean))

    change = fault.apply(here, np.random.default_rng(seed))

    assert change is not None
    faulty, high = change.rows.value, here.high
    holds = {
        "spike": (faulty >= clean + 2 * high).all(),
        "dip": (faulty <= 0.2 * clean).all() and (faulty >= 0).all(),
        "negative": (faulty < 0).all(),
        "zero_run": (faulty == 0).all(),
        "stuck_value": (faulty == clean[0]).all(),
        "level_shift": (faulty >= 1.5 * clean).all(),
        "leak": np.ptp(faulty - clean) <= 1e-9 * (high + clean.max()) and (faulty >= clean + 0.2 * high).all(),
    }
    assert set(holds) == {each.name for each in FAULTS[:7]}
    assert holds[fault.name]
    assert (change.rows.time == rows.time).all()


@pytest.mark.parametrize("seed", range(6))
def test_drift_grows_evenly_to_its_end(seed: int) -> None:
    change = made("drift", seed)
    factor = change.rows.value / WEEKS.value[change.origin]

    steps = np.diff(factor)
    assert np.ptp(steps) < 1e-9
    assert abs(factor[0] - 1) < 0.01
    assert 1.5 <= factor[-1] <= 2.5 or 0.2 <= factor[-1] <= 0.6


def test_a_sunday_takes_the_values_of_a_working_day_near_it() -> None:
    start = int(np.flatnonzero(BY_NAME["pattern"].begins(WEEKS.time))[2])
    change = made("pattern", start=start, length=24)
    times = change.rows.time

    assert (change.begin, change.end) == (start, start + 24)
    assert set(weekday_of(day_of(times))) == {SUNDAY}
    days = np.lib.stride_tricks.sliding_window_view(WEEKS.value, 24)[::24]
    source = np.flatnonzero((days == change.rows.value).all(axis=1))
    assert len(source) == 1
    assert abs(int(source[0]) - start // 24) <= 10
    assert source[0] % 7 in (1, 2, 3)  # the rows begin on a Monday


@pytest.mark.parametrize("seed", range(6))
def test_a_clock_that_is_off_brings_each_value_an_hour_early_or_late(seed: int) -> None:
    change = made("shifted", seed, length=48)

    assert (change.rows.time == WEEKS.time[500:548]).all()
    assert change.rows.value.tolist() in (WEEKS.value[499:547].tolist(), WEEKS.value[501:549].tolist())


def test_missing_rows_are_found_in_the_first_row_after_them() -> None:
    change = made("missing", length=5)

    assert (change.begin, change.end) == (500, 506)
    assert change.origin.tolist() == [505]
    assert change.rows.time.tolist() == [WEEKS.time[505]]
    assert change.faulty.tolist() == [True]


def test_duplicated_rows_are_found_in_the_second_of_two() -> None:
    change = made("duplicated", length=2)

    assert change.origin.tolist() == [500, 500, 501, 501]
    assert change.faulty.tolist() == [False, True, False, True]
    assert (change.rows.value == WEEKS.value[change.origin]).all()


@pytest.mark.parametrize("name", [*BY_NAME])
def test_equal_seeds_give_equal_faults(name: str) -> None:
    start = int(np.flatnonzero(BY_NAME[name].begins(WEEKS.time[480:]))[0]) + 480
    one, again = made(name, 3, start), made(name, 3, start)

    assert (one.rows.value == again.rows.value).all()
    assert (one.rows.time == again.rows.time).all()


def series(values: Floats, step: int = HOUR_US) -> Rows:
    return single_series(np.arange(len(values)) * step + 1_704_067_200_000_000, values)


@pytest.mark.parametrize("name", ["zero_run", "dip", "level_shift", "stuck_value", "shifted", "drift"])
def test_what_changes_nothing_is_no_fault(name: str) -> None:
    zeros = series(np.zeros(400))

    assert inject(BY_NAME[name], place(BY_NAME[name], zeros, 50, 120), np.random.default_rng(0)) is None


def test_only_series_with_an_hour_or_less_between_rows_have_a_clock_that_is_an_hour_off() -> None:
    assert BY_NAME["shifted"].suits(WEEKS, HOUR_US)
    assert not BY_NAME["shifted"].suits(WEEKS, DAY_US)


def test_a_weekly_cycle_is_told_from_none() -> None:
    hours = np.arange(24 * 70)
    noise = np.random.default_rng(1).lognormal(0, 0.05, len(hours))
    daily = 10 + 3 * np.sin(hours / 24 * 2 * np.pi)
    resting = np.where(hours // 24 % 7 >= 5, 0.7, 1.0)

    assert has_weekly_cycle(series(daily * resting * noise), HOUR_US)
    assert not has_weekly_cycle(series(daily * noise), HOUR_US)
    assert not has_weekly_cycle(series((daily * resting * noise)[: 24 * 8]), HOUR_US)
    assert not has_weekly_cycle(series(resting[::24], DAY_US), DAY_US)


@pytest.mark.parametrize(("minutes", "rows"), [(1, 720), (15, 48), (60, 12), (1440, 3)])
def test_what_goes_on_for_a_time_lasts_as_many_rows_as_the_interval_has_in_it(minutes: int, rows: int) -> None:
    lengths = [
        BY_NAME["stuck_value"].draw_length(minutes * HOUR_US // 60, np.random.default_rng(seed)) for seed in range(50)
    ]

    assert min(lengths) >= rows
    assert max(lengths) <= max(4 * rows, 3)


def test_the_usual_step_and_size_of_a_series() -> None:
    assert step_of(np.array([0, 0, 5, 10, 100])) == 5
    assert step_of(np.array([7, 7])) == HOUR_US
    assert high_of(np.r_[np.zeros(99), 3.0]) == 3.0
    assert high_of(np.zeros(4)) == 1.0
    assert high_of(-np.arange(101.0)) == 95.0
