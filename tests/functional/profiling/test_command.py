"""The command against a real HTTP endpoint on loopback, with a small real model behind it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aml.contract import load_contract
from shared.profiling.__main__ import main
from shared.scoring.wire import ARROW, JSON
from tests.fakes.endpoint import FakeEndpoint, refusal, without_arrow
from tests.functional.scoring.world import hourly, table

FEW = ("--requests", "4", "--most-in-flight", "2", "--seconds", "600", "--total-seconds", "600")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine where nothing of the app is set, and a key."""
    for name in ("AzureWebJobsStorage", "AML_ENDPOINT_URL", "AML_ENDPOINT_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("THE_KEY", "a-key-that-is-secret")


def profile(endpoint: FakeEndpoint, *arguments: str) -> int:
    return main(["--url", endpoint.url, "--key-from", "THE_KEY", *FEW, *arguments])


def test_it_measures_and_recommends_and_shows_no_key(
    endpoint: FakeEndpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "profile.json"
    assert profile(endpoint, "--rows", "50", "--rows-per-second", "1000000", "--json", str(file)) == 0
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    shown = capsys.readouterr().out

    assert [level["in_flight"] for level in found["levels"]] == [1, 2]
    assert [level["requests"] for level in found["levels"]] == [4, 4]
    assert {level["rows_per_request"] for level in found["levels"]} == {50}
    assert found["advice"]["in_flight"] in (1, 2)
    assert "N* = X_max x R(1)" in shown
    assert f"AML_INSTANCE_COUNT                     {found['advice']['instances']}\n" in shown
    assert "a-key-that-is-secret" not in shown + file.read_text(encoding="utf-8")
    assert {received.headers["authorization"] for received in endpoint.received} == {"Bearer a-key-that-is-secret"}
    assert {(received.content_type, received.rows) for received in endpoint.received[1:]} == {(ARROW, 50)}
    assert {len(received.columns["VolCorrected"]) for received in endpoint.received[1:]} == {
        50 + load_contract("gas").context_rows
    }


def test_the_size_of_requests_is_found_within_what_the_settings_allow(
    endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCORE_BYTES_PER_REQUEST", "20000")  # 16 bytes a row
    assert profile(endpoint) == 0

    assert {received.rows for received in endpoint.received} <= set(range(1, 1001))
    assert "rows a request: " in capsys.readouterr().out


def test_an_endpoint_that_takes_no_arrow_is_asked_in_json(endpoint: FakeEndpoint) -> None:
    endpoint.mood = without_arrow(415)
    assert profile(endpoint, "--rows", "5") == 0

    assert [received.content_type for received in endpoint.received].count(ARROW) == 1
    assert {received.content_type for received in endpoint.received[1:]} == {JSON}


def test_rows_of_a_file_are_what_is_sent(endpoint: FakeEndpoint, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_bytes(table([*hourly(40), ("never", "x")]))
    assert profile(endpoint, "--rows", "10", "--file", str(file)) == 0

    sent = {volume for received in endpoint.received for volume in received.columns["VolCorrected"]}
    assert sent <= {float(volume.replace(",", ".")) for _, volume in hourly(40)}


def test_an_endpoint_that_refuses_everything_gets_no_recommendation(
    endpoint: FakeEndpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint.mood = refusal(401)
    assert profile(endpoint, "--rows", "5") == 1

    assert capsys.readouterr().err.startswith("endpoint_unauthorized: ")
    assert len(endpoint.received) == 2  # the second one with a fresh token


def test_where_production_traffic_may_go_nothing_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url", "https://elsewhere.invalid/score"]) == 1

    assert capsys.readouterr().err.startswith("takes_traffic: elsewhere.invalid may take production traffic")


def test_settings_come_from_a_file_where_the_environment_has_none(
    endpoint: FakeEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "local.settings.json"
    values = {"AML_ENDPOINT_URL": endpoint.url, "AML_ENDPOINT_KEY": "of-the-file", "THE_KEY": "unused"}
    file.write_text(json.dumps({"Values": values}), encoding="utf-8")
    for name in values:
        monkeypatch.setenv(name, "x")  # so that what the command sets is taken back in the end
        monkeypatch.delenv(name)
    assert main(["--settings", str(file), "--rows", "5", *FEW]) == 0

    assert {received.headers["authorization"] for received in endpoint.received} == {"Bearer of-the-file"}
