"""Two Functions hosts on one storage account score one file together, in parts, as two instances of the app would."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from azure.storage.blob import BlobServiceClient

from local.azurite import Azurite
from local.functions.launch import FunctionsHost
from local.processes import free_port, free_ports
from tests.fakes.endpoint import FakeEndpoint, poisoned_by
from tests.fakes.model import small_model
from tests.functional.scoring.world import World

_ROOT = Path(__file__).resolve().parents[3]
_ROWS = 120_000
_FIRST = datetime.fromisoformat("2001-01-01")
_DEADLINE_SECONDS = 120.0
_PER_REQUEST = 5_000
_REFUSED = (70_000,)


def _file() -> bytes:
    """So many hours of one meter, with a line that is no row and rows that the endpoint refuses."""
    values = np.random.default_rng(3).gamma(20, 1.0, _ROWS)
    values[list(_REFUSED)] = -1.25
    rows = [f"{_FIRST + timedelta(hours=hour)};{value:.4f}\n" for hour, value in enumerate(values)]
    rows.insert(100_000, "one;field;too many\n")
    return "".join(["FechaHora;VolCorrected\n", *rows]).encode()


@dataclass
class _Hosts:
    endpoint: FakeEndpoint
    blobs: BlobServiceClient
    environment: dict[str, str]
    folder: Path

    def start(self, name: str) -> FunctionsHost:
        """A host of this name; all are instances of one app."""
        host = FunctionsHost(
            _ROOT,
            port=free_port(),
            environment={**os.environ, **self.environment},
            log=self.log(name),
            scan_interval=0.2,
            options=("--host-id", "together"),
        )
        host.start()
        return host

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def scored_by(self, name: str) -> int:
        """How many parts a host has begun to score."""
        return self.log(name).read_text(encoding="utf-8").count("scoring part")

    def ended(self, blob: str) -> dict[str, Any]:
        """The record of the blob's run once it is completed."""
        runs, record = self.blobs.get_container_client("runs"), None
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while time.monotonic() < deadline:
            for info in runs.list_blobs("gas/", include=["metadata"]):
                if (info.metadata or {}).get("blob") == blob:
                    record = json.loads(runs.download_blob(info.name).readall())
                    if record["state"] == "completed":
                        return dict(record)
            time.sleep(0.05)
        raise AssertionError(f"{blob}: still {record}")

    def result(self, name: str) -> bytes:
        body: bytes = self.blobs.get_blob_client("results", f"gas/{name}").download_blob().readall()
        return body


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Hosts]:
    folder = tmp_path_factory.mktemp("together")
    blob, queue, table = free_ports(3)
    with ExitStack() as parts:
        azurite = parts.enter_context(
            Azurite(folder / "data", blob_port=blob, queue_port=queue, table_port=table, log=folder / "azurite.log")
        )
        endpoint = parts.enter_context(FakeEndpoint(*small_model(trees=5)).running())
        blobs = parts.enter_context(BlobServiceClient.from_connection_string(azurite.connection_string))
        environment = {
            "AzureWebJobsStorage": azurite.connection_string,
            "AML_ENDPOINT_URL": endpoint.url,
            "AML_ENDPOINT_KEY": "secret",
            "BLOB_TRIGGER_SOURCE": "LogsAndContainerScan",
            "RECONCILE_SCHEDULE": "* * * * * *",
            "SCORE_CLAIM_SECONDS": "4",
            "SCORE_ROWS_PER_REQUEST": str(_PER_REQUEST),
            "SCORE_SPLIT_BYTES": "700000",
        }
        yield _Hosts(endpoint, blobs, environment, folder)


@pytest.fixture(scope="module")
def whole(hosts: _Hosts) -> dict[str, bytes]:
    """The results of the same file where one instance scores it whole."""
    hosts.endpoint.calm()
    hosts.endpoint.mood = poisoned_by(-1.25)
    world = World.build(hosts.endpoint, score_split_bytes=0, score_rows_per_request=_PER_REQUEST)
    assert world.score("gas/x.csv", _file()).state == "completed"
    return {what: world.result(f"gas/x_{what}.csv") for what in ("scored", "rejected")}


def _same(hosts: _Hosts, name: str, whole: dict[str, bytes]) -> None:
    run = hosts.ended(f"incoming/gas/{name}.csv")
    manifest = json.loads(hosts.result(f"{name}_manifest.json"))
    assert {what: hosts.result(f"{name}_{what}.csv") for what in whole} == whole
    assert run["parts"]["done"] == run["parts"]["of"] == manifest["parts"] >= 4
    assert (manifest["counts"]["rows"], manifest["counts"]["errors"]) == (_ROWS + 1, len(_REFUSED))


def test_two_hosts_score_one_file_together(hosts: _Hosts, whole: dict[str, bytes]) -> None:
    with ExitStack() as running:
        for name in ("one", "two"):
            running.callback(hosts.start(name).stop)
        _until(hosts.blobs.get_container_client("incoming").exists)
        hosts.blobs.get_blob_client("incoming", "gas/x.csv").upload_blob(_file())

        _same(hosts, "x", whole)

        assert min(hosts.scored_by("one"), hosts.scored_by("two")) >= 1, "both took part"


@pytest.mark.slow
def test_a_host_that_is_killed_costs_the_other_one_its_parts(hosts: _Hosts, whole: dict[str, bytes]) -> None:
    asked = threading.Event()
    hosts.endpoint.calm()

    def mood(received: Any) -> Any:
        if len(hosts.endpoint.received) > 12:
            asked.set()
        return poisoned_by(-1.25)(received)

    hosts.endpoint.mood = mood
    with ExitStack() as running:
        doomed, other = hosts.start("doomed"), hosts.start("other")
        running.callback(other.stop)
        _until(hosts.blobs.get_container_client("incoming").exists)
        hosts.blobs.get_blob_client("incoming", "gas/y.csv").upload_blob(_file())
        assert asked.wait(_DEADLINE_SECONDS)
        os.kill(doomed.child.pid, signal.SIGKILL)
        _until(lambda: not doomed.child.running())

        _same(hosts, "y", whole)


def _until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.05)
