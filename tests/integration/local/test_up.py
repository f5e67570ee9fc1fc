"""`make up` as a person meets it: ports in use, Ctrl-C pressed twice, a component that dies."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from azure.storage.blob import BlobServiceClient

from local.azurite import Azurite
from local.cloud import LocalCloud, app_environment, app_settings, sole_user
from local.installing import ROOT
from local.ports import Ports
from local.processes import Child, LocalCloudError, start, wait_until


class Up:
    """A running `python -m local.up --services-only` on free ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "state"
        self.ports = Ports.free()
        flags = [f"--{name}-port={port}" for name, port in dataclasses.asdict(self.ports).items()]
        command = [sys.executable, "-m", "local.up", "--services-only", "--folder", str(self.folder), *flags]
        log = folder / f"up-{self.ports.blob}.log"
        self.child: Child = start("make up", command, log=log, cwd=ROOT)

    def wait_until_ready(self) -> list[psutil.Process]:
        """All processes that it started, once it said that it is up."""
        wait_until(lambda: "Storage and Azure ML are up." in self.output, self.child, 60)
        return psutil.Process(self.child.pid).children(recursive=True)

    @property
    def output(self) -> str:
        """What it printed so far."""
        return self.child.log.read_text(encoding="utf-8")

    @property
    def connection_string(self) -> str:
        """Of its storage."""
        return app_settings(self.ports, self.folder)["AzureWebJobsStorage"]


@pytest.fixture
def bring_up(tmp_path: Path) -> Iterator[Callable[[], Up]]:
    started: list[Up] = []

    def bring() -> Up:
        started.append(Up(tmp_path))
        return started[-1]

    yield bring
    for up in started:
        up.child.stop(timeout=30)


def _exit_code(child: Child) -> int | None:
    deadline = time.monotonic() + 60
    while child.running() and time.monotonic() < deadline:
        time.sleep(0.05)
    return child.exit_code


def _alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def test_ctrl_c_pressed_twice_stops_everything_and_keeps_what_was_stored(bring_up: Callable[[], Up]) -> None:
    up = bring_up()
    processes = up.wait_until_ready()
    assert len(processes) >= 2
    with BlobServiceClient.from_connection_string(up.connection_string) as blobs:
        blobs.create_container("kept").upload_blob("a.txt", b"stored")

    os.kill(up.child.pid, signal.SIGINT)
    os.kill(up.child.pid, signal.SIGINT)

    assert _exit_code(up.child) == 0
    assert _alive(processes) == []
    assert "What was stored stays" in up.output
    again = Azurite(
        up.folder / "azurite",
        blob_port=up.ports.blob,
        queue_port=up.ports.queue,
        table_port=up.ports.table,
        log=up.folder / "again.log",
    )
    with again, BlobServiceClient.from_connection_string(again.connection_string) as blobs:
        assert blobs.get_blob_client("kept", "a.txt").download_blob().readall() == b"stored"


def test_a_component_that_dies_is_named_and_the_rest_is_stopped(bring_up: Callable[[], Up]) -> None:
    up = bring_up()
    processes = up.wait_until_ready()
    (azurite,) = [process for process in processes if "--blobPort" in process.cmdline()]

    azurite.kill()

    assert _exit_code(up.child) == 1
    assert "Azurite stopped by itself (exit code -9)" in up.output
    assert "make up" in up.output
    assert _alive(processes) == []


def test_what_a_killed_one_left_running_is_ended_by_the_next(bring_up: Callable[[], Up]) -> None:
    killed = bring_up()
    orphans = killed.wait_until_ready()
    os.kill(killed.child.pid, signal.SIGKILL)
    assert _exit_code(killed.child) == -signal.SIGKILL
    assert _alive(orphans) != []

    bring_up().wait_until_ready()

    assert _alive(orphans) == []


def test_ctrl_c_while_it_starts_leaves_nothing_behind(bring_up: Callable[[], Up]) -> None:
    up = bring_up()
    leader = psutil.Process(up.child.pid)
    wait_until(lambda: "Starting" in up.output and leader.children() != [], up.child, 30)
    processes = leader.children(recursive=True)

    os.kill(up.child.pid, signal.SIGTERM)

    assert _exit_code(up.child) == 0
    assert _alive(processes) == []
    assert "Stopped while" in up.output


def test_nothing_starts_while_a_port_is_taken_or_the_folder_is_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = dataclasses.replace(Ports.free(), azureml=server.getsockname()[1])
        with pytest.raises(LocalCloudError, match="meant for the Azure ML emulator, is in use"):
            LocalCloud(tmp_path, taken).start()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]

    with sole_user(tmp_path), pytest.raises(LocalCloudError, match="Another local cloud is running on"):
        LocalCloud(tmp_path, Ports.free()).start()


def test_the_example_settings_on_other_ports_are_those_of_azurite_and_the_emulator(
    tmp_path: Path, azurite: Azurite
) -> None:
    ports = dataclasses.replace(
        Ports.free(), blob=azurite.blob_port, queue=azurite.queue_port, table=azurite.table_port
    )
    cloud = LocalCloud(tmp_path, ports)

    assert (
        cloud.environment["AzureWebJobsStorage"]
        == azurite.connection_string
        == app_settings(ports, tmp_path)["AzureWebJobsStorage"]
    )
    for name, value in cloud.emulator().client_environment().items():
        if name != "IDENTITY_HEADER":
            assert cloud.environment[name] == value


def test_a_developer_s_own_azure_settings_do_not_reach_the_local_app() -> None:
    own = {
        "PATH": "/bin",
        "AZURE_CLIENT_ID": "real",
        "AzureWebJobsStorage__accountName": "real",
        "AML_ENDPOINT_URL": "x",
    }

    assert app_environment({"AML_WORKSPACE_NAME": "local"}, own) == {"PATH": "/bin", "AML_WORKSPACE_NAME": "local"}
