"""The app around a classified table, with a classifier that obeys the wire behind a real HTTP endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sklearn.pipeline import Pipeline

from aml.contract import load_contract
from shared.live import LiveModel
from tests.fakes.classifier import Classifier
from tests.fakes.clock import START
from tests.fakes.endpoint import FakeEndpoint
from tests.functional.scoring.world import TRAINING_RUN, World

PENGUINS = load_contract("penguins")
CRIMES = load_contract("crimes")
MEASURES = ("island", "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "sex")
ISLANDS, SEXES = ("Biscoe", "Dream", "Torgersen"), ("male", "female")


def penguins(count: int, start: int = 0) -> list[tuple[str, ...]]:
    """Rows of a file of penguins, the species first; every eleventh has no sex, as the real file's `NA`."""
    rows = []
    for at in range(start, start + count):
        kind = at % 3
        sex = "NA" if at % 11 == 10 else SEXES[at % 2]
        measures = (39 + 4 * kind + at % 7 / 10, 18.5 - kind * 1.5, 190 + 10 * kind + at % 5, 3700 + 600 * kind)
        rows.append((PENGUINS.classes[kind], ISLANDS[at % 3], *(f"{each:g}" for each in measures), sex))
    return rows


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = ("species", *MEASURES)) -> bytes:
    """A comma-separated file."""
    return "".join(",".join(row) + "\n" for row in (header, *rows)).encode()


@contextmanager
def serving(dataset: str) -> Iterator[tuple[FakeEndpoint, Classifier]]:
    """An endpoint for this dataset."""
    classifier = Classifier(load_contract(dataset))
    with FakeEndpoint(classifier, Pipeline([("nothing", "passthrough")])).running() as endpoint:
        yield endpoint, classifier


def world(dataset: str, endpoint: FakeEndpoint, **settings: Any) -> World:
    """An app with a live model of this dataset."""
    built = World.build(endpoint, live=False, **settings)
    built.app.live.put(
        LiveModel(
            dataset=dataset,
            model=load_contract(dataset).model_name,
            version="7",
            run=TRAINING_RUN,
            endpoint=f"dropscore-{dataset}",
            deployment="blue",
            scoring_uri=endpoint.url,
            since=START,
        ),
        built.app.live.held(dataset)[1],
    )
    return built
