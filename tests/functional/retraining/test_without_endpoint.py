"""With `SCORE_FALLBACK=bundle-always` a model goes into service without an endpoint to pay for."""

from __future__ import annotations

import pytest

from shared.retraining.lifecycle import State
from tests.functional.retraining.world import ENDPOINT, World


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


def test_nothing_is_asked_of_azure_ml_about_endpoints(world: World) -> None:
    world.settle(world.drop("gas/a.csv"))

    asked = {method for method, calls in world.workspace.calls.items() if calls}
    assert not {method for method in asked if "endpoint" in method or "deployment" in method or "traffic" in method}
