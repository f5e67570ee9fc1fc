"""The host's process is killed while it scores; the next one ends the run as if nothing had been, and asks less."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobServiceClient

from local.azurite import Azurite
from local.functions.launch import FunctionsHost
from local.processes import free_port, free_ports
from tests.fakes.endpoint import FakeEndpoint, Received
from tests.fakes.model import small_model

_ROOT = Path(__file__).resolve().parents[3]
_ROWS, _PER_REQUEST = 200_000, 5_000
_REQUESTS = _ROWS // _PER_REQUEST
_FIRST = datetime.fromisoformat("2001-01-01")
_DEADLINE_SECONDS = 120.0


def _file() -> bytes:
    """So many hours of one meter."""
    values = np.random.default_rng(3).gamma(20, 1.0, _ROWS)
    rows = [f"{_FIRST + timedelta(hours=hour)};{value:.4f}\n" for hour, value in enumerate(values)]
    return "".join(["FechaHora;VolCorrected\n", *rows]).encode()


@dataclass
class _Stack:
    """A storage account of its own, an endpoint in this process, and a host that is killed and started again."""

    endpoint: FakeEndpoint
    blobs: BlobServiceClient
    connection: str
    folder: Path
    data: bytes = field(default_factory=_file)
    host: FunctionsHost | None = None

    def start(self) -> None:
        """Starts a host, unless one runs."""
        if self.running:
            return
        own = {
            "AzureWebJobsStorage": self.connection,
            "AML_ENDPOINT_URL": self.endpoint.url,
            "AML_ENDPOINT_KEY": "secret",
            "BLOB_TRIGGER_SOURCE": "LogsAndContainerScan",
            "RECONCILE_SCHEDULE": "* * * * * *",
            "SCORE_CLAIM_SECONDS": "4",
            "SCORE_ROWS_PER_REQUEST": str(_PER_REQUEST),
        }
        host = FunctionsHost(
            _ROOT,
            port=free_port(),
            environment={**os.environ, **own},
            log=self.folder / "host.log",
            scan_interval=0.2,
            options=("--host-id", "killed"),
        )
        host.start()
        self.host = host

    def stop(self) -> None:
        """Stops the host in good order."""
        if self.host is not None:
            self.host.stop()

    def kill(self) -> None:
        """The host's process is gone from one moment to the next."""
        assert self.host is not None
        os.kill(self.host.child.pid, signal.SIGKILL)

    @property
    def running(self) -> bool:
        """Whether there is a host."""
        return self.host is not None and self.host.child.running()

    def drop(self, name: str) -> None:
        """Drops the file under this name, for a host that runs."""
        self.start()
        self.blobs.get_blob_client("incoming", f"gas/{name}.csv").upload_blob(self.data)

    def ended(self, name: str) -> dict[str, Any]:
        """Sees to it that a host runs, and waits for the end of the file's run."""
        deadline, run = time.monotonic() + _DEADLINE_SECONDS, None
        while time.monotonic() < deadline:
            self.start()
            run = self._run(name)
            if run is not None and run["state"] == "completed":
                return run
            time.sleep(0.05)
        raise AssertionError(f"{name}: still {run}")

    def _run(self, name: str) -> dict[str, Any] | None:
        runs = self.blobs.get_container_client("runs")
        for blob in runs.list_blobs("gas/", include=["metadata"]):
            if (blob.metadata or {}).get("blob") == f"incoming/gas/{name}.csv":
                record: dict[str, Any] = json.loads(runs.download_blob(blob.name).readall())
                return record
        return None

    def result(self, name: str, what: str) -> bytes:
        """One of the file's results."""
        body: bytes = self.blobs.get_blob_client("results", f"gas/{name}_{what}").download_blob().readall()
        return body

    def blocks(self, name: str) -> tuple[list[tuple[str, int]], list[str]]:
        """Name and size of the blocks that the scored file consists of, and the names of those that are staged."""
        try:
            client = self.blobs.get_blob_client("results", f"gas/{name}_scored.csv")
            committed, staged = client.get_block_list("all")
        except ResourceNotFoundError:
            return [], []
        return [(block.id, block.size) for block in committed], [block.id for block in staged]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Stack]:
    folder = tmp_path_factory.mktemp("killed")
    blob, queue, table = free_ports(3)
    with ExitStack() as parts:
        azurite = parts.enter_context(
            Azurite(folder / "data", blob_port=blob, queue_port=queue, table_port=table, log=folder / "azurite.log")
        )
        endpoint = parts.enter_context(FakeEndpoint(*small_model(trees=5)).running())
        blobs = parts.enter_context(BlobServiceClient.from_connection_string(azurite.connection_string))
        running = _Stack(endpoint, blobs, azurite.connection_string, folder)
        parts.callback(running.stop)
        running.start()
        for name in ("incoming", "results", "runs"):
            _until(blobs.get_container_client(name).exists)
        yield running


@dataclass(frozen=True)
class _Calm:
    """An undisturbed run: its scored file, its blocks and the time of each of its rows."""

    scored: bytes
    blocks: list[tuple[str, int]]

    def rows_in(self, count: int) -> int:
        """How many rows the first blocks show."""
        return self.scored[: sum(size for _, size in self.blocks[:count])].count(b"\n") - (1 if count else 0)


@pytest.fixture(scope="module")
def calm(stack: _Stack) -> _Calm:
    stack.endpoint.calm()
    stack.drop("calm")
    stack.ended("calm")
    return _Calm(stack.result("calm", "scored.csv"), stack.blocks("calm")[0])


def _until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _asked(received: Received) -> list[datetime]:
    """The times of the rows that a request wants scored."""
    times: list[datetime] = received.columns["FechaHora"][-received.rows :]
    return times


def _killed_at(stack: _Stack, calm: _Calm, name: str, request: int, then: float = 0.0) -> None:
    """The host is killed so many seconds after it asked for the n-th time."""
    stack.endpoint.calm()
    asked = threading.Event()
    stack.endpoint.mood = lambda received: asked.set() if len(stack.endpoint.received) >= request else None
    stack.drop(name)
    assert asked.wait(_DEADLINE_SECONDS)
    threading.Event().wait(then)
    stack.kill()
    _until(lambda: not stack.running)
    committed, staged = stack.blocks(name)
    left = {*staged, *(block for block, _ in committed)}
    before = len(stack.endpoint.received)

    run = stack.ended(name)

    after = stack.endpoint.received[before:]
    manifest = json.loads(stack.result(name, "manifest.json"))
    shown = _FIRST + timedelta(hours=calm.rows_in(len(left)))
    assert left <= {block for block, _ in calm.blocks}
    assert stack.result(name, "scored.csv") == calm.scored
    assert [block for block, _ in stack.blocks(name)[0]] == [block for block, _ in calm.blocks]
    assert run["attempts"] >= (1 if committed else 2)
    assert run["counts"] == manifest["counts"]
    assert manifest["counts"]["scored"] == _ROWS
    assert all(min(_asked(each)) >= shown for each in after), "what a block shows is not asked for again"
    _until(lambda: not list(stack.blobs.get_container_client("state").list_blobs(f"answers/gas/{run['id']}/")))


def test_a_host_killed_in_the_middle_of_a_file_changes_nothing(stack: _Stack, calm: _Calm) -> None:
    assert len(calm.blocks) > 2

    _killed_at(stack, calm, "middle", 28)


@pytest.mark.slow
@pytest.mark.parametrize("request_number", [1, 5, 19, 24, 38, _REQUESTS])
@pytest.mark.parametrize("then", [0.0, 0.03, 0.2, 0.6])
def test_a_host_killed_at_any_time_changes_nothing(
    stack: _Stack, calm: _Calm, request_number: int, then: float
) -> None:
    _killed_at(stack, calm, f"{request_number}-{then}", request_number, then)
