"""Sweeps by the real SDK: trials as jobs, the best one named, laggards ended by what they log, and failures said."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import requests
from azure.ai.ml import MLClient, Output, command
from azure.ai.ml.entities import Job, Model
from azure.ai.ml.exceptions import JobException
from azure.ai.ml.sweep import (
    BanditPolicy,
    Choice,
    MedianStoppingPolicy,
    Objective,
    SweepJob,
    SweepJobLimits,
    TruncationSelectionPolicy,
    Uniform,
)
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient

from local.azureml.launch import AzureMLEmulator

from .conftest import ended, until

# Logs by MLflow's REST interface, as the address that Azure ML gives a job says; a laggard then goes on for minutes.
TRIAL = """\
import json, os, sys, time
from pathlib import Path

import requests

value, laggards, folder = float(sys.argv[1]), sys.argv[2].split(","), Path(sys.argv[3])
where = os.environ["MLFLOW_TRACKING_URI"].replace("azureml://", "https://").rstrip("?")
assert os.environ["AZUREML_SWEEP_value"] == sys.argv[1]
for step in range(2):
    answer = requests.post(
        f"{where}/api/2.0/mlflow/runs/log-metric",
        json={"run_id": os.environ["MLFLOW_RUN_ID"], "key": "quality", "value": value + step / 100, "step": step},
        headers={"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]},
        timeout=30,
    )
    answer.raise_for_status()
if sys.argv[1] in laggards:
    time.sleep(300)
if value < 0:
    sys.exit("the value is below zero")
(folder / "value.txt").write_text(sys.argv[1])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sweep") / "code"
    made.mkdir()
    (made / "trial.py").write_text(TRIAL, encoding="utf-8")
    return made


def sweep(folder: Path, environment: str, values: list[float], laggards: str = "-", **more: object) -> SweepJob:
    """A sweep over these values; its trials log them as their quality."""
    trial = command(
        code=folder,
        command="python trial.py ${{search_space.value}} ${{inputs.laggards}} ${{outputs.found}}",
        environment=environment,
    )
    options = {"sampling_algorithm": "grid", "search_space": {"value": Choice(values)}, **more}
    return SweepJob(
        trial=trial,
        compute="cpu-cluster",
        inputs={"laggards": laggards},
        outputs={"found": Output(type="custom_model", path="azureml://datastores/dropscore/paths/sweeps/${{name}}")},
        objective=Objective(goal="maximize", primary_metric="quality"),
        limits=SweepJobLimits(max_total_trials=len(values), max_concurrent_trials=len(values), timeout=600),
        **options,
    )


def statuses(client: MLClient, name: str) -> dict[str, str]:
    """The trials' statuses, by their value."""
    found = {}
    for child in client.jobs.list(parent_job_name=name):
        assert child.name.startswith(f"{name}_")
        found[child.tags["hyperparameters"]] = child.status
    return found


def test_the_best_trial_is_named_and_its_output_can_be_registered(
    client: MLClient, folder: Path, environment: str, blobs: BlobServiceClient
) -> None:
    job = client.jobs.create_or_update(sweep(folder, environment, [0.25, 0.75, 0.5]))
    done = ended(client, job.name)

    assert (job.status, done.status) == ("Running", "Completed")
    assert isinstance(done, SweepJob)
    assert (done.objective.primary_metric, done.objective.goal.lower()) == ("quality", "maximize")
    best = done.properties["best_child_run_id"]
    assert (best, done.properties["score"]) == (f"{job.name}_1", "0.76")
    assert blobs.get_blob_client("training", f"sweeps/{best}/value.txt").download_blob().readall() == b"0.75"
    assert set(statuses(client, job.name).values()) == {"Completed"}
    assert job.name in [each.name for each in client.jobs.list()]
    assert best not in [each.name for each in client.jobs.list()]
    client.jobs.stream(job.name)

    path = f"azureml://jobs/{best}/outputs/found"
    model = client.models.create_or_update(Model(name="swept", version="1", path=path, type="custom_model"))
    assert model.path.endswith(f"/paths/sweeps/{best}")
    assert model.job_name == best


@pytest.mark.parametrize(
    "policy",
    [
        BanditPolicy(slack_factor=0.2, evaluation_interval=2),
        MedianStoppingPolicy(evaluation_interval=2),
        TruncationSelectionPolicy(truncation_percentage=50, evaluation_interval=2),
    ],
    ids=lambda policy: type(policy).__name__,
)
def test_a_laggard_is_ended_by_what_it_logs(client: MLClient, folder: Path, environment: str, policy: object) -> None:
    asked = sweep(folder, environment, [0.75, 0.25], laggards="0.25", early_termination=policy)
    begun = time.monotonic()

    job = client.jobs.create_or_update(asked)
    done = ended(client, job.name)

    assert done.status == "Completed"
    assert statuses(client, job.name) == {'{"value": 0.75}': "Completed", '{"value": 0.25}': "Canceled"}
    assert done.properties["best_child_run_id"] == f"{job.name}_0"
    assert type(done.early_termination) is type(policy)
    assert time.monotonic() - begun < 200  # it would have gone on for 300 s


def test_a_sweep_whose_trials_all_fail_says_why(client: MLClient, folder: Path, environment: str) -> None:
    job = client.jobs.create_or_update(sweep(folder, environment, [-1.0, -2.0]))

    assert ended(client, job.name).status == "Failed"
    with pytest.raises(JobException, match=r"(?s)No trial of the sweep completed.*the value is below zero"):
        client.jobs.stream(job.name)


def test_one_failed_trial_does_not_fail_a_sweep(client: MLClient, folder: Path, environment: str) -> None:
    job = client.jobs.create_or_update(sweep(folder, environment, [-1.0, 0.5]))
    done = ended(client, job.name)

    assert (done.status, done.properties["best_child_run_id"]) == ("Completed", f"{job.name}_1")


def test_cancelling_a_sweep_ends_its_trials(client: MLClient, folder: Path, environment: str) -> None:
    job = client.jobs.create_or_update(sweep(folder, environment, [0.1, 0.2], laggards="0.1,0.2"))
    until(lambda: "Running" in statuses(client, job.name).values() or None)

    client.jobs.begin_cancel(job.name).result()

    assert client.jobs.get(job.name).status == "Canceled"
    assert set(statuses(client, job.name).values()) == {"Canceled"}


def test_what_is_logged_can_be_read(client: MLClient, folder: Path, environment: str, azureml: AzureMLEmulator) -> None:
    job = client.jobs.create_or_update(sweep(folder, environment, [0.5]))
    ended(client, job.name)
    tracking = client.workspaces.get(client.workspace_name).mlflow_tracking_uri
    token = client._credential.get_token(f"{azureml.url}/.default").token
    where = tracking.replace("azureml://", "https://") + "/api/2.0/mlflow"

    def get(path: str, **query: str) -> requests.Response:
        return requests.get(
            f"{where}/{path}",
            params=query,
            headers={"Authorization": f"Bearer {token}"},
            verify=azureml.client_environment()["REQUESTS_CA_BUNDLE"],
            timeout=30,
        )

    run = get("runs/get", run_id=f"{job.name}_0").json()["run"]
    history = get("metrics/get-history", run_id=f"{job.name}_0", metric_key="quality").json()["metrics"]
    missing = get("runs/get", run_id="nobody")

    assert run["info"]["status"] == "FINISHED"
    assert [(point["key"], point["value"]) for point in run["data"]["metrics"]] == [("quality", 0.51)]
    assert [(point["step"], point["value"]) for point in history] == [(0, 0.5), (1, 0.51)]
    assert (missing.status_code, missing.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def refused(client: MLClient, job: Job, words: str) -> None:
    with pytest.raises(HttpResponseError, match=words):
        client.jobs.create_or_update(job)


def test_a_sweep_that_cannot_run_is_refused_at_submission(client: MLClient, folder: Path, environment: str) -> None:
    asked = sweep(folder, environment, [0.5])
    asked.trial.command = "python trial.py ${{search_space.other}}"
    refused(client, asked, "search_space.other, which the sweep does not have")

    asked = sweep(folder, environment, [0.5], search_space={"value": Uniform(0, 1)})
    refused(client, asked, "choice parameters only")
