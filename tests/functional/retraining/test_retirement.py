"""Retirement over storage and a workspace in memory: what goes, what stays, and that it happens once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.errors import WorkspaceRefusedError, WorkspaceUnavailableError
from shared.naming import STATE, TRAINING
from shared.retraining.retirement import Retirement
from shared.runs import Run
from shared.settings import Settings
from tests.functional.retraining.world import ENDPOINT, GAS, World

MODEL = GAS.model_name


@pytest.fixture
def world() -> World:
    """Four models were promoted one after the other."""
    world = World()
    for n in range(4):
        world.promoted(f"gas/{n}.csv")
    return world


def retirement(world: World, **settings: Any) -> Retirement:
    return Retirement(
        settings=Settings(**settings),
        blobs=world.blobs,
        runs=world.runs,
        live=world.live,
        workspace=world.workspace,
        clock=world.clock,
    )


def active(world: World) -> list[str]:
    return [each.version for each in world.workspace.models(MODEL)]


def colours(world: World) -> set[str]:
    return {name for endpoint, name in world.workspace.deployments if endpoint == ENDPOINT}


def folders(world: World) -> set[str]:
    return set(world.blobs.folders(TRAINING, "gas/"))


def ended(world: World, name: str, state: str) -> Run:
    run = world.settle(world.drop(name))
    assert run.state == state, run.error
    return run


def test_nothing_is_retired_and_azure_ml_is_not_asked_unless_a_setting_says_so(world: World) -> None:
    calls = world.workspace.calls.total()
    world.clock.advance(timedelta(days=1000))
    retirement(world).look()

    assert world.workspace.calls.total() == calls
    assert (active(world), colours(world), len(folders(world))) == (["4", "3", "2", "1"], {"blue", "green"}, 4)


def test_old_versions_are_archived_but_neither_the_live_one_nor_the_one_before_it(world: World) -> None:
    retirement(world, retire_models_kept=1).look()

    assert active(world) == ["4", "3", "2"]
    assert world.live_model().version == "4"


def test_the_live_version_stays_however_old_it_is(world: World) -> None:
    live, etag = world.live.held("gas")
    assert live is not None
    world.live.put(live.model_copy(update={"version": "1", "run": "another"}), etag)
    retirement(world, retire_models_kept=1).look()

    # 1 is live, 4 was promoted before it, and 3 is deployed; 2 is the newest of the others
    assert active(world) == ["4", "3", "2", "1"]


def test_a_version_that_is_being_deployed_stays(world: World) -> None:
    run = world.look_until(world.drop("gas/new.csv"), "registered", "deploying")
    assert run.model_version == "5"
    retirement(world, retire_models_kept=1).look()

    assert active(world) == ["5", "4", "3", "2"]


def test_a_new_version_takes_the_next_number_although_old_ones_are_archived(world: World) -> None:
    retirement(world, retire_models_kept=1).look()

    assert world.promoted("gas/next.csv").model_version == "5"


def test_the_old_colour_is_deleted_when_its_time_is_over(world: World) -> None:
    due = retirement(world, retire_idle_deployment_hours=24)
    live = world.live_model().deployment
    due.look()
    assert colours(world) == {"blue", "green"}
    world.clock.advance(timedelta(hours=25))
    due.look()

    assert colours(world) == {live}
    assert world.workspace.endpoints[ENDPOINT].traffic == {live: 100}


def test_the_old_colour_stays_while_a_run_is_about_to_use_it(world: World) -> None:
    world.clock.advance(timedelta(hours=48))
    world.look_until(world.drop("gas/new.csv"), "deploying")
    retirement(world, retire_idle_deployment_hours=24).look()

    assert colours(world) == {"blue", "green"}


def test_a_dataset_is_promoted_after_its_idle_colour_was_deleted(world: World) -> None:
    world.clock.advance(timedelta(hours=48))
    retirement(world, retire_idle_deployment_hours=24).look()
    before = world.live_model().deployment
    world.promoted("gas/next.csv")

    assert world.live_model().deployment != before
    assert colours(world) == {"blue", "green"}


def test_the_data_of_runs_that_came_to_nothing_is_deleted_and_their_records_stay(world: World) -> None:
    promoted = folders(world)
    world.workspace.job_ends = "failed"
    failed = ended(world, "gas/failed.csv", "failed")
    world.workspace.job_ends, world.workspace.metrics = "succeeded", {"alert_rate": 0.9, "recall": 0.0}
    rejected = ended(world, "gas/rejected.csv", "rejected")
    due = retirement(world, retire_training_days=30)
    due.look()
    assert {failed.id, rejected.id} <= folders(world)
    world.clock.advance(timedelta(days=31))
    due.look()

    assert folders(world) == promoted
    assert [world.read(run).state for run in (failed, rejected)] == ["failed", "rejected"]


def test_the_data_of_a_run_whose_version_is_registered_stays(world: World) -> None:
    world.workspace.deployment_ends = "failed"
    run = ended(world, "gas/registered.csv", "failed")
    assert run.model_version == "5"
    world.clock.advance(timedelta(days=365))
    retirement(world, retire_training_days=30).look()

    assert run.id in folders(world)


def test_a_folder_without_a_run_stays(world: World) -> None:
    world.blobs.put(TRAINING, "gas/20200101T000000Z-train-01234567/data.parquet", b"x")
    world.blobs.put(TRAINING, "gas/by-hand/data.parquet", b"x")
    retirement(world, retire_training_days=1).look()

    assert {"20200101T000000Z-train-01234567", "by-hand"} <= folders(world)


def test_of_many_instances_one_looks_and_only_once_an_hour(world: World) -> None:
    instances = [retirement(world, retire_models_kept=1) for _ in range(3)]
    before = world.workspace.calls["models"]
    for instance in instances:
        instance.look()
    assert world.workspace.calls["models"] == before + 1
    world.clock.advance(timedelta(hours=1))
    for instance in instances:
        instance.look()

    assert world.workspace.calls["models"] == before + 2


def test_what_was_kept_of_files_goes_when_it_is_old_and_neither_model_needs_it(world: World) -> None:
    promoted = [world.runs.load("gas", each).run for each in sorted(folders(world))]
    trained = {run.id: (run.data or {})["last_time"] for run in promoted}
    assert len(set(trained.values())) == 1
    for run in promoted:
        about = {"run": "r", "model": run.id, "end": "1"}
        world.blobs.put(STATE, f"drift/gas/files/{run.id}.json", b"{}", metadata=about)
    scored = world.scored("gas/file.csv")
    world.blobs.put(STATE, f"context/gas/{scored.id}.arrow", b"rows")
    retirement(world, retire_state_days=30).look()
    assert len(list(world.blobs.list_blobs(STATE, "drift/"))) == 4
    world.clock.advance(timedelta(days=31))
    retirement(world, retire_state_days=30).look()

    left = [info.name.rpartition("/")[2] for info in world.blobs.list_blobs(STATE, "drift/")]
    assert left == [f"{run.id}.json" for run in promoted[-2:]]
    assert list(world.blobs.list_blobs(STATE, "context/")) == []
    assert world.live_model().version == "4"
    assert world.promoted("gas/next.csv").model_version == "5"


@pytest.mark.parametrize(
    "error",
    [WorkspaceUnavailableError("workspace_unavailable", "No."), WorkspaceRefusedError("workspace_refused", "No.")],
)
def test_what_azure_ml_refuses_stops_nothing_else_and_is_tried_again(world: World, error: Exception) -> None:
    due = retirement(world, retire_models_kept=1, retire_idle_deployment_hours=1)
    world.clock.advance(timedelta(hours=2))
    world.workspace.fail("archive", error)
    due.look()
    assert (len(active(world)), len(colours(world))) == (4, 1)
    world.clock.advance(timedelta(hours=1))
    due.look()

    assert active(world) == ["4", "3", "2"]
