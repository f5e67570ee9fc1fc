"""A person puts a registered version into service: the same path from its registration on, and no gate."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.errors import InvalidInputError, NotFoundError, WorkspaceRefusedError, WorkspaceUnavailableError
from shared.retraining.workspace import ModelVersion
from tests.functional.retraining.world import ENDPOINT, GAS, World


def test_the_version_that_still_stands_in_the_idle_colour_only_takes_the_traffic() -> None:
    world = World()
    first, second = world.promoted(), world.promoted("gas/second.csv")
    deployments = world.workspace.effects["deployment"]
    run = world.settle(world.activate("1"))

    assert (run.state, run.kind, run.deployment, run.model_version) == ("live", "train", "blue", "1")
    assert [step.state for step in run.history] == ["registered", "deploying", "verifying", "live"]
    assert run.activated == {"version": "1", "run": first.id, "reused": True}
    assert run.smoke is not None
    assert run.replay is None
    assert world.workspace.effects["deployment"] == deployments
    assert world.traffic() == {"blue": 100}
    live = world.live_model()
    assert (live.run, live.version, live.deployment) == (first.id, "1", "blue")
    assert world.workspace.deployments[(ENDPOINT, "green")].run == second.id


def test_an_older_version_is_deployed_again_proved_and_put_into_service() -> None:
    world = World()
    first = world.promoted()
    for name in ("second", "third"):
        world.promoted(f"gas/{name}.csv")
    world.scored("gas/file.csv")
    run = world.settle(world.activate("1"))

    assert (run.state, run.deployment, run.activated) == ("live", "green", {"version": "1", "run": first.id})
    assert run.verdict == {"promote": True, "reasons": ["version 1 was activated by a person"]}
    assert run.metrics == {"alert_rate": 0.01, "recall": 0.6, "rows": 400.0}
    assert run.replay is not None
    assert run.replay["rows"] == 48
    assert world.workspace.models_deployed[(ENDPOINT, "green")] == ModelVersion(GAS.model_name, "1")
    assert world.live_model().run == first.id


def test_the_next_dataset_is_judged_against_the_version_that_was_activated() -> None:
    world = World()
    first = world.promoted()
    world.promoted("gas/second.csv")
    world.settle(world.activate("1"))
    run = world.settle(world.drop("gas/third.csv"))

    assert run.state == "live"
    assert run.champion is not None
    assert (run.champion["version"], run.champion["run"]) == ("1", first.id)


def test_the_live_version_is_tried_and_stays() -> None:
    world = World()
    world.promoted()
    before = world.live_model(), world.workspace.effects.copy()
    run = world.settle(world.activate("1"))

    assert run.state == "live"
    assert (world.live_model(), world.workspace.effects) == before


def test_the_live_version_comes_back_where_somebody_deleted_the_endpoint() -> None:
    world = World()
    first = world.promoted()
    world.workspace.delete_endpoint(ENDPOINT)
    run = world.settle(world.activate("1"))

    assert run.state == "live"
    assert world.traffic() == {run.deployment: 100}
    assert (world.live_model().run, world.live_model().deployment) == (first.id, run.deployment)


def test_what_cannot_answer_is_not_activated_and_what_stood_there_before_is_left() -> None:
    world = World()
    world.promoted()
    second = world.promoted("gas/second.csv")
    world.targets.score = None
    run = world.settle(world.activate("1"))

    assert (run.state, run.error and run.error.code) == ("failed", "smoke_failed")
    assert world.live_model().run == second.id
    assert world.traffic() == {"green": 100}
    assert set(world.workspace.deployments) == {(ENDPOINT, "blue"), (ENDPOINT, "green")}


def test_a_failed_activation_that_deployed_the_version_itself_removes_it() -> None:
    world = World()
    for name in ("first", "second", "third"):
        world.promoted(f"gas/{name}.csv")
    world.targets.score = None
    run = world.settle(world.activate("1"))

    assert run.state == "failed"
    assert set(world.workspace.deployments) == {(ENDPOINT, "blue")}
    assert world.traffic() == {"blue": 100}


def test_asked_for_twice_at_once_it_is_one_run() -> None:
    world = World()
    for name in ("first", "second"):
        world.promoted(f"gas/{name}.csv")

    assert world.activate("1").id == world.activate("1").id
    assert world.activate("2").id != world.activate("1").id


def test_the_later_of_two_wishes_wins_and_a_dataset_neither_overtakes_one_nor_is_overtaken() -> None:
    world = World(looks=3)
    for name in ("first", "second", "third"):
        world.promoted(f"gas/{name}.csv")
    dropped = world.look_until(world.drop("gas/fourth.csv"), "training")
    wishes = [world.activate("1"), world.activate("2")]
    for _ in range(60):
        world.tick()

    assert [world.read(wish).state for wish in wishes] == ["superseded", "live"]
    assert world.read(dropped).state == "live"


def test_an_unknown_version_and_one_that_no_run_made_are_refused() -> None:
    world = World()
    world.promoted()
    world.workspace.versions[GAS.model_name].append(ModelVersion(GAS.model_name, "7", {}))

    with pytest.raises(NotFoundError, match="version_not_found"):
        world.activate("17")
    with pytest.raises(InvalidInputError, match="foreign_version"):
        world.activate("7")


def test_a_wish_waits_for_a_run_that_is_being_deployed() -> None:
    world = World(looks=6)
    world.promoted()
    world.promoted("gas/second.csv")
    other = world.look_until(world.drop("gas/third.csv"), "deploying")
    wish = world.look(world.activate("1"))
    assert wish.state == "registered"

    assert world.settle(other).state == "live"
    assert world.settle(wish).state == "live"
    assert world.live_model().version == "1"


def test_a_quota_that_is_refused_ends_the_run_and_the_version_can_be_activated_later() -> None:
    world = World()
    world.promoted()
    world.workspace.fail("start_deployment", WorkspaceRefusedError("quota_exceeded", "Azure ML answered 400: quota"))
    run = world.settle(world.drop("gas/second.csv"))
    assert (run.state, run.error and run.error.code) == ("failed", "quota_exceeded")
    assert world.traffic() == {"blue": 100}

    assert world.settle(world.activate("2")).state == "live"
    assert world.live_model().run == run.id


def test_a_wish_survives_a_workspace_that_is_busy() -> None:
    world = World()
    world.promoted()
    wish = world.activate("1")
    world.workspace.fail("endpoint", *[WorkspaceUnavailableError("workspace_unavailable", "409")] * 3)
    world.clock.advance(timedelta(minutes=5))

    assert world.settle(wish).state == "live"
