"""Every route's answers, good and bad, as a client sees them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

import function_app
from aml.contract import load_contract
from local.processes import free_port
from shared.errors import StorageUnavailableError, WorkspaceRefusedError, WorkspaceUnavailableError
from shared.naming import DATASETS, INCOMING, RUNS
from shared.retraining.workspace import ModelVersion
from shared.version import VERSION as APP_VERSION
from tests.fakes.endpoint import FakeEndpoint, refusal
from tests.fakes.model import MODEL, VERSION
from tests.fakes.workspace import FakeWorkspace
from tests.functional.doors.doors import Doors
from tests.functional.scoring.world import TRAINING_RUN, World, hourly, rows_of, table

_RECORDS = [{"FechaHora": f"2024-01-01 {hour:02}:00:00", "VolCorrected": 20 + hour / 4} for hour in range(12)]
_WORKSPACE: dict[str, Any] = {"aml_subscription_id": "s", "aml_resource_group": "g", "aml_workspace_name": "w"}


@pytest.fixture
def doors(world: World, monkeypatch: pytest.MonkeyPatch) -> Doors:
    return Doors(world, monkeypatch)


def _without_a_model(endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Doors:
    return Doors(World.build(endpoint, live=False, **changes), monkeypatch)


# -- score, at once ------------------------------------------------------------------------------------------------


def test_records_are_answered_in_the_earlier_systems_shape_and_more(doors: Doors) -> None:
    answered = doors.call("POST", "datasets/gas/score", {"data": _RECORDS})

    assert answered.status == 200
    body = answered.json
    assert (body["ok"], body["rows"]) == (True, 12)
    assert len(body["preview"]) == 10
    assert body["preview"][3] == {**_RECORDS[3], **body["predictions"][3]}
    assert list(body["predictions"][0]) == [column.name for column in load_contract("gas").predictions]
    assert body["predictions"][0]["anomaly"] in (0, 1)
    assert body["model"] == {"name": MODEL, "version": VERSION, "deployment": "blue"}
    lines = base64.b64decode(body["csv_base64"]).decode().splitlines()
    assert lines[0].startswith("FechaHora;VolCorrected;anomaly;anomaly_score;expected;")
    assert lines[0].endswith(";error")
    assert lines[1].startswith("2024-01-01 00:00:00;20.0;")
    assert lines[12].split(";")[3] == repr(body["predictions"][11]["anomaly_score"])


def test_a_table_is_answered_as_a_scored_file_where_that_is_asked_for(doors: Doors) -> None:
    expected = World.build(doors.world.endpoint).scored("gas/x.csv", table(hourly(30)))

    as_json = doors.call("POST", "datasets/gas/score", table(hourly(30)), content_type="text/csv; charset=utf-8")
    as_csv = doors.call("POST", "datasets/gas/score", table(hourly(30)), accept="text/csv")

    assert (as_csv.status, as_csv.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert as_csv.body == base64.b64decode(as_json.json["csv_base64"]) == expected
    assert as_json.json["preview"][0]["Caudal"] == hourly(1)[0][1]


def test_rows_at_fault_keep_their_place_and_say_why(doors: Doors) -> None:
    body = b"FechaHora;VolCorrected\n2024-01-01;1,5\n2024-01-02;mucho\none;two;three\n"

    answer = doors.call("POST", "datasets/gas/score", body, content_type="text/csv").json

    counts = answer["counts"]
    assert (counts["rows"], counts["scored"], counts["errors"], counts["rejected"]) == (3, 1, 1, 1)
    assert answer["rows"] == 2
    assert "mucho" in answer["predictions"][1]["error"]
    assert answer["predictions"][1]["anomaly"] is None
    assert [reject["line"] for reject in answer["rejected"]] == [4]


def test_a_table_scored_at_once_has_the_context_of_files_before_and_is_none_itself(doors: Doors) -> None:
    rows = hourly(60)
    whole = rows_of(World.build(doors.world.endpoint).scored("gas/x.csv", table(rows)))
    doors.world.scored("gas/1.csv", table(rows[:24]))

    for _ in range(2):
        inline = rows_of(doors.call("POST", "datasets/gas/score", table(rows[24:48]), accept="text/csv").body)

        assert inline == whole[24:48]
    assert rows_of(doors.world.scored("gas/2.csv", table(rows[24:]))) == whole[24:]


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"", {}, 400, "empty_file"),
        (b"", {"content_type": "application/json"}, 400, "bad_json"),
        (b"{", {}, 400, "bad_json"),
        (b"[" * 100_000, {}, 400, "bad_json"),
        (b"\xff\xfe{}", {"content_type": "application/json"}, 400, "bad_json"),
        ([1], {}, 400, "bad_json"),
        ({}, {}, 400, "bad_json"),
        ({"data": {}}, {}, 400, "bad_json"),
        ({"data": [1]}, {}, 400, "bad_json"),
        ({"data": []}, {}, 400, "empty_file"),
        ({"data": [{"FechaHora": "2024-01-01", "x": 1}]}, {}, 400, "missing_column"),
        ({"data": [{"FechaHora": "ayer", "VolCorrected": 1}]}, {}, 400, "no_usable_row"),
        ({"blob": 3}, {}, 400, "bad_blob"),
        ({"blob": ""}, {}, 400, "bad_blob"),
        ({"blob": "missing.csv"}, {}, 404, "blob_not_found"),
        (b"<x/>", {"content_type": "application/xml"}, 415, "unsupported_media_type"),
        (b"x" * 101, {}, 413, "body_too_large"),
    ],
)
def test_a_bad_request_to_score_is_a_problem(
    endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, body: Any, headers: dict[str, str], status: int, code: str
) -> None:
    limit = 100 if code == "body_too_large" else 1_000_000
    doors = Doors(World.build(endpoint, score_inline_max_bytes=limit), monkeypatch)

    words = doors.call("POST", "datasets/gas/score", body, **headers).problem(status, code)

    assert len(words) > 20
    assert endpoint.received == []
    assert doors.world.blobs.names(RUNS) == []


def test_without_a_model_or_with_its_endpoint_down_the_client_is_told_to_come_back(
    endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    doors = _without_a_model(endpoint, monkeypatch)
    doors.call("POST", "datasets/gas/score", {"data": _RECORDS}).problem(503, "no_live_model")

    doors.world.go_live()
    endpoint.mood = refusal(503)
    doors.call("POST", "datasets/gas/score", {"data": _RECORDS}).problem(503, "endpoint_failed")

    endpoint.mood = refusal(415)
    doors.call("POST", "datasets/gas/score", {"data": _RECORDS}).problem(502, "wire_refused")


# -- score a blob -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.csv", "gas/x.csv", "incoming/gas/x.csv"])
def test_a_blob_is_scored_by_a_run_again_whenever_it_is_asked_for(doors: Doors, name: str) -> None:
    doors.world.drop("gas/x.csv", table(hourly(30)))

    for asked in range(2):
        answered = doors.call("POST", "datasets/gas/score", {"blob": name})

        assert (answered.status, answered.json["state"]) == (202, "received")
        assert answered.headers["Location"] == f"/api/runs/{answered.json['id']}"
        (message,) = doors.world.queue.take_all()
        doors.world.app.do(message)
        run = doors.call("GET", f"runs/{answered.json['id']}").json
        assert (run["state"], run["counts"]["scored"]) == ("completed", 30)
        assert [step["state"] for step in run["history"]].count("completed") == asked + 1
    assert len(doors.world.blobs.names(RUNS)) == 1


def test_a_dataset_that_nobody_declared_is_not_found(doors: Doors) -> None:
    for method, path in (("POST", "datasets/water/score"), ("POST", "datasets/water/train"), ("GET", "models/water")):
        assert "gas" in doors.call(method, path).problem(404, "unknown_dataset")


# -- runs ----------------------------------------------------------------------------------------------------------


def test_runs_are_listed_newest_first_and_filtered(doors: Doors) -> None:
    world = doors.world
    world.score("gas/a.csv", table(hourly(5)))
    world.score("water/b.csv", b"")
    world.score("gas/c.csv", b"")
    world.blobs.put(DATASETS, "gas/d.csv", b"")
    world.app.retraining.receive(world.blobs.info(DATASETS, "gas/d.csv"))

    def blobs(query: str) -> list[str]:
        return [run["blob"].split("/")[-1] for run in doors.call("GET", f"runs{query}").json["runs"]]

    assert blobs("") == ["d.csv", "c.csv", "b.csv", "a.csv"]
    assert blobs("?dataset=gas&kind=score") == ["c.csv", "a.csv"]
    assert blobs("?state=failed") == ["c.csv", "b.csv"]
    assert blobs("?state=failed,completed&limit=2") == ["c.csv", "b.csv"]
    assert blobs("?kind=train") == ["d.csv"]
    assert blobs("?dataset=none") == []
    assert blobs("?dataset=&kind=&state=") == blobs("")


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "ten", "1.5", "²", "", "9" * 5000])
def test_a_bad_limit_is_a_problem(doors: Doors, limit: str) -> None:
    doors.call("GET", f"runs?limit={limit}").problem(400, "bad_limit")


def test_other_bad_questions_about_runs_are_problems(doors: Doors) -> None:
    doors.call("GET", "runs?kind=bake").problem(400, "bad_kind")
    doors.call("GET", "runs?state=bogus").problem(400, "bad_state")
    doors.call("GET", "runs?dataset=\0").problem(400, "bad_dataset")
    doors.call("GET", "runs/20261121T000000Z-score-00000000").problem(404, "run_not_found")
    doors.call("GET", "runs/..%2fx").problem(404, "run_not_found")


@pytest.mark.parametrize("name", ["../x.csv", ".", "a/../b.csv", "a//b.csv", "x\0.csv", "", 7])
def test_a_name_that_is_no_name_of_a_file_is_a_problem(doors: Doors, name: object) -> None:
    doors.call("POST", "datasets/gas/score", {"blob": name}).problem(400, "bad_blob")
    doors.call("POST", "datasets/gas/train", {"blob": name}).problem(400, "bad_blob")


# -- models --------------------------------------------------------------------------------------------------------


def test_models_are_listed_with_metrics_and_which_is_live(doors: Doors) -> None:
    workspace = doors.world.app.workspace
    assert isinstance(workspace, FakeWorkspace)
    tags = {"run": TRAINING_RUN, "blob": "datasets/gas/x.csv", "metric.recall": "0.61", "metric.note": "fine"}
    workspace.versions[MODEL] = [ModelVersion(MODEL, "6"), ModelVersion(MODEL, VERSION, tags)]

    body = doors.call("GET", "models/gas").json

    assert (body["dataset"], body["model"], body["live"]["version"]) == ("gas", MODEL, VERSION)
    assert body["versions"][0] == {
        "version": VERSION,
        "live": True,
        "run": TRAINING_RUN,
        "blob": "datasets/gas/x.csv",
        "metrics": {"recall": 0.61, "note": "fine"},
    }
    assert (body["versions"][1]["version"], body["versions"][1]["live"]) == ("6", False)


def test_models_without_any(endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    body = _without_a_model(endpoint, monkeypatch).call("GET", "models/gas").json

    assert body == {"dataset": "gas", "model": MODEL, "live": None, "versions": []}


def test_trouble_with_azure_ml_is_a_problem(doors: Doors) -> None:
    workspace = doors.world.app.workspace
    assert isinstance(workspace, FakeWorkspace)
    workspace.fail("models", WorkspaceUnavailableError("workspace_unavailable", "It does not answer at all."))
    workspace.fail("models", WorkspaceRefusedError("workspace_refused", "It refuses, for it may."))

    doors.call("GET", "models/gas").problem(503, "workspace_unavailable")
    doors.call("GET", "models/gas").problem(502, "workspace_refused")


# -- health --------------------------------------------------------------------------------------------------------


def test_health_names_what_is_reachable(endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    metadata = f"{endpoint.url}/metadata/endpoints"
    doors = Doors(World.build(endpoint, arm_cloud_metadata_url=metadata, **_WORKSPACE), monkeypatch)
    well = doors.call("GET", "health")
    gone = World.build(endpoint, live=False, arm_cloud_metadata_url=f"{nobody}/metadata", **_WORKSPACE)
    degraded = Doors(gone, monkeypatch).call("GET", "health")
    foreign = Doors(World.build(endpoint, aml_endpoint_url=nobody), monkeypatch).call("GET", "health")

    assert (well.status, degraded.status, foreign.status) == (200, 200, 200)
    assert well.json == {
        "status": "ok",
        "version": APP_VERSION,
        "dependencies": {"storage": "reachable", "azure_ml": "reachable", "endpoint of gas": "reachable"},
    }
    assert degraded.json["status"] == "degraded"
    assert degraded.json["dependencies"] == {"storage": "reachable", "azure_ml": "unreachable"}
    assert foreign.json["dependencies"] == {"storage": "reachable", "endpoint": "unreachable"}


def test_health_without_storage_is_503(doors: Doors) -> None:
    def outage(operation: str, container: str, name: str) -> None:
        raise StorageUnavailableError("storage_unavailable", "The storage account does not answer.")

    doors.world.blobs.interruption = outage

    health = doors.call("GET", "health")

    assert (health.status, health.json["dependencies"]) == (503, {"storage": "unreachable"})
    doors.call("GET", "runs").problem(503, "storage_unavailable")


def test_an_app_without_storage_says_so(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    doors = Doors(world, monkeypatch)
    monkeypatch.undo()
    monkeypatch.delenv("AzureWebJobsStorage", raising=False)
    function_app.dropscore.cache_clear()

    doors.call("GET", "runs").problem(503, "storage_not_configured")
    doors.call("GET", "health").problem(503, "storage_not_configured")


# -- the other doors -----------------------------------------------------------------------------------------------


class _Client:
    """What the host hands to a blob trigger."""

    def __init__(self, container: str, name: str) -> None:
        self.container_name, self.blob_name = container, name


class _Message:
    """What the host hands to a queue trigger."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def get_body(self) -> bytes:
        """The message."""
        return self._body


def test_a_dropped_file_is_scored(doors: Doors) -> None:
    doors.world.drop("gas/x.csv", table(hourly(30)))

    doors.functions["file_dropped"](_Client(INCOMING, "gas/x.csv"))
    doors.functions["file_dropped"](_Client(INCOMING, "gas/removed.csv"))

    assert [run["state"] for run in doors.call("GET", "runs").json["runs"]] == ["completed"]


def test_a_dropped_dataset_becomes_a_training_run(doors: Doors) -> None:
    doors.world.blobs.put(DATASETS, "gas/x.csv", table(hourly(30)))

    doors.functions["dataset_dropped"](_Client(DATASETS, "gas/x.csv"))

    (run,) = doors.call("GET", "runs?kind=train").json["runs"]
    assert (run["state"], run["error"]["code"]) == ("invalid", "too_few_rows")


def test_messages_are_worked_on_and_poison_is_buried(doors: Doors) -> None:
    doors.world.drop("gas/x.csv", table(hourly(30)))
    run = doors.call("POST", "datasets/gas/score", {"blob": "x.csv"}).json

    doors.functions["work"](_Message(doors.world.queue.take_all()[0].encode()))
    doors.functions["crashed_work"](_Message(b"\xff\xfe"))
    doors.functions["crashed_blob"](_Message(b'{"ContainerName": "incoming", "BlobName": "gas/y.csv", "ETag": "1"}'))

    assert doors.call("GET", f"runs/{run['id']}").json["state"] == "completed"
    failed = doors.call("GET", "runs?state=failed").json["runs"]
    assert {run["error"]["code"] for run in failed} == {"crashed"}
    assert len(failed) == 2


def test_the_timer_wakes_what_waits(endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    doors = _without_a_model(endpoint, monkeypatch)
    doors.world.score("gas/x.csv", table(hourly(30)))
    doors.world.go_live()

    doors.functions["reconcile"](None)
    doors.world.work()

    assert [run["state"] for run in doors.call("GET", "runs").json["runs"]] == ["completed"]
