"""Azure ML's events are hints: twice, in any order, missing or made up, they change nothing in what comes of a run."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from shared.retraining.events import WorkspaceEvent
from shared.runs import Run
from tests.functional.retraining.world import ENDPOINT, GAS, World

SOURCE = "Microsoft.MachineLearningServices"
KINDS = ("RunCompleted", "RunStatusChanged", "ModelRegistered", "ModelDeployed", "DatasetDriftDetected", "SomethingNew")


def about(run: Run, kind: str, status: str = "Completed") -> WorkspaceEvent:
    """An event about the run's job, model or endpoint, as the documented schema has it."""
    job = run.job or f"gas-{run.id}".lower()
    if kind == "ModelRegistered":
        data: dict[str, Any] = {"ModelName": GAS.model_name, "ModelVersion": 1, "ModelTags": {"run": run.id}}
        return WorkspaceEvent(f"{SOURCE}.{kind}", f"models/{GAS.model_name}:1", data)
    if kind == "ModelDeployed":
        data = {"ServiceName": ENDPOINT, "ServiceComputeType": "Managed", "ModelIds": f"{GAS.model_name}:1"}
        return WorkspaceEvent(f"{SOURCE}.{kind}", f"endpoints/{ENDPOINT}", data)
    data = {"experimentId": "e", "experimentName": "dropscore-gas", "runId": job, "runStatus": status, "runTags": {}}
    return WorkspaceEvent(f"{SOURCE}.{kind}", f"experiments/e/runs/{job}", data)


def outcome(world: World) -> dict[str, object]:
    """All that counts of what came of everything."""
    records = sorted((held.run for held in world.runs.search(kind="train")), key=lambda run: run.blob)
    return {
        "states": [(run.blob, run.state, [step.state for step in run.history]) for run in records],
        "effects": dict(world.workspace.effects),
        "traffic": world.traffic(),
        "live": (world.live_model().version, world.live_model().deployment),
    }


def undisturbed() -> dict[str, object]:
    world = World(looks=2)
    for name in ("first", "second"):
        world.promoted(f"gas/{name}.csv")
    return outcome(world)


def test_events_alone_bring_a_run_to_its_end() -> None:
    world = World()
    world.promoted()
    run = world.look(world.drop("gas/second.csv"))
    kinds = iter(["RunStatusChanged", "RunCompleted", "ModelRegistered", *["ModelDeployed"] * 20])
    while world.read(run).state != "live":
        world.retraining.notice(about(world.read(run), next(kinds)))

    assert world.live_model().run == run.id


def drive(world: World, run: Run, events: list[WorkspaceEvent]) -> None:
    """Events and the timer by turns, then the timer alone."""
    for event in events:
        world.retraining.notice(event)
        world.look(run)
    world.settle(run)


STREAMS = {
    "none": [],
    "each twice": [kind for kind in KINDS for _ in range(2)],
    "the last first": list(reversed(KINDS)),
    "completed before it ran": ["RunCompleted", "RunStatusChanged"],
    "deployed before it was registered": ["ModelDeployed", "ModelRegistered"],
    "unknown": ["SomethingNew", "DatasetDriftDetected"],
}


@pytest.mark.parametrize("kinds", STREAMS.values(), ids=list(STREAMS))
def test_duplicates_another_order_missing_and_unknown_events_change_nothing(kinds: list[str]) -> None:
    world = World(looks=2)
    world.promoted("gas/first.csv")
    run = world.drop("gas/second.csv")
    drive(world, run, [about(run, kind) for kind in kinds])

    assert outcome(world) == undisturbed()


@pytest.mark.parametrize(
    "event",
    [
        WorkspaceEvent("Microsoft.Storage.BlobCreated", "runs/gas"),
        WorkspaceEvent.read(f"{SOURCE}.RunCompleted", None, None),
        WorkspaceEvent.read(f"{SOURCE}.RunCompleted", "experiments/e/runs/somebody-elses", {"runId": "somebody-elses"}),
        WorkspaceEvent.read(None, 7, ["not", "an", "object"]),
        WorkspaceEvent.read(f"{SOURCE}.RunCompleted", "", {"runId": None, "runTags": ["run"]}),
    ],
)
def test_what_is_about_nothing_of_ours_looks_at_nothing(event: WorkspaceEvent) -> None:
    world = World()
    world.look(world.drop("gas/first.csv"))
    calls = world.workspace.calls.copy()

    assert world.retraining.notice(event) == []
    assert world.workspace.calls == calls


def test_an_event_that_lies_about_its_job_is_not_believed() -> None:
    world = World(looks=5)
    run = world.look(world.drop("gas/first.csv"))
    (looked_at,) = world.retraining.notice(about(run, "RunStatusChanged", "Failed"))

    assert looked_at.state == "training"
    assert world.settle(run).state == "live"


def test_an_event_wakes_the_runs_of_its_own_job_alone() -> None:
    world = World(looks=5)
    older = world.look(world.drop("gas/older.csv"))
    newer = world.drop("gas/newer.csv")

    assert [run.id for run in world.retraining.notice(about(older, "RunCompleted"))] == [older.id]
    assert world.read(newer).state == "received"


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from(KINDS), st.sampled_from(["Completed", "Failed", "Canceled"]), st.booleans()),
        max_size=12,
    )
)
def test_no_stream_of_events_changes_what_comes_of_a_run(stream: list[tuple[str, str, bool]]) -> None:
    world = World(looks=2)
    world.promoted("gas/first.csv")
    run = world.drop("gas/second.csv")
    for kind, status, tick in stream:
        world.retraining.notice(about(world.read(run), kind, status))
        if tick:
            world.look(run)
    world.settle(run)

    assert outcome(world) == undisturbed()
