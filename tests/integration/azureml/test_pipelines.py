"""Pipeline jobs by the real SDK: steps in their order, one that fails, one that is cancelled, and what cannot run."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from azure.ai.ml import Input, MLClient, Output, command, dsl, load_job
from azure.ai.ml.entities import Job
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient

from local.installing import ROOT
from local.sample_data import hourly_gas, plain_csv

from .conftest import ended, until

STEP = "python -c \"import pathlib, sys; pathlib.Path(sys.argv[2]).joinpath('n').write_text({})\" "


def step(environment: str, name: str, expression: str) -> Any:
    """A component that makes one number of another."""
    return command(
        name=name,
        command=STEP.format(expression) + "${{inputs.before}} ${{outputs.after}} ${{inputs.factor}}",
        environment=environment,
        inputs={"before": Input(type="uri_folder"), "factor": 1},
        outputs={"after": Output(type="uri_folder")},
    )


def pipeline(environment: str, data: str, expression: str = "str(int(READ) + int(sys.argv[3]))") -> Job:
    """Two steps, the second of which reads what the first has made."""
    first = step(
        environment, "first", expression.replace("READ", "pathlib.Path(sys.argv[1]).joinpath('n').read_text()")
    )
    second = step(environment, "second", "pathlib.Path(sys.argv[1]).joinpath('n').read_text() + '!'")

    @dsl.pipeline(default_compute="cpu-cluster", display_name="two steps")
    def two(number, factor):  # type: ignore[no-untyped-def]  # the SDK reads annotations, but not as text
        one = first(before=number, factor=factor)
        two = second(before=one.outputs.after)
        return {"answer": two.outputs.after}

    return two(number=Input(type="uri_folder", path=data), factor=4)


@pytest.fixture
def data(blobs: BlobServiceClient) -> str:
    blobs.get_blob_client("training", "pipelines/in/n").upload_blob(b"38", overwrite=True)
    return "azureml://datastores/dropscore/paths/pipelines/in"


def test_steps_run_one_after_the_other_and_the_last_leaves_the_pipelines_output(
    client: MLClient, environment: str, data: str, blobs: BlobServiceClient
) -> None:
    job = client.jobs.create_or_update(pipeline(environment, data))
    done = ended(client, job.name)
    children = list(client.jobs.list(parent_job_name=job.name))

    assert (job.status, done.status) == ("NotStarted", "Completed")
    assert [(child.display_name, child.status) for child in children] == [("one", "Completed"), ("two", "Completed")]
    left = blobs.get_blob_client("azureml", f"azureml/{job.name}/answer/n")
    assert left.download_blob().readall() == b"42!"


def test_a_pipeline_fails_with_its_first_failing_step_and_starts_no_other(
    client: MLClient, environment: str, data: str
) -> None:
    job = client.jobs.create_or_update(pipeline(environment, data, "1 / 0"))

    assert ended(client, job.name).status == "Failed"
    assert [(child.display_name, child.status) for child in client.jobs.list(parent_job_name=job.name)] == [
        ("one", "Failed")
    ]


def test_cancelling_a_pipeline_ends_its_running_step(client: MLClient, environment: str, data: str) -> None:
    job = client.jobs.create_or_update(pipeline(environment, data, "__import__('time').sleep(300)"))
    until(lambda: [each for each in client.jobs.list(parent_job_name=job.name) if each.status == "Running"] or None)
    client.jobs.begin_cancel(job.name).result(timeout=60)

    assert client.jobs.get(job.name).status == "Canceled"
    assert [child.status for child in client.jobs.list(parent_job_name=job.name)] == ["Canceled"]


def test_what_could_not_run_is_refused_at_submission(client: MLClient, environment: str) -> None:
    with pytest.raises(HttpResponseError, match="nowhere"):
        client.jobs.create_or_update(pipeline(environment, "azureml://datastores/nowhere/paths/x"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_projects_own_pipeline_trains_what_its_single_job_trains(
    client: MLClient, blobs: BlobServiceClient
) -> None:
    # given ten days of readings
    readings = hourly_gas(datetime.fromisoformat("2026-01-01"), 10, 1)
    blobs.get_blob_client("training", "pipelines/gas.csv").upload_blob(plain_csv(readings).encode(), overwrite=True)
    data = {"inputs.data.path": "azureml://datastores/dropscore/paths/pipelines/gas.csv"}

    # when both jobs are submitted as they stand in the project
    files = [ROOT / "aml/jobs" / name for name in ("train.yml", "pipeline.yml")]
    jobs = [client.jobs.create_or_update(load_job(file, params_override=[data])) for file in files]
    done = [ended(client, job.name, seconds=500) for job in jobs]

    # then they leave the same
    single, steps = (_left(blobs, job.name) for job in jobs)
    assert [job.status for job in done] == ["Completed", "Completed"]
    assert steps == single
    assert "bundle.joblib" in single


def _left(blobs: BlobServiceClient, job: str) -> dict[str, bytes]:
    """The files of a job's output `model`, without the metrics, which say how long a search has taken."""
    container, prefix = blobs.get_container_client("azureml"), f"azureml/{job}/model/"
    names = [name for name in container.list_blob_names(name_starts_with=prefix) if not name.endswith("metrics.json")]
    return {name.removeprefix(prefix): container.download_blob(name).readall() for name in names}
