"""Azure ML that throttles, hangs, or loses what was made: what is waited for, given up, made anew or undone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.errors import EndpointUnavailableError, WorkspaceRefusedError, WorkspaceUnavailableError
from shared.retraining.lifecycle import ENDS
from shared.retraining.workspace import Endpoint
from tests.functional.retraining.world import ENDPOINT, THROTTLED, World, assert_untouched

SILENT = EndpointUnavailableError("endpoint_unreachable", "The endpoint did not answer (ConnectTimeout).")


@pytest.mark.parametrize(
    ("method", "state"),
    [
        ("start_training", "validated"),
        ("job", "training"),
        ("register", "evaluated"),
        ("endpoint", "registered"),
        ("start_endpoint", "registered"),
        ("deployment", "deploying"),
        ("start_deployment", "deploying"),
        ("start_traffic", "verifying"),
    ],
)
def test_a_throttled_workspace_keeps_the_run_where_it_is_and_the_record_says_so(method: str, state: str) -> None:
    world = World()
    world.workspace.fail(method, *[THROTTLED] * 5)
    run = world.drop("gas/first.csv")
    while world.workspace.faults[method]:
        run = world.look(run)
    stays = world.read(run)

    assert stays.state == state
    assert stays.error is not None
    assert (stays.error.code, stays.error.message) == (THROTTLED.code, THROTTLED.message)
    assert world.live.get("gas") is None
    ended = world.settle(run)
    assert (ended.state, ended.error) == ("live", None)
    assert len(ended.history) == 8


def test_a_workspace_that_is_out_of_reach_for_days_ends_nothing() -> None:
    world = World()
    world.workspace.fail("deployment", *[THROTTLED] * 3)
    run = world.look_until(world.drop("gas/first.csv"), "deploying")
    for _ in range(3):
        world.clock.advance(timedelta(days=1))
        run = world.look(run)

    run = world.settle(run)
    assert run.state == "live"
    assert [step.note for step in run.history].count("Azure ML answers again") == 1


@pytest.mark.parametrize(
    ("state", "code", "words"),
    [
        ("training", "training_timeout", "did not end in 24 h."),
        ("deploying", "deployment_timeout", "The deployment green did not get ready in 2 h."),
        ("verifying", "verification_timeout", "did not take over in 1 h. Last it said: The endpoint did not"),
    ],
)
def test_what_hangs_is_given_up_and_the_next_dataset_goes_on(state: str, code: str, words: str) -> None:
    world = World()
    first = world.promoted()
    if state == "verifying":
        world.targets.fault = SILENT
    run = world.look_until(world.drop("gas/second.csv"), state)
    world.workspace.hang()
    world.clock.advance(timedelta(hours=25))
    run = world.look(run)

    assert run.state == "failed"

    assert run.error is not None
    assert run.error.code == code
    assert words in run.error.message
    assert_untouched(world, first)
    assert (ENDPOINT, "green") not in world.workspace.deployments
    assert (world.workspace.jobs[run.job or ""].end == "canceled") == (state == "training")
    world.workspace.looks, world.targets.fault = 1, None
    assert world.settle(world.drop("gas/third.csv")).state == "live"


def test_an_endpoint_that_is_never_there_is_given_up() -> None:
    world = World(looks=3)
    run = world.drop("gas/first.csv")
    while not world.workspace.endpoints:
        run = world.look(run)
    world.workspace.hang()
    world.clock.advance(timedelta(hours=13))
    run = world.look(run)

    assert (run.state, run.error and run.error.code) == ("failed", "endpoint_timeout")


def test_a_run_that_hangs_while_it_takes_the_traffic_gives_it_back() -> None:
    world = World()
    first = world.promoted()
    run = world.drop("gas/second.csv")
    while "green" not in world.workspace.endpoints[ENDPOINT].traffic:
        run = world.look(run)
    world.workspace.hang()
    world.clock.advance(timedelta(hours=2))
    world.workspace.fail("start_traffic", THROTTLED)
    run = world.look(run)
    assert (run.state, run.error and run.error.code) == ("verifying", "verification_timeout")
    assert run.ending is not None
    assert run.ending["state"] == "failed"
    run = world.settle(run)

    assert run.error is not None
    assert run.error.code == "verification_timeout"
    assert run.ending is None
    assert_untouched(world, first)
    assert (ENDPOINT, "green") not in world.workspace.deployments


def test_an_endpoint_that_cannot_be_created_ends_the_run_and_is_tried_anew_by_the_next() -> None:
    world = World()
    world.workspace.endpoint_ends = "failed"
    run = world.settle(world.drop("gas/first.csv"))

    assert (run.state, run.error and run.error.code) == ("failed", "endpoint_failed")
    assert world.workspace.effects["endpoint"] == 1

    world.workspace.endpoint_ends = "succeeded"
    assert world.promoted("gas/second.csv").deployment == "blue"


def test_an_endpoint_whose_last_change_failed_keeps_its_traffic() -> None:
    world = World()
    world.promoted()
    found = world.workspace.endpoints[ENDPOINT]
    world.workspace.endpoints[ENDPOINT] = Endpoint(found.name, "failed", found.scoring_uri, found.traffic)

    run = world.look_until(world.drop("gas/second.csv"), "deploying")

    assert run.deployment == "green"
    assert world.workspace.endpoints[ENDPOINT].traffic == {"blue": 100}
    assert world.workspace.effects["endpoint"] == 1


@pytest.mark.parametrize("state", ["deploying", "verifying"])
def test_an_endpoint_that_somebody_deleted_is_made_anew_by_the_run_that_needs_it(state: str) -> None:
    world = World()
    world.promoted()
    run = world.look_until(world.drop("gas/second.csv"), state)
    world.workspace.delete_endpoint(ENDPOINT)
    run = world.settle(run)

    assert (run.state, run.error) == ("live", None)
    assert [step.state for step in run.history].count("registered") == 2
    assert "The endpoint dropscore-gas is not there any more." in {step.note for step in run.history}
    assert world.workspace.endpoints[ENDPOINT].traffic == {run.deployment: 100}
    assert world.workspace.effects["model"] == 2


def test_a_deployment_that_somebody_deleted_is_made_anew() -> None:
    world = World()
    world.promoted()
    world.workspace.fail("start_traffic", THROTTLED)
    run = world.look_until(world.drop("gas/second.csv"), "verifying")
    world.workspace.delete_deployment(ENDPOINT, "green")
    run = world.settle(run)

    assert run.state == "live"
    assert "The deployment green of dropscore-gas is not there any more." in {step.note for step in run.history}


def test_who_keeps_deleting_the_endpoint_is_not_fought_for_ever() -> None:
    world = World()
    run = world.look_until(world.drop("gas/first.csv"), "deploying")
    while run.state not in ENDS:
        if run.state == "verifying":
            world.workspace.delete_endpoint(ENDPOINT)
        run = world.look(run)

    assert (run.state, run.error and run.error.code) == ("failed", "endpoint_vanished")
    assert world.workspace.effects["endpoint"] == 3


def test_a_deployment_that_failed_or_never_got_ready_is_deleted_again() -> None:
    for fails, code in ((True, "deployment_failed"), (False, "deployment_timeout")):
        world = World()
        first = world.promoted()
        if fails:
            world.workspace.deployment_ends = "failed"
        run = world.look_until(world.drop("gas/second.csv"), "deploying")
        if not fails:
            world.workspace.hang()
            world.clock.advance(timedelta(hours=3))
        run = world.settle(run)

        assert (run.state, run.error and run.error.code) == ("failed", code)
        assert set(world.workspace.deployments) == {(ENDPOINT, "blue")}
        assert_untouched(world, first)


@pytest.mark.parametrize("method", ["cancel_job", "delete_deployment", "start_traffic"])
def test_what_cannot_be_undone_keeps_no_run_from_ending(method: str) -> None:
    refused = WorkspaceRefusedError("workspace_refused", "Azure ML answered 403: no role")
    world = World()
    first = world.promoted()
    run = world.drop("gas/second.csv")
    if method == "cancel_job":
        run = world.look_until(run, "training")
        world.workspace.hang()
    elif method == "delete_deployment":
        world.workspace.deployment_ends = "failed"
    else:
        while "green" not in world.workspace.endpoints[ENDPOINT].traffic:
            run = world.look(run)
        world.workspace.hang()
    world.workspace.fail(method, refused)
    if method != "delete_deployment":
        world.clock.advance(timedelta(hours=25))
    run = world.settle(run)

    assert run.state == "failed"
    assert not world.workspace.faults[method]
    assert world.live_model().run == first.id


def test_a_run_that_cannot_undo_what_it_began_for_a_day_ends_nevertheless() -> None:
    world = World()
    run = world.look_until(world.drop("gas/first.csv"), "training")
    world.workspace.hang()
    world.workspace.fail("cancel_job", *[THROTTLED] * 4)
    world.clock.advance(timedelta(hours=25))
    for _ in range(3):
        run = world.look(run)
        assert (run.state, run.error and run.error.code) == ("training", "training_timeout")
    world.clock.advance(timedelta(hours=25))
    run = world.look(run)

    assert (run.state, run.error and run.error.code) == ("failed", "training_timeout")


def test_a_workspace_that_throttles_is_left_alone_for_as_long_as_it_says() -> None:
    world = World()
    run = world.drop("gas/first.csv")
    world.workspace.fail("start_training", WorkspaceUnavailableError("workspace_unavailable", "429", retry_after=600))
    run = world.look(run)
    calls = sum(world.workspace.calls.values())
    for _ in range(8):
        run = world.look(run)
    assert (run.state, sum(world.workspace.calls.values())) == ("validated", calls)
    assert run.not_before is not None

    run = world.settle(run)
    assert (run.state, run.not_before) == ("live", None)
