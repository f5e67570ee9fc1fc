"""Who listens: an OTLP collector where the standard variables name one.

Application Insights needs nothing of the app: with `PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY=true` the Functions
worker itself calls `configure_azure_monitor()` before it loads the app, and what the API's instruments count and what
is logged goes there. The worker does no such thing for OTLP (Azure/azure-functions-python-worker #1870), so this does.

Nothing of the SDK is imported unless it is asked for, and no fault in it stops the app.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING

from shared.telemetry.instruments import use
from shared.telemetry.logs import APP_LOGGERS
from shared.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

_log = logging.getLogger(__name__)
_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


def wanted(environment: Mapping[str, str]) -> frozenset[str]:
    """The signals (``logs``, ``metrics``, ``traces``) that the standard variables want sent by OTLP.

    https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
    """
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return frozenset()
    if environment.get("PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY", "").strip().lower() in (
        "1",
        "t",
        "true",
        "y",
        "yes",
    ):
        return frozenset()  # the worker's: two pipelines in one process would send everything twice
    return frozenset(
        signal
        for signal in ("logs", "metrics", "traces")
        if (environment.get(_ENDPOINT) or environment.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"))
        and environment.get(f"OTEL_{signal.upper()}_EXPORTER", "otlp").strip().lower() != "none"
    )


@cache
def export(signals: frozenset[str]) -> Callable[[], None]:
    """Begins to send these signals, in the background, once per process.

    Where to, how often and with which headers say the standard variables: `OTEL_EXPORTER_OTLP_*`, `OTEL_SERVICE_NAME`,
    `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_METRIC_EXPORT_INTERVAL`, `OTEL_BSP_*`, `OTEL_BLRP_*`. The protocol is HTTP with
    protobuf.

    Returns:
        What sends everything that has not been sent, and ends it; called at the end of the process by itself.
    """
    if not signals:
        return lambda: None
    try:
        stop = _begin(signals)
    except Exception:  # a collector's wrong address is no reason not to score
        _log.exception("telemetry cannot be exported")
        return lambda: None
    atexit.register(stop)
    return stop


def _begin(signals: frozenset[str]) -> Callable[[], None]:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.version": VERSION})
    if str(resource.attributes["service.name"]).startswith("unknown_service"):  # no variable names it
        resource = resource.merge(Resource({"service.name": "dropscore"}))
    readers = [PeriodicExportingMetricReader(OTLPMetricExporter())] if "metrics" in signals else []
    meters = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    if "traces" in signals:
        tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    use(meters, tracers)
    end_logs = _send_logs(resource) if "logs" in signals else (lambda: None)

    def stop() -> None:
        atexit.unregister(stop)
        for end in (end_logs, tracers.shutdown, meters.shutdown):
            end()

    return stop


def _send_logs(resource: Resource) -> Callable[[], None]:
    """The app's own loggers alone: the exporter's would feed themselves."""
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.instrumentation.logging.handler import LoggingHandler
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    handler = LoggingHandler(logger_provider=provider)
    for name in APP_LOGGERS:
        logging.getLogger(name).addHandler(handler)

    def end() -> None:
        for name in APP_LOGGERS:
            logging.getLogger(name).removeHandler(handler)
        provider.shutdown()

    return end
