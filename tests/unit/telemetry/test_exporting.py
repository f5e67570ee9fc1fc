"""Which variables switch the export on, and that nothing is loaded otherwise."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.telemetry.exporting import export, wanted

ROOT = Path(__file__).resolve().parents[3]
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
ALL = {"logs", "metrics", "traces"}


@pytest.mark.parametrize(
    ("environment", "signals"),
    [
        ({}, set()),
        ({"APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=x"}, set()),
        (ENDPOINT, ALL),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, set()),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, {"logs", "metrics"}),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:4318/v1/metrics"}, {"metrics"}),
        (ENDPOINT | {"PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "true"}, set()),
        (ENDPOINT | {"PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "false"}, ALL),
    ],
)
def test_the_standard_variables_say_what_is_sent(environment: dict[str, str], signals: set[str]) -> None:
    assert wanted(environment) == signals


def test_nothing_of_the_sdk_is_loaded_unless_it_is_asked_for() -> None:
    code = (
        "import sys, function_app\n"
        "from shared import telemetry\n"
        "telemetry.start('text')\n"
        "print([name for name in ('opentelemetry.sdk', 'opentelemetry.exporter', 'google.protobuf',"
        " 'azure.monitor') if name in sys.modules])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}

    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert (loaded.returncode, loaded.stdout.strip()) == (0, "[]"), loaded.stderr


def test_an_exporter_that_cannot_be_loaded_is_logged_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # as where the worker's own protobuf is an older one
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.metric_exporter", None)
    with caplog.at_level(logging.ERROR):
        stop = export.__wrapped__(frozenset({"metrics"}))
    stop()

    assert [record.message for record in caplog.records if record.name == "shared.telemetry.exporting"] == [
        "telemetry cannot be exported"
    ]
