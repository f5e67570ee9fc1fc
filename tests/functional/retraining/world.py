"""Retraining with everything around it in memory: storage, Azure ML, the endpoint's answers, the clock."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from aml.contract import GateRule, load_contract
from local.sample_data import hourly_gas, plain_csv
from shared.errors import WorkspaceUnavailableError
from shared.live import LiveModel, LiveModels
from shared.naming import CONTAINERS, DATASETS, INCOMING, TRAINING, run_id
from shared.retraining.lifecycle import ENDS
from shared.retraining.reconciler import Retraining
from shared.retraining.stage import Parts
from shared.runs import Run, RunStore
from shared.scoring.context import write_table
from shared.scoring.endpoint import Answer, EndpointClient
from shared.scoring.history import History
from shared.scoring.targets import Target, Targets
from shared.scoring.wire import ARROW, CONTEXT_ROWS, prediction_schema
from shared.settings import Settings
from tests.fakes.blobs import FakeBlobStore
from tests.fakes.clock import FakeClock
from tests.fakes.workspace import FakeWorkspace

GATE = (GateRule(metric="alert_rate", maximum=0.5), GateRule(metric="recall", minimum=0.1, max_drop=0.3))
GAS = load_contract("gas").model_copy(update={"gate": GATE})
ENDPOINT = "dropscore-gas"
FIRST = datetime.fromisoformat("2026-01-01")
LOOKS_AT_MOST = 60
_OTHERS = {pa.int64(): 0, pa.float64(): 1.5, pa.string(): ""}
"""What is answered in columns that no test asks about."""
THROTTLED = WorkspaceUnavailableError("workspace_unavailable", "Azure ML answered 429: too many requests")


def dataset(days: int = 20, seed: int = 1) -> bytes:
    """A good dataset: hourly rows of one meter."""
    return plain_csv(hourly_gas(FIRST, days, seed)).encode()


class CrashError(BaseException):
    """The process dies here: nothing in the app may catch it."""


class Crash:
    """Kills the instance once, instead of its write number `at`, or right after it; `writes` counts them."""

    def __init__(self, at: int, *, after: bool = False) -> None:
        self.writes = 0
        self.happened = False
        self._at, self._after = at, after

    def __call__(self, operation: str, container: str, name: str) -> None:
        if self.happened:
            return
        if self._after and self.writes > self._at:
            self._die()
        if operation in ("put", "stage", "commit", "delete"):
            if not self._after and self.writes == self._at:
                self._die()
            self.writes += 1

    def _die(self) -> None:
        self.happened = True
        raise CrashError


class FakeTargets(Targets):
    """Connects to deployments that answer every row.

    `fault` is what is raised instead, `faults` the same by deployment (by training run where a bundle answers); `score`
    is what is answered, in the columns of `contract`, `alerts` every how manieth row each of them flags (0: none),
    `routed` who answers requests that name no deployment, by turns.
    """

    def __init__(self, settings: Settings, live: LiveModels) -> None:
        super().__init__(settings, live, lambda fresh: "token")
        self.fault: Exception | None = None
        self.faults: dict[str | None, Exception] = {}
        self.alerts: dict[str | None, int] = {}
        self.routed: list[str] = []
        self.score: float | None = 0.5
        self.contract = GAS
        self.version = ""
        self.asked: list[tuple[str, str | None, int]] = []

    def connect(self, target: Target, *, patience: float | None = None) -> EndpointClient:
        """See `Targets.connect`."""
        return _Client(self, target)


class _Client(EndpointClient):
    def __init__(self, targets: FakeTargets, target: Target) -> None:
        super().__init__(target.url, lambda fresh: "", timeout=1, patience=0, connections=1)
        self._targets, self._target = targets, target

    def post(
        self, body: bytes, content_type: str, deployment: str | None, decode: Callable[[Answer], Any]
    ) -> tuple[Any, Answer]:
        """See `EndpointClient.post`."""
        if deployment is None and self._targets.routed:
            self._targets.routed.append(deployment := self._targets.routed.pop(0))
        answers = deployment or self._target.run or None
        fault = self._targets.fault or self._targets.faults.get(answers)
        if fault is not None:
            raise fault
        with pa.ipc.open_stream(body) as reader:
            table = reader.read_all()
        rows = table.num_rows - int((table.schema.metadata or {})[CONTEXT_ROWS])
        self._targets.asked.append((self._target.url, deployment, rows))
        every = self._targets.alerts.get(answers, 0)
        flags = [int(every > 0 and row % every == 0) for row in range(rows)]
        told = {"anomaly": flags, "anomaly_score": [self._targets.score] * rows}
        schema = prediction_schema(self._targets.contract).with_metadata({"dropscore.version": self._targets.version})
        columns = [pa.array(told.get(field.name, [_OTHERS[field.type]] * rows), field.type) for field in schema]
        answer = Answer(write_table(pa.table(columns, schema=schema)), ARROW, deployment, "request")
        return decode(answer), answer


class Promotions(LiveModels):
    """The live records; `made` has what was live before and after each promotion, in their order."""

    def __init__(self, blobs: FakeBlobStore) -> None:
        super().__init__(blobs)
        self.made: list[tuple[LiveModel | None, LiveModel]] = []

    def put(self, live: LiveModel, etag: str | None = None) -> None:
        """See `LiveModels.put`."""
        before = self.get(live.dataset)
        super().put(live, etag)
        self.made.append((before, live))


class World:
    """One app's worth of retraining; `again` is another instance of it over the same storage and workspace."""

    def __init__(self, *, looks: int = 1, **settings: Any) -> None:
        self.clock = FakeClock()
        self.settings = Settings(**settings)
        self.blobs = FakeBlobStore(self.clock)
        self.blobs.ensure_containers(CONTAINERS)
        self.workspace = FakeWorkspace(self.blobs, looks=looks)
        self.runs = RunStore(self.blobs)
        self.live = Promotions(self.blobs)
        self.targets = FakeTargets(self.settings, self.live)
        self.retraining = self.again()

    def again(self) -> Retraining:
        """A function instance of its own."""
        return Retraining(
            Parts(
                settings=self.settings,
                blobs=self.blobs,
                runs=RunStore(self.blobs),
                live=self.live,
                history=History(self.blobs),
                targets=self.targets,
                workspace=self.workspace,
                clock=self.clock,
            )
        )

    def drop(self, name: str, data: bytes | None = None) -> Run:
        """A dataset is dropped and its run created; every drop is a minute later than the one before."""
        self.clock.advance(timedelta(minutes=1))
        self.blobs.put(DATASETS, name, dataset() if data is None else data)
        return self.retraining.receive(self.blobs.info(DATASETS, name))[0].run

    def scored(self, name: str, data: bytes | None = None) -> Run:
        """A file that was scored: its input, and the record of its run."""
        self.clock.advance(timedelta(minutes=1))
        self.blobs.put(INCOMING, name, dataset(days=2, seed=3) if data is None else data)
        blob = self.blobs.info(INCOMING, name)
        run = Run(
            id=run_id("score", f"{INCOMING}/{name}", blob.etag, self.clock()),
            kind="score",
            dataset="gas",
            blob=f"{INCOMING}/{name}",
            etag=blob.etag,
            state="completed",
        )
        return self.runs.create(run.entered("completed", self.clock()))[0].run

    def activate(self, version: str) -> Run:
        """A person asks for a version, a minute later."""
        self.clock.advance(timedelta(minutes=1))
        return self.retraining.activate(GAS, version).run

    def traffic(self) -> dict[str, int]:
        """Per cent by deployment."""
        return dict(self.workspace.endpoints[ENDPOINT].traffic)

    def read(self, run: Run) -> Run:
        """The record as it is now."""
        return self.runs.load(run.dataset, run.id).run

    def meanwhile(self, blob: str, happens: Callable[[], object]) -> list[str]:
        """Lets something happen just before a blob is written for the first time; says so in the list it returns."""
        happened: list[str] = []

        def interrupt(operation: str, container: str, name: str) -> None:
            if operation == "put" and f"{container}/{name}" == blob and not happened:
                happened.append(blob)
                happens()

        self.blobs.interruption = interrupt
        return happened

    def look(self, run: Run) -> Run:
        """One look at one run, a minute later."""
        self.clock.advance(timedelta(minutes=1))
        return self.retraining.advance(self.runs.load(run.dataset, run.id))

    def look_until(self, run: Run, *states: str) -> Run:
        """Looks at the run until it stands in one of the states."""
        for _ in range(LOOKS_AT_MOST):
            run = self.look(run)
            if run.state in states:
                return run
        raise AssertionError(f"still {run.state} after {LOOKS_AT_MOST} looks: {run.error}")

    def settle(self, run: Run) -> Run:
        """Looks at the run until it ends."""
        return self.look_until(run, *ENDS)

    def tick(self) -> None:
        """The timer's look at everything."""
        self.clock.advance(timedelta(minutes=1))
        for held in self.retraining.open_runs():
            self.retraining.advance(held)

    def promoted(self, name: str = "gas/first.csv") -> Run:
        """A first model in service."""
        run = self.settle(self.drop(name))
        assert run.state == "live", run.error
        return run

    def live_model(self) -> LiveModel:
        """The model in service."""
        live = self.live.get("gas")
        assert live is not None
        return live

    def rows(self, run: Run) -> pa.Table:
        """What the training job is given."""
        return pq.read_table(io.BytesIO(self.blobs.get(TRAINING, f"gas/{run.id}/data.parquet")[0]))


def assert_untouched(world: World, first: Run) -> None:
    """The first model is in service as if nothing had been tried since."""
    assert world.live_model().run == first.id
    assert world.workspace.endpoints[ENDPOINT].traffic == {"blue": 100}
    assert world.workspace.deployments[(ENDPOINT, "blue")].run == first.id
