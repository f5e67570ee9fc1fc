"""What a plot shows is that of the file, however the rows came."""

from __future__ import annotations

import json
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.reporting.curves import BUCKETS, LINES, Curves
from tests.unit.scoring.answered import CONTRACT, NAN, Reading, answered, in_pieces, many_readings

_HOUR_US = 3_600_000_000
_FIRST_US = 1_772_409_600_000_000  # 2026-03-02


def _none(hours: int) -> Curves:
    return Curves(CONTRACT, _FIRST_US, _FIRST_US + max(0, hours - 1) * _HOUR_US)


def _curves(hours: int, *pieces: list[Reading]) -> Curves:
    curves = _none(hours)
    for piece in pieces:
        curves.add(*answered(piece))
    return curves


def _same(one: Curves, other: Curves) -> bool:
    names = set(one.places)
    return names == set(other.places) and all(
        np.array_equal(one.of_meter(name)[line], other.of_meter(name)[line], equal_nan=True)
        for name in names
        for line in LINES
    )


def test_a_short_file_is_shown_row_by_row() -> None:
    readings = [Reading(None, hour % 2, 10.0 + hour, 8.0, hour=hour) for hour in range(24)]

    curves = _curves(24, readings)

    lines = curves.of_meter(None)
    there = ~np.isnan(lines["value_low"])
    assert lines["value_low"][there].tolist() == lines["value_high"][there].tolist() == [10.0 + h for h in range(24)]
    assert set(lines["lower"][there]) == {7.0}
    assert set(lines["upper"][there]) == {9.0}
    assert set(lines["expected_low"][there]) == {8.0}
    flagged = lines["flagged_high"]
    assert flagged[~np.isnan(flagged)].tolist() == [10.0 + h for h in range(1, 24, 2)]
    hours = (curves.times()[there] - _FIRST_US) / _HOUR_US
    assert np.abs(hours - np.arange(24)).max() < 24 / BUCKETS


def test_a_long_file_keeps_the_extremes_of_each_stretch() -> None:
    readings = [Reading(None, 0, float(hour % 7), hour=hour) for hour in range(5 * BUCKETS)]
    readings[100] = Reading(None, 1, -50.0, hour=100)

    lines = _curves(len(readings), readings).of_meter(None)

    assert len(lines["value_low"]) == BUCKETS
    assert np.nanmin(lines["value_low"]) == np.nanmin(lines["flagged_low"]) == -50.0
    assert np.nanmax(lines["value_high"]) == 6.0
    assert np.count_nonzero(~np.isnan(lines["flagged_low"])) == 1


@given(readings=many_readings(), cuts=st.lists(st.integers(0, 100), max_size=6))
def test_the_curves_are_those_of_the_whole_however_it_is_cut(readings: list[Reading], cuts: list[int]) -> None:
    pieces = in_pieces(readings, cuts)
    whole = _curves(len(readings), readings)

    in_chunks = _curves(len(readings), *pieces)
    stored = [json.loads(json.dumps(_curves(len(readings), piece).as_dict())) for piece in pieces]
    in_parts = reduce(Curves.merge, (Curves.from_dict(each, CONTRACT) for each in stored), _none(len(readings)))

    assert _same(in_chunks, whole)
    assert _same(in_parts, whole)


@pytest.mark.parametrize(("meters", "buckets"), [(1, 1024), (128, 1024), (129, 512), (300, 256), (1024, 128)])
def test_many_meters_have_wider_buckets_whatever_the_order(meters: int, buckets: int) -> None:
    readings = [Reading(f"m{hour % meters}", 0, float(hour), hour=hour) for hour in range(2 * meters)]

    whole = _curves(len(readings), readings)
    half = len(readings) // 3
    parts = _curves(len(readings), readings[:half]).merge(_curves(len(readings), readings[half:]))

    assert whole.buckets == parts.buckets == buckets
    assert _same(whole, parts)


def test_of_very_many_meters_nothing_is_kept() -> None:
    readings = [Reading(f"m{hour}", 0, hour=hour) for hour in range(1500)]

    whole = _curves(1500, readings[:1030], readings[1030:])
    parts = _curves(1500, readings[:800]).merge(_curves(1500, readings[800:]))

    for curves in (whole, parts, Curves.from_dict(whole.as_dict(), CONTRACT)):
        assert curves.too_many
        assert curves.lines.size == 0
        assert not curves.places


def test_centuries_fit_and_so_does_a_moment() -> None:
    hours = 24 * 365 * 900
    curves = _curves(hours, [Reading(None, 0, 1.0, hour=0), Reading(None, 0, 2.0, NAN, hour=hours - 1)])
    lines = curves.of_meter(None)["value_high"]

    assert np.flatnonzero(~np.isnan(lines)).tolist() == [0, BUCKETS - 1]
    assert np.nanmax(_curves(1, [Reading(None, 1, 3.0)]).of_meter(None)["flagged_high"]) == 3.0
