"""One contract, held over the workspace in memory and over the real SDK in its own process against the emulator."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from azure.ai.ml import MLClient
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient

from aml.contract import load_contract
from local.azureml.launch import AzureMLEmulator
from local.azurite import Azurite
from local.sample_data import hourly_gas
from shared.errors import TryAgainError, WorkspaceRefusedError
from shared.live import LiveModels
from shared.naming import CONTAINERS, TRAINING
from shared.retraining.azureml import AzureMLWorkspace
from shared.retraining.jobs import output_of
from shared.retraining.remote import RemoteWorkspace
from shared.retraining.smoke import smoke
from shared.retraining.workspace import DataAsset, Deployment, JobStatus, ModelVersion, TrainingJob, Workspace
from shared.scoring.context import conform, write_table
from shared.scoring.targets import AML_SCOPE, Target, Targets
from shared.settings import Settings
from shared.storage import AzureBlobStore, BlobStore
from tests.fakes.blobs import FakeBlobStore
from tests.fakes.workspace import FakeWorkspace

T = TypeVar("T")
GAS = load_contract("gas")
REPOSITORY = Path(__file__).resolve().parents[3]
ENDPOINT = "contract-gas"
MODEL = "contract_iforest_gas"


@dataclass(frozen=True)
class Place:
    """A workspace and the storage behind its datastore."""

    workspace: Workspace
    blobs: BlobStore
    job: TrainingJob
    another: Callable[[], Workspace]


@contextlib.contextmanager
def found_by_the_sdk(emulator: AzureMLEmulator) -> Iterator[None]:
    """The environment in which the SDK finds the emulator; it notes the cloud that it found in the environment too."""
    before = dict(os.environ)
    os.environ.pop("AZUREML_CURRENT_CLOUD", None)
    os.environ.update(emulator.client_environment())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="module", params=["memory", "emulator"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A workspace in which one training job was started, twice."""
    with contextlib.ExitStack() as stack:
        if request.param == "memory":
            blobs: BlobStore = FakeBlobStore()
            fake = FakeWorkspace(blobs, metrics="train")
            workspace: Workspace = fake
            workspaces: Callable[[], Workspace] = lambda: fake  # noqa: E731 - the other branch is one as well
        else:
            azurite: Azurite = request.getfixturevalue("azurite")
            stack.enter_context(found_by_the_sdk(request.getfixturevalue("azureml")))
            blobs = AzureBlobStore(BlobServiceClient.from_connection_string(azurite.connection_string))
            workspace = remote = RemoteWorkspace()
            stack.callback(remote.close)
            workspaces = lambda: AzureMLWorkspace(Settings(), DefaultAzureCredential())  # noqa: E731
        blobs.ensure_containers(CONTAINERS)
        job = TrainingJob("contract-1", "gas", "contract-run-1", "gas/contract-run-1", 0.02, {"run": "contract-run-1"})
        blobs.put(TRAINING, f"{job.folder}/data.parquet", parquet(days=20))
        asset = workspace.register_data(DataAsset("gas", "0123-4567", f"{job.folder}/data.parquet"), job.tags)
        job = replace(job, data=asset)
        workspace.start_training(job)
        workspace.start_training(job)
        yield Place(workspace, blobs, job, workspaces)


def table(days: int) -> pa.Table:
    readings = hourly_gas(datetime.fromisoformat("2026-01-01"), days, 1)
    columns = {"FechaHora": [each.time for each in readings], "VolCorrected": [each.volume for each in readings]}
    return conform(pa.table(columns), GAS)


def parquet(days: int) -> bytes:
    file = io.BytesIO()
    pq.write_table(table(days), file)
    return file.getvalue()


def until(look: Callable[[], T | None], seconds: float = 90) -> T:
    """What `look` finds in the end."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found is not None:
            return found
        time.sleep(0.2)
    raise AssertionError(f"nothing within {seconds} s")


def ended_job(place: Place, name: str) -> JobStatus:
    def look() -> JobStatus | None:
        job = place.workspace.job(name)
        assert job is not None
        return None if job.progress == "under way" else job

    return until(look)


def ended_deployment(place: Place, colour: str) -> Deployment:
    def look() -> Deployment | None:
        found = place.workspace.deployment(ENDPOINT, colour)
        return found if found and found.progress != "under way" else None

    return until(look)


def traffic_once_settled(place: Place) -> dict[str, int]:
    def look() -> dict[str, int] | None:
        found = place.workspace.endpoint(ENDPOINT)
        return dict(found.traffic) if found and found.progress == "succeeded" else None

    return until(look)


def test_what_is_not_there_is_none(place: Place) -> None:
    assert place.workspace.job("no-such-job") is None
    assert list(place.workspace.models("no_such_model")) == []
    assert place.workspace.endpoint("no-such-endpoint") is None
    assert place.workspace.deployment("no-such-endpoint", "blue") is None


def test_a_data_asset_leads_to_where_it_led_first(place: Place) -> None:
    assert place.job.data is not None
    again = replace(place.job.data, path="gas/elsewhere/data.parquet")

    assert place.workspace.register_data(again, {"run": "another"}) == place.job.data
    other = replace(again, version="89ab-cdef")
    assert place.workspace.register_data(other, {"run": "another"}) == other


def test_the_job_trains_on_the_file_and_leaves_model_and_metrics(place: Place) -> None:
    job = ended_job(place, place.job.name)
    metrics = json.loads(place.blobs.get(TRAINING, f"{place.job.folder}/{output_of(place.job.name)}/metrics.json")[0])

    assert job.progress == "succeeded"
    assert job.status == "Completed"
    assert job.url is not None
    assert job.url.startswith("https://")
    assert (metrics["rows"], metrics["contamination"]) == (480, 0.02)
    assert place.blobs.info(TRAINING, f"{place.job.folder}/{output_of(place.job.name)}/bundle.joblib").size > 0


def test_a_job_that_fails_leaves_its_reason_in_words(place: Place) -> None:
    job = replace(place.job, data=None, name="contract-2", run="contract-run-2", folder="gas/contract-run-2")
    place.blobs.put(TRAINING, f"{job.folder}/data.parquet", parquet(days=2))
    place.workspace.start_training(job)
    ended = ended_job(place, job.name)
    why = json.loads(place.blobs.get(TRAINING, f"{job.folder}/{output_of(job.name)}/error.json")[0])

    assert (ended.progress, ended.status) == ("failed", "Failed")
    assert why["code"] == "too_few_rows"
    assert "48 usable rows are too few" in why["message"]


def test_a_job_is_given_the_champion_and_measures_both(place: Place) -> None:
    ended_job(place, place.job.name)
    version = place.workspace.register(f"{MODEL}_champion", place.job.name, "contract-run-1", {})
    champion = ModelVersion(f"{MODEL}_champion", version)
    job = replace(
        place.job, data=None, name="contract-3", run="contract-run-3", folder="gas/contract-run-3", champion=champion
    )
    place.blobs.put(TRAINING, f"{job.folder}/data.parquet", parquet(days=25))
    place.workspace.start_training(job)
    assert ended_job(place, job.name).progress == "succeeded"
    metrics = json.loads(place.blobs.get(TRAINING, f"{job.folder}/{output_of(job.name)}/metrics.json")[0])

    assert "problem" not in metrics["champion"]
    # each of the two on the rows held out of either dataset
    for name in ("alert_rate", "recall", "detection"):
        for measured in (metrics, metrics["champion"]):
            assert 0 <= measured[name] <= 1
            assert 0 <= measured[f"reference_{name}"] <= 1
    assert place.blobs.info(TRAINING, f"{job.folder}/{output_of(job.name)}/holdout.parquet").size > 0


def test_a_run_is_registered_once_and_versions_count_as_numbers(place: Place) -> None:
    ended_job(place, place.job.name)
    made = [place.workspace.register(MODEL, place.job.name, f"run-{n}", {"metric.recall": f"{n}"}) for n in range(10)]
    again = [place.workspace.register(MODEL, place.job.name, f"run-{n}", {}) for n in range(10)]
    versions = place.workspace.models(MODEL)

    assert made == again == [str(n) for n in range(1, 11)]
    assert [each.version for each in versions] == [str(n) for n in range(10, 0, -1)]
    assert dict(versions[0].tags) == {"metric.recall": "9", "run": "run-9"}


def test_runs_that_register_at_once_get_a_version_each(place: Place) -> None:
    other = replace(place.job, data=None, name="contract-raced", run="contract-raced", folder="gas/contract-raced")
    place.blobs.put(TRAINING, f"{other.folder}/data.parquet", parquet(days=20))
    place.workspace.start_training(other)
    jobs = {"a": place.job.name, "b": other.name}
    for name in jobs.values():
        ended_job(place, name)
    got: dict[str, set[str]] = {"a": set(), "b": set()}
    barrier = threading.Barrier(4)

    def register(run: str) -> None:
        workspace = place.another()
        barrier.wait()

        def attempt() -> str | None:
            try:
                return workspace.register(f"{MODEL}_raced", jobs[run], run, {})
            except TryAgainError:
                return None

        got[run].add(until(attempt))

    threads = [threading.Thread(target=register, args=(run,)) for run in ("a", "b", "a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [len(versions) for versions in got.values()] == [1, 1]
    assert got["a"] | got["b"] == {"1", "2"}
    assert len(place.workspace.models(f"{MODEL}_raced")) == 2


def test_colours_are_deployed_without_traffic_and_take_it_by_turns(place: Place) -> None:
    ended_job(place, place.job.name)
    model = ModelVersion(MODEL, place.workspace.register(MODEL, place.job.name, "run-0", {}))
    place.workspace.start_endpoint(ENDPOINT, "gas")
    assert traffic_once_settled(place) == {}

    place.workspace.start_deployment(ENDPOINT, "blue", model, "run-blue")
    begun = place.workspace.deployment(ENDPOINT, "blue")
    assert begun is not None
    assert (begun.progress, begun.run) == ("under way", "run-blue")
    start_and_leave(place, "green", model, "run-green")
    assert ended_deployment(place, "blue") == Deployment("blue", "succeeded", "run-blue")
    assert ended_deployment(place, "green") == Deployment("green", "succeeded", "run-green")
    assert traffic_once_settled(place) == {}

    for colour in ("blue", "green", "green"):
        place.workspace.start_traffic(ENDPOINT, {colour: 100})
        assert traffic_once_settled(place) == {colour: 100}
    if isinstance(place.workspace, RemoteWorkspace):
        it_kept_its_ways_and_answers(place, model)
    it_takes_shares_and_is_deleted_without_any(place)


def it_takes_shares_and_is_deleted_without_any(place: Place) -> None:
    """Traffic may be divided or taken away; a deployment that has some stays, one without goes."""
    place.workspace.start_traffic(ENDPOINT, {"blue": 90, "green": 10})
    assert traffic_once_settled(place) == {"blue": 90, "green": 10}
    with pytest.raises(WorkspaceRefusedError):
        place.workspace.start_traffic(ENDPOINT, {"blue": 90, "green": 20})
    with pytest.raises(WorkspaceRefusedError):
        place.workspace.delete_deployment(ENDPOINT, "green")
    place.workspace.start_traffic(ENDPOINT, {})
    assert traffic_once_settled(place) == {}
    for _ in range(2):
        place.workspace.delete_deployment(ENDPOINT, "green")
    until(lambda: place.workspace.deployment(ENDPOINT, "green") is None or None)
    assert ended_deployment(place, "blue") == Deployment("blue", "succeeded", "run-blue")


def test_a_job_is_cancelled_once_and_again_and_one_that_is_not_there_is_fine(place: Place) -> None:
    job = replace(
        place.job, data=None, name="contract-cancelled", run="contract-cancelled", folder="gas/contract-cancelled"
    )
    place.blobs.put(TRAINING, f"{job.folder}/data.parquet", parquet(days=200))
    place.workspace.start_training(job)
    for _ in range(2):
        place.workspace.cancel_job(job.name)
    place.workspace.cancel_job("no-such-job")

    assert ended_job(place, job.name).progress == "canceled"
    ended_job(place, place.job.name)
    place.workspace.cancel_job(place.job.name)
    assert ended_job(place, place.job.name).progress == "succeeded"


def start_and_leave(place: Place, colour: str, model: ModelVersion, run: str) -> None:
    """As a function instance that ends as soon as it has begun the deployment: its poller keeps it from nothing."""
    if not isinstance(place.workspace, RemoteWorkspace):
        place.workspace.start_deployment(ENDPOINT, colour, model, run)
        return
    model_there = f"ModelVersion({model.name!r}, {model.version!r})"
    script = (
        "from azure.identity import DefaultAzureCredential\n"
        "from shared.retraining.azureml import AzureMLWorkspace\n"
        "from shared.retraining.workspace import ModelVersion\n"
        "from shared.settings import Settings\n"
        "workspace = AzureMLWorkspace(Settings(), DefaultAzureCredential())\n"
        f"workspace.start_deployment({ENDPOINT!r}, {colour!r}, {model_there}, {run!r})"
    )
    left = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert left.returncode == 0, left.stderr
    assert "Traceback" not in left.stderr
    begun = place.workspace.deployment(ENDPOINT, colour)
    assert begun is not None
    assert begun.run == run


def it_kept_its_ways_and_answers(place: Place, model: ModelVersion) -> None:
    """Three changes of traffic later the endpoint is still what it was made as, and each colour answers by its name."""
    settings, credential = Settings(), DefaultAzureCredential()
    client = MLClient(
        credential, settings.aml_subscription_id, settings.aml_resource_group, settings.aml_workspace_name
    )
    endpoint = client.online_endpoints.get(ENDPOINT)
    assert (endpoint.auth_mode, endpoint.tags) == ("aad_token", {"dataset": "gas"})
    assert endpoint.identity.type == "system_assigned"

    targets = Targets(settings, LiveModels(place.blobs), lambda fresh: credential.get_token(AML_SCOPE).token)
    rows = write_table(table(days=1))
    for colour in ("blue", "green"):
        answered = smoke(targets, GAS, Target(endpoint.scoring_uri, colour), model.version, rows)
        assert answered == {"rows": 24, "requests": 1, "deployment": colour}
    with pytest.raises(TryAgainError):
        smoke(targets, GAS, Target(endpoint.scoring_uri, "red"), model.version, rows)
    with pytest.raises(WorkspaceRefusedError, match="where version 17 should be"):
        smoke(targets, GAS, Target(endpoint.scoring_uri, "blue"), "17", rows)


def test_an_archived_version_is_hidden_and_its_number_stays_taken(place: Place) -> None:
    ended_job(place, place.job.name)
    model = f"{MODEL}_archived"
    for run in ("run-a", "run-b"):
        place.workspace.register(model, place.job.name, run, {})
    for _ in range(2):
        place.workspace.archive(model, "1")
    assert [each.version for each in place.workspace.models(model)] == ["2"]

    place.workspace.archive(model, "2")
    place.workspace.archive(model, "no-such-version")
    assert place.workspace.register(model, place.job.name, "run-c", {}) == "3"
    assert place.workspace.register(model, place.job.name, "run-a", {}) == "1"
    assert [each.version for each in place.workspace.models(model)] == ["3"]


def test_what_cannot_be_is_refused(place: Place) -> None:
    with pytest.raises(WorkspaceRefusedError):
        place.workspace.register(MODEL, "no-such-job", "run-of-nothing", {})
    with pytest.raises(WorkspaceRefusedError):
        place.workspace.start_deployment("no-such-endpoint", "blue", ModelVersion(MODEL, "1"), "run")
    with pytest.raises(WorkspaceRefusedError):
        place.workspace.start_traffic("no-such-endpoint", {"blue": 100})
