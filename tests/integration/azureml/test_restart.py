"""What outlives the emulator: everything, and nothing that it started."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
from azure.ai.ml import MLClient, command
from azure.ai.ml.entities import (
    CodeConfiguration,
    Environment,
    ManagedOnlineDeployment,
    ManagedOnlineEndpoint,
    Model,
)
from azure.ai.ml.sweep import Objective, SweepJob, SweepJobLimits, Uniform
from azure.storage.blob import BlobServiceClient

from local.azureml.launch import AzureMLEmulator
from local.azurite import Azurite
from local.certificates import ensure_certificate
from local.processes import free_port

from ..conftest import ENVIRONMENTS
from .conftest import applied, ended, new_client, until


@pytest.fixture
def emulator(azurite: Azurite, tmp_path: Path) -> Iterator[AzureMLEmulator]:
    """An emulator of the test's own, which may be stopped and killed."""
    emulator = AzureMLEmulator(
        tmp_path / "state",
        port=free_port(),
        azurite=azurite,
        environments=ENVIRONMENTS,
        certificate=ensure_certificate(tmp_path / "tls"),
        log=tmp_path / "azureml.log",
    )
    with emulator, applied(emulator.client_environment()):
        yield emulator


def test_a_restart_serves_the_same_model_under_the_same_key_and_finishes_the_jobs(
    emulator: AzureMLEmulator, code: Path, model_conda_file: Path, blobs: BlobServiceClient, tmp_path: Path
) -> None:
    # given a deployment with traffic, and a job and a sweep in the middle of their first attempts
    client = new_client(emulator.client_environment())
    uri, key = _deploy(client, code, model_conda_file, blobs)
    marker = tmp_path / "attempted"
    job = client.jobs.create_or_update(
        command(
            command=f"test -e {marker} || (touch {marker}; sleep 300)",
            environment="azureml:kept:1",
            compute="cpu-cluster",
        )
    )
    swept = client.jobs.create_or_update(_sweep(tmp_path / "swept"))
    until(lambda: (marker.exists() and any(tmp_path.glob("swept*"))) or None)

    # when the emulator is stopped, nothing of it stays; and when it is killed, the next one clears up
    family = psutil.Process(emulator.child.pid).children(recursive=True)
    emulator.stop()
    assert not any(_alive(process) for process in family)
    emulator.start()
    family = psutil.Process(emulator.child.pid).children(recursive=True)
    psutil.Process(emulator.child.pid).send_signal(signal.SIGKILL)
    emulator.stop()
    emulator.start()
    assert not any(_alive(process) for process in family)

    # then key, traffic and model are what they were, and the jobs were run again
    answer = requests.post(uri, headers={"Authorization": f"Bearer {key}"}, timeout=10)
    assert answer.json()["weights"] == "7"
    assert client.online_endpoints.get("kept").traffic == {"blue": 100}
    assert client.models.get("kept", version="1").tags == {"origin": "test"}
    assert ended(client, job.name).status == "Completed"
    assert ended(client, swept.name).status == "Completed"
    assert len(list(client.jobs.list(parent_job_name=swept.name))) == 3


def _sweep(marker: Path) -> SweepJob:
    """Three trials, one of which runs for minutes in its first attempt."""
    first = f"test -e {marker} || (touch {marker}; sleep 300)"
    return SweepJob(
        trial=command(command=f"echo ${{{{search_space.n}}}}; {first}", environment="azureml:kept:1"),
        compute="cpu-cluster",
        sampling_algorithm="random",
        search_space={"n": Uniform(0, 1)},
        objective=Objective(goal="minimize", primary_metric="none"),
        limits=SweepJobLimits(max_total_trials=3, max_concurrent_trials=1),
    )


def _deploy(client: MLClient, code: Path, conda: Path, blobs: BlobServiceClient) -> tuple[str, str]:
    blobs.get_blob_client("training", "kept/model/weights.txt").upload_blob(b"7", overwrite=True)
    path = "azureml://datastores/dropscore/paths/kept/model"
    client.models.create_or_update(Model(name="kept", path=path, type="custom_model", tags={"origin": "test"}))
    client.environments.create_or_update(Environment(name="kept", version="1", image="minimal", conda_file=conda))
    endpoint = client.online_endpoints.begin_create_or_update(
        ManagedOnlineEndpoint(name="kept", auth_mode="key")
    ).result()
    client.online_deployments.begin_create_or_update(
        ManagedOnlineDeployment(
            name="blue",
            endpoint_name="kept",
            model="azureml:kept:1",
            environment="azureml:kept:1",
            code_configuration=CodeConfiguration(code=str(code), scoring_script="score.py"),
            instance_type="Standard_DS3_v2",
            instance_count=1,
            environment_variables={"COLOUR": "blue"},
        )
    ).result()
    endpoint.traffic = {"blue": 100}
    client.online_endpoints.begin_create_or_update(endpoint).result()
    return endpoint.scoring_uri, client.online_endpoints.get_keys("kept").primary_key


def _alive(process: psutil.Process) -> bool:
    # a process that was killed may take a moment to go
    deadline = time.monotonic() + 5
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return True
        time.sleep(0.05)
    return False
