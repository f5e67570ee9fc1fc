"""A training run on which the app crashes again and again is ended as any failed one: what it began is undone."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from shared.runs import Run
from shared.work import WorkDesk
from tests.fakes.queue import FakeQueue
from tests.functional.retraining.world import ENDPOINT, THROTTLED, CrashError, World


def desk(world: World) -> WorkDesk:
    """What answers the poison queues."""
    return WorkDesk(world.settings, world.runs, world.live, FakeQueue(), world.clock, world.retraining.abandon)


def bury(world: World, run: Run) -> Run | None:
    """The message about the run's blob arrives in the poison queue."""
    container, _, name = run.blob.partition("/")
    return desk(world).bury(json.dumps({"ContainerName": container, "BlobName": name, "ETag": f'"{run.etag}"'}))


def second(world: World, state: str) -> Run:
    """A run that stands in `state` while the model of another is in service."""
    world.promoted()
    if state == "registered":
        world.workspace.fail("endpoint", THROTTLED)
    return world.look_until(world.drop("gas/second.csv"), state)


@pytest.mark.parametrize("state", ["training", "registered", "deploying", "verifying"])
def test_what_the_run_began_is_undone_and_the_live_model_stays(state: str) -> None:
    world = World(looks=2, canary_steps="10,100", canary_minutes=5)
    run = second(world, state)
    live = world.live_model()
    if state == "verifying":
        while len(world.traffic()) == 1:
            run = world.look(run)
    bury(world, run)
    run = world.settle(run)

    assert (run.state, run.error and run.error.code, run.ending) == ("failed", "crashed", None)
    assert run.error is not None
    assert "gas/second.csv" in run.error.message
    assert world.live_model() == live
    assert world.traffic() == {live.deployment: 100}
    assert [name for _, name in world.workspace.deployments] == [live.deployment]
    job = world.workspace.jobs[run.job or ""]
    assert job.end == ("canceled" if state == "training" else "succeeded")
    assert world.settle(world.drop("gas/third.csv")).state == "live", "it holds nobody up"


def test_a_job_that_was_started_without_being_recorded_is_cancelled() -> None:
    world = World(looks=5)
    run = world.drop("gas/x.csv")
    world.blobs.interruption = lambda operation, container, name: _die_with_a_job(world, operation)
    with pytest.raises(CrashError):
        world.look(run)
    world.blobs.interruption = None
    bury(world, run)

    run = world.read(run)
    assert (run.state, run.job) == ("failed", None)
    assert [job.end for job in world.workspace.jobs.values()] == ["canceled"]


def _die_with_a_job(world: World, operation: str) -> None:
    if operation == "put" and world.workspace.jobs:
        raise CrashError


def test_what_cannot_be_undone_at_once_is_undone_by_the_timer() -> None:
    world = World(looks=2)
    run = second(world, "deploying")
    world.look(run)
    world.workspace.fail("delete_deployment", THROTTLED)
    bury(world, run)

    marked = world.read(run)
    assert (marked.state, marked.ending and marked.ending["state"]) == ("deploying", "failed")
    assert bury(world, run) is None, "a second message finds it on its way out"
    world.tick()
    ended = world.read(run)
    assert (ended.state, ended.error and ended.error.code) == ("failed", "crashed")
    assert (ENDPOINT, run.deployment) not in world.workspace.deployments


def test_a_run_whose_model_is_in_service_already_has_succeeded() -> None:
    world = World()
    run = second(world, "verifying")

    def just_after_the_live_record(operation: str, container: str, name: str) -> None:
        if operation == "put" and world.live_model().run == run.id:
            raise CrashError

    world.blobs.interruption = just_after_the_live_record
    with pytest.raises(CrashError):
        world.settle(run)
    world.blobs.interruption = None
    bury(world, run)

    run = world.read(run)
    assert (run.state, run.error) == ("live", None)
    assert world.traffic() == {run.deployment: 100}


def test_an_activation_of_the_live_version_that_crashes_leaves_it_in_service() -> None:
    world = World(looks=0)
    first = world.promoted()
    back = world.activate("1")
    world.targets.fault = THROTTLED
    back = world.look_until(back, "verifying")
    assert bury(world, first) is None, "the dataset is the same, the message is not about this run"
    desk(world).bury(json.dumps({"dataset": "gas", "run": back.id}))

    assert world.settle(back).state == "failed"
    assert world.live_model().run == first.id
    assert world.traffic() == {first.deployment: 100}


def test_an_undoing_that_crashes_itself_comes_to_an_end_after_a_day() -> None:
    world = World(looks=2)
    run = second(world, "training")
    world.workspace.fail("cancel_job", *[RuntimeError("a defect")] * 3)
    with pytest.raises(RuntimeError):
        bury(world, run)
    with pytest.raises(RuntimeError):
        world.look(run)
    world.clock.advance(timedelta(hours=25))

    run = world.look(run)
    assert (run.state, run.error and run.error.code) == ("failed", "crashed")


def test_a_dataset_on_which_the_app_crashes_as_it_looks_at_it_is_failed() -> None:
    world = World()
    run = world.drop("gas/x.csv")
    buried = bury(world, run)

    assert buried is not None
    assert (buried.state, buried.error and buried.error.code) == ("failed", "crashed")
    assert [step.note for step in buried.history] == [None, "crashed"]
