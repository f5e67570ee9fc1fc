"""One local cloud for all end-to-end tests, with a model that was trained through its own doors."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobServiceClient

from local.cloud import LocalCloud
from local.ports import Ports
from local.sample_data import hourly_gas, plain_csv

_DEADLINE_SECONDS = 150.0
SCORE_ENDS = {"completed", "failed", "superseded"}
TRAIN_ENDS = {"live", "rejected", "superseded", "invalid", "failed"}


@dataclass(frozen=True)
class Drops:
    """What a person can do with the storage alone: drop files, read results and records."""

    cloud: LocalCloud
    blobs: BlobServiceClient

    def drop(self, blob: str, data: bytes) -> None:
        """Uploads to ``<container>/<name>``."""
        container, _, name = blob.partition("/")
        self.blobs.get_blob_client(container, name).upload_blob(data, overwrite=True)

    def read(self, blob: str) -> bytes:
        """The content of ``<container>/<name>``."""
        container, _, name = blob.partition("/")
        content: bytes = self.blobs.get_blob_client(container, name).download_blob().readall()
        return content

    def run_of(self, blob: str) -> dict[str, Any] | None:
        """The newest run about the blob."""
        container = self.blobs.get_container_client("runs")
        try:
            for name in sorted(container.list_blob_names(), key=lambda name: name.rpartition("/")[2], reverse=True):
                record: dict[str, Any] = json.loads(container.download_blob(name).readall())
                if record["blob"] == blob:
                    return record
        except ResourceNotFoundError:
            return None
        return None

    def ended(self, blob: str) -> dict[str, Any]:
        """The blob's run, once it has ended."""
        run: dict[str, Any] = until(
            lambda: self.run_of(blob), lambda run: run["state"] in SCORE_ENDS | TRAIN_ENDS, blob
        )
        return run


def until(look: Callable[[], Any], good: Callable[[Any], bool], what: str) -> Any:
    """What `look` sees once it is there and good; fails the test when that takes too long."""
    deadline, seen = time.monotonic() + _DEADLINE_SECONDS, None
    while time.monotonic() < deadline:
        seen = look()
        if seen is not None and good(seen):
            return seen
        time.sleep(0.1)
    raise AssertionError(f"{what}: still {seen}")


@pytest.fixture(scope="module")
def drops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drops]:
    """The running cloud."""
    folder: Path = tmp_path_factory.mktemp("cloud")
    with (
        LocalCloud(folder, Ports.free(), scan_interval=1.0) as cloud,
        BlobServiceClient.from_connection_string(cloud.connection_string) as blobs,
    ):
        yield Drops(cloud, blobs)


@dataclass(frozen=True)
class Service:
    """A cloud whose first model went into service while a file was waiting for it."""

    drops: Drops
    early: str
    early_content: bytes
    training: dict[str, Any]


@pytest.fixture(scope="module")
def service(drops: Drops) -> Service:
    """Drops a file, sees it wait, drops a dataset, and sees its model go live."""
    readings = hourly_gas(datetime(2025, 1, 1), 60, seed=3)  # noqa: DTZ001 - meters write local wall-clock time
    early, content = "incoming/gas/early.csv", plain_csv(readings[45 * 24 :]).encode()
    drops.drop(early, content)
    until(lambda: drops.run_of(early), lambda run: run["state"] == "waiting", early)
    drops.drop("datasets/gas/first.csv", plain_csv(readings[: 45 * 24]).encode())
    training = drops.ended("datasets/gas/first.csv")
    assert training["state"] == "live", training
    return Service(drops, early, content, training)
