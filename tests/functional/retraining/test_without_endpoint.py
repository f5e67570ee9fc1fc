"""With `SCORE_FALLBACK=bundle-always` a model goes into service without an endpoint to pay for."""

from __future__ import annotations

import pytest

from aml.contract import ReplayRules
from shared.errors import EndpointUnavailableError
from shared.retraining.lifecycle import State
from tests.functional.retraining.world import ENDPOINT, GAS, World


@pytest.fixture
def world() -> World:
    return World(score_fallback="bundle-always")


def test_a_model_goes_live_without_an_endpoint(world: World) -> None:
    run = world.settle(world.drop("gas/a.csv"))

    assert run.state == State.LIVE, run.error
    assert (run.endpoint, run.deployment) == (None, None)
    assert (world.workspace.endpoints, world.workspace.deployments) == ({}, {})
    live = world.live.get("gas")
    assert live is not None
    assert (live.run, live.version, live.endpoint, live.deployment, live.scoring_uri) == (run.id, "1", "", "", "")
    assert run.smoke is not None
    assert [(url, deployment) for url, deployment, _ in world.targets.asked] == [("", None)]


def test_a_bundle_that_cannot_score_does_not_go_live(world: World) -> None:
    first = world.settle(world.drop("gas/a.csv"))
    world.targets.score = None

    run = world.settle(world.drop("gas/b.csv"))

    assert (run.state, run.error and run.error.code) == (State.FAILED, "smoke_failed")
    live = world.live.get("gas")
    assert live is not None
    assert live.run == first.id


def test_a_person_can_go_back_to_a_version_without_an_endpoint(world: World) -> None:
    first = world.settle(world.drop("gas/a.csv"))
    world.settle(world.drop("gas/b.csv"))

    back = world.settle(world.activate("1"))

    assert (back.state, back.model_version) == (State.LIVE, "1")
    live = world.live.get("gas")
    assert live is not None
    assert (live.run, live.endpoint) == (first.id, "")


def test_an_endpoint_comes_with_the_next_model_once_it_is_wanted(world: World) -> None:
    world.settle(world.drop("gas/a.csv"))
    later = World()
    later.blobs, later.workspace, later.clock = world.blobs, world.workspace, world.clock
    later.runs, later.live = world.runs, world.live
    later.retraining = later.again()

    run = later.settle(later.drop("gas/b.csv"))

    assert (run.state, run.endpoint, later.traffic()) == (State.LIVE, ENDPOINT, {run.deployment: 100})


def test_recent_files_are_replayed_through_both_bundles(world: World) -> None:
    first = world.settle(world.drop("gas/a.csv"))
    world.scored("gas/file.csv")
    world.targets.alerts = {first.id: 4}
    second = world.drop("gas/b.csv")
    world.targets.alerts[second.id] = 2
    second = world.settle(second)

    assert (second.state, first.replay and first.replay["rows"]) == (State.LIVE, 0)
    assert second.replay is not None
    assert (second.replay["rows"], second.replay["compared"], second.replay["errors"]) == (48, 48, 0)
    assert (second.replay["alert_rate"], second.replay["champion_alert_rate"]) == (0.5, 0.25)
    assert second.replay["agreement"] == 0.75


def test_a_bundle_outside_the_replays_limits_is_rejected_unless_a_person_asks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.settle(world.drop("gas/a.csv"))
    world.scored("gas/file.csv")
    strict = GAS.model_copy(update={"replay": ReplayRules(max_alert_rate=0.1)})
    monkeypatch.setattr("shared.retraining.verification.load_contract", {"gas": strict}.__getitem__)
    second = world.drop("gas/b.csv")
    world.targets.alerts = {second.id: 2}
    second = world.settle(second)

    assert second.state == State.REJECTED
    assert "alert_rate is 0.5, above 0.1" in (second.history[-1].note or "")
    assert world.live_model().run == first.id
    wished = world.settle(world.activate(second.model_version or ""))
    assert (wished.state, wished.replay and wished.replay["promote"]) == (State.LIVE, False)


def test_a_live_bundle_that_does_not_answer_is_nothing_against_the_new_one(world: World) -> None:
    first = world.settle(world.drop("gas/a.csv"))
    world.scored("gas/file.csv")
    world.targets.faults = {first.id: EndpointUnavailableError("bundle_missing", "it is gone")}
    second = world.settle(world.drop("gas/b.csv"))

    assert second.state == State.LIVE
    assert second.replay is not None
    assert (second.replay["rows"], "compared" in second.replay) == (48, False)


def test_nothing_is_asked_of_azure_ml_about_endpoints(world: World) -> None:
    world.settle(world.drop("gas/a.csv"))

    asked = {method for method, calls in world.workspace.calls.items() if calls}
    assert not {method for method in asked if "endpoint" in method or "deployment" in method or "traffic" in method}
