"""Datasets that meet: replaced, overtaken, waiting for one another, and instances that come too late."""

from __future__ import annotations

import pytest

from shared.errors import NotFoundError
from shared.naming import DATASETS, TRAINING
from shared.retraining.workspace import TrainingJob
from shared.runs import Run
from tests.functional.retraining.world import ENDPOINT, THROTTLED, World, dataset


@pytest.mark.parametrize("what", ["replaced", "removed"])
def test_a_dataset_that_was_replaced_before_it_was_read_is_superseded(what: str) -> None:
    world = World()
    run = world.drop("gas/x.csv")
    if what == "replaced":
        newer = world.drop("gas/x.csv", dataset(days=25))
    else:
        world.blobs.delete(DATASETS, "gas/x.csv")
    run = world.look(run)

    assert run.state == "superseded"
    assert "replaced or removed" in (run.history[-1].note or "")
    assert not world.workspace.calls
    if what == "replaced":
        assert newer.id != run.id
        assert world.settle(newer).state == "live"


@pytest.mark.parametrize("at", [2, 5], ids=["survey", "read"])
def test_a_dataset_that_is_replaced_while_it_is_read_is_superseded(at: int) -> None:
    world = World()
    run = world.drop("gas/x.csv", dataset(days=200))
    pieces = 0

    def replace(operation: str, container: str, name: str) -> None:
        nonlocal pieces
        pieces += operation == "pieces"
        if pieces == at and operation == "pieces":
            world.blobs.put(DATASETS, "gas/x.csv", dataset())

    world.blobs.interruption = replace

    assert world.look(run).state == "superseded"
    assert pieces == at
    with pytest.raises(NotFoundError):
        world.blobs.info(TRAINING, f"gas/{run.id}/data.parquet")


@pytest.mark.parametrize("state", ["received", "validated", "training", "registered"])
def test_a_newer_dataset_overtakes_an_older_one_that_is_not_yet_deploying(state: str) -> None:
    world = World(looks=3)
    if state == "validated":
        world.workspace.fail("start_training", THROTTLED)
    older = world.drop("gas/older.csv")
    if state != "received":
        older = world.look_until(older, state)
    newer = world.drop("gas/newer.csv")
    newer = world.look(newer)
    older = world.look(older)

    assert newer.state == "training"
    assert older.state == "superseded"
    assert older.history[-1].note == f"overtaken by {newer.id} (datasets/gas/newer.csv)"
    job = world.workspace.jobs.get(older.job or "")
    assert (job and job.end) == {"training": "canceled", "registered": "succeeded"}.get(state)
    assert world.settle(newer).state == "live"
    assert world.live_model().run == newer.id


def test_a_newer_dataset_that_is_bad_overtakes_nothing() -> None:
    world = World()
    older = world.look(world.drop("gas/older.csv"))
    world.look(world.drop("gas/newer.csv", b""))

    assert world.settle(older).state == "live"


@pytest.mark.parametrize("state", ["deploying", "verifying"])
def test_a_newer_dataset_waits_for_one_that_is_being_deployed_and_is_judged_against_it(state: str) -> None:
    world = World(looks=6)
    older = world.look_until(world.drop("gas/older.csv"), state)
    world.workspace.looks = 0
    world.workspace.metrics = {"alert_rate": 0.01, "recall": 0.31}
    newer = world.look(world.drop("gas/newer.csv"))
    newer = world.look(newer)

    assert newer.state == "training"
    while (older := world.read(older)).state != "live":
        assert world.read(newer).state == "training"
        world.tick()
    newer = world.settle(newer)

    # its first job knew of no champion; the second measured the one that there is by then
    assert [note for note in (step.note for step in newer.history) if note and "job" in note] == [
        f"job gas-{newer.id.lower()}",
        f"again: job gas-{newer.id.lower()}-against-1",
    ]
    assert newer.champion is not None
    assert (newer.champion["run"], newer.champion["version"]) == (older.id, "1")
    assert (newer.state, newer.deployment) == ("live", "green")
    assert newer.verdict is not None
    assert "against the champion's 0.6" in newer.verdict["reasons"][1]


def test_two_runs_at_the_same_step_never_share_a_colour() -> None:
    world = World()
    runs = [world.drop(f"gas/{name}.csv") for name in ("a", "b", "c")]
    while any(world.read(run).state not in ("live", "superseded") for run in runs):
        before = {run.id: run.deployment for run in map(world.read, runs) if run.state in ("deploying", "verifying")}
        assert len(before) <= 1
        world.tick()

    assert world.live_model().run == max(run.id for run in runs)
    assert world.workspace.effects["deployment"] == sum(world.read(run).state == "live" for run in runs)


@pytest.mark.parametrize(("state", "later", "colour"), [("deploying", 2, "blue"), ("verifying", 1, "green")])
def test_an_instance_that_was_held_up_touches_nothing(state: str, later: int, colour: str) -> None:
    world = World()
    run = world.drop("gas/first.csv")
    stale = []
    while run.state != "live":
        run = world.look(run)
        if run.state == state:
            stale.append(world.runs.load("gas", run.id))
    others = [world.settle(world.drop(f"gas/later{n}.csv")) for n in range(later)]
    before = (world.workspace.effects.copy(), dict(world.workspace.deployments))
    assert (others[-1].state, others[-1].deployment) == ("live", colour)

    assert len(stale) > 1
    for held in stale:
        world.again().advance(held)

    assert (world.workspace.effects, world.workspace.deployments) == before
    assert world.live_model().run == others[-1].id
    assert world.workspace.endpoints[ENDPOINT].traffic == {colour: 100}


def test_a_promotion_that_is_recorded_too_late_does_not_undo_a_later_one() -> None:
    world = World()
    run = world.drop("gas/first.csv")
    later: list[Run] = []

    def others_go_on() -> None:
        assert world.settle(run).state == "live"
        later.append(world.settle(world.drop("gas/second.csv")))

    happened = world.meanwhile("state/live/gas.json", others_go_on)

    assert world.settle(run).state == "live"
    assert happened
    assert later[0].state == "live"
    assert world.live_model().run == later[0].id
    assert world.workspace.endpoints[ENDPOINT].traffic == {world.live_model().deployment: 100}


def test_of_two_runs_that_reach_for_the_idle_colour_at_once_one_gets_it() -> None:
    world = World()
    older = world.look_until(world.drop("gas/older.csv"), "training")
    newer: list[Run] = []

    def the_newer_one_is_quicker() -> None:
        newer.append(world.look_until(world.drop("gas/newer.csv"), "deploying"))

    happened = world.meanwhile("state/deploying/gas.json", the_newer_one_is_quicker)
    older = world.settle(older)

    assert happened
    assert older.state == "superseded"
    assert world.workspace.effects["deployment"] <= 1
    assert world.settle(newer[0]).state == "live"
    assert world.live_model().run == newer[0].id
    assert world.workspace.effects["deployment"] == 1


def test_a_job_that_was_started_for_a_run_which_ended_meanwhile_is_cancelled() -> None:
    world = World(looks=3)
    older = world.drop("gas/older.csv")
    newer: list[Run] = []
    held: list[Run] = []
    starts = world.workspace.start_training

    def held_up(job: TrainingJob) -> None:
        """The instance sleeps just before it starts the job, and a newer dataset goes by."""
        world.workspace.start_training = starts  # type: ignore[method-assign]
        newer.append(world.look(world.drop("gas/newer.csv")))
        held.append(world.look(older))
        starts(job)

    world.workspace.start_training = held_up  # type: ignore[method-assign]
    older = world.look(older)

    assert [run.state for run in (*newer, *held, older)] == ["training", "superseded", "superseded"]
    assert world.workspace.jobs[f"gas-{older.id}".lower()].end == "canceled"
    assert world.settle(newer[0]).state == "live"
