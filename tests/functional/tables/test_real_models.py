"""Real classifiers behind the app: file, request, bundle in process and the pipeline itself say the same bits."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from aml.bundle import find_bundle, open_bundle
from aml.opening import service_of
from aml.tabular.candidates import Candidates
from aml.tabular.reading import table_from_arrow
from aml.tabular.training import train_table
from shared.naming import TRAINING
from shared.tables import RecordsSource
from tests.fakes.endpoint import FakeEndpoint, refusal, without_arrow
from tests.functional.scoring.world import TRAINING_RUN, World
from tests.functional.tables.world import MEASURES, PENGUINS, penguins, table, world

_FILE = "penguins/colony.csv"
_HEADER = ("species", *MEASURES)
_ROWS = [row[1:] for row in penguins(150, start=1000)]
_SHARES = [f"p_{name}" for name in PENGUINS.classes]


@dataclass(frozen=True, eq=False)
class Trained:
    """A model in service, and the bytes of its bundle."""

    endpoint: FakeEndpoint
    candidates: Candidates
    bundle: bytes


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("model")
    untuned = [{"name": model.name, "algorithm": model.algorithm} for model in PENGUINS.models]
    quick = type(PENGUINS).model_validate({**PENGUINS.model_dump(mode="json"), "models": untuned})
    data = pa.table([_texts([row[at] for row in penguins(300)]) for at in range(len(_HEADER))], names=_HEADER)
    train_table(data, quick, folder, version=7)
    path = find_bundle(folder)
    opened = open_bundle(path)
    with FakeEndpoint(service_of(opened, PENGUINS.model_name, "7"), opened.pipeline).running() as endpoint:
        yield Trained(endpoint, opened.pipeline, path.read_bytes())


@pytest.fixture(autouse=True)
def _calm(trained: Trained) -> Iterator[None]:
    yield
    trained.endpoint.calm()


def _texts(values: list[str]) -> pa.Array:
    return pa.array([None if value == "NA" else value for value in values], pa.string())


def _expected(trained: Trained) -> list[list[float]]:
    columns = {name: _texts([row[at] for row in _ROWS]) for at, name in enumerate(MEASURES)}
    pipeline = trained.candidates[trained.candidates.best]
    found: np.ndarray[Any, Any] = pipeline.predict_proba(table_from_arrow(pa.table(columns), PENGUINS).table)
    places = [pipeline.classes_.tolist().index(name) for name in PENGUINS.classes]
    shares: list[list[float]] = found[:, places].tolist()
    return shares


def _shares(scored: bytes) -> list[list[float]]:
    rows = csv.DictReader(io.StringIO(scored.decode()), delimiter=";")
    return [[float(row[name]) for name in _SHARES] for row in rows]


def _world(trained: Trained, **settings: Any) -> World:
    built = world("penguins", trained.endpoint, **settings)
    built.blobs.put(TRAINING, f"penguins/{TRAINING_RUN}/model/lr_penguins_v7.joblib", trained.bundle)
    return built


def test_a_file_is_answered_as_the_pipeline_does_in_process(trained: Trained) -> None:
    scored = _world(trained, score_rows_per_request=31).scored(_FILE, table(_ROWS, MEASURES))

    assert _shares(scored) == _expected(trained)


def test_records_are_answered_like_a_file(trained: Trained) -> None:
    records = [{name: row[at] for at, name in enumerate(MEASURES)} for row in _ROWS]

    answer = _world(trained).app.inline.score(PENGUINS, RecordsSource(records)).body

    assert [[row[name] for name in _SHARES] for row in answer["predictions"]] == _expected(trained)


def test_the_bytes_do_not_depend_on_who_answers_or_in_which_form(trained: Trained) -> None:
    data = table(_ROWS, MEASURES)
    whole = _world(trained).scored(_FILE, data)

    trained.endpoint.mood = without_arrow(415)
    assert _world(trained, score_rows_per_request=40).scored(_FILE, data) == whole
    trained.endpoint.mood = refusal(503)
    always = _world(trained, score_fallback="bundle-always", score_rows_per_request=17)
    when_down = _world(trained, score_fallback="bundle-when-down", score_patience_seconds=2)
    assert always.scored(_FILE, data) == when_down.scored(_FILE, data) == whole


def test_a_request_in_which_a_column_is_empty_in_every_row_is_answered_as_any_other(trained: Trained) -> None:
    rows = _ROWS[:24]
    assert any(row[-1] == "NA" for row in rows)
    whole = _world(trained).scored(_FILE, table(rows, MEASURES))

    assert _world(trained, score_rows_per_request=1).scored(_FILE, table(rows, MEASURES)) == whole
    trained.endpoint.mood = without_arrow(415)
    assert _world(trained, score_rows_per_request=1).scored(_FILE, table(rows, MEASURES)) == whole
