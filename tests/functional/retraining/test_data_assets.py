"""Every dataset that is trained on is a data asset of the workspace, the same one for the same bytes."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from shared.naming import TRAINING
from shared.retraining.assets import version_of
from shared.retraining.retirement import Retirement
from shared.retraining.workspace import TrainingJob
from shared.runs import Run
from shared.settings import Settings
from tests.functional.retraining.world import GAS, World, dataset


@pytest.fixture
def world() -> World:
    return World()


def asset_of(run: Run) -> dict[str, str]:
    assert run.asset is not None
    return {name: str(value) for name, value in run.asset.items()}


def retire_a_month_later(world: World) -> None:
    world.clock.advance(timedelta(days=31))
    Retirement(
        settings=Settings(retire_training_days=30),
        blobs=world.blobs,
        runs=world.runs,
        live=world.live,
        workspace=world.workspace,
        clock=world.clock,
    ).look()


def test_the_asset_says_what_was_dropped_and_the_job_and_the_model_name_it(world: World) -> None:
    run = world.promoted("gas/first.csv")
    asset = asset_of(run)
    digest = hashlib.sha256(dataset()).hexdigest()

    assert asset["name"] == "gas"
    assert asset["version"].startswith(f"{digest[:12]}-")
    assert asset["path"] == f"gas/{run.id}/data.parquet"
    told = {"dataset": "gas", "blob": run.blob, "etag": run.etag, "sha256": digest, "run": run.id}
    assert world.workspace.asset_tags == {("gas", asset["version"]): told}
    job = world.workspace.jobs[run.job or ""].asked
    assert job.data == world.workspace.assets[("gas", asset["version"])]
    (version,) = world.workspace.models(GAS.model_name)
    assert version.tags["data_asset"] == f"gas:{asset['version']}"


def test_the_same_bytes_are_the_same_version_under_whatever_name_they_are_dropped(world: World) -> None:
    first, again = world.promoted("gas/first.csv"), world.promoted("gas/copy.csv")
    other = world.settle(world.drop("gas/other.csv", dataset(days=21)))

    assert first.id != again.id
    assert asset_of(again) == asset_of(first)
    assert asset_of(other)["version"] != asset_of(first)["version"]
    assert len(world.workspace.assets) == 2


def test_other_rows_of_the_same_bytes_are_another_version(world: World) -> None:
    run = world.promoted()
    before = version_of(run)
    reread = run.model_copy(update={"data": {**(run.data or {}), "rows_sha256": "f" * 64}})

    assert version_of(reread) != before
    assert version_of(reread).split("-")[0] == before.split("-")[0]
    assert version_of(run.model_copy(update={"data": {"sha256": "0" * 64}})) == run.id


def test_an_asset_whose_file_is_gone_is_not_trained_on(world: World) -> None:
    first = world.promoted("gas/first.csv")
    world.blobs.delete(TRAINING, asset_of(first)["path"])
    again = world.promoted("gas/copy.csv")

    assert asset_of(again)["version"] == f"{asset_of(first)['version']}-{again.id}"
    assert asset_of(again)["path"] == f"gas/{again.id}/data.parquet"


def test_retirement_leaves_rows_that_a_registered_model_was_trained_on(world: World) -> None:
    world.workspace.job_ends = "failed"
    failed = world.settle(world.drop("gas/first.csv"))
    other = world.settle(world.drop("gas/other.csv", dataset(days=21)))
    world.workspace.job_ends = "succeeded"
    live = world.promoted("gas/copy.csv")
    assert (failed.state, other.state) == ("failed", "failed")
    assert asset_of(live)["path"].startswith(f"gas/{failed.id}/")
    retire_a_month_later(world)

    assert set(world.blobs.folders(TRAINING, "gas/")) == {failed.id, live.id}


def test_retirement_leaves_rows_that_a_job_reads_of_which_the_record_does_not_know_yet(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.workspace.job_ends = "failed"
    failed = world.settle(world.drop("gas/first.csv"))
    other = world.settle(world.drop("gas/other.csv", dataset(days=21)))
    start = world.workspace.start_training

    def started_and_retired(job: TrainingJob) -> None:
        start(job)
        retire_a_month_later(world)

    monkeypatch.setattr(world.workspace, "start_training", started_and_retired)
    again = world.look_until(world.drop("gas/copy.csv"), "training")

    assert asset_of(again)["path"] == f"gas/{failed.id}/data.parquet"
    assert set(world.blobs.folders(TRAINING, "gas/")) == {failed.id, again.id}
    assert (failed.state, other.state) == ("failed", "failed")
