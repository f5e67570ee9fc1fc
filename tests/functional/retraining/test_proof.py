"""What a new deployment has to show before it takes the traffic, and while it does: the replay and the canary."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from aml.contract import ReplayRules
from shared.errors import EndpointUnavailableError
from shared.naming import INCOMING
from shared.retraining.replay import judged
from shared.runs import Run
from tests.functional.retraining.world import ENDPOINT, GAS, World, dataset

DOWN = EndpointUnavailableError("endpoint_failed", "The endpoint answered 503: no")
CANARY: dict[str, Any] = {"canary_steps": "10,50,100", "canary_minutes": 3}


def replay_of(run: Run) -> dict[str, Any]:
    assert run.replay is not None
    return run.replay


def test_recent_files_are_scored_by_both_models_and_compared() -> None:
    world = World()
    world.promoted()
    scored = [world.scored(f"gas/{name}.csv") for name in ("a", "b")]
    world.targets.alerts = {"blue": 4, "green": 2}
    run = world.settle(world.drop("gas/second.csv"))

    assert run.state == "live"
    assert run.replay == {
        "files": [{"blob": each.blob, "run": each.id, "rows": 48} for each in reversed(scored)],
        "rows": 96,
        "errors": 0,
        "alert_rate": 0.5,
        "compared": 96,
        "agreement": 0.75,
        "champion_alert_rate": 0.25,
        "promote": True,
        "reasons": [],
    }
    pinned = {(deployment, rows) for _, deployment, rows in world.targets.asked if rows == 48}
    assert pinned == {("green", 48), ("blue", 48)}


def test_a_first_model_replays_alone_and_without_files_there_is_nothing_to_replay() -> None:
    world = World()
    assert replay_of(world.promoted()) == {"files": [], "rows": 0, "errors": 0, "promote": True, "reasons": []}

    fresh = World()
    fresh.scored("gas/a.csv")
    found = replay_of(fresh.promoted())
    assert (found["rows"], found["alert_rate"]) == (48, 0)
    assert "agreement" not in found


def test_files_that_were_removed_or_replaced_are_left_out_and_files_and_rows_are_bounded() -> None:
    world = World(replay_files=2, replay_rows=60)
    for name in ("a", "b", "c", "d"):
        world.scored(f"gas/{name}.csv")
    world.blobs.delete(INCOMING, "gas/d.csv")
    world.blobs.put(INCOMING, "gas/c.csv", dataset(days=3))
    found = replay_of(world.promoted())

    assert [(each["blob"], each["rows"]) for each in found["files"]] == [
        ("incoming/gas/b.csv", 48),
        ("incoming/gas/a.csv", 12),
    ]
    assert replay_of(World(replay_files=0).promoted())["files"] == []


@pytest.mark.parametrize(
    ("rules", "alerts", "reason"),
    [
        (ReplayRules(max_alert_rate=0.4), {"green": 2}, "alert_rate is 0.5, above 0.4"),
        (ReplayRules(min_agreement=0.9), {"green": 2}, "agreement is 0.5, below 0.9"),
    ],
)
def test_a_replay_that_the_contract_does_not_allow_rejects_the_model(
    monkeypatch: pytest.MonkeyPatch, rules: ReplayRules, alerts: dict[str | None, int], reason: str
) -> None:
    strict = GAS.model_copy(update={"replay": rules})
    monkeypatch.setattr("shared.retraining.verification.load_contract", {"gas": strict}.__getitem__)
    world = World()
    first = world.promoted()
    world.scored("gas/a.csv")
    world.targets.alerts = alerts
    run = world.settle(world.drop("gas/second.csv"))

    assert (run.state, run.error) == ("rejected", None)
    assert run.history[-1].note == f"in the replay of recent files {reason}"
    assert replay_of(run)["promote"] is False
    assert world.live_model().run == first.id
    assert world.traffic() == {"blue": 100}
    assert set(world.workspace.deployments) == {(ENDPOINT, "blue")}

    assert world.settle(world.activate("2")).state == "live"  # a person knows better
    assert world.live_model().version == "2"


def test_the_live_model_that_does_not_answer_is_nothing_against_the_new_one() -> None:
    world = World()
    world.promoted()
    world.scored("gas/a.csv")
    world.targets.faults = {"blue": DOWN}
    run = world.settle(world.drop("gas/second.csv"))

    assert run.state == "live"
    assert "agreement" not in replay_of(run)


def test_a_new_model_that_does_not_answer_the_replay_waits() -> None:
    world = World()
    world.promoted()
    run = world.look_until(world.drop("gas/second.csv"), "deploying")
    world.scored("gas/a.csv")
    world.targets.faults = {"green": DOWN}
    run = world.look_until(run, "verifying")
    run = world.look(run)
    assert (run.state, run.error and run.error.code) == ("verifying", "endpoint_failed")

    world.targets.faults = {}
    assert world.settle(run).state == "live"


def test_limits_concern_only_what_was_measured() -> None:
    rules = ReplayRules(max_alert_rate=0.1, max_error_rate=0.1, min_agreement=0.9)

    assert judged({"rows": 0, "errors": 0}, rules) == []
    assert judged({"rows": 10, "errors": 0, "alert_rate": 0.1, "agreement": 0.9}, rules) == []
    assert len(judged({"rows": 10, "errors": 2, "alert_rate": 0.11, "agreement": 0.89}, rules)) == 3


def shares(world: World, run: Run) -> list[dict[str, int]]:
    """The traffic as it was, look by look, until the run ended."""
    seen = [world.traffic()]
    while run.state not in ("live", "failed", "rejected"):
        run = world.look(run)
        if world.traffic() != seen[-1]:
            seen.append(world.traffic())
    return seen


def test_a_canary_takes_the_traffic_step_by_step() -> None:
    world = World(**CANARY)
    world.promoted()
    world.targets.routed = ["blue", "green"]
    run = world.drop("gas/second.csv")

    assert shares(world, run) == [{"blue": 100}, {"blue": 90, "green": 10}, {"blue": 50, "green": 50}, {"green": 100}]
    run = world.read(run)
    assert run.state == "live"
    assert run.canary is not None
    assert [(step["share"], step["errors"]) for step in run.canary["steps"]] == [(10, 0), (50, 0), (100, 0)]
    assert all(step["asked"] >= 20 for step in run.canary["steps"])
    assert world.live_model().deployment == "green"


def test_the_app_scores_with_the_live_model_until_the_canary_is_over() -> None:
    world = World(**CANARY)
    first = world.promoted()
    run = world.drop("gas/second.csv")
    while world.read(run).state != "live":
        assert world.live_model().run == first.id
        world.look(run)


@pytest.mark.parametrize("share", [10, 50, 100])
def test_too_many_errors_on_the_way_give_the_traffic_back(share: int) -> None:
    world = World(**CANARY)
    first = world.promoted()
    run = world.drop("gas/second.csv")
    while world.traffic().get("green") != share:
        run = world.look(run)
    world.targets.faults = {"green": DOWN}
    run = world.settle(run)

    assert (run.state, run.error and run.error.code) == ("failed", "canary_failed")
    assert run.error is not None
    assert f"At {share} % of the traffic" in run.error.message
    assert run.canary is not None
    assert run.canary["steps"][-1]["share"] == share
    assert world.traffic() == {"blue": 100}
    assert world.live_model().run == first.id
    assert set(world.workspace.deployments) == {(ENDPOINT, "blue")}


def test_one_error_alone_and_errors_of_the_live_model_give_nothing_back() -> None:
    world = World(**CANARY)
    world.promoted()
    world.targets.routed = ["blue"]
    world.targets.faults = {"blue": EndpointUnavailableError("endpoint_failed", "503", deployment="blue")}

    assert world.settle(world.drop("gas/second.csv")).state == "live"


def test_slow_answers_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(**CANARY, canary_max_seconds=5)
    first = world.promoted()
    ticks = count(0, 6)
    monkeypatch.setattr("shared.retraining.canary.time.perf_counter", lambda: next(ticks))
    run = world.settle(world.drop("gas/second.csv"))

    assert (run.state, run.error and run.error.code) == ("failed", "canary_failed")
    assert "an answer took 6.0 s" in (run.error.message if run.error else "")
    assert world.live_model().run == first.id


def test_a_canary_does_not_hang_before_its_time_and_does_after_it() -> None:
    world = World(canary_steps="10,50", canary_minutes=120)
    world.promoted()
    run = world.drop("gas/second.csv")
    while world.traffic() == {"blue": 100}:
        run = world.look(run)
    world.clock.advance(timedelta(hours=3))
    assert world.look(run).state == "verifying"
    world.workspace.hang()
    world.clock.advance(timedelta(hours=3))
    run = world.settle(run)

    assert (run.state, run.error and run.error.code) == ("failed", "verification_timeout")
    assert world.traffic() == {"blue": 100}


def test_a_first_model_needs_no_canary() -> None:
    world = World(**CANARY)

    assert world.promoted().canary is None


@pytest.mark.parametrize("steps", ["0", "101", "50,10", "10,10", "ten", "10,"])
def test_steps_that_do_not_climb_are_refused(steps: str) -> None:
    with pytest.raises(ValueError, match="canary_steps"):
        World(canary_steps=steps)
