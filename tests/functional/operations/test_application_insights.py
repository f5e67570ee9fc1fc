"""What reaches Application Insights when the Functions worker exports: the distro set up as the worker does it, before
the app is loaded, and an ingestion endpoint on loopback."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
_WORKER = """
import logging, os
logging.getLogger().setLevel(logging.INFO)
from azure.monitor.opentelemetry import configure_azure_monitor
configure_azure_monitor(connection_string=os.environ["APPLICATIONINSIGHTS_CONNECTION_STRING"], logger_name="")

import function_app
from datetime import UTC, datetime, timedelta
from opentelemetry import _logs, metrics
from shared import telemetry
from shared.runs import Run

telemetry.start("text")
now = datetime.now(UTC)
run = Run(id="r1", kind="score", dataset="gas", blob="incoming/gas/x.csv", etag="1", state="received")
run = run.entered("received", now)
with telemetry.following(run):
    counts = {"scored": 7, "errors": 1, "rejected": 0, "anomalies": 2}
    telemetry.moved(run, run.entered("completed", now + timedelta(seconds=3), counts=counts))
    logging.getLogger("shared.scoring.files").info("it is %s", "done")
telemetry.standing([run], now + timedelta(seconds=60))
_logs.get_logger_provider().force_flush()
metrics.get_meter_provider().force_flush()
os._exit(0)  # no flush at exit is waited for: what was told is there
"""


class Ingestion(ThreadingHTTPServer):
    """Takes telemetry as Application Insights does, and keeps it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.items: list[dict[str, Any]] = []

    @property
    def connection_string(self) -> str:
        """What `APPLICATIONINSIGHTS_CONNECTION_STRING` would be."""
        here = f"http://127.0.0.1:{self.server_address[1]}/"
        return f"InstrumentationKey=00000000-0000-0000-0000-000000000000;IngestionEndpoint={here};LiveEndpoint={here}"

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The data of one kind of item, such as ``MetricData``."""
        return [item["data"]["baseData"] for item in self.items if item["data"]["baseType"] == kind]

    def metric(self, name: str) -> dict[tuple[str, ...], float]:
        """A metric's values by those of its dimensions, sorted by their names."""
        found = {}
        for data in self.of("MetricData"):
            (point,) = data["metrics"]
            if point["name"] == name:
                found[tuple(value for _, value in sorted(data["properties"].items()))] = point["value"]
        return found


class _Handler(BaseHTTPRequestHandler):
    server: Ingestion

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = {"itemsReceived": 0, "itemsAccepted": 0, "errors": []}
        if self.path.endswith("/track"):
            items = json.loads(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.server.items += items
            answer |= {"itemsReceived": len(items), "itemsAccepted": len(items)}
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the test's output clean."""


@pytest.fixture
def ingestion() -> Iterator[Ingestion]:
    with Ingestion() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_metrics_and_log_lines_arrive_with_their_dimensions(ingestion: Ingestion, tmp_path: Path) -> None:
    environment = {
        "APPLICATIONINSIGHTS_CONNECTION_STRING": ingestion.connection_string,
        "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "true",
        # nothing but loopback: no statistics about the exporter, no look at where this machine is
        "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
        "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
        "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "azure_functions",
        "TMPDIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", _WORKER], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, timeout=120
    )

    assert done.returncode == 0, done.stderr.decode()
    assert ingestion.metric("dropscore.file.rows") == {
        ("gas", "scored"): 7,
        ("gas", "error"): 1,
        ("gas", "rejected"): 0,
    }
    assert ingestion.metric("dropscore.run.moves") == {("gas", "score", "completed"): 1}
    assert ingestion.metric("dropscore.run.duration") == {("gas", "score", "completed"): 3}
    assert ingestion.metric("dropscore.run.open.age") == {("score", "received"): 60}
    (line,) = [each for each in ingestion.of("MessageData") if each["message"] == "it is done"]
    expected = {"run": "r1", "kind": "score", "dataset": "gas", "blob": "incoming/gas/x.csv", "state": "completed"}
    assert expected.items() <= line["properties"].items()
