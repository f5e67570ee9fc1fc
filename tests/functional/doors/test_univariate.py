"""Clients of the retired Anomaly Detector get answers from the score route: they change the URL and nothing else."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aml.contract import DatasetContract, PredictionColumn
from shared.naming import RESULTS, RUNS
from tests.fakes.endpoint import FakeEndpoint, Received, Reply, poisoned_by, refusal
from tests.functional.doors.doors import Doors
from tests.functional.scoring.world import GAS, World, hourly, table

_START = datetime(2026, 11, 2, tzinfo=UTC)
_MIGRATION = Path(__file__).resolve().parents[3] / "docs/migration.md"
_ALL = (
    *(PredictionColumn(name=name, type="integer") for name in ["anomaly"]),
    *(PredictionColumn(name=n, type="number") for n in ["anomaly_score", "expected", "lower", "upper", "severity"]),
    PredictionColumn(name="reason", type="text"),
    PredictionColumn(name="kind", type="text", in_file=False),
)
_EVERYWHERE = {"period", "unanswered", "ignored", "errors", "model", "scored_by"}
_SERVICE_ENTIRE = {
    *("period", "expectedValues", "upperMargins", "lowerMargins"),
    *("isAnomaly", "isNegativeAnomaly", "isPositiveAnomaly", "severity"),
}
_SERVICE_LAST = {
    *("period", "suggestedWindow", "expectedValue", "upperMargin", "lowerMargin"),
    *("isAnomaly", "isNegativeAnomaly", "isPositiveAnomaly", "severity"),
}


def _judged(value: float) -> dict[str, Any]:
    """A model that expects 10 and finds nothing strange between 8 and 13; 50 and more is a new level."""
    strange = not 8 <= value <= 13
    kind = "level" if value >= 50 else "high" if value > 13 else "low"
    return {
        "anomaly": int(strange),
        "anomaly_score": abs(value - 10) / 10,
        **{"expected": 10.0, "lower": 8.0, "upper": 13.0},
        "severity": (0.9 if kind == "high" else 0.6) if strange else 0.0,
        "reason": f"{value / 10:.1f} times the usual" if strange else None,
        "kind": kind if strange else None,
    }


def _telling_all(received: Received) -> Reply:
    values = received.columns["VolCorrected"]
    body = {"predictions": [_judged(value) for value in values[len(values) - received.rows :]]}
    return Reply(200, json.dumps(body).encode(), {"azureml-model-deployment": "blue"})


@pytest.fixture
def doors(world: World, monkeypatch: pytest.MonkeyPatch) -> Doors:
    """The doors, with a model behind them that answers all columns there are."""
    _declare(monkeypatch, GAS.model_copy(update={"predictions": _ALL, "context_rows": 30}))
    world.endpoint.mood = _telling_all
    return Doors(world, monkeypatch)


@pytest.fixture
def earlier(world: World, monkeypatch: pytest.MonkeyPatch) -> Doors:
    """The doors, with a forest behind them that answers no more than a flag and a score."""
    predictions = tuple(column for column in GAS.predictions if column.name in ("anomaly", "anomaly_score"))
    _declare(monkeypatch, GAS.model_copy(update={"predictions": predictions}))
    return Doors(world, monkeypatch)


def _declare(monkeypatch: pytest.MonkeyPatch, contract: DatasetContract) -> None:
    monkeypatch.setattr("shared.contracts.load_contract", lambda name: contract)


def _body(values: list[float], **fields: object) -> dict[str, Any]:
    points = [
        {"timestamp": f"{_START + timedelta(hours=n):%Y-%m-%dT%H:%M:%SZ}", "value": v} for n, v in enumerate(values)
    ]
    return {"series": points, "granularity": "hourly", **fields}


def test_the_example_in_the_documents_is_answered_as_they_say(doors: Doors) -> None:
    asked, answered = (
        json.loads(block) for block in re.findall(r"```json\n(.*?)```", _MIGRATION.read_text("utf-8"), re.S)
    )

    body = doors.call("POST", "datasets/gas/score?mode=entire", asked).json

    assert body == answered


def test_a_body_may_say_the_operation_itself_and_means_the_whole_series_where_nothing_does(doors: Doors) -> None:
    body = _body([10.0] * 11 + [31.0], sensitivity=95)

    entire = doors.call("POST", "datasets/gas/score", body).json
    last = doors.call("POST", "datasets/gas/score?mode=last", body).json

    assert set(entire) == _SERVICE_ENTIRE | _EVERYWHERE | {"kinds", "reasons"}
    assert entire == doors.call("POST", "datasets/gas/score?mode=entire", {**body, "mode": "entire"}).json
    assert set(last) == _SERVICE_LAST | _EVERYWHERE | {"kind", "reason"}
    assert last == doors.call("POST", "datasets/gas/score", {**body, "mode": "last"}).json
    assert (last["isAnomaly"], last["isPositiveAnomaly"], last["suggestedWindow"]) == (True, True, 31)
    assert (last["severity"], last["upperMargin"], last["kind"]) == (0.9, 3.4, "high")


def test_change_points_are_where_a_level_begins(doors: Doors) -> None:
    body = _body([10.0] * 20 + [50.0] * 30 + [31.0] + [10.0] * 9, stableTrendWindow=5, threshold=0.5)

    changes = doors.call("POST", "datasets/gas/score?mode=changepoint", body).json

    assert set(changes) == {"isChangePoint", "confidenceScores", "kinds", "reasons"} | _EVERYWHERE
    assert [at for at, begins in enumerate(changes["isChangePoint"]) if begins] == [20]
    assert changes["confidenceScores"] == [0.0] * 20 + [0.6] * 30 + [0.0] * 10
    assert (changes["kinds"][20], changes["reasons"][20]) == ("level", "5.0 times the usual")


def test_a_series_stands_for_itself_and_leaves_nothing(doors: Doors) -> None:
    body = _body([10.0] * 50 + [31.0])
    alone = doors.call("POST", "datasets/gas/score?mode=last", body).json
    earlier = [(f"{_START - timedelta(hours=n):%d/%m/%Y %H:%M:%S}", "9,5") for n in range(48, 0, -1)]
    doors.world.scored("gas/before.csv", table(earlier))
    blobs = {container: doors.world.blobs.names(container) for container in (RUNS, RESULTS, "state")}
    doors.world.endpoint.received.clear()

    again = doors.call("POST", "datasets/gas/score?mode=last", body).json

    assert again == alone
    assert 9.5 not in [value for request in doors.world.endpoint.received for value in request.columns["VolCorrected"]]
    assert {container: doors.world.blobs.names(container) for container in blobs} == blobs


def test_points_are_scored_as_rows_of_a_table_are(earlier: Doors) -> None:
    rows = hourly(60)
    records = [{"FechaHora": time, "VolCorrected": float(value.replace(",", "."))} for time, value in rows]
    points = [
        {"timestamp": datetime.strptime(f"{time}Z", "%d/%m/%Y %H:%M:%S%z").isoformat(), "value": record["VolCorrected"]}
        for (time, _), record in zip(rows, records, strict=True)
    ]

    as_rows = earlier.call("POST", "datasets/gas/score", {"data": records}).json["predictions"]
    as_points = earlier.call("POST", "datasets/gas/score", {"series": points}).json

    assert as_points["isAnomaly"] == [row["anomaly"] == 1 for row in as_rows]
    assert any(as_points["isAnomaly"])
    assert as_points["unanswered"] == ["expected", "lower", "upper", "severity"]
    assert (as_points["expectedValues"], as_points["severity"], as_points["errors"]) == (None, None, [])


def test_an_earlier_model_tells_no_change_points_and_says_so(earlier: Doors) -> None:
    changes = earlier.call("POST", "datasets/gas/score?mode=changepoint", _body([20.0] * 24)).json

    assert (changes["isChangePoint"], changes["confidenceScores"]) == (None, None)
    assert changes["unanswered"] == ["kind", "severity"]


def test_a_point_that_the_model_refuses_is_null_and_says_why(earlier: Doors) -> None:
    earlier.world.endpoint.mood = poisoned_by(66.0)

    answered = earlier.call("POST", "datasets/gas/score", _body([20.0] * 5 + [66.0] + [21.0] * 20)).json

    assert [error["index"] for error in answered["errors"]] == [5]
    assert [at for at, flag in enumerate(answered["isAnomaly"]) if flag is None] == [5]


def test_the_longest_series_there_is_is_answered(doors: Doors) -> None:
    answered = doors.call("POST", "datasets/gas/score?mode=entire", _body([10.0] * 8639 + [31.0])).json

    assert len(answered["isAnomaly"]) == 8640
    assert [at for at, flag in enumerate(answered["isAnomaly"]) if flag] == [8639]


@pytest.mark.parametrize(
    ("query", "body", "code"),
    [
        ("?mode=last", {}, "RequiredSeries"),
        ("?mode=first", _body([10.0] * 12), "BadArgument"),
        ("?mode=last", _body([10.0] * 12, mode="entire"), "BadArgument"),
        ("", {"series": [1] * 12}, "BadArgument"),
        ("", _body([10.0] * 11), "InvalidSeries"),
        ("", _body([10.0] * 8641), "InvalidSeries"),
        ("?mode=changepoint", {"series": []}, "RequiredGranularity"),
        ("", _body([10.0] * 12, granularity="monthly"), "InvalidGranularity"),
        ("", _body([10.0] * 12, sensitivity=200), "InvalidModelArgument"),
        ("", _body([10.0] * 11 + [float("nan")]), "BadArgument"),
    ],
)
def test_what_the_service_refused_is_a_problem_with_its_code(doors: Doors, query: str, body: Any, code: str) -> None:
    words = doors.call("POST", f"datasets/gas/score{query}", body).problem(400, code)

    assert len(words) > 20
    assert doors.world.endpoint.received == []


def test_a_table_or_a_blob_stays_what_it_was(earlier: Doors) -> None:
    records = [{"FechaHora": f"2024-01-01 {hour:02}:00:00", "VolCorrected": 20} for hour in range(3)]
    both = {"data": records, "series": []}

    assert earlier.call("POST", "datasets/gas/score?mode=entire", both).json["rows"] == 3
    earlier.call("POST", "datasets/gas/score?mode=entire", {"blob": "missing.csv"}).problem(404, "blob_not_found")


def test_without_a_model_or_with_its_endpoint_down_the_client_is_told_to_come_back(
    endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    doors = Doors(World.build(endpoint, live=False), monkeypatch)
    doors.call("POST", "datasets/gas/score?mode=last", _body([20.0] * 12)).problem(503, "no_live_model")

    doors.world.go_live()
    endpoint.mood = refusal(503)
    doors.call("POST", "datasets/gas/score?mode=last", _body([20.0] * 12)).problem(503, "endpoint_failed")
