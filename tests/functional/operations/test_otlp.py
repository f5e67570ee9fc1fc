"""What really arrives at a collector: OTLP over HTTP, decoded with OpenTelemetry's own messages."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shared.telemetry import instruments
from shared.telemetry.exporting import export, wanted
from tests.fakes.endpoint import FakeEndpoint, first, refusal
from tests.fakes.telemetry import described
from tests.functional.scoring.world import World, hourly, table

# path: the message, and where in it the resources, the scopes and the records are
_SIGNALS: dict[str, tuple[Any, str, str, str]] = {
    "/v1/logs": (ExportLogsServiceRequest, "resource_logs", "scope_logs", "log_records"),
    "/v1/metrics": (ExportMetricsServiceRequest, "resource_metrics", "scope_metrics", "metrics"),
    "/v1/traces": (ExportTraceServiceRequest, "resource_spans", "scope_spans", "spans"),
}


class Collector(ThreadingHTTPServer):
    """A collector on loopback: keeps the requests that it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[tuple[str, bytes]] = []
        self.tenants: set[str] = set()
        self.services: set[object] = set()

    @property
    def url(self) -> str:
        """Its address, as `OTEL_EXPORTER_OTLP_ENDPOINT` wants it."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def records(self, path: str) -> list[Any]:
        """All log records, metrics or spans."""
        message, resources, scopes, records = _SIGNALS[path]
        found: list[Any] = []
        for body in (body for sent_to, body in self.bodies if sent_to == path):
            for resource in getattr(message.FromString(body), resources):
                self.services.add(attributes(resource.resource)["service.name"])
                for scope in getattr(resource, scopes):
                    found += getattr(scope, records)
        return found

    def counts(self) -> dict[tuple[str, object], int]:
        """The counters' values by name and each of their attributes' values."""
        return {
            (metric.name, value): point.as_int
            for metric in self.records("/v1/metrics")
            for point in metric.sum.data_points
            for value in attributes(point).values()
        }


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.bodies.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.tenants.add(self.headers["x-tenant"])
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the test's output clean."""


def attributes(of: Any) -> dict[str, object]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in of.attributes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_files_run_arrives_as_metrics_logs_and_spans_and_nothing_of_its_rows_does(
    collector: Collector, endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=meters",
        "OTEL_SERVICE_NAME": "dropscore-test",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(instruments, "_instruments", instruments._instruments)  # put back in the end
    caplog.set_level(logging.INFO, "shared")
    rows = hourly(100)
    stop = export.__wrapped__(wanted(environment))
    try:
        with described():
            world = World.build(endpoint, score_patience_seconds=60)
            endpoint.mood = first(1, refusal(429))
            run = world.score("gas/x.csv", table([*rows, ("31/03/2026 00:00:00", "geheim")]))
            refused = world.score("gas/y.csv", table([("geheim", "geheim")] * 3))
    finally:
        stop()

    assert (run.state, refused.state) == ("completed", "failed"), (run.error, refused.error)
    counts = collector.counts()
    assert counts["dropscore.file.rows", "scored"] == 100
    assert counts["dropscore.file.rows", "error"] == 1
    assert counts["dropscore.run.moves", "no_usable_row"] == 1
    assert counts["dropscore.endpoint.retries", "endpoint_throttled"] == 1
    spans = {attributes(span)["dropscore.run.id"]: span for span in collector.records("/v1/traces")}
    lines = [line for line in collector.records("/v1/logs") if attributes(line).get("run") == run.id]
    assert {attributes(line)["blob"] for line in lines} == {"incoming/gas/x.csv"}
    assert {attributes(line).get("code") for line in lines} == {None, "endpoint_throttled"}
    assert {line.trace_id for line in lines} == {spans[run.id].trace_id}
    assert (collector.services, collector.tenants) == ({"dropscore-test"}, {"meters"})
    everything = b"".join(body for _, body in collector.bodies)
    secrets = [b"tokenFalse", b"geheim", *(volume.encode() for _, volume in rows)]
    assert [secret for secret in secrets if secret in everything] == []
