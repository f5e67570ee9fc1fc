"""Prediction columns in the retired Anomaly Detector's shape, by what its own recorded exchanges and documents say."""

from __future__ import annotations

import json
import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.contract import load_contract
from shared.scoring.univariate import Mode, Question, question
from shared.scoring.univariate_answer import answer

_GAS = load_contract("gas")
_KINDS = [
    "high",
    "low",
    "negative",
    "zero",
    "stuck",
    "leak",
    "level",
    "drift",
    "pattern",
    "gap",
    "duplicate",
    "shifted",
]
_CHANGES = {"leak", "level", "drift"}
_ALIGNED = ["expectedValues", "upperMargins", "lowerMargins", "isAnomaly", "isNegativeAnomaly", "isPositiveAnomaly"]


def _row(anomaly: int = 0, **columns: Any) -> dict[str, Any]:
    kind = columns.pop("kind", "high" if anomaly else None)
    band: dict[str, Any] = {"expected": 10.0, "lower": 8.0, "upper": 13.0, "severity": 0.5 * anomaly, "reason": None}
    return {"anomaly": anomaly, "anomaly_score": float(anomaly), **band, "kind": kind, **columns}


def _asked(values: list[float], mode: Mode = Mode.ENTIRE, **fields: Any) -> Question:
    start = datetime(2026, 11, 2, tzinfo=UTC)
    points = [{"timestamp": (start + timedelta(hours=n)).isoformat(), "value": v} for n, v in enumerate(values)]
    return question(mode, {"series": points, "granularity": "hourly", **fields})


def _answer(values: list[float], rows: list[dict[str, Any]], mode: Mode = Mode.ENTIRE, **fields: Any) -> dict[str, Any]:
    return answer(_asked(values, mode, **fields), rows, _GAS)


def _points(seed: int) -> tuple[list[float], list[dict[str, Any]]]:
    """A series and what a model says of it: anything that a row may hold."""
    chance = random.Random(seed)
    values, rows = [], []
    for _ in range(chance.randint(12, 30)):
        flagged, kind = chance.choice([0, 0, 1]), chance.choice(_KINDS)
        expected = None if chance.random() < 0.2 else chance.choice([0.0, chance.uniform(-1e6, 1e6)])
        around = {"expected": expected, "lower": None, "upper": None}
        if expected is not None:
            around |= {"lower": expected - chance.uniform(0, 1e3), "upper": expected + chance.uniform(0, 1e3)}
        values.append((expected or 0.0) + chance.choice([0.0, chance.uniform(-1e5, 1e5), chance.uniform(-1e3, 1e3)]))
        said = {"severity": chance.uniform(0.01, 1), "reason": f"it is {kind}", "kind": kind}
        score = chance.choice([1.0, chance.uniform(0, 100)])
        quiet = {"severity": 0.0, "reason": None, "kind": None}
        rows.append({"anomaly": flagged, "anomaly_score": score, **around, **(said if flagged else quiet)})
    return values, rows


_POINTS = st.integers(0, 2**32).map(_points)


@given(_POINTS)
def test_the_whole_series_is_what_the_columns_say_point_by_point(points: tuple[list[float], list[Any]]) -> None:
    values, rows = points

    body = _answer(values, rows)

    json.dumps(body, allow_nan=False)
    assert body["isAnomaly"] == [row["anomaly"] == 1 for row in rows]
    for name, column in (("expectedValues", "expected"), ("severity", "severity")):
        assert body[name] in (None, [row[column] for row in rows])
    for at, row in enumerate(rows):
        if row["expected"] is not None:
            assert body["expectedValues"][at] + body["upperMargins"][at] == pytest.approx(row["upper"])
            assert body["expectedValues"][at] - body["lowerMargins"][at] == pytest.approx(row["lower"])
            if values[at] != row["expected"]:
                assert body["isPositiveAnomaly"][at] == (body["isAnomaly"][at] and values[at] > row["expected"])
                assert body["isNegativeAnomaly"][at] == (body["isAnomaly"][at] and values[at] < row["expected"])
        assert not (body["isPositiveAnomaly"][at] and body["isNegativeAnomaly"][at])
        assert body["isAnomaly"][at] or not (body["isPositiveAnomaly"][at] or body["isNegativeAnomaly"][at])


@given(_POINTS, st.integers(0, 99), st.floats(0.01, 0.49))
def test_the_last_point_is_the_last_of_the_whole_series(
    points: tuple[list[float], list[Any]], sensitivity: int, ratio: float
) -> None:
    asked: dict[str, Any] = {"sensitivity": sensitivity, "maxAnomalyRatio": ratio}

    whole, last = _answer(*points, **asked), _answer(*points, Mode.LAST, **asked)

    singular = {"expectedValues": "expectedValue", "upperMargins": "upperMargin", "lowerMargins": "lowerMargin"}
    for name in (*_ALIGNED, "severity", "kinds", "reasons"):
        one = singular.get(name, {"kinds": "kind", "reasons": "reason"}.get(name, name))
        assert last[one] == (None if whole[name] is None else whole[name][-1])
    assert last["suggestedWindow"] == _GAS.context_rows + 1
    assert last["period"] == whole["period"] == 168


@given(_POINTS, st.lists(st.integers(0, 100), min_size=2, max_size=2).map(sorted))
def test_less_sensitivity_widens_the_margins_and_flags_no_more(
    points: tuple[list[float], list[Any]], sensitivities: list[int]
) -> None:
    values, rows = points
    less, more = (_answer(values, rows, sensitivity=each) for each in sensitivities)
    steps = min(sensitivities[1], 99) - min(sensitivities[0], 99)

    for at, row in enumerate(rows):
        assert more["isAnomaly"][at] or not less["isAnomaly"][at]
        if row["expected"] is not None:
            for side in ("upperMargins", "lowerMargins"):
                widened = abs(row["expected"]) * steps / 100
                assert less[side][at] - more[side][at] == pytest.approx(widened, abs=1e-6)
        if row["anomaly"] and row["kind"] not in ("high", "low"):
            assert less["isAnomaly"][at]  # what is not a matter of margins stays


def test_a_point_of_sensitivity_is_one_per_cent_of_the_expected_value() -> None:
    rows = [_row(anomaly=1) for _ in range(12)]
    values = [13.0, 13.3, 13.4, 13.5, 7.7, 7.6, 7.5, *[20.0] * 5]

    body = _answer(values, rows, sensitivity=95)

    assert body["upperMargins"] == pytest.approx([3.4] * 12)
    assert body["lowerMargins"] == pytest.approx([2.4] * 12)
    assert body["isAnomaly"] == [True, False, False, True, False, False, True, *[True] * 5]
    assert body["severity"][1:4] == [0.0, 0.0, 0.5]
    assert (body["kinds"][1], body["kinds"][3]) == (None, "high")


@given(_POINTS, st.floats(0.001, 0.499))
def test_no_more_points_are_flagged_than_the_ratio_allows_and_those_are_the_strangest(
    points: tuple[list[float], list[Any]], ratio: float
) -> None:
    values, rows = points

    flags = _answer(values, rows, maxAnomalyRatio=ratio)["isAnomaly"]

    all_flagged = sum(row["anomaly"] for row in rows)
    assert sum(flags) == min(all_flagged, math.floor(ratio * len(rows) + 1e-9))
    kept = [row["anomaly_score"] for row, flag in zip(rows, flags, strict=True) if flag]
    lost = [row["anomaly_score"] for row, flag in zip(rows, flags, strict=True) if row["anomaly"] and not flag]
    assert not kept or not lost or min(kept) >= max(lost)


def test_of_equally_strange_points_the_first_stay() -> None:
    flags = _answer([20.0] * 100, [_row(anomaly=1) for _ in range(100)], maxAnomalyRatio=0.29)["isAnomaly"]

    assert flags == [True] * 29 + [False] * 71


@pytest.mark.parametrize(
    ("kind", "direction"),
    [
        ("high", (False, True)),
        ("leak", (False, True)),
        ("low", (True, False)),
        ("zero", (True, False)),
        ("negative", (True, False)),
        ("stuck", (False, False)),
        ("gap", (False, False)),
    ],
)
def test_where_nothing_is_expected_the_kind_says_the_direction(kind: str, direction: tuple[bool, bool]) -> None:
    rows = [_row() for _ in range(11)] + [_row(anomaly=1, kind=kind, expected=None, lower=None, upper=None)]

    body = _answer([10.0] * 12, rows, Mode.LAST)

    assert (body["isNegativeAnomaly"], body["isPositiveAnomaly"]) == direction
    assert body["isAnomaly"] is True
    assert (body["expectedValue"], body["upperMargin"], body["unanswered"]) == (None, None, [])


def _changing(kinds: list[str | None], **columns: Any) -> list[dict[str, Any]]:
    return [_row(anomaly=int(kind is not None), kind=kind, **columns) for kind in kinds]


def test_a_change_is_the_point_where_it_begins() -> None:
    kinds = [None, "high", "level", "level", "level", None, "stuck", None, None, None, "drift", "leak", None]

    body = _answer([10.0] * 13, _changing(kinds), Mode.CHANGEPOINT, stableTrendWindow=5)

    assert [at for at, begins in enumerate(body["isChangePoint"]) if begins] == [2, 10]
    assert body["confidenceScores"] == [0.5 if kind in _CHANGES else 0.0 for kind in kinds]
    assert (body["kinds"][2], body["kinds"][3], body["kinds"][10]) == ("level", None, "drift")
    assert set(body) >= {"period", "isChangePoint", "confidenceScores", "unanswered", "ignored", "errors"}


@given(st.lists(st.sampled_from([None, None, "level", "leak", "high"]), min_size=12, max_size=60), st.integers(3, 5))
def test_changes_within_the_stable_window_are_one(kinds: list[str | None], window: int) -> None:
    begins = _answer([10.0] * len(kinds), _changing(kinds), Mode.CHANGEPOINT, stableTrendWindow=window)["isChangePoint"]

    parts = [at for at, kind in enumerate(kinds) if kind in _CHANGES]
    alone = [at for at in parts if not any(at - window <= other < at for other in parts)]
    assert [at for at, begin in enumerate(begins) if begin] == alone


@given(st.lists(st.floats(0.01, 1), min_size=3, max_size=9), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_lower_threshold_accepts_fewer_changes(severities: list[float], one: float, other: float) -> None:
    rows = [row for each in severities for row in [_row(anomaly=1, kind="level", severity=each), *[_row()] * 4]]
    low, high = sorted((one, other))

    accepted = []
    for threshold in (low, high):
        asked: dict[str, Any] = {"threshold": threshold, "stableTrendWindow": 3}
        body = _answer([10.0] * len(rows), rows, Mode.CHANGEPOINT, **asked)
        assert body["confidenceScores"][::5] == severities
        assert body["isChangePoint"][::5] == [severity >= 1 - threshold for severity in severities]
        accepted.append({at for at, begins in enumerate(body["isChangePoint"]) if begins})

    assert accepted[0] <= accepted[1]


def test_what_a_model_does_not_answer_is_null_and_named() -> None:
    rows = [{"anomaly": int(n == 3), "anomaly_score": n / 10} for n in range(12)]

    entire, last, changes = (_answer([10.0] * 12, rows, mode) for mode in Mode)

    assert entire["isAnomaly"] == [n == 3 for n in range(12)]
    assert entire["isPositiveAnomaly"] == entire["isNegativeAnomaly"] == [False] * 12
    for name in ("expectedValues", "upperMargins", "lowerMargins", "severity"):
        assert entire[name] is None
    assert entire["unanswered"] == last["unanswered"] == ["expected", "lower", "upper", "severity"]
    assert (last["isAnomaly"], last["expectedValue"], last["severity"]) == (False, None, None)
    assert (changes["isChangePoint"], changes["confidenceScores"]) == (None, None)
    assert changes["unanswered"] == ["kind", "severity"]


def test_a_series_without_any_anomaly_has_no_change_point_where_the_model_would_tell_one() -> None:
    body = _answer([10.0] * 12, [_row() for _ in range(12)], Mode.CHANGEPOINT)

    assert (body["isChangePoint"], body["unanswered"]) == ([False] * 12, [])


def test_a_point_without_a_prediction_is_null_and_says_why() -> None:
    rows = [_row(anomaly=1, reason="too much") for _ in range(12)]
    rows[4] = {**dict.fromkeys(rows[4]), "error": "The model refused this row."}

    body = _answer([20.0] * 12, rows)

    assert [body[name][4] for name in (*_ALIGNED, "severity", "kinds", "reasons")] == [None] * 9
    assert body["errors"] == [{"index": 4, "error": "The model refused this row."}]
    assert body["isAnomaly"][:4] == [True] * 4
    assert body["reasons"][0] == "too much"


def test_what_is_not_a_number_is_null() -> None:
    rows = [_row(expected=math.nan, lower=math.nan, upper=math.nan) for _ in range(12)]

    body = _answer([10.0] * 12, rows)

    assert (body["expectedValues"], body["upperMargins"]) == (None, None)
    assert body["unanswered"] == ["expected", "lower", "upper"]


@pytest.mark.parametrize(
    ("granularity", "every", "period"), [("daily", 1, 7), ("hourly", 1, 168), ("minutely", 5, 2016), ("hourly", 5, 0)]
)
def test_the_period_is_a_week_in_points(granularity: str, every: int, period: int) -> None:
    step = {"daily": timedelta(days=1), "hourly": timedelta(hours=1), "minutely": timedelta(minutes=1)}[granularity]
    start = datetime(2026, 11, 2, tzinfo=UTC)
    points = [{"timestamp": (start + n * every * step).isoformat(), "value": 1.0} for n in range(12)]
    asked = question(Mode.ENTIRE, {"series": points, "granularity": granularity, "customInterval": every})

    assert answer(asked, [_row() for _ in range(12)], _GAS)["period"] == period
