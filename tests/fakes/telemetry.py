"""Metrics, spans and log lines of the app in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.telemetry import instruments
from shared.telemetry.logs import APP_LOGGERS, Describe, describe

Attributes = Mapping[str, Any]


@dataclass
class Heard:
    """Everything that was told since the listening began; `now` is what its clock says, in seconds."""

    reader: InMemoryMetricReader
    exporter: InMemorySpanExporter
    lines: list[logging.LogRecord] = field(default_factory=list)
    now: float = 1000.0

    def points(self, name: str) -> list[tuple[Attributes, Any]]:
        """The data points of one instrument: their attributes, and the sum, the level, or the histogram's sum."""
        data = self.reader.get_metrics_data()
        found = [
            point
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]
        return [(dict(p.attributes or {}), p.sum if hasattr(p, "sum") else p.value) for p in found]

    def value(self, name: str, **attributes: object) -> Any:
        """The one data point that has these attributes (dots written as ``__``)."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        (value,) = [value for known, value in self.points(name) if wanted.items() <= known.items()]
        return value

    def everything(self) -> str:
        """All that was told, as text."""
        data = self.reader.get_metrics_data()
        spans = [span.to_json() for span in self.exporter.get_finished_spans()]
        return "\n".join([data.to_json() if data else "", *spans, *(repr(vars(line)) for line in self.lines)])


class _Keeping(logging.Handler):
    def __init__(self, lines: list[logging.LogRecord]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record)


@contextmanager
def described() -> Iterator[None]:
    """The app's loggers describe their records while the context lasts, as in a process that was put together."""
    azure = logging.getLogger("azure")
    level = azure.level
    describe()
    try:
        yield
    finally:
        azure.setLevel(level)
        for logger in [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]:
            logger.filters = [each for each in logger.filters if not isinstance(each, Describe)]


@contextmanager
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    """Hears what the app tells while the context lasts."""
    exporter = InMemorySpanExporter()
    heard = Heard(InMemoryMetricReader(), exporter)
    meters = MeterProvider([heard.reader], shutdown_on_exit=False)
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(instruments, "_instruments", None)  # put back what was there, when all is over
    instruments.use(meters, tracers, lambda: heard.now)
    handler = _Keeping(heard.lines)
    loggers = [logging.getLogger(name) for name in APP_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
    try:
        with described():
            yield heard
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
            logger.removeHandler(handler)
        tracers.shutdown()
        meters.shutdown()
