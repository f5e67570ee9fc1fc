"""What becomes of a file by what it holds and by what the endpoint answers, and what is written down about it."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from typing import Any

import pytest

from shared.naming import INCOMING, RESULTS
from tests.fakes.endpoint import FakeEndpoint, Received, Reply, first, refusal
from tests.fakes.model import MODEL, VERSION
from tests.functional.scoring.world import TRAINING_RUN, World, hourly, rows_of, table

_FILE = table(hourly(101))


@pytest.mark.parametrize(
    ("mood", "code"),
    [
        (refusal(401), "endpoint_unauthorized"),
        (refusal(403), "endpoint_unauthorized"),
        (refusal(404), "endpoint_missing"),
        (refusal(429), "endpoint_throttled"),
        (refusal(502), "endpoint_failed"),
        (refusal(408), "endpoint_failed"),
        (refusal(424, ms_azureml_model_error_statuscode="503"), "endpoint_failed"),
        (lambda received: Reply(200, b"<html>"), "malformed_answer"),
        (lambda received: Reply(200, b'{"predictions": [1]}'), "malformed_answer"),
        (lambda received: Reply(200, b'{"predictions": [{"anomaly": Infinity}]}'), "malformed_answer"),
    ],
)
def test_what_may_pass_leaves_the_file_waiting(world: World, endpoint: FakeEndpoint, mood: Any, code: str) -> None:
    endpoint.mood = mood

    run = world.score("gas/x.csv", _FILE)

    assert (run.state, run.error and run.error.code, run.claimed_until) == ("waiting", code, None)
    assert world.blobs.names(RESULTS) == []


@pytest.mark.parametrize(
    ("mood", "code"),
    [
        (refusal(400), "endpoint_refuses_all"),
        (refusal(424, ms_azureml_model_error_statuscode="400"), "endpoint_refuses_all"),
        (refusal(413), "request_too_large"),
        (refusal(415), "wire_refused"),
        (lambda received: Reply(200, b'{"error": "no such column"}'), "endpoint_error"),
        (lambda received: Reply(200, b'{"predictions": []}'), "wrong_row_count"),
    ],
)
def test_what_will_not_pass_ends_the_run(world: World, endpoint: FakeEndpoint, mood: Any, code: str) -> None:
    endpoint.mood = mood

    run = world.score("gas/x.csv", _FILE)

    assert (run.state, run.error and run.error.code, run.claimed_until) == ("failed", code, None)
    assert world.blobs.names(RESULTS) == []


def test_an_endpoint_that_nobody_listens_at_leaves_the_file_waiting(endpoint: FakeEndpoint) -> None:
    world = World.build(endpoint, live=False, aml_endpoint_url="http://127.0.0.1:9/score", aml_endpoint_key="k")

    run = world.score("gas/x.csv", _FILE)

    assert (run.state, run.error and run.error.code) == ("waiting", "endpoint_unreachable")


@pytest.mark.parametrize(
    ("name", "data", "code", "words"),
    [
        ("gas/x.csv", b"", "empty_file", ""),
        ("gas/x.csv", b"\n \n\n", "empty_file", ""),
        ("gas/x.csv", b"FechaHora;VolCorrected\n", "no_rows", ""),
        ("gas/x.csv", b"FechaHora;Temperatura\n2026-01-01;1\n", "missing_column", "VolCorrected"),
        ("gas/x.csv", b"FechaHora;VolCorrected\nayer;mucho\n", "no_usable_row", "ayer"),
        ("gas/x.csv", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)), "binary_file", ""),
        ("gas/x.csv.gz", b"FechaHora;VolCorrected\n", "unreadable_file", ""),
        ("gas/x.docx", b"PK\x03\x04", "unsupported_format", ""),
        ("water/x.csv", _FILE, "unknown_dataset", "gas"),
        ("water_raw_20261121.csv", _FILE, "unknown_dataset", "water"),
        ("notes.csv", _FILE, "unplaced_file", "notes.csv"),
    ],
)
def test_bad_input_ends_as_a_failed_run_that_says_why(
    world: World, name: str, data: bytes, code: str, words: str
) -> None:
    run = world.score(name, data)

    assert (run.state, run.error and run.error.code) == ("failed", code)
    assert run.error is not None
    assert words in run.error.message
    assert len(run.error.message) > 20
    assert world.deliver(world.blobs.info(INCOMING, name)) == run
    assert world.blobs.names(RESULTS) == []


def test_a_file_at_the_root_belongs_to_the_dataset_of_its_name(world: World) -> None:
    run = world.score("gas_raw_20261121.csv", _FILE)

    assert (run.state, run.dataset) == ("completed", "gas")
    assert run.manifest == "results/gas/gas_raw_20261121_manifest.json"


def test_the_manifest_says_what_was_scored_by_which_model_and_what_came_of_it(world: World) -> None:
    data = _FILE + b"ayer;1,5\n" + b"one;field;too many\n"
    blob = world.drop("gas/x.csv", data)

    manifest = world.manifest(world.deliver(blob))

    assert manifest["dataset"] == "gas"
    found = manifest["input"]
    assert (found["blob"], found["etag"], found["bytes"]) == ("incoming/gas/x.csv", blob.etag, len(data))
    assert found["sha256"] == hashlib.sha256(data).hexdigest()
    assert found["rows"] == 103
    assert {name: found["dialect"][name] for name in ("container", "delimiter", "decimal", "encoding")} == {
        "container": "csv",
        "delimiter": ";",
        "decimal": ",",
        "encoding": "utf-8",
    }
    assert (found["first_time"], found["last_time"]) == ("2026-03-02 00:00:00", "2026-03-06 04:00:00")
    assert manifest["model"] == {
        "name": MODEL,
        "version": VERSION,
        "deployment": "blue",
        "training_run": TRAINING_RUN,
    }
    rows = rows_of(world.result("gas/x_scored.csv"))
    anomalies = sum(row[2] == "1" for row in rows)
    assert manifest["counts"] == {"rows": 103, "scored": 101, "errors": 1, "rejected": 1, "anomalies": anomalies}
    assert set(manifest["timings"]) == {"started", "finished", "seconds"}
    assert manifest["requests"]["wire"] == "arrow"
    assert manifest["requests"]["count"] == len(manifest["requests"]["ids"]) == 3
    for output in manifest["outputs"]:
        body = world.result(output["blob"].removeprefix("results/"))
        assert (output["bytes"], output["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert [output["blob"] for output in manifest["outputs"]] == [
        "results/gas/x_scored.csv",
        "results/gas/x_rejected.csv",
        "results/gas/x_report.html",
    ]
    assert world.blobs.content_type(RESULTS, "gas/x_scored.csv") == "text/csv; charset=utf-8"


def test_the_run_record_has_its_history_and_its_outcome(world: World) -> None:
    blob = world.drop("gas/x.csv", _FILE)

    run = world.record(world.deliver(blob))

    assert [step.state for step in run.history] == ["received", "scoring", "completed"]
    assert (run.kind, run.dataset, run.blob, run.etag) == ("score", "gas", "incoming/gas/x.csv", blob.etag)
    assert run.manifest == "results/gas/x_manifest.json"
    assert run.counts == world.manifest(run)["counts"]
    assert run.model is not None
    assert (run.model["name"], run.model["version"]) == (MODEL, VERSION)


def test_one_deployment_scores_a_file_with_no_more_requests_at_once_than_allowed(endpoint: FakeEndpoint) -> None:
    world = World.build(
        endpoint,
        live=False,
        aml_endpoint_url=endpoint.url,
        aml_endpoint_key="secret",
        score_rows_per_request=3,
        score_requests_in_flight=3,
    )

    def traffic_moves(received: Received) -> None:
        threading.Event().wait(0.002)
        if len(endpoint.received) > 1:
            endpoint.deployment = "green"

    endpoint.mood = traffic_moves
    run = world.score("gas/x.csv", _FILE)

    assert run.state == "completed", run.error
    assert [received.deployment for received in endpoint.received] == [None] + ["blue"] * 33
    assert {received.headers["authorization"] for received in endpoint.received} == {"Bearer secret"}
    assert endpoint.most_at_once <= 3
    assert world.manifest(run)["model"]["deployment"] == "blue"
    # the answers themselves say which model it was
    assert (world.manifest(run)["model"]["name"], world.manifest(run)["model"]["version"]) == (MODEL, VERSION)


def test_an_answer_that_does_not_name_its_deployment_undoes_no_pin(endpoint: FakeEndpoint) -> None:
    world = World.build(endpoint, live=False, aml_endpoint_url=endpoint.url, score_requests_in_flight=1)

    def nameless(received: Received) -> Reply | None:
        proper = endpoint.properly(received)
        return Reply(200, proper.body, {}, proper.content_type) if len(endpoint.received) == 2 else None

    endpoint.mood = nameless
    run = world.score("gas/x.csv", _FILE)

    assert [received.deployment for received in endpoint.received] == [None, "blue", "blue"]
    assert world.manifest(run)["model"]["deployment"] == "blue"


def test_a_file_is_not_scored_by_two_models(endpoint: FakeEndpoint) -> None:
    world = World.build(endpoint, score_wire="json", score_requests_in_flight=1)

    def replaced_model(received: Received) -> Reply | None:
        if len(endpoint.received) < 2:
            return None
        answer = json.loads(endpoint.properly(received).body)
        return Reply(200, json.dumps(answer | {"model": {"name": MODEL, "version": "8"}}).encode())

    endpoint.mood = replaced_model
    run = world.score("gas/x.csv", _FILE)

    assert (run.state, run.error and run.error.code) == ("waiting", "model_changed")
    assert world.blobs.names(RESULTS) == []


def test_an_expired_token_is_renewed_once(world: World, endpoint: FakeEndpoint) -> None:
    endpoint.mood = first(1, refusal(401))

    world.scored("gas/x.csv", table(hourly(5)))

    assert [received.headers["authorization"] for received in endpoint.received] == [
        "Bearer tokenFalse",
        "Bearer tokenTrue",
    ]


def test_the_earlier_systems_endpoint_scores_too(endpoint: FakeEndpoint) -> None:
    world = World.build(endpoint, live=False, aml_endpoint_url=endpoint.url, aml_endpoint_key="secret")

    def earlier(received: Received) -> Reply:
        if received.content_type != "application/json":
            return Reply(400, b"invalid body")
        records = json.loads(received.body)["data"]
        lines = ["FechaHora;VolCorrected;anomaly", *(f"{r['FechaHora']};{r['VolCorrected']};0" for r in records)]
        csv = base64.b64encode("\n".join(lines).encode()).decode()
        answer = {"ok": True, "rows": len(records), "preview": [], "csv_base64": csv}
        return Reply(200, json.dumps(json.dumps(answer)).encode())

    endpoint.mood = earlier
    run = world.score("gas/x.csv", _FILE)

    assert run.state == "completed", run.error
    scored = world.result("gas/x_scored.csv")
    assert scored.splitlines()[0].count(b";") == 9, "every column, though there is nothing to put into most of them"
    assert {tuple(row[2:]) for row in rows_of(scored)} == {("0", *[""] * 7)}
    assert world.manifest(run)["requests"]["wire"] == "json"
    assert json.loads(endpoint.received[1].body)["data"][0]["FechaHora"] == "2026-03-02 00:00:00"


def test_rows_without_any_prediction_are_errors(world: World, endpoint: FakeEndpoint) -> None:
    world = world.again(score_wire="json")

    def gaps(received: Received) -> Reply:
        answer = json.loads(endpoint.properly(received).body)
        answer["predictions"][1] = {}
        return Reply(200, json.dumps(answer).encode())

    endpoint.mood = gaps
    run = world.score("gas/x.csv", table(hourly(30)))

    assert run.counts is not None
    assert (run.counts["scored"], run.counts["errors"]) == (29, 1)
    row = rows_of(world.result("gas/x_scored.csv"))[1]
    assert row[2:] == [*[""] * 7, "The endpoint gave no prediction for this row."]


def test_two_files_that_are_there_never_replace_each_others_results(world: World) -> None:
    first, name = world.scored("gas/gas_raw_20260302.csv", _FILE), "gas/gas_raw_20260302_scored.csv"

    other = world.score("gas_raw_20260302.csv", table(hourly(7)))

    assert (other.state, other.error and other.error.code) == ("failed", "results_taken")
    assert world.result(name) == first


def test_results_of_a_file_that_is_gone_may_be_replaced(world: World) -> None:
    world.scored("gas/gas_raw_20260302.csv", _FILE)
    world.blobs.delete(INCOMING, "gas/gas_raw_20260302.csv")

    run = world.score("gas_raw_20260302.csv", table(hourly(7)))

    assert run.state == "completed"
    assert len(rows_of(world.result("gas/gas_raw_20260302_scored.csv"))) == 7
