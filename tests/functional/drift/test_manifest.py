"""What a scored file's manifest says of drift."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from shared.naming import STATE
from shared.scoring import results as results_module
from tests.fakes.endpoint import FakeEndpoint, Reply
from tests.fakes.telemetry import listening
from tests.functional.drift.profiles import leave, louder
from tests.functional.scoring.world import TRAINING_RUN, Row, World, hourly, table

WEEK = hourly(7 * 24, seed=6)


def drift(world: World, rows: list[Row], name: str = "gas/x.csv") -> dict[str, Any]:
    """The manifest's words on a file of these rows."""
    run = world.score(name, table(rows))
    assert run.state == "completed", run.error
    found: dict[str, Any] = world.manifest(run)["drift"]
    return found


def test_a_week_like_the_training_data(world: World) -> None:
    leave(world)

    found = drift(world, WEEK)

    assert found["verdict"] == "none"
    value = found["columns"]["VolCorrected"]
    assert 0 < value["psi"] < 0.5
    assert 0 < value["ks"] < 0.2
    assert (value["missing"], value["invalid"]) == (0.0, 0.0)
    assert found["score"]["name"] == "anomaly_score"
    assert (found["rows"], found["training_run"]) == (168, TRAINING_RUN)


def test_a_week_of_other_volumes(world: World) -> None:
    leave(world)

    found = drift(world, louder(WEEK))

    assert found["verdict"] == found["columns"]["VolCorrected"]["verdict"] == found["score"]["verdict"] == "severe"
    assert found["columns"]["VolCorrected"]["out_of_range"]["training"] > 0.9


def test_what_the_manifest_says_is_told_as_metrics_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(world)
    with listening(monkeypatch) as heard:
        found = [drift(world, louder(WEEK), "gas/a.csv"), drift(world, louder(WEEK, 5.0), "gas/b.csv")]
        drift(world, hourly(2), "gas/short.csv")

        assert heard.value("dropscore.file.drift", dropscore__drift__verdict="severe", dropscore__dataset="gas") == 2
        assert heard.value("dropscore.file.drift", dropscore__drift__verdict="unknown") == 1
        for name, about in (
            ("VolCorrected", [each["columns"]["VolCorrected"] for each in found]),
            ("anomaly_score", [each["score"] for each in found]),
        ):
            beyond = sum(each["psi"] - each["psi_by_chance"] for each in about)
            assert heard.value("dropscore.drift.psi", dropscore__column=name) == pytest.approx(beyond)


def test_a_file_that_drifts_less_than_chance_does_is_told_as_zero(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(world)
    with listening(monkeypatch) as heard:
        assert drift(world, WEEK)["verdict"] == "none"

        assert heard.value("dropscore.drift.psi", dropscore__column="VolCorrected") == 0


def test_fields_without_a_value_are_counted(world: World) -> None:
    leave(world)
    rows: list[Row] = [(time, "" if at < 21 else "n/d" if at < 63 else value) for at, (time, value) in enumerate(WEEK)]

    found = drift(world, rows)

    assert (found["columns"]["VolCorrected"]["missing"], found["columns"]["VolCorrected"]["invalid"]) == (0.125, 0.25)
    assert found["unusable"] == {"verdict": "severe", "share": 0.375, "training": 0.0}
    assert found["verdict"] == "severe"


def test_lines_that_do_not_split_are_unusable_rows(world: World) -> None:
    leave(world)
    lines = table(WEEK) + b"one;field;too many\n" * 24

    run = world.score("gas/x.csv", lines)

    assert world.manifest(run)["drift"]["unusable"]["share"] == 0.125


def test_how_a_file_is_cut_ordered_and_resumed_changes_nothing(endpoint: FakeEndpoint) -> None:
    shuffled = random.Random(3).sample(WEEK, len(WEEK))
    found = []
    for rows in (WEEK, shuffled):
        for size in (7, 40, 1000):
            world = World.build(endpoint, score_rows_per_request=size)
            leave(world)
            found.append(drift(world, rows))

    assert all(each == found[0] for each in found)


def test_answers_of_an_earlier_attempt_count_once(endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_module, "_BLOCK_BYTES", 1000)
    world = World.build(endpoint, score_requests_in_flight=1)
    leave(world)
    whole = drift(world, WEEK, "gas/whole.csv")
    asked = len(endpoint.received)
    endpoint.mood = lambda received: Reply(503, b"not now") if len(endpoint.received) > asked + 3 else None

    run = world.score("gas/x.csv", table(WEEK))
    assert run.state == "waiting"
    endpoint.calm()
    world.tick(timedelta(hours=2))

    assert world.manifest(world.record(run))["drift"] == whole
    assert 0 < len(endpoint.received) < asked


def test_without_a_profile_the_verdict_is_unknown_with_the_reason(world: World) -> None:
    found = drift(world, WEEK)

    assert found == {
        "verdict": "unknown",
        "reason": f"the training run {TRAINING_RUN} left no profile of its data",
        "training_run": TRAINING_RUN,
    }


def test_a_profile_that_is_put_back_is_found(world: World) -> None:
    assert drift(world, WEEK)["verdict"] == "unknown"
    leave(world)

    assert drift(world, hourly(48, start=168), "gas/y.csv")["verdict"] == "none"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"format": 2}', b'{"format": 1, "dataset": "gas"}', b"\xff"])
def test_a_profile_that_cannot_be_read_stops_nothing(world: World, body: bytes) -> None:
    leave(world, body=body)

    found = drift(world, WEEK)

    assert found["verdict"] == "unknown"
    assert "cannot be read" in found["reason"]


def test_an_endpoint_of_somebody_else_has_none(endpoint: FakeEndpoint) -> None:
    world = World.build(endpoint, live=False, aml_endpoint_url=endpoint.url, aml_endpoint_key=SecretStr("key"))

    found = drift(world, WEEK)

    assert found["verdict"] == "unknown"
    assert "somebody else's" in found["reason"]


def test_after_a_promotion_the_new_models_profile_counts(world: World) -> None:
    leave(world)
    assert drift(world, WEEK)["training_run"] == TRAINING_RUN
    live = world.app.live.get("gas")
    assert live is not None
    world.app.live.put(live.model_copy(update={"version": "7", "run": "20261201T000000Z-train-11111111"}))

    found = drift(world, hourly(48, start=168), "gas/y.csv")

    assert found["verdict"] == "unknown"
    assert "20261201T000000Z-train-11111111 left no profile" in found["reason"]


def test_nothing_is_kept_where_nobody_asked_for_it(world: World) -> None:
    leave(world)

    drift(world, louder(WEEK))
    world.tick()

    assert [info.name for info in world.blobs.list_blobs(STATE, "drift/")] == []
