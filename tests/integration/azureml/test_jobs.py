"""Command jobs by the real SDK: run, fail, be cancelled, be stopped at their limit."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest
from azure.ai.ml import Input, MLClient, Output, command
from azure.ai.ml.entities import Data, Model
from azure.ai.ml.exceptions import JobException
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient

from .conftest import ended, training_job, until


def test_a_job_turns_a_data_asset_into_an_output_and_keeps_its_log(
    client: MLClient, code: Path, environment: str, blobs: BlobServiceClient
) -> None:
    # given a data asset that points into the datastore
    blobs.get_blob_client("training", "jobs/r1/data.txt").upload_blob(b"21", overwrite=True)
    asset = client.data.create_or_update(
        Data(
            name="numbers", version="r1", type="uri_file", path="azureml://datastores/dropscore/paths/jobs/r1/data.txt"
        )
    )

    # when a job reads it
    output = "azureml://datastores/dropscore/paths/jobs/${{name}}/model"
    job = client.jobs.create_or_update(training_job(code, environment, f"azureml:{asset.name}:{asset.version}", output))
    done = ended(client, job.name)

    # then its output lies where the job said, its log where the service keeps logs, and streaming it raises nothing
    assert (job.status, done.status) == ("Starting", "Completed")
    assert blobs.get_blob_client("training", f"jobs/{job.name}/model/weights.txt").download_blob().readall() == b"42.0"
    log = f"ExperimentRun/dcid.{job.name}/user_logs/std_log.txt"
    assert blobs.get_blob_client("azureml", log).download_blob().readall() == f"training {job.name}\n".encode()
    client.jobs.stream(job.name)


def test_a_failed_job_says_why(client: MLClient, code: Path, environment: str, blobs: BlobServiceClient) -> None:
    blobs.get_blob_client("training", "jobs/bad/data.txt").upload_blob(b"not a number", overwrite=True)
    data = "azureml://datastores/dropscore/paths/jobs/bad/data.txt"

    job = client.jobs.create_or_update(
        training_job(code, environment, data, "azureml://datastores/dropscore/paths/jobs/bad/model")
    )

    assert ended(client, job.name).status == "Failed"
    with pytest.raises(JobException, match=r"(?s)exited with status code 1.*could not convert string to float"):
        client.jobs.stream(job.name)
    assert not blobs.get_blob_client("training", "jobs/bad/model/weights.txt").exists()


def test_an_input_that_does_not_exist_fails_the_job_and_not_its_submission(
    client: MLClient, code: Path, environment: str
) -> None:
    data = "azureml://datastores/dropscore/paths/jobs/nowhere/data.txt"

    job = client.jobs.create_or_update(training_job(code, environment, data, "azureml://datastores/dropscore/paths/x"))

    assert ended(client, job.name).status == "Failed"
    with pytest.raises(JobException, match=r"nothing at 'jobs/nowhere/data\.txt'"):
        client.jobs.stream(job.name)


def test_cancelling_ends_the_whole_process_group(client: MLClient, environment: str, tmp_path: Path) -> None:
    # given a job whose shell has a child
    pids = tmp_path / "pids"
    job = client.jobs.create_or_update(
        command(
            command=f"sleep 300 & echo $$ $! > {pids}.new && mv {pids}.new {pids} && wait",
            environment=environment,
            compute="cpu-cluster",
        )
    )
    shell, child = until(lambda: pids.read_text().split() if pids.exists() else None)

    client.jobs.begin_cancel(job.name).result()

    assert client.jobs.get(job.name).status == "Canceled"
    assert not any(_alive(int(pid)) for pid in (shell, child))


def test_a_job_that_runs_over_its_limit_fails(client: MLClient, environment: str) -> None:
    job = command(command="sleep 300", environment=environment, compute="cpu-cluster")
    job.set_limits(timeout=1)
    started = time.monotonic()

    submitted = client.jobs.create_or_update(job)

    assert ended(client, submitted.name).status == "Failed"
    assert time.monotonic() - started < 30
    with pytest.raises(JobException, match="ran longer than its limit"):
        client.jobs.stream(submitted.name)


def test_a_folder_input_and_a_registered_output(client: MLClient, environment: str, blobs: BlobServiceClient) -> None:
    for name in ("a.txt", "deep/b.txt"):
        blobs.get_blob_client("training", f"jobs/folder/{name}").upload_blob(b"1", overwrite=True)

    job = client.jobs.create_or_update(
        command(
            command="cd ${{inputs.all}} && find . -type f | sort > ${{outputs.found}}/names.txt"
            ' && printf %s "$AZURE_ML_INPUT_note" >> ${{outputs.found}}/names.txt',
            environment=environment,
            compute="cpu-cluster",
            inputs={
                "all": Input(type="uri_folder", path="azureml://datastores/dropscore/paths/jobs/folder"),
                "note": "it's all",
            },
            outputs={"found": Output(type="custom_model", name="found-names")},
        )
    )

    assert ended(client, job.name).status == "Completed"
    stored = blobs.get_blob_client("azureml", f"azureml/{job.name}/found/names.txt").download_blob().readall()
    assert stored == b"./a.txt\n./deep/b.txt\nit's all"
    model = client.models.get("found-names", label="latest")
    assert (model.version, model.job_name) == ("1", job.name)


@pytest.mark.parametrize("mode", ["ro_mount", "download"])
def test_a_registered_model_is_an_input_of_a_job(
    client: MLClient, environment: str, blobs: BlobServiceClient, mode: str
) -> None:
    # given two versions of a model, one a folder and one a file
    for name in ("one/model/weights.txt", "one/model/deep/notes.txt", "two/weights.txt"):
        blobs.get_blob_client("training", f"jobs/models/{mode}/{name}").upload_blob(name.encode(), overwrite=True)
    store = f"azureml://datastores/dropscore/paths/jobs/models/{mode}"
    for version, path in (("1", "one/model"), ("2", "two/weights.txt")):
        model = Model(name=f"input-{mode}", version=version, path=f"{store}/{path}", type="custom_model")
        client.models.create_or_update(model)

    # when a job is given both
    job = client.jobs.create_or_update(
        command(
            command="cat ${{inputs.folder}}/weights.txt ${{inputs.folder}}/deep/notes.txt ${{inputs.file}}"
            " > ${{outputs.seen}}/seen.txt",
            environment=environment,
            compute="cpu-cluster",
            inputs={
                "folder": Input(type="custom_model", path=f"azureml:input-{mode}:1", mode=mode),
                "file": Input(type="custom_model", path=f"azureml:input-{mode}:2", mode=mode),
            },
            outputs={"seen": Output(type="uri_folder", path=f"{store}/seen")},
        )
    )

    # then it finds what was registered under these versions
    assert ended(client, job.name).status == "Completed"
    seen = blobs.get_blob_client("training", f"jobs/models/{mode}/seen/seen.txt").download_blob().readall()
    assert seen == b"one/model/weights.txtone/model/deep/notes.txttwo/weights.txt"
    asked = client.jobs.get(job.name).inputs["folder"]
    assert (asked.type, asked.mode) == ("custom_model", mode)


def test_what_cannot_run_is_refused_at_submission(client: MLClient, environment: str) -> None:
    with pytest.raises(ResourceNotFoundError, match="not found"):
        client.jobs.create_or_update(command(command="true", environment="azureml:nowhere:1", compute="cpu-cluster"))
    with pytest.raises(ResourceNotFoundError, match="not found"):
        client.jobs.create_or_update(
            command(
                command="ls ${{inputs.model}}",
                environment=environment,
                compute="cpu-cluster",
                inputs={"model": Input(type="custom_model", path="azureml:no-such-model:1")},
            )
        )
    with pytest.raises(HttpResponseError, match="Unknown compute target 'gpu'"):
        client.jobs.create_or_update(command(command="true", environment="azureml:nowhere:1", compute="gpu"))


def test_the_workspace_has_what_jobs_refer_to(client: MLClient) -> None:
    assert client.compute.get("cpu-cluster").provisioning_state == "Succeeded"
    assert client.datastores.get_default().name == "workspaceblobstore"
    assert client.datastores.get("dropscore").container_name == "training"
    with pytest.raises(ResourceNotFoundError):
        client.datastores.get("nowhere")


def _alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
