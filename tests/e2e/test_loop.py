"""The whole stack, driven by nothing but storage and HTTP."""

from __future__ import annotations

import base64
import csv
import io
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.core.exceptions import ResourceExistsError
from azure.storage.queue import QueueServiceClient, TextBase64EncodePolicy

from tests.e2e.conftest import Drops, Service, until

POISON = "webjobs-blobtrigger-poison"


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline=""), delimiter=";"))


def states(run: dict[str, Any]) -> list[str]:
    return [step["state"] for step in run["history"]]


def get(drops: Drops, route: str, status: int = 200) -> Any:
    answer = requests.get(f"{drops.cloud.functions_url}/api/{route}", timeout=30)
    assert answer.status_code == status, answer.text
    return answer.json()


def post(drops: Drops, route: str, body: bytes, *, status: int = 200, **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = requests.post(f"{drops.cloud.functions_url}/api/{route}", data=body, headers=named, timeout=60)
    assert answer.status_code == status, answer.text
    return answer


def poisoned(drops: Drops) -> int:
    with QueueServiceClient.from_connection_string(drops.cloud.connection_string) as queues:
        return sum(
            len(queues.get_queue_client(queue.name).peek_messages(32))
            for queue in queues.list_queues()
            if queue.name.endswith("-poison")
        )


def test_a_dataset_becomes_the_live_model_step_by_step(service: Service) -> None:
    run = service.training

    assert states(run) == [
        *("received", "validated", "training", "evaluated"),
        *("registered", "deploying", "verifying", "live"),
    ]
    assert run["verdict"]["promote"] is True
    assert run["model_version"] == "1"
    assert run["smoke"]["rows"] >= 23
    assert run["smoke"]["deployment"] == run["deployment"] == "blue"


@pytest.mark.skipif(sys.platform != "linux", reason="the greatest memory so far is read from /proc")
def test_a_functions_process_that_has_retrained_stays_below_300_mb(service: Service) -> None:
    service.drops.ended(service.early)
    status = Path(f"/proc/{service.drops.cloud.functions.pid}/status").read_text(encoding="utf-8")
    peak = dict(line.split(":", 1) for line in status.splitlines())["VmHWM"]

    assert int(peak.split()[0]) * 1024 < 300_000_000


def test_a_file_dropped_before_there_is_a_model_waits_for_it(service: Service) -> None:
    run = service.drops.ended(service.early)

    assert states(run)[:3] == ["received", "scoring", "waiting"]
    assert run["state"] == "completed"
    assert poisoned(service.drops) == 0


def test_every_row_of_a_file_comes_back_verbatim_and_in_order(service: Service) -> None:
    service.drops.ended(service.early)
    given = list(csv.DictReader(io.StringIO(service.early_content.decode(), newline="")))

    scored = rows_of(service.drops.read("results/gas/early_scored.csv"))
    manifest = json.loads(service.drops.read("results/gas/early_manifest.json"))

    assert [{name: row[name] for name in given[0]} for row in scored] == given
    answers = ["anomaly", "anomaly_score", "expected", "lower", "upper", "severity", "reason", "error"]
    assert list(scored[0]) == ["FechaHora", "VolCorrected", *answers]
    assert {row["anomaly"] for row in scored} <= {"0", "1"}
    assert all(float(row["anomaly_score"]) >= 0 and not row["error"] for row in scored)
    assert all(float(row["lower"]) <= float(row["expected"]) <= float(row["upper"]) for row in scored)
    assert all((row["anomaly"] == "1") == bool(row["reason"]) == (float(row["severity"]) > 0) for row in scored)
    assert manifest["counts"]["rows"] == manifest["counts"]["scored"] == len(given)
    assert manifest["model"]["name"] == "iforest_gas"
    # the profile that the training job left was found, and says that the file is what was to be expected
    assert manifest["drift"]["training_run"] == manifest["model"]["training_run"]
    assert manifest["drift"]["verdict"] == "none"
    assert {"psi", "ks", "missing", "out_of_range"} <= manifest["drift"]["columns"]["VolCorrected"].keys()


BAD = {
    "incoming/gas/empty.csv": (b"", "failed", "empty_file"),
    "incoming/gas/header.csv": (b"FechaHora,VolCorrected\n", "failed", "no_rows"),
    "incoming/gas/missing.csv": (b"FechaHora,Other\n2026-01-01 00:00:00,1\n", "failed", "missing_column"),
    "incoming/gas/unusable.csv": (b"FechaHora,VolCorrected\nx,1\ny,2\n", "failed", "no_usable_row"),
    "incoming/gas/picture.csv": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(64), "failed", "binary_file"),
    "incoming/steam/x.csv": (b"a,b\n1,2\n", "failed", "unknown_dataset"),
    "incoming/nowhere.csv": (b"a,b\n1,2\n", "failed", "unplaced_file"),
    "datasets/gas/few.csv": (b"FechaHora,VolCorrected\n2026-01-01 00:00:00,1\n", "invalid", "too_few_rows"),
    "datasets/gas/nothing.csv": (b"", "invalid", "empty_file"),
    "datasets/steam/x.csv": (b"a,b\n1,2\n", "invalid", "unknown_dataset"),
}


def test_bad_input_ends_as_a_run_with_a_code_and_never_as_poison(drops: Drops) -> None:
    until(lambda: drops.blobs.get_container_client("incoming").exists(), bool, "the containers")
    for blob, (content, _, _) in BAD.items():
        drops.drop(blob, content)

    ended = {blob: drops.ended(blob) for blob in BAD}

    found = {blob: (run["state"], run["error"]["code"]) for blob, run in ended.items()}
    assert found == {blob: (state, code) for blob, (_, state, code) in BAD.items()}
    assert all(len(run["error"]["message"]) > 20 for run in ended.values())
    assert poisoned(drops) == 0


def test_what_lands_in_the_poison_queue_is_seen_among_the_runs(drops: Drops) -> None:
    about = {"Type": "BlobTrigger", "ContainerName": "incoming", "BlobName": "gas/crash.csv", "ETag": '"0x1"'}
    with QueueServiceClient.from_connection_string(drops.cloud.connection_string) as queues:
        queue = queues.get_queue_client(POISON, message_encode_policy=TextBase64EncodePolicy())
        with suppress(ResourceExistsError):  # the host makes it when it first needs it
            queue.create_queue()
        queue.send_message(json.dumps(about))

        def crashed() -> Any:
            return [
                run for run in get(drops, "runs?state=failed&limit=1000")["runs"] if run["blob"].endswith("crash.csv")
            ]

        (run,) = until(crashed, bool, "the crashed run")
    assert run["error"]["code"] == "crashed"


def test_inline_json_and_inline_csv_answer_what_a_dropped_file_would(service: Service) -> None:
    service.drops.ended(service.early)
    expected = rows_of(service.drops.read("results/gas/early_scored.csv"))
    given = list(csv.DictReader(io.StringIO(service.early_content.decode(), newline="")))
    body = {"data": [{**row, "VolCorrected": float(row["VolCorrected"])} for row in given]}

    answer = post(service.drops, "datasets/gas/score", json.dumps(body).encode(), Content_Type="application/json")
    as_csv = post(
        service.drops, "datasets/gas/score", service.early_content, Content_Type="text/csv", Accept="text/csv"
    )

    told = answer.json()
    assert told["ok"] is True
    assert told["rows"] == len(given)
    assert len(told["preview"]) == 10
    assert len(rows_of(base64.b64decode(told["csv_base64"]))) == len(given)
    assert len(told["predictions"]) == len(given)
    if told["model"]["version"] == "1":  # another test may have put a second model into service meanwhile
        assert [str(row["anomaly_score"]) for row in told["predictions"]] == [row["anomaly_score"] for row in expected]
        assert rows_of(as_csv.content) == expected
    assert as_csv.headers["Content-Type"].startswith("text/csv")


def test_a_blob_is_scored_by_request(service: Service) -> None:
    service.drops.ended(service.early)

    accepted = post(service.drops, "datasets/gas/score", b'{"blob": "early.csv"}', status=202).json()

    run = until(
        lambda: get(service.drops, f"runs/{accepted['id']}"), lambda run: run["state"] == "completed", accepted["id"]
    )
    assert run["blob"] == "incoming/gas/early.csv"
    assert states(run).count("completed") >= 2


def test_retraining_by_request_goes_to_the_other_colour(service: Service) -> None:
    before = get(service.drops, "models/gas")

    accepted = post(service.drops, "datasets/gas/train", b'{"blob": "first.csv", "contamination": 0.02}', status=202)
    run = until(
        lambda: get(service.drops, f"runs/{accepted.json()['id']}"),
        lambda run: run["state"] in ("live", "failed", "invalid", "rejected", "superseded"),
        "the second training",
    )

    after = get(service.drops, "models/gas")
    assert run["state"] == "live", run
    assert run["parameters"] == {"contamination": 0.02}
    assert run["metrics"]["contamination"] == 0.02
    assert after["live"]["deployment"] != before["live"]["deployment"]
    assert [each["version"] for each in after["versions"] if each["live"]] == [run["model_version"]]
    assert len(after["versions"]) == len(before["versions"]) + 1
    assert "alert_rate" in after["versions"][0]["metrics"]


def test_health_names_version_and_dependencies(service: Service) -> None:
    told = get(service.drops, "health")

    assert told["status"] == "ok"
    assert set(told["dependencies"]) == {"storage", "azure_ml", "endpoint of gas"}
    assert set(told["dependencies"].values()) == {"reachable"}


@pytest.mark.parametrize(
    ("route", "body", "status", "code"),
    [
        ("datasets/steam/score", b'{"data": []}', 404, "unknown_dataset"),
        ("datasets/gas/score", b'{"data": 1}', 400, "bad_json"),
        ("datasets/gas/score", b'{"blob": "no.csv"}', 404, "blob_not_found"),
        ("datasets/gas/score", b"FechaHora;VolCorrected\n", 400, "no_rows"),
        ("datasets/gas/train", b'{"contamination": 2}', 400, "bad_contamination"),
    ],
)
def test_a_bad_request_is_answered_as_a_problem(
    service: Service, route: str, body: bytes, status: int, code: str
) -> None:
    answer = post(service.drops, route, body, status=status)

    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == code
    assert answer.json()["detail"]
