"""What the calendar says of local times is what datetime, zoneinfo and the holidays library say of them."""

import pickle
import subprocess
import sys
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import holidays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.detection.calendar import (
    DAY_TYPES,
    DAY_US,
    HOLIDAY,
    MINUTE_US,
    Calendar,
    UnknownHolidaysError,
    slot_of_day,
    slots_per_day,
)
from aml.rows import Times

# changes of one hour and of half an hour, of both halves of the earth; a day that never was; rules that ended; none
_ZONES = (
    "Europe/Madrid",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "UTC",
)


def _clock(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001, local clocks are naive


_EPOCH = _clock(1970, 1, 1)
_ROOT = Path(__file__).resolve().parents[3]
_HOUR_US = 60 * MINUTE_US
_CLOCKS = st.datetimes(_clock(1970, 1, 1), _clock(2100, 12, 31, 23, 59, 59))
_INTERVALS = st.integers(MINUTE_US, DAY_US)


def _times(*clocks: datetime) -> Times:
    return np.array([(clock - _EPOCH) // timedelta(microseconds=1) for clock in clocks], dtype=np.int64)


def _occurrences(clock: datetime, zone: ZoneInfo) -> int:
    """By PEP 495: how many of its two readings come back from UTC as the clock said, and are not one moment."""
    readings = [clock.replace(tzinfo=zone, fold=fold) for fold in (0, 1)]
    utc = {reading.astimezone(ZoneInfo("UTC")) for reading in readings}
    return sum(moment.astimezone(zone).replace(tzinfo=None) == clock for moment in utc)


@pytest.mark.parametrize("zone", _ZONES)
def test_occurrences_of_every_change_of_the_clock_are_those_of_zoneinfo(zone: str) -> None:
    calendar, known = Calendar.of(zone), ZoneInfo(zone)
    edges = np.r_[calendar.skipped.ravel(), calendar.repeated.ravel()]
    around = np.concatenate([edges + shift for shift in (-DAY_US, -1, 0, 1, 29 * MINUTE_US, DAY_US)])
    clocks = [_EPOCH + timedelta(microseconds=int(time)) for time in around]

    assert calendar.occurrences(around).tolist() == [_occurrences(clock, known) for clock in clocks]


@pytest.mark.parametrize("zone", _ZONES)
def test_no_change_of_the_clock_from_1970_to_2100_is_overlooked(zone: str) -> None:
    known = ZoneInfo(zone)
    days = [_clock(1970, 1, 2) + timedelta(days=n) for n in range(47_845)]
    offsets = [day.replace(tzinfo=known).utcoffset() for day in days]
    moved = {day.date() for day, a, b in zip(days, offsets, offsets[1:], strict=False) if a != b}

    calendar = Calendar.of(zone)
    starts = [_EPOCH + timedelta(microseconds=int(t)) for t in np.r_[calendar.skipped[:, 0], calendar.repeated[:, 0]]]

    assert len(moved) > 100 or zone in {
        "Africa/Casablanca",
        "America/Sao_Paulo",
        "Asia/Kathmandu",
        "UTC",
        "Pacific/Apia",
    }
    assert bool(moved) == (zone != "UTC")
    for day in moved:
        assert any(
            timedelta(-1) <= start - datetime.combine(day, datetime.min.time()) < timedelta(2) for start in starts
        )


@given(st.sampled_from(_ZONES), _CLOCKS)
def test_occurrences_of_any_time_are_those_of_zoneinfo(zone: str, clock: datetime) -> None:
    assert Calendar.of(zone).occurrences(_times(clock)).tolist() == [_occurrences(clock, ZoneInfo(zone))]


@given(_CLOCKS, st.sampled_from([None, "ES", "ES-MD", "US"]))
def test_day_type_is_the_weekday_but_for_holidays(clock: datetime, place: str | None) -> None:
    free = _dates(place) if place else frozenset()

    expected = HOLIDAY if clock.date() in free else clock.weekday()

    assert Calendar.of(None, place).day_type(_times(clock)).tolist() == [expected]


@cache
def _dates(place: str) -> frozenset[date]:
    country, _, subdivision = place.partition("-")
    return frozenset(holidays.country_holidays(country, subdiv=subdivision or None, years=range(1970, 2101)))


@given(_CLOCKS, _INTERVALS)
def test_slots_cut_the_day_from_midnight_and_the_week_by_types_of_days(clock: datetime, interval: int) -> None:
    calendar, time = Calendar.of(None, "ES"), _times(clock)
    midnight = _times(datetime.combine(clock.date(), datetime.min.time()))[0]

    slot, slots = int(slot_of_day(time, interval)[0]), slots_per_day(interval)

    assert slot * interval <= time[0] - midnight < (slot + 1) * interval
    assert 0 <= slot < slots
    assert (slots - 1) * interval < DAY_US <= slots * interval
    assert divmod(int(calendar.slot_of_week(time, interval)[0]), slots) == (int(calendar.day_type(time)[0]), slot)
    assert calendar.slot_of_week(time, interval)[0] < DAY_TYPES * slots


@given(st.integers(-(10**15), -1))
def test_times_before_1970_have_their_weekday_and_slot_too(time: int) -> None:
    clock, times = _EPOCH + timedelta(microseconds=time), np.array([time])

    assert Calendar.of("Europe/Madrid").day_type(times).tolist() == [clock.weekday()]
    assert slot_of_day(times, _HOUR_US).tolist() == [clock.hour]


@pytest.mark.parametrize("interval", [0, MINUTE_US - 1, DAY_US + 1, -1])
def test_an_interval_is_between_a_minute_and_a_day(interval: int) -> None:
    with pytest.raises(ValueError, match="between a minute and a day"):
        slot_of_day(np.zeros(1, np.int64), interval)


def test_rows_of_a_day_when_summer_begins_and_ends_miss_nothing() -> None:
    calendar = Calendar.of("Europe/Madrid")
    spring = _times(*(_clock(2026, 3, 29, hour) for hour in (0, 1, 3, 4)))
    autumn = _times(*(_clock(2026, 10, 25, hour) for hour in (1, 2, 2, 3)))

    assert (np.diff(spring) - calendar.never_between(spring[:-1], spring[1:])).tolist() == [_HOUR_US] * 3
    assert calendar.never_between(autumn[:-1], autumn[1:]).tolist() == [0, 0, 0]
    assert calendar.occurrences(autumn).tolist() == [1, 2, 2, 1]
    assert calendar.occurrences(spring - _HOUR_US).tolist() == [1, 1, 0, 1]


@given(st.sampled_from(_ZONES), _CLOCKS, _CLOCKS, _CLOCKS)
def test_what_never_occurred_adds_up(zone: str, a: datetime, b: datetime, c: datetime) -> None:
    first, second, third = (_times(clock) for clock in sorted((a, b, c)))
    never = Calendar.of(zone).never_between

    assert never(first, second) + never(second, third) == never(first, third)
    assert 0 <= never(first, second)[0] <= second[0] - first[0]


def test_a_day_that_was_left_out_never_occurred() -> None:
    calendar = Calendar.of("Pacific/Apia")
    midnight = _times(_clock(2011, 12, 30), _clock(2011, 12, 31))

    assert calendar.occurrences(midnight).tolist() == [0, 1]
    assert calendar.never_between(midnight[:1], midnight[1:]).tolist() == [DAY_US]


def test_without_zone_and_place_every_time_occurs_once_and_no_day_is_free() -> None:
    calendar, times = Calendar.of(), np.arange(0, 4 * 365 * DAY_US, 7 * _HOUR_US)

    assert (calendar.occurrences(times) == 1).all()
    assert not calendar.never_between(times[:-1], times[1:]).any()
    assert calendar.day_type(times).max() == 6


def test_nothing_is_asked_of_no_rows() -> None:
    none = np.empty(0, np.int64)

    assert len(Calendar.of("Europe/Madrid", "ES").slot_of_week(none, _HOUR_US)) == 0
    assert len(Calendar.of("Europe/Madrid", "ES").never_between(none, none)) == 0


def test_a_pickled_calendar_answers_alike_with_no_library_of_holidays_or_zones() -> None:
    calendar, times = Calendar.of("Europe/Madrid", "ES-MD"), np.arange(0, 130 * 365 * DAY_US, 31 * _HOUR_US)
    script = (
        "import pickle, sys; import numpy as np\n"
        "calendar, times = pickle.load(sys.stdin.buffer)\n"
        "answer = calendar.slot_of_week(times, 900_000_000), calendar.occurrences(times)\n"
        "assert 'holidays' not in sys.modules\n"
        "sys.stdout.buffer.write(pickle.dumps(answer))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        input=pickle.dumps((calendar, times)),
        capture_output=True,
        check=True,
        cwd=_ROOT,
    )

    slots, occurrences = pickle.loads(done.stdout)
    np.testing.assert_array_equal(slots, calendar.slot_of_week(times, 15 * MINUTE_US))
    np.testing.assert_array_equal(occurrences, calendar.occurrences(times))


@pytest.mark.parametrize("place", ["XX", "ES-XX", "QQ-1"])
def test_a_place_that_the_library_does_not_know_is_named(place: str) -> None:
    with pytest.raises(UnknownHolidaysError, match=place):
        Calendar.of(holidays=place)


def test_a_zone_that_the_machine_does_not_know_is_named() -> None:
    with pytest.raises(ZoneInfoNotFoundError, match="Europe/Atlantis"):
        Calendar.of("Europe/Atlantis")
