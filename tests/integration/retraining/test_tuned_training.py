"""Tuned training, held over the workspace in memory and over the real SDK against the emulator: a search inside the
job, and a sweep whose trials are jobs of their own."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure.ai.ml import MLClient
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient

from aml.contract import Tuning, load_contract, loading
from local.azurite import Azurite
from shared.errors import WorkspaceRefusedError
from shared.naming import CONTAINERS, TRAINING
from shared.retraining import azureml as adapter
from shared.retraining.azureml import AzureMLWorkspace
from shared.retraining.jobs import output_of
from shared.retraining.trials import adopt, asked_for, outcome, why_it_failed
from shared.retraining.workspace import JobStatus, TrainingJob, Workspace
from shared.settings import Settings
from shared.storage import AzureBlobStore, BlobStore
from tests.fakes.blobs import FakeBlobStore
from tests.fakes.workspace import FakeWorkspace
from tests.integration.retraining.test_workspace_contract import found_by_the_sdk, parquet, until

REPOSITORY = Path(__file__).resolve().parents[3]
SMALL = {"trees": {"values": [8, 16]}, "max_features": {"values": [0.5, 1.0]}}


class Place:
    """A workspace, the storage behind its datastore, and the code of which it is given a snapshot."""

    def __init__(self, workspace: Workspace, blobs: BlobStore, code: Path, settings: pytest.MonkeyPatch) -> None:
        self.workspace = workspace
        self.blobs = blobs
        self._code = code
        self._patch = settings

    def train(self, name: str, days: int = 20, **tuning: Any) -> tuple[TrainingJob, JobStatus]:
        """A job of the gas dataset with this tuning, once it has ended."""
        file = self._code / "aml/datasets/gas.yml"
        declared = yaml.safe_load((REPOSITORY / "aml/datasets/gas.yml").read_text(encoding="utf-8"))
        file.write_text(yaml.safe_dump(declared | {"tuning": tuning, "candidates": []}), encoding="utf-8")
        load_contract.cache_clear()
        gas = load_contract("gas")
        job = TrainingJob(name, "gas", name, f"gas/{name}", 0.02, {"run": name}, tuning=gas.tuning)
        self.blobs.put(TRAINING, f"{job.folder}/data.parquet", parquet(days))
        self.workspace.start_training(job)
        self.workspace.start_training(job)
        return job, until(lambda: self._ended(name))

    def _ended(self, name: str) -> JobStatus | None:
        status = self.workspace.job(name)
        assert status is not None
        return None if status.progress == "under way" else status

    def left(self, path: str) -> dict[str, Any]:
        """A JSON file that a job left."""
        found: dict[str, Any] = json.loads(self.blobs.get(TRAINING, path)[0])
        return found


@pytest.fixture(scope="module", params=["memory", "emulator"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    code = tmp_path_factory.mktemp("code")
    shutil.copytree(REPOSITORY / "aml", code / "aml", ignore=shutil.ignore_patterns("__pycache__"))
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "FOLDER", code / "aml/datasets")
        patch.setattr(adapter, "_AML", code / "aml")
        stack.callback(load_contract.cache_clear)
        if request.param == "memory":
            blobs: BlobStore = FakeBlobStore()
            workspace: Workspace = FakeWorkspace(blobs, metrics="train")
        else:
            azurite: Azurite = request.getfixturevalue("azurite")
            stack.enter_context(found_by_the_sdk(request.getfixturevalue("azureml")))
            blobs = AzureBlobStore(BlobServiceClient.from_connection_string(azurite.connection_string))
            workspace = AzureMLWorkspace(Settings(), DefaultAzureCredential())
        blobs.ensure_containers(CONTAINERS)
        yield Place(workspace, blobs, code, patch)


def test_a_search_inside_the_job_leaves_its_table(place: Place) -> None:
    job, status = place.train("tuned-inside", method="bayesian", space=SMALL, trials=2)

    found = outcome(place.blobs, job.folder, output_of(job.name), asked_for(job.tuning), status.best)

    assert (status.progress, status.best) == ("succeeded", None)
    assert found.tuning is not None
    assert (found.tuning["method"], found.tuning["measured"]) == ("bayesian", 3)
    assert found.tuning["best"]["value"] == max(trial["value"] for trial in found.tuning["trials"])
    assert "tuning" not in found.metrics
    assert place.workspace.register("tuned_inside", job.name, job.run, {}) == "1"


def test_the_best_trial_of_a_sweep_is_what_the_run_has(place: Place) -> None:
    policy = {"policy": "truncation", "truncation_percentage": 10}
    job, status = place.train(
        "tuned-sweep", method="sweep", sampling="random", space=SMALL, trials=2, early_termination=policy
    )

    found = outcome(place.blobs, job.folder, output_of(job.name), asked_for(job.tuning), status.best)
    again = outcome(place.blobs, job.folder, output_of(job.name), asked_for(job.tuning), status.best)

    assert status.progress == "succeeded"
    assert status.best is not None
    assert status.best.startswith("tuned-sweep_")
    assert found == again
    assert found.tuning is not None
    assert (found.tuning["method"], found.tuning["job"], found.tuning["measured"]) == ("sweep", status.best, 2)
    values = {trial["trial"]: trial["value"] for trial in found.tuning["trials"]}
    assert set(values) == {f"tuned-sweep_{number}" for number in range(2)}
    assert found.tuning["best"]["trial"] == status.best
    parameters = found.tuning["best"]["parameters"]
    assert {f"parameter_{name}": value for name, value in parameters.items()}.items() <= found.metrics.items()
    adopt(place.blobs, job.folder, found.place)
    trial = place.blobs.get(TRAINING, f"{job.folder}/trials/{status.best}/bundle.joblib")[0]
    assert place.blobs.get(TRAINING, f"{job.folder}/model/bundle.joblib")[0] == trial
    if isinstance(place.workspace, AzureMLWorkspace):
        it_registers_the_trials_output(place.workspace, status.best)


def it_registers_the_trials_output(workspace: AzureMLWorkspace, best: str) -> None:
    version = workspace.register("tuned_sweep", best, "tuned-sweep", {})
    settings = Settings()
    client = MLClient(
        DefaultAzureCredential(), settings.aml_subscription_id, settings.aml_resource_group, settings.aml_workspace_name
    )

    model = client.models.get("tuned_sweep", version)
    metrics = client.jobs.get("tuned-sweep").properties

    assert model.job_name == best
    assert model.path.endswith(f"/gas/tuned-sweep/trials/{best}")
    assert json.loads(metrics["primary_metric_config"]) == {"name": "search_detection", "goal": "maximize"}


def test_a_sweep_whose_trials_fail_says_why(place: Place) -> None:
    job, status = place.train("tuned-badly", days=2, method="sweep", space=SMALL, trials=1)

    assert (status.progress, status.best) == ("failed", None)
    assert "48 usable rows are too few" in (why_it_failed(place.blobs, job.folder, output_of(job.name)) or "")


def test_a_sweep_without_a_best_trial_is_refused(place: Place) -> None:
    tuning = Tuning.model_validate({"method": "sweep", "space": SMALL})

    with pytest.raises(WorkspaceRefusedError, match="No trial of the sweep logged search_detection") as caught:
        outcome(place.blobs, "gas/nowhere", "model", asked_for(tuning), None)

    assert caught.value.code == "sweep_without_best"
