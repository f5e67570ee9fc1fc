"""The adapter in its own process, over the real SDK: who loads what, and which end either of the two processes has."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, Popen
from typing import IO, Any, cast

import psutil
import pytest

from local.azureml.launch import AzureMLEmulator
from local.azurite import Azurite
from shared import processes
from shared.errors import WorkspaceRefusedError, WorkspaceUnavailableError
from shared.retraining.remote import RemoteWorkspace
from shared.retraining.workspace import ModelVersion
from tests.integration.retraining.test_workspace_contract import found_by_the_sdk

REPOSITORY = Path(__file__).resolve().parents[3]
LOADED = """
import json, os, sys
from shared.composition import build
from shared.errors import WorkspaceRefusedError
from shared.retraining.workspace import TrainingJob
from shared.settings import Settings

workspace = build(Settings()).workspace
job = TrainingJob("remote-1", "gas", "remote-1", "gas/remote-1", 0.02, {"run": "remote-1"})
workspace.start_training(job)
workspace.cancel_job(job.name)
found = workspace.job(job.name)
try:
    workspace.register("remote_gas", "no-such-job", "remote-1", {})
except WorkspaceRefusedError as error:
    code = error.code
loaded = [name for name in ("azure.ai.ml", "marshmallow", "msrest") if name in sys.modules]
print(json.dumps({"job": found.progress, "code": code, "loaded": loaded, "child": workspace.pid}), flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.fixture(scope="module", autouse=True)
def cloud(azureml: AzureMLEmulator) -> Iterator[None]:
    with found_by_the_sdk(azureml):
        yield


class Told:
    """The child's input, which tells when a call has gone through it."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self.sent = threading.Event()

    def flush(self) -> None:
        self._pipe.flush()
        self.sent.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe, name)


def ended(pid: int) -> bool:
    """Whether the process is gone, or nobody has to reap it but init, which containers may lack."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_a_training_goes_through_the_app_without_its_loading_the_sdk_and_the_child_ends_with_it(
    azurite: Azurite, tmp_path: Path
) -> None:
    environment = {**os.environ, "AzureWebJobsStorage": azurite.connection_string}

    with (tmp_path / "err").open("wb") as err:  # a pipe would stay open for as long as the child has it
        done = subprocess.run(
            [sys.executable, "-c", LOADED],
            cwd=REPOSITORY,
            env=environment,
            stdout=PIPE,
            stderr=err,
            text=True,
            timeout=120,
            check=False,
        )

    assert done.returncode == -signal.SIGKILL, (tmp_path / "err").read_text(encoding="utf-8")
    told = json.loads(done.stdout)
    assert (told["job"] in ("under way", "canceled"), told["code"], told["loaded"]) == (True, "workspace_refused", [])
    deadline = time.monotonic() + 60
    while not ended(told["child"]):
        assert time.monotonic() < deadline, "the child outlives the app"
        time.sleep(0.05)


def test_a_child_that_is_killed_in_the_middle_of_a_call_costs_that_call() -> None:
    inputs: list[Told] = []

    def start() -> Popen[bytes]:
        process = processes.start("shared.retraining.child", stdin=PIPE, stderr=PIPE)
        inputs.append(Told(cast(IO[bytes], process.stdin)))
        process.stdin = cast(IO[bytes], inputs[-1])
        return process

    workspace = RemoteWorkspace(start)
    errors: list[BaseException] = []

    def call() -> None:
        try:
            workspace.endpoint("no-such-endpoint")
        except WorkspaceUnavailableError as error:
            errors.append(error)

    try:
        assert workspace.endpoint("no-such-endpoint") is None
        killed = workspace.pid
        assert killed is not None
        inputs[0].sent.clear()
        os.kill(killed, signal.SIGSTOP)
        caller = threading.Thread(target=call)
        caller.start()
        assert inputs[0].sent.wait(60)
        os.kill(killed, signal.SIGKILL)
        caller.join()

        assert [str(error) for error in errors] == [
            "workspace_unavailable: The process that speaks to Azure ML ended with status -9."
        ]
        with pytest.raises(WorkspaceRefusedError) as caught:
            workspace.start_deployment("no-such-endpoint", "blue", ModelVersion("m", "1"), "run")
        assert caught.value.where["status"] in (400, 404)
        assert workspace.pid != killed
    finally:
        workspace.close()
