"""Two deployments of two real models behind the emulator's router, and rooms of storage to score files in."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import numpy as np
import pytest
import requests
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Model
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobClient, BlobServiceClient, ContainerClient

from aml.bundle import save_bundle
from aml.contract import load_contract
from aml.forest import build_pipeline
from aml.rows import single_series
from local.azureml.launch import AzureMLEmulator
from local.azurite import Azurite
from shared.composition import App
from shared.live import LiveModel
from shared.naming import INCOMING, RESULTS, TRAINING
from shared.retraining.azureml import AzureMLWorkspace
from shared.retraining.workspace import ModelVersion
from shared.runs import Run
from shared.scoring.targets import AML_SCOPE
from shared.settings import Settings
from shared.storage import AzureBlobStore
from tests.fakes.clock import FakeClock
from tests.fakes.queue import FakeQueue
from tests.fakes.workspace import FakeWorkspace
from tests.integration.azureml.conftest import applied, until

ENDPOINT, MODEL = "faulty-gas", "faulty_iforest_gas"
_HOUR_US = 3_600_000_000
_TREES = 20


class _Room:
    """A storage account whose containers are a test's own; what training left is everybody's."""

    def __init__(self, service: BlobServiceClient) -> None:
        self._service = service
        self._suffix = uuid4().hex[:12]

    def _own(self, container: str) -> str:
        return container if container == TRAINING else f"{container}-{self._suffix}"

    def list_containers(self) -> list[Any]:
        return []

    def create_container(self, name: str) -> None:
        self._service.create_container(self._own(name))

    def get_blob_client(self, container: str, name: str) -> BlobClient:
        return self._service.get_blob_client(self._own(container), name)

    def get_container_client(self, container: str) -> ContainerClient:
        return self._service.get_container_client(self._own(container))


@dataclass
class World:
    """The app over Azurite and the emulator, with a clock that stands still."""

    app: App
    blobs: AzureBlobStore
    clock: FakeClock

    def score(self, data: bytes) -> Run:
        """Drops the bytes as `gas/x.csv` and does what its event leads to."""
        self.blobs.put(INCOMING, "gas/x.csv", data)
        held, _ = self.app.files.receive(self.blobs.info(INCOMING, "gas/x.csv"))
        return self.app.files.run(held)

    def again(self, run: Run) -> Run:
        """What the timer leads to, once the run is due."""
        return self.app.files.run(self.app.runs.load(run.dataset, run.id))

    def result(self, name: str = "x_scored.csv") -> bytes:
        """One of the results."""
        return self.blobs.get(RESULTS, f"gas/{name}")[0]

    def manifest(self) -> dict[str, Any]:
        """The manifest."""
        found: dict[str, Any] = json.loads(self.result("x_manifest.json"))
        return found


@dataclass(frozen=True)
class Faulty:
    """The endpoint: blue has the traffic unless a test changed that, and both score differently."""

    url: str
    control: str
    credential: DefaultAzureCredential
    service: BlobServiceClient
    workspace: AzureMLWorkspace

    def order(self, *rules: dict[str, Any]) -> None:
        """From now on these faults happen."""
        answer = requests.put(self.control, json={"rules": rules}, headers=self._headers(), timeout=10)
        assert answer.status_code == 200, answer.text

    def injected(self) -> int:
        """How many were."""
        answer = requests.get(self.control, headers=self._headers(), timeout=10)
        return sum(rule["injected"] for rule in answer.json()["rules"])

    def route(self, deployment: str) -> None:
        """All traffic goes there."""
        self.workspace.start_traffic(ENDPOINT, {deployment: 100})

    def room(self, deployment: str = "blue", **changes: Any) -> World:
        """An app with storage of its own, in which that deployment is on record as live."""
        blobs = AzureBlobStore(cast(BlobServiceClient, _Room(self.service)))
        settings = Settings(**{"score_patience_seconds": 60, "score_rows_per_request": 64} | changes)
        clock = FakeClock(datetime.now(UTC))
        workspace = FakeWorkspace(blobs)
        app = App(settings, blobs, FakeQueue(), workspace, self._token, clock, clock.sleep)
        app.live.put(
            LiveModel(
                dataset="gas",
                model=MODEL,
                version={"blue": "1", "green": "2"}[deployment],
                run=f"faulty-{deployment}",
                endpoint=ENDPOINT,
                deployment=deployment,
                scoring_uri=self.url,
                since=clock(),
            )
        )
        return World(app, blobs, clock)

    def _token(self, fresh: bool) -> str:
        return self.credential.get_token(AML_SCOPE).token

    def _headers(self) -> dict[str, str]:
        token = self.credential.get_token("https://management.azure.com/.default").token
        return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def faulty(azureml: AzureMLEmulator, azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    """Both deployments, up."""
    settings = azureml.client_environment()
    with applied(settings), BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        credential = DefaultAzureCredential()
        workspace = AzureMLWorkspace(Settings(), credential)
        client = MLClient(
            credential,
            settings["AML_SUBSCRIPTION_ID"],
            settings["AML_RESOURCE_GROUP"],
            settings["AML_WORKSPACE_NAME"],
            show_progress=False,
        )
        workspace.start_endpoint(ENDPOINT, "gas")
        for version, colour in (("1", "blue"), ("2", "green")):
            path = _bundle(service, colour, seed=int(version), folder=tmp_path_factory.mktemp(colour))
            client.models.create_or_update(Model(name=MODEL, version=version, path=path, type="custom_model"))
            workspace.start_deployment(ENDPOINT, colour, ModelVersion(MODEL, version), f"faulty-{colour}")
        for colour in ("blue", "green"):
            until(lambda: _up(workspace, colour))  # noqa: B023 - called before the next colour
        workspace.start_traffic(ENDPOINT, {"blue": 100})
        found = workspace.endpoint(ENDPOINT)
        assert found is not None
        yield Faulty(found.scoring_uri, f"{azureml.url}/faults", credential, service, workspace)
        client.online_endpoints.begin_delete(ENDPOINT).result()


def _bundle(service: BlobServiceClient, colour: str, *, seed: int, folder: Path) -> str:
    """Fits a small model and leaves its bundle where a training run would have; returns the model's path."""
    gas = load_contract("gas")
    hours = np.arange(30 * 24)
    values = np.random.default_rng(seed).gamma(20, 1.0, len(hours))
    pipeline = build_pipeline(gas, 0.05).set_params(detector__n_estimators=_TREES)
    bundle = save_bundle(folder, pipeline.fit(single_series(hours * _HOUR_US, values)), gas, cast(Any, {}))
    place = f"gas/faulty-{colour}/model"
    client = service.get_blob_client(TRAINING, f"{place}/{bundle.name}")
    client.upload_blob(bundle.read_bytes(), overwrite=True)
    return f"azureml://datastores/dropscore/paths/{place}"


def _up(workspace: AzureMLWorkspace, colour: str) -> bool | None:
    found = workspace.deployment(ENDPOINT, colour)
    assert found is None or found.progress != "failed"
    time.sleep(0.1)
    return True if found and found.progress == "succeeded" else None
