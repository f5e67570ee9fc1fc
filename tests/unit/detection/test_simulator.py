"""The simulator's meters are the same for the same seed, and are what they are called."""

from datetime import date, timedelta

import numpy as np
import pytest

from aml.detection.calendar import DAY_US
from aml.faults import HOUR_US, step_of
from aml.weekdays import has_weekly_cycle, weekday_of
from benchmarks.detection.calendar import is_holiday
from benchmarks.detection.simulator import INTERVALS, meters, simulate, suite
from benchmarks.detection.sites import SITES


def days_since(day: date) -> int:
    return (day - date(1970, 1, 1)).days


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("site", SITES)
def test_a_meter_is_the_same_for_the_same_seed_and_another_for_another(site: str, interval: str) -> None:
    one, same, other = (simulate(site, seed, interval=interval, days=20) for seed in (1, 1, 2))

    assert (one.rows.value == same.rows.value).all()
    assert (one.rows.time == same.rows.time).all()
    assert one.rows.value.sum() != other.rows.value.sum()
    assert (one.rows.value >= 0).all()
    assert one.rows.value.sum() > 0
    assert (np.diff(one.rows.time) >= 0).all()
    assert step_of(one.rows.time) == INTERVALS[interval] * HOUR_US // 60
    assert len(one.temperature) == len(one.rows)


def test_volumes_come_in_whole_pulses_that_add_up_to_what_was_burnt() -> None:
    hourly = simulate("household", 5, days=30).rows.value
    pulse = min(hourly[hourly > 0])

    assert np.allclose(hourly / pulse, np.round(hourly / pulse))
    assert len(np.unique(hourly)) > 3


def test_the_wall_clock_misses_an_hour_in_spring_and_has_one_twice_in_autumn() -> None:
    times = simulate("plant", 1, days=366).rows.time
    steps = np.diff(times)

    assert sorted(set(steps.tolist())) == [0, HOUR_US, 2 * HOUR_US]
    assert (steps == 0).sum() == (steps == 2 * HOUR_US).sum() == 1
    assert set(np.diff(simulate("plant", 1, days=366, zone=None).rows.time)) == {HOUR_US}


def test_a_cold_day_takes_more_gas_and_an_office_rests_at_weekends_and_on_holidays() -> None:
    office = simulate("office", 7)
    day = office.rows.time // DAY_US
    volume, degrees, count = (
        np.bincount(day - day.min(), weights) for weights in (office.rows.value, office.temperature, None)
    )
    whole = np.flatnonzero(count >= 23)
    days = whole + int(day.min())
    free = is_holiday(days)
    working = (weekday_of(days) < 5) & ~free

    assert np.corrcoef(volume[whole[working]], degrees[whole[working]])[0, 1] < -0.7
    resting = np.flatnonzero(free & (weekday_of(days) < 5))
    resting = resting[np.isin(days[resting] - 7, days[working])]
    week_before = np.searchsorted(days, days[resting] - 7)
    assert np.median(volume[whole[resting]] / volume[whole[week_before]]) < 0.7
    assert has_weekly_cycle(office.rows, HOUR_US)


def test_holidays_of_a_year() -> None:
    year = np.arange(days_since(date(2024, 1, 1)), days_since(date(2025, 1, 1)))
    found = {date(1970, 1, 1) + timedelta(days=int(day)) for day in year[is_holiday(year)]}

    assert {date(2024, 3, 29), date(2024, 10, 12)} < found  # Good Friday is one of them
    assert date(2024, 12, 8) in found  # a Sunday
    assert len(found) == 10


def test_many_meters_are_one_table_in_order_of_series_and_time() -> None:
    rows = meters(3, 7, days=20)

    assert set(rows.series.tolist()) == set(range(7))
    assert (rows.by_series_and_time() == np.arange(len(rows))).all()


def test_a_suite_has_every_site_with_and_without_summer_time() -> None:
    made = suite(range(4), "day")

    assert [each.name.split("-")[0] for each in made] == ["household", "office", "plant", "household"]
    assert [each.zone is None for each in made] == [False, True, False, True]
