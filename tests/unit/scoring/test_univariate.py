"""A body of the retired Anomaly Detector is read as that service read it, or refused under the code that it had."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.contract import load_contract
from shared.scoring.univariate import LEAST_POINTS, MOST_POINTS, Mode, UnivariateError, mode_of, question

_START = datetime(2026, 11, 2, tzinfo=UTC)
_VALUES = st.floats(-1e100, 1e100) | st.integers(-(10**100), 10**100)
_HOUR = timedelta(hours=1)


def series(points: int = 24, step: timedelta = _HOUR) -> list[dict[str, object]]:
    """Points of 1, 2, 3 … as .NET writes their times."""
    return [{"timestamp": f"{_START + n * step:%Y-%m-%dT%H:%M:%S.%f}0Z", "value": n} for n in range(points)]


def _body(**changes: object) -> dict[str, object]:
    return {"series": series(), "granularity": "hourly", **changes}


def _code(mode: Mode, body: dict[str, Any]) -> str:
    with pytest.raises(UnivariateError) as caught:
        question(mode, body)
    assert len(caught.value.message) > 20
    return caught.value.code


@given(st.lists(_VALUES, min_size=LEAST_POINTS, max_size=40), st.sampled_from(Mode), st.sampled_from([0, 2, -5]))
def test_points_come_through_exactly_and_in_order(values: list[float], mode: Mode, offset: int) -> None:
    zone = timezone(timedelta(hours=offset))
    clocks = [(_START + n * _HOUR).replace(tzinfo=None) for n in range(len(values))]
    points = [
        {"timestamp": c.replace(tzinfo=zone).isoformat(), "value": v} for c, v in zip(clocks, values, strict=True)
    ]

    asked = question(mode, {"series": points, "granularity": "hourly"})

    assert asked.values == tuple(map(float, values))
    assert asked.clocks == tuple(clocks)
    assert (asked.mode, asked.interval, asked.ignored) == (mode, _HOUR, ())
    gas = load_contract("gas")
    assert asked.records(gas) == [
        {"FechaHora": c.isoformat(), "VolCorrected": float(v)} for c, v in zip(clocks, values, strict=True)
    ]


def test_what_is_not_given_or_null_is_as_the_service_had_it() -> None:
    bare = question(Mode.ENTIRE, {"series": series()})
    nulls = dict.fromkeys(["granularity", "customInterval", "period", "maxAnomalyRatio", "sensitivity", "imputeMode"])

    assert question(Mode.ENTIRE, {"series": series(), **nulls}) == bare
    assert (bare.sensitivity, bare.ratio, bare.threshold) == (99, None, None)
    assert bare.interval == _HOUR


@pytest.mark.parametrize(
    ("granularity", "every", "step", "window"),
    [
        ("minutely", None, timedelta(minutes=1), 72),
        ("minutely", 5, timedelta(minutes=5), 72),
        ("secondly", 900, timedelta(minutes=15), 72),
        ("microsecond", 60_000_000, timedelta(minutes=1), 100),
        ("hourly", None, _HOUR, 24),
        ("hourly", 24, timedelta(days=1), 24),
        ("daily", 1, timedelta(days=1), 5),
    ],
)
def test_granularity_and_custom_interval_say_the_interval(
    granularity: str, every: int | None, step: timedelta, window: int
) -> None:
    body = {"series": series(step=step), "granularity": granularity, "customInterval": every}

    for mode in Mode:
        asked = question(mode, body)
        assert (asked.interval, asked.window, asked.ignored) == (step, window, ())


def test_points_may_be_missing_but_none_may_lie_between_two_intervals() -> None:
    points = series(40)
    with_gaps = points[:3] + points[7:20] + points[33:]

    assert len(question(Mode.ENTIRE, _body(series=with_gaps)).clocks) == 23
    assert _code(Mode.ENTIRE, {"series": with_gaps, "granularity": "hourly", "customInterval": 2}) == "InvalidSeries"


def test_without_a_granularity_the_interval_is_the_median_and_nothing_is_said_of_the_times() -> None:
    points = series(30, timedelta(minutes=5))
    points[4]["timestamp"] = "2026-11-02T00:21:07Z"

    asked = question(Mode.ENTIRE, {"series": points, "customInterval": 7})

    assert asked.interval == timedelta(minutes=5)
    assert asked.ignored == ("customInterval",)


@pytest.mark.parametrize("mode", Mode)
def test_what_changes_nothing_is_said_to_be_ignored(mode: Mode) -> None:
    honoured = {"sensitivity": 90, "maxAnomalyRatio": 0.25}
    of_changes = {"stableTrendWindow": 5, "threshold": 0.9}
    harmless = {"period": 24, "imputeMode": "fixed", "imputeFixedValue": 800, "boundaryVersion": "V1"}

    asked = question(mode, _body(**harmless, **honoured, **of_changes, mode=mode.value))

    other = honoured if mode is Mode.CHANGEPOINT else of_changes
    assert asked.ignored == (*harmless, *other)


@given(st.integers(0, 100), st.floats(0, 0.5, exclude_min=True, exclude_max=True), st.floats(0.01, 0.99))
def test_model_arguments_come_through(sensitivity: int, ratio: float, threshold: float) -> None:
    asked = question(Mode.LAST, _body(sensitivity=sensitivity, maxAnomalyRatio=ratio, threshold=threshold))

    assert (asked.sensitivity, asked.ratio, asked.threshold) == (min(sensitivity, 99), ratio, threshold)


@pytest.mark.parametrize(("points", "fits"), [(0, False), (11, False), (12, True), (8640, True), (8641, False)])
def test_a_series_has_12_to_8640_points(points: int, fits: bool) -> None:
    assert (LEAST_POINTS, MOST_POINTS) == (12, 8640)
    if fits:
        assert len(question(Mode.LAST, {"series": series(points)}).values) == points
    else:
        assert _code(Mode.LAST, {"series": series(points)}) == "InvalidSeries"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"series": None}, "RequiredSeries"),
        ({"series": {}}, "BadArgument"),
        ({"series": "1,2,3"}, "BadArgument"),
        ({"granularity": "hour"}, "InvalidGranularity"),
        ({"granularity": 3}, "InvalidGranularity"),
        ({"granularity": []}, "InvalidGranularity"),
        ({"granularity": "yearly"}, "InvalidGranularity"),
        ({"granularity": "monthly"}, "InvalidGranularity"),
        ({"granularity": "weekly"}, "InvalidGranularity"),
        ({"granularity": "secondly"}, "InvalidGranularity"),
        ({"granularity": "hourly", "customInterval": 25}, "InvalidGranularity"),
        ({"granularity": "hourly", "customInterval": 10**30}, "InvalidGranularity"),
        ({"customInterval": 0}, "InvalidCustomInterval"),
        ({"customInterval": -1}, "InvalidCustomInterval"),
        ({"customInterval": 1.5}, "InvalidCustomInterval"),
        ({"customInterval": True}, "InvalidCustomInterval"),
        ({"period": -1}, "InvalidPeriod"),
        ({"period": "24"}, "InvalidPeriod"),
        ({"maxAnomalyRatio": 0}, "InvalidModelArgument"),
        ({"maxAnomalyRatio": 0.5}, "InvalidModelArgument"),
        ({"maxAnomalyRatio": "0.25"}, "InvalidModelArgument"),
        ({"sensitivity": -1}, "InvalidModelArgument"),
        ({"sensitivity": 101}, "InvalidModelArgument"),
        ({"sensitivity": 95.5}, "InvalidModelArgument"),
        ({"threshold": 0}, "InvalidModelArgument"),
        ({"threshold": 1}, "InvalidModelArgument"),
        ({"threshold": float("nan")}, "InvalidModelArgument"),
        ({"stableTrendWindow": 2}, "InvalidModelArgument"),
        ({"stableTrendWindow": 12}, "InvalidModelArgument"),
        ({"stableTrendWindow": 3.0}, "InvalidModelArgument"),
        ({"imputeMode": "mean"}, "InvalidImputeMode"),
        ({"imputeMode": []}, "InvalidImputeMode"),
        ({"imputeMode": "fixed"}, "InvalidImputeFixedValue"),
        ({"imputeMode": "fixed", "imputeFixedValue": "0"}, "InvalidImputeFixedValue"),
    ],
)
def test_a_body_at_fault_has_the_services_own_code(changes: dict[str, object], code: str) -> None:
    for mode in Mode:
        assert _code(mode, _body(**changes)) == code


def test_change_points_need_a_granularity() -> None:
    assert _code(Mode.CHANGEPOINT, {"series": series()}) == "RequiredGranularity"
    assert _code(Mode.CHANGEPOINT, {"series": series(), "granularity": "none"}) == "InvalidGranularity"
    assert question(Mode.LAST, {"series": series(), "granularity": "none"}).interval == _HOUR


@pytest.mark.parametrize(
    ("point", "code"),
    [
        (None, "BadArgument"),
        (3, "BadArgument"),
        ({}, "BadArgument"),
        ({"value": 1}, "BadArgument"),
        ({"timestamp": "2026-11-02T05:00:00Z"}, "BadArgument"),
        ({"timestamp": "2026-11-02T05:00:00Z", "value": None}, "BadArgument"),
        ({"timestamp": "2026-11-02T05:00:00Z", "value": "1"}, "BadArgument"),
        ({"timestamp": "2026-11-02T05:00:00Z", "value": True}, "BadArgument"),
        ({"timestamp": "2026-11-02T05:00:00Z", "value": float("nan")}, "BadArgument"),
        ({"timestamp": "2026-11-02T05:00:00Z", "value": float("inf")}, "InvalidSeries"),
        ({"timestamp": "2026-11-02T05:00:00Z", "value": -(10**101)}, "InvalidSeries"),
        ({"timestamp": "yesterday", "value": 1}, "BadArgument"),
        ({"timestamp": 1793577600, "value": 1}, "BadArgument"),
        ({"timestamp": "2026-11-02T05:00:00", "value": 1}, "BadArgument"),  # the only one without an offset
        ({"timestamp": "2026-11-02T04:00:00Z", "value": 1}, "InvalidSeries"),  # the time of the point before
        ({"timestamp": "2026-11-02T03:00:00Z", "value": 1}, "InvalidSeries"),
        ({"timestamp": "2026-11-02T05:30:00Z", "value": 1}, "InvalidSeries"),
    ],
)
def test_a_point_at_fault_is_named(point: object, code: str) -> None:
    points: list[object] = list(series())
    points[5] = point

    with pytest.raises(UnivariateError, match=r"index 5|offset") as caught:
        question(Mode.ENTIRE, _body(series=points))

    assert caught.value.code == code


def test_the_hour_that_clocks_repeat_may_come_twice_where_offsets_tell_it_apart() -> None:
    hours = [f"2026-10-25T{hour:02}:00:00+02:00" for hour in range(3)]
    hours += [f"2026-10-25T{hour:02}:00:00+01:00" for hour in range(2, 14)]
    points = [{"timestamp": hour, "value": 1} for hour in hours]

    asked = question(Mode.ENTIRE, {"series": points, "granularity": "hourly"})

    assert [clock.hour for clock in asked.clocks[:5]] == [0, 1, 2, 2, 3]
    naive = [{"timestamp": hour[:19], "value": 1} for hour in hours]
    assert _code(Mode.ENTIRE, {"series": naive}) == "InvalidSeries"


@pytest.mark.parametrize(
    ("in_url", "body", "mode"),
    [
        (None, {"series": []}, Mode.ENTIRE),
        ("", {"series": []}, Mode.ENTIRE),
        ("last", {"series": []}, Mode.LAST),
        ("last", {}, Mode.LAST),
        (None, {"mode": "changepoint"}, Mode.CHANGEPOINT),
        ("entire", {"mode": "entire"}, Mode.ENTIRE),
        (None, {}, None),
        (None, {"mode": None}, None),
        ("", {"data": []}, None),
    ],
)
def test_the_operation_stands_in_the_url_or_in_the_body(
    in_url: str | None, body: dict[str, object], mode: Mode | None
) -> None:
    assert mode_of(in_url, body) is mode


@pytest.mark.parametrize(
    ("in_url", "body"),
    [
        ("latest", {}),
        (None, {"mode": "LAST"}),
        (None, {"mode": []}),
        (None, {"mode": ""}),
        ("last", {"mode": "entire"}),
    ],
)
def test_an_operation_that_there_is_not_is_refused(in_url: str | None, body: dict[str, object]) -> None:
    with pytest.raises(UnivariateError, match="'mode'") as caught:
        mode_of(in_url, body)

    assert caught.value.code == "BadArgument"
