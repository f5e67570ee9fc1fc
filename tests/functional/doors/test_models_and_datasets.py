"""The doors to declared datasets and to versions that a person puts into service, and Azure ML's events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import azure.functions as func
import pytest

from aml.contract import DatasetContract, contract_names, load_contract
from shared.errors import WorkspaceUnavailableError
from shared.retraining.workspace import ModelVersion
from tests.fakes.endpoint import FakeEndpoint
from tests.fakes.model import MODEL, VERSION
from tests.fakes.workspace import FakeWorkspace
from tests.functional.doors.doors import Doors
from tests.functional.scoring.world import TRAINING_RUN, World

TAGS = {"run": TRAINING_RUN, "blob": "datasets/gas/x.csv", "etag": "0x1", "sha256": "0" * 64, "metric.recall": "0.61"}


@pytest.fixture
def doors(endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch) -> Doors:
    return Doors(World.build(endpoint), monkeypatch)


@pytest.fixture
def workspace(doors: Doors) -> FakeWorkspace:
    found = doors.world.app.workspace
    assert isinstance(found, FakeWorkspace)
    found.versions[MODEL] = [ModelVersion(MODEL, "6", TAGS), ModelVersion(MODEL, "5")]
    return found


def test_the_declared_datasets_are_listed(doors: Doors) -> None:
    listed = {each["dataset"]: each for each in doors.call("GET", "datasets").json["datasets"]}

    assert set(listed) == set(contract_names())
    assert (listed["gas"]["task"], listed["gas"]["model"]) == ("anomaly", "iforest_gas")
    assert listed["gas"]["live"]["version"] == VERSION


def test_a_dataset_is_shown_with_its_contract(doors: Doors) -> None:
    body = doors.call("GET", "datasets/gas").json

    assert body["dataset"] == "gas"
    assert [column["name"] for column in body["contract"]["columns"]] == ["FechaHora", "VolCorrected", "Serie"]
    assert body["contract"]["training"]["min_rows"] == 168
    assert "gas" in doors.call("GET", "datasets/water").problem(404, "unknown_dataset")


@pytest.mark.parametrize("name", contract_names())
def test_every_declared_dataset_is_shown_whole(doors: Doors, name: str) -> None:
    shown = doors.call("GET", f"datasets/{name}").json["contract"]

    assert DatasetContract.model_validate(shown) == load_contract(name)


def test_a_version_is_activated_by_a_run(doors: Doors, workspace: FakeWorkspace) -> None:
    answer = doors.call("POST", "models/gas/6/activate")

    assert answer.status == 202
    run = answer.json
    assert answer.headers["Location"] == f"/api/runs/{run['id']}"
    assert (run["kind"], run["state"], run["manual"]) == ("train", "registered", True)
    assert run["activated"] == {"version": "6", "run": TRAINING_RUN}
    assert run["metrics"] == {"recall": 0.61}
    assert [run["id"] in message for message in doors.world.queue.take_all()] == [True]
    assert doors.call("POST", "models/gas/6/activate").json["id"] == run["id"]
    assert doors.call("GET", "runs?kind=train&state=registered").json["runs"] == [run]


def test_what_cannot_be_activated_is_said(doors: Doors, workspace: FakeWorkspace) -> None:
    doors.call("POST", "models/gas/17/activate").problem(404, "version_not_found")
    doors.call("POST", "models/gas/5/activate").problem(400, "foreign_version")
    doors.call("POST", "models/water/6/activate").problem(404, "unknown_dataset")
    workspace.fail("models", WorkspaceUnavailableError("workspace_unavailable", "It does not answer at all."))
    doors.call("POST", "models/gas/6/activate").problem(503, "workspace_unavailable")
    assert doors.world.queue.messages == []


def _event(**changes: Any) -> func.EventGridEvent:
    about: dict[str, Any] = {
        "id": "1",
        "topic": "/subscriptions/s",
        "subject": "models/iforest_gas:6",
        "event_type": "Microsoft.MachineLearningServices.ModelRegistered",
        "event_time": datetime(2026, 11, 21, tzinfo=UTC),
        "data": {"ModelName": MODEL, "ModelVersion": 6},
        "data_version": "1",
    }
    return func.EventGridEvent(**about | changes)


def test_an_event_of_azure_ml_looks_at_the_runs_that_it_concerns(doors: Doors, workspace: FakeWorkspace) -> None:
    doors.call("POST", "models/gas/6/activate")
    before = workspace.calls.copy()

    doors.functions["workspace_changed"](_event(event_type="Microsoft.Storage.BlobCreated"))
    doors.functions["workspace_changed"](_event(subject=None, data=None))
    assert workspace.calls == before

    doors.functions["workspace_changed"](_event())
    assert workspace.calls["start_endpoint"] == 1
    cloud = func.CloudEvent(
        id="2",
        source="/s",
        type="Microsoft.MachineLearningServices.ModelRegistered",
        specversion="1.0",
        time=None,
        subject="models/iforest_gas:6",
        data={},
    )
    doors.functions["workspace_changed"](cloud)
    assert workspace.calls["endpoint"] > 1
