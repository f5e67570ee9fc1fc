"""scikit-learn's table of wines, and an app that trains on it in process, whose bundles answer."""

from __future__ import annotations

from datetime import timedelta

from sklearn.datasets import load_wine

from shared.composition import App
from shared.naming import DATASETS
from shared.runs import Run
from tests.fakes.blobs import FakeBlobStore
from tests.fakes.clock import FakeClock
from tests.fakes.endpoint import FakeEndpoint
from tests.fakes.queue import FakeQueue
from tests.fakes.workspace import FakeWorkspace
from tests.functional.scoring.world import World, settings

CULTIVARS = ("barolo", "grignolino", "barbera")


def wines() -> tuple[list[str], list[list[str]]]:
    """Header and rows; the cultivar is the last column."""
    found = load_wine()
    names = [str(name) for name in found.feature_names]
    rows = [
        [*(f"{value:g}" for value in values), CULTIVARS[kind]]
        for values, kind in zip(found.data, found.target, strict=True)
    ]
    return [*names, "cultivar"], rows


def cellar(endpoint: FakeEndpoint) -> World:
    """The app."""
    clock = FakeClock()
    blobs, queue = FakeBlobStore(clock), FakeQueue()
    workspace = FakeWorkspace(blobs, looks=1)
    workspace.metrics = "train"
    chosen = settings(score_fallback="bundle-always")
    app = App(chosen, blobs, queue, workspace, lambda fresh: f"token{fresh}", clock, clock.sleep)
    return World(endpoint, app, blobs, queue, clock)


def trained(world: World, data: bytes) -> Run:
    """The run of a dropped dataset, at its end."""
    world.blobs.put(DATASETS, "wine/all.csv", data)
    run = world.app.retraining.receive(world.blobs.info(DATASETS, "wine/all.csv"))[0].run
    for _ in range(12):
        world.tick(timedelta(minutes=1))
    return world.record(run)
