"""Drift that persists, over real storage: metadata, conditional writes and block commits as Azurite has them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from azure.storage.blob import BlobClient, BlobServiceClient, ContainerClient

from local.azurite import Azurite
from shared.naming import DATASETS, STATE, TRAINING
from shared.scoring.context import conform
from shared.storage import AzureBlobStore
from tests.fakes.blobs import FakeBlobStore
from tests.fakes.clock import FakeClock
from tests.fakes.endpoint import FakeEndpoint
from tests.fakes.model import small_model
from tests.fakes.queue import FakeQueue
from tests.functional.drift.profiles import leave, louder
from tests.functional.scoring.world import FIRST, GAS, TRAINING_RUN, World, app_over, hourly, settings, table

_FILES = 6


class _Own:
    """A storage account whose containers are this test's own."""

    def __init__(self, service: BlobServiceClient) -> None:
        self._service = service
        self._suffix = uuid4().hex[:12]

    def list_containers(self) -> list[Any]:
        return []

    def create_container(self, name: str) -> None:
        self._service.create_container(f"{name}-{self._suffix}")

    def get_blob_client(self, container: str, name: str) -> BlobClient:
        return self._service.get_blob_client(f"{container}-{self._suffix}", name)

    def get_container_client(self, container: str) -> ContainerClient:
        return self._service.get_container_client(f"{container}-{self._suffix}")


@pytest.fixture
def world(azurite: Azurite) -> Iterator[World]:
    """An app that retrains on drift, with a live model, its profile, and the rows that it was trained on."""
    with (
        FakeEndpoint(*small_model()).running() as endpoint,
        BlobServiceClient.from_connection_string(azurite.connection_string) as service,
    ):
        # the world's fake has nothing that the real one lacks, as far as it is used here
        blobs = cast(FakeBlobStore, AzureBlobStore(cast(BlobServiceClient, _Own(service))))
        clock, queue = FakeClock(), FakeQueue()
        chosen = settings(retrain_on_drift="persistent", retrain_drift_files=_FILES)
        world = World(endpoint, app_over(blobs, queue, clock, chosen), blobs, queue, clock)
        world.go_live()
        leave(world)
        hours = [FIRST - timedelta(hours=back) for back in range(200, 0, -1)]
        rows = conform(pa.table({"FechaHora": pa.array(hours, pa.timestamp("us")), "VolCorrected": [20.0] * 200}), GAS)
        body = io.BytesIO()
        pq.write_table(rows, body)
        blobs.put(TRAINING, f"gas/{TRAINING_RUN}/data.parquet", body.getvalue())
        yield world


def test_it_becomes_one_training_set_that_goes_the_ordinary_way(world: World) -> None:
    for number in range(_FILES):
        run = world.score(f"gas/day{number}.csv", table(louder(hourly(24, start=24 * number))))
        assert run.state == "completed", run.error
        assert world.manifest(run)["drift"]["verdict"] == "severe"
    assert len(list(world.blobs.list_blobs(STATE, "drift/gas/files/"))) == _FILES

    others = [world.again(retrain_on_drift="persistent", retrain_drift_files=_FILES) for _ in range(4)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda each: each.app.drift.look(), others))
    world.app.drift.look()

    (made,) = world.blobs.list_blobs(DATASETS, "gas/drift/")
    held, _ = world.app.retraining.receive(made)
    run = world.app.retraining.advance(held)
    assert run.state == "training", run.error
    assert run.reason is not None
    assert run.reason["data"]["recent_rows"] == _FILES * 24
    assert run.data is not None
    assert (run.data["usable"], run.data["unusable"]) == (200 + _FILES * 24, 0)
    assert run.data["in_time_order"]
