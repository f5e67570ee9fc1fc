"""The app with storage, queue, workspace and clock in memory, and a real model behind a real HTTP endpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from aml.contract import load_contract
from shared.composition import App
from shared.live import LiveModel
from shared.naming import INCOMING, RESULTS
from shared.runs import Run
from shared.settings import Settings
from shared.storage import BlobInfo, BlobStore
from tests.fakes.blobs import FakeBlobStore
from tests.fakes.clock import START, FakeClock
from tests.fakes.endpoint import FakeEndpoint
from tests.fakes.model import MODEL, VERSION
from tests.fakes.queue import FakeQueue
from tests.fakes.workspace import FakeWorkspace

GAS = load_contract("gas")
FIRST = datetime.fromisoformat("2026-03-02")
TRAINING_RUN = "20261101T000000Z-train-00000000"

Row = tuple[str, ...]


def hourly(hours: int, *, start: int = 0, meter: str | None = None, seed: int = 5) -> list[Row]:
    """Rows of one meter as they stand in a file: time, volume with a decimal comma and, where asked for, meter."""
    values = np.random.default_rng(seed).gamma(20, 1.0, start + hours)[start:]
    return [
        (f"{FIRST + timedelta(hours=start + hour):%d/%m/%Y %H:%M:%S}", f"{value:.4f}".replace(".", ","))
        + (() if meter is None else (meter,))
        for hour, value in enumerate(values)
    ]


def table(rows: Sequence[Row]) -> bytes:
    """Rows as a `;`-separated file; three columns are those of several meters."""
    header = ("Fecha_Hora", "Caudal") + (("Medidor",) if rows and len(rows[0]) == 3 else ())
    return "".join(";".join(row) + "\n" for row in [header, *rows]).encode()


def settings(**changes: Any) -> Settings:
    """The app's settings in tests: no patience, unless they say otherwise."""
    return Settings(**{"score_patience_seconds": 0, "score_rows_per_request": 40} | changes)


@dataclass
class World:
    """One app, and what tests do with it."""

    endpoint: FakeEndpoint
    app: App
    blobs: FakeBlobStore
    queue: FakeQueue
    clock: FakeClock

    @classmethod
    def build(cls, endpoint: FakeEndpoint, *, live: bool = True, **changes: Any) -> World:
        """An app with these settings and nothing in its storage but, unless told otherwise, a live model."""
        clock = FakeClock()
        blobs, queue = FakeBlobStore(clock), FakeQueue()
        world = cls(endpoint, app_over(blobs, queue, clock, settings(**changes)), blobs, queue, clock)
        if live:
            world.go_live()
        return world

    def again(self, **changes: Any) -> World:
        """Another instance of the app over the same storage, with other settings."""
        app = app_over(self.blobs, self.queue, self.clock, settings(**changes))
        return World(self.endpoint, app, self.blobs, self.queue, self.clock)

    def go_live(self, version: str = VERSION, deployment: str = "blue") -> None:
        """A model is put into service."""
        self.app.live.put(
            LiveModel(
                dataset="gas",
                model=MODEL,
                version=version,
                run=TRAINING_RUN,
                endpoint="dropscore-gas",
                deployment=deployment,
                scoring_uri=self.endpoint.url,
                since=START,
            ),
            self.app.live.held("gas")[1],
        )

    def drop(self, name: str, data: bytes) -> BlobInfo:
        """A file is dropped into `incoming`, a minute after whatever was before."""
        self.clock.advance(timedelta(minutes=1))
        self.blobs.put(INCOMING, name, data)
        return self.blobs.info(INCOMING, name)

    def deliver(self, blob: BlobInfo) -> Run:
        """What the blob trigger does with one event."""
        held, _ = self.app.files.receive(blob)
        return self.app.files.run(held)

    def score(self, name: str, data: bytes) -> Run:
        """A file is dropped and its event delivered."""
        return self.deliver(self.drop(name, data))

    def scored(self, name: str, data: bytes) -> bytes:
        """The scored file of a file that must be scored."""
        run = self.score(name, data)
        assert run.state == "completed", run.error
        return self.result(f"{name.removesuffix('.csv')}_scored.csv")

    def result(self, name: str) -> bytes:
        """One of the results."""
        return self.blobs.get(RESULTS, name)[0]

    def manifest(self, run: Run) -> dict[str, Any]:
        """The manifest that the run's record names."""
        assert run.manifest is not None
        body: dict[str, Any] = json.loads(self.result(run.manifest.removeprefix(f"{RESULTS}/")))
        return body

    def record(self, run: Run) -> Run:
        """The run as it stands in its record."""
        return self.app.runs.load(run.dataset, run.id).run

    def tick(self, by: timedelta = timedelta(minutes=1)) -> None:
        """The timer, and whatever it puts on the queue."""
        self.clock.advance(by)
        self.app.reconcile()
        self.work()

    def work(self) -> None:
        """Everything that lies on the work queue."""
        for message in self.queue.take_all():
            self.app.do(message)


def app_over(blobs: BlobStore, queue: FakeQueue, clock: FakeClock, chosen: Settings) -> App:
    """An instance of the app over this storage."""
    return App(chosen, blobs, queue, FakeWorkspace(blobs), lambda fresh: f"token{fresh}", clock, clock.sleep)


def rows_of(scored: bytes) -> list[list[str]]:
    """The rows of a scored file without quoted fields, its header left out."""
    return [line.split(";") for line in scored.decode().splitlines()[1:]]
