"""The app's metrics and spans, and the few calls by which the rest of the app feeds them.

Names, units and attributes follow OpenTelemetry's conventions (https://opentelemetry.io/docs/specs/semconv/general/):
seconds as `s`, counted things in braces, `error.type`, `server.address`, `http.response.status_code` as they are
standardised, everything else under `dropscore.`. No attribute is a blob, a run or a row: their number has no bound.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Observation

from shared.errors import DropscoreError
from shared.telemetry.logs import dimensions, now_in

if TYPE_CHECKING:
    from shared.runs import Run

_SCOPE = "dropscore"
RUN_ENDS = frozenset({"completed", "live", "rejected", "superseded", "invalid", "failed"})
"""States in which a run of either kind has ended."""

KIND, STATE = "dropscore.run.kind", "dropscore.run.state"
DATASET, OUTCOME = "dropscore.dataset", "dropscore.row.outcome"
COLUMN, VERDICT = "dropscore.column", "dropscore.drift.verdict"
_SECONDS_OF_A_RUN = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)
_SECONDS_OF_A_REQUEST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180)
_PSI = (0, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_ROWS = {"scored": "scored", "errors": "error", "rejected": "rejected"}

_FRESH_SECONDS = 300.0
"""Levels are reported by the instance that ran the latest tick of the timer; one that lost it falls silent."""


class _Levels:
    """What was found at the latest tick, reported until it is stale."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._found: Mapping[str, list[Observation]] = {}
        self._at = 0.0
        self.asked_for = False

    def set(self, **found: list[Observation]) -> None:
        self._found, self._at = found, self._clock()

    def reported(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        """The callback of one gauge."""

        def callback(options: CallbackOptions) -> Iterable[Observation]:
            self.asked_for = True
            return self._found.get(name, []) if self._clock() - self._at < _FRESH_SECONDS else []

        return callback


class Instruments:
    """Every instrument, made once of a meter and a tracer.

    Args:
        clock: seconds that only ever grow.
    """

    def __init__(self, meter: metrics.Meter, tracer: trace.Tracer, clock: Callable[[], float] = time.monotonic) -> None:
        self.tracer = tracer
        self.moves = meter.create_counter("dropscore.run.moves", "{move}", "States that runs entered")
        self.in_state = meter.create_histogram(
            "dropscore.run.state.duration",
            "s",
            "How long runs stood in a state that they left",
            explicit_bucket_boundaries_advisory=_SECONDS_OF_A_RUN,
        )
        self.durations = meter.create_histogram(
            "dropscore.run.duration",
            "s",
            "From the drop, or from when it was last asked for, to the end of the run",
            explicit_bucket_boundaries_advisory=_SECONDS_OF_A_RUN,
        )
        self.rows = meter.create_counter("dropscore.file.rows", "{row}", "Rows of completed files")
        self.anomalies = meter.create_counter("dropscore.file.anomalies", "{row}", "Flagged rows of completed files")
        self.drift = meter.create_counter("dropscore.file.drift", "{file}", "Verdicts on the drift of completed files")
        self.psi = meter.create_histogram(
            "dropscore.drift.psi",
            "1",
            "What the PSI of a file's column, or of its score, exceeds that by chance",
            explicit_bucket_boundaries_advisory=_PSI,
        )
        self.requests = meter.create_histogram(
            "dropscore.endpoint.request.duration",
            "s",
            "Requests to scoring endpoints",
            explicit_bucket_boundaries_advisory=_SECONDS_OF_A_REQUEST,
        )
        self.retries = meter.create_counter("dropscore.endpoint.retries", "{retry}", "Requests that were repeated")
        self.levels = _Levels(clock)
        meter.create_observable_gauge(
            "dropscore.run.open", [self.levels.reported("open")], "{run}", "Runs that have not ended"
        )
        meter.create_observable_gauge(
            "dropscore.run.open.age", [self.levels.reported("age")], "s", "Age of the oldest run that has not ended"
        )


_instruments = Instruments(metrics.get_meter(_SCOPE), trace.get_tracer(_SCOPE))


def use(meters: metrics.MeterProvider, tracers: trace.TracerProvider, clock: Callable[[], float] | None = None) -> None:
    """From now on everything goes to these providers; until then to the process's own, if it has any."""
    global _instruments
    meter, tracer = meters.get_meter(_SCOPE), tracers.get_tracer(_SCOPE)
    _instruments = Instruments(meter, tracer, clock or time.monotonic)


@contextmanager
def following(run: Run) -> Iterator[None]:
    """A look at one run: a span, whose log lines say which run it is."""
    about = {"run": run.id, "kind": run.kind, "dataset": run.dataset, "blob": run.blob}
    named = {"dropscore.run.id": run.id, KIND: run.kind, DATASET: run.dataset, STATE: run.state}
    with (
        dimensions(**about, state=run.state),
        _instruments.tracer.start_as_current_span(f"dropscore.{run.kind}", attributes=named),
    ):
        yield


def moved(before: Run | None, after: Run) -> None:
    """A run's record was written: counted where it is in another state than before."""
    if before is not None and len(before.history) == len(after.history):
        return
    now_in(after.id, after.state)
    about = {KIND: after.kind, DATASET: after.dataset}
    code = {} if after.error is None else {"error.type": after.error.code}
    _instruments.moves.add(1, {**about, STATE: after.state, **code})
    if before is None:
        return
    stood = (after.updated - before.updated).total_seconds()
    _instruments.in_state.record(max(stood, 0.0), {**about, STATE: before.state, **code})
    if after.state in RUN_ENDS:
        lasted = (after.updated - _asked_for(after)).total_seconds()
        _instruments.durations.record(max(lasted, 0.0), {**about, STATE: after.state})
    if after.state == "completed" and after.counts is not None:
        for name, outcome in _ROWS.items():
            _instruments.rows.add(after.counts.get(name, 0), {DATASET: after.dataset, OUTCOME: outcome})
        _instruments.anomalies.add(after.counts.get("anomalies", 0), {DATASET: after.dataset})


def drifted(dataset: str, drift: Mapping[str, Any]) -> None:
    """A file was completed, with these words on drift in its manifest."""
    about = {DATASET: dataset}
    if "verdict" in drift:
        _instruments.drift.add(1, {**about, VERDICT: drift["verdict"]})
    score = {drift["score"]["name"]: drift["score"]} if "score" in drift else {}
    for name, found in {**drift.get("columns", {}), **score}.items():
        if found.get("psi") is not None:
            beyond = found["psi"] - (found.get("psi_by_chance") or 0.0)
            _instruments.psi.record(max(beyond, 0.0), {**about, COLUMN: name})


@contextmanager
def asked(url: str, deployment: str | None) -> Iterator[dict[str, int]]:
    """One request to an endpoint; the caller puts the `status` of the answer, if any, into what it is given."""
    answer: dict[str, int] = {}
    about: dict[str, str | int] = {
        "server.address": urlsplit(url).hostname or "",
        "dropscore.deployment": deployment or "",
    }
    began = time.perf_counter()
    try:
        yield answer
    except Exception as error:
        about["error.type"] = error.code if isinstance(error, DropscoreError) else type(error).__name__
        raise
    finally:
        if "status" in answer:
            about["http.response.status_code"] = answer["status"]
            if answer["status"] >= 400:
                about["error.type"] = str(answer["status"])
        _instruments.requests.record(time.perf_counter() - began, about)


def retried(error: BaseException | None) -> None:
    """A request to an endpoint is about to be repeated because of that error."""
    code = error.code if isinstance(error, DropscoreError) else type(error).__name__
    _instruments.retries.add(1, {"error.type": code})


def levels_wanted() -> bool:
    """Whether anybody has asked for what `standing` tells: finding it out costs a listing."""
    return _instruments.levels.asked_for


def standing(runs: Iterable[Run], now: datetime) -> None:
    """The runs that have not ended, as the timer's tick found them."""
    counted: Counter[tuple[str, str, str]] = Counter()
    oldest: dict[tuple[str, str], float] = {}
    for run in runs:
        counted[run.kind, run.dataset, run.state] += 1
        age = (now - _asked_for(run)).total_seconds()
        oldest[run.kind, run.state] = max(age, oldest.get((run.kind, run.state), 0.0))
    _instruments.levels.set(
        open=[Observation(n, {KIND: kind, DATASET: name, STATE: state}) for (kind, name, state), n in counted.items()],
        age=[Observation(age, {KIND: kind, STATE: state}) for (kind, state), age in oldest.items()],
    )


def _asked_for(run: Run) -> datetime:
    """When the file or dataset was dropped, or asked for again."""
    return next((step.at for step in reversed(run.history) if step.state == "received"), run.created)
