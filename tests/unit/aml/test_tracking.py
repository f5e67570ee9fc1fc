"""Metrics go to the address that Azure ML gives a job, and whatever happens there, the job goes on."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from aml.tracking import Tracker


class Recorder(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted, and answers with the server's `status`."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server: Any = self.server
        server.seen.append((self.path, self.headers.get("Authorization"), body))
        self.send_response(server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Any]:
    made: Any = http.server.HTTPServer(("127.0.0.1", 0), Recorder)
    made.seen, made.status = [], 200
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def environment(port: int) -> dict[str, str]:
    return {
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}/mlflow/v1.0/subscriptions/s/workspaces/w?",
        "MLFLOW_RUN_ID": "job-1",
        "MLFLOW_TRACKING_TOKEN": "secret",
    }


def test_numbers_are_logged_in_one_call(server: Any) -> None:
    tracker = Tracker.of(environment(server.server_port))
    tracker.clock = lambda: 1700000000.5

    tracker.log({"recall": 0.5, "rows": 7, "from": "2026", "bad": float("nan"), "yes": True}, 3)

    ((path, authorization, body),) = server.seen
    assert path == "/mlflow/v1.0/subscriptions/s/workspaces/w/api/2.0/mlflow/runs/log-batch"
    assert authorization == "Bearer secret"
    assert body["run_id"] == "job-1"
    assert body["metrics"] == [
        {"key": "recall", "value": 0.5, "timestamp": 1700000000500, "step": 3},
        {"key": "rows", "value": 7, "timestamp": 1700000000500, "step": 3},
    ]


def test_the_address_that_azure_ml_gives_is_one_of_https() -> None:
    given = {"MLFLOW_TRACKING_URI": "azureml://west.api.azureml.ms/mlflow/v1.0/x?", "MLFLOW_RUN_ID": "r"}

    assert Tracker.of(given).url == "https://west.api.azureml.ms/mlflow/v1.0/x/api/2.0/mlflow/runs/log-batch"


@pytest.mark.parametrize(
    "given",
    [{}, {"MLFLOW_TRACKING_URI": "https://host/x"}, {"MLFLOW_TRACKING_URI": "file:///runs", "MLFLOW_RUN_ID": "r"}],
)
def test_outside_of_a_job_nothing_is_logged(given: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    tracker = Tracker.of(given)
    tracker.log({"recall": 0.5})

    assert tracker.url is None
    assert capsys.readouterr().out == ""


def test_a_failure_is_said_once_and_harms_nothing(server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    server.status = 503
    tracker = Tracker.of(environment(server.server_port))

    tracker.log({"recall": 0.5})
    tracker.log({"recall": 0.6})

    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("metrics are not logged: HTTPError: 503")
    assert "secret" not in line
    assert len(server.seen) == 1
