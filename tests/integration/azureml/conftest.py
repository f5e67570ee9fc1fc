"""The real SDK against the emulator: clients, a workspace with data, environment and code, and waiting."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import pytest
from azure.ai.ml import Input, MLClient, Output, command
from azure.ai.ml.entities import Environment, Job
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient

from local.azureml.launch import AzureMLEmulator
from local.azurite import Azurite

T = TypeVar("T")

TERMINAL = ("Completed", "Failed", "Canceled")

# What the job makes of its input, so that a served answer tells which data it goes back to.
TRAIN = """\
import os, sys
from pathlib import Path
from typing import TypeVar

source, target, factor = sys.argv[1:]
print("training", os.environ["AZUREML_RUN_ID"], flush=True)
Path(target, "weights.txt").write_text(str(float(Path(source).read_text()) * float(factor)))
"""

# Serves raw bodies; the header x-order makes it misbehave.
SCORE = """\
import json, os, time
from pathlib import Path
from typing import TypeVar

from azureml_inference_server_http.api.aml_request import rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse


def init():
    global WEIGHTS
    if os.environ.get("BREAK") == "init":
        raise RuntimeError("these weights do not fit")
    WEIGHTS = Path(os.environ["AZUREML_MODEL_DIR"], "model", "weights.txt").read_text()


@rawhttp
def run(request):
    order = request.headers.get("x-order", "")
    if order == "refuse":
        return AMLResponse({"error": "no such column"}, 400, json_str=True)
    if order == "crash":
        os._exit(7)
    if order.startswith("sleep"):
        time.sleep(float(order.split()[1]))
    if order == "echo":
        return AMLResponse(request.get_data(), 200, {"Content-Type": "application/octet-stream"})
    answer = {"weights": WEIGHTS, "colour": os.environ["COLOUR"], "model": os.environ["AZUREML_MODEL_DIR"]}
    return AMLResponse(answer, 200, json_str=True)
"""


@contextlib.contextmanager
def applied(settings: Mapping[str, str]) -> Iterator[None]:
    """The process's environment with these settings, and without what the SDK remembers of another cloud."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        patch.setenv("AZUREML_CURRENT_CLOUD", "")
        del os.environ["AZUREML_CURRENT_CLOUD"]
        yield


def new_client(settings: Mapping[str, str]) -> MLClient:
    """What the app does: nothing but settings says that this is not the cloud."""
    return MLClient(
        DefaultAzureCredential(),
        settings["AML_SUBSCRIPTION_ID"],
        settings["AML_RESOURCE_GROUP"],
        settings["AML_WORKSPACE_NAME"],
        show_progress=False,
    )


def until(look: Callable[[], T | None], seconds: float = 60.0) -> T:
    """The first thing that `look` finds; fails when it finds nothing in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found is not None:
            return found
        time.sleep(0.1)
    raise AssertionError(f"nothing within {seconds} s")


def ended(client: MLClient, name: str, seconds: float = 60.0) -> Job:
    """The job, once it has ended."""

    def look() -> Job | None:
        job = client.jobs.get(name)
        return job if job.status in TERMINAL else None

    return until(look, seconds)


@pytest.fixture(scope="session")
def blobs(azurite: Azurite) -> BlobServiceClient:
    return BlobServiceClient.from_connection_string(azurite.connection_string)


@pytest.fixture(scope="module")
def client(azureml: AzureMLEmulator) -> Iterator[MLClient]:
    settings = azureml.client_environment()
    with applied(settings):
        yield new_client(settings)


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("snapshot") / "code"
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN, encoding="utf-8")
    (folder / "score.py").write_text(SCORE, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def environment(client: MLClient, model_conda_file: Path) -> str:
    made = client.environments.create_or_update(
        Environment(
            name="serving", version="1", image="mcr.microsoft.com/azureml/minimal:latest", conda_file=model_conda_file
        )
    )
    return f"azureml:{made.name}:{made.version}"


def training_job(code: Path, environment: str, data: str, output: str, factor: float = 2.0) -> Job:
    """A command job that turns a number in `data` into a model at `output`."""
    return command(
        code=code,
        command="python train.py ${{inputs.data}} ${{outputs.model}} ${{inputs.factor}}",
        environment=environment,
        compute="cpu-cluster",
        inputs={"data": Input(type="uri_file", path=data, mode="ro_mount"), "factor": factor},
        outputs={"model": Output(type="custom_model", path=output)},
    )
