"""Which model answers a file: the one that its metadata or a request name, through every try, and in the results."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from unittest import mock

import pytest
from sklearn.pipeline import Pipeline

from aml.contract import load_contract
from shared.errors import ConflictError
from shared.naming import INCOMING, RESULTS
from shared.runs import Run
from shared.storage import BlobInfo
from tests.fakes.endpoint import FakeEndpoint, refusal, without_arrow
from tests.fakes.frail import Frail, KilledError
from tests.fakes.penguins import Penguins, species
from tests.functional.scoring.world import World, app_over, settings
from tests.functional.tables.world import MEASURES, table
from tests.functional.tables.world import world as classified

_ROWS = 95
_MODELS = ("logistic", "random_forest", "svm")


@pytest.fixture(scope="module")
def running_endpoint() -> Iterator[FakeEndpoint]:
    with FakeEndpoint(Penguins(), Pipeline([("nothing", "passthrough")])).running() as endpoint:
        yield endpoint


@pytest.fixture
def world(endpoint: FakeEndpoint) -> World:
    return _world(endpoint)


def _rows(count: int) -> list[tuple[str, ...]]:
    """Penguins whose bills and flippers are long in turns, each in its own, so that the models disagree about them."""
    return [
        (
            "Biscoe",
            *("50" if at % 2 else "40", "15", "220" if at % 3 else "190", str(3000 + at)),
            "male" if at % 5 else "",
        )
        for at in range(count)
    ]


def _file(count: int) -> bytes:
    return table(_rows(count), MEASURES)


def _world(endpoint: FakeEndpoint, **changes: int) -> World:
    endpoint.calm()
    return classified("penguins", endpoint, **{"score_rows_per_request": 10, **changes})


def _drop(world: World, wish: str | None = None, *, spelt: str = "model", rows: int = _ROWS) -> BlobInfo:
    """Penguins are dropped, with a wish in the metadata where there is one."""
    world.clock.advance(timedelta(minutes=1))
    metadata = {} if wish is None else {spelt: wish}
    world.blobs.put(INCOMING, "penguins/x.csv", _file(rows), metadata=metadata)
    return world.blobs.info(INCOMING, "penguins/x.csv")


def _completed(world: World, run: Run) -> list[dict[str, str]]:
    """The rows of the scored file of a run that must have ended well."""
    assert run.state == "completed", run.error
    header, *lines = world.result("penguins/x_scored.csv").decode().splitlines()
    names = header.split(";")
    return [dict(zip(names, line.split(";"), strict=True)) for line in lines]


def _expected(model: str, rows: int = _ROWS) -> list[str]:
    return [species(model, dict(zip(MEASURES, row, strict=True))) for row in _rows(rows)]


@pytest.mark.parametrize("model", _MODELS)
@pytest.mark.parametrize("spelt", ["model", "Model"])
def test_the_metadata_of_a_file_say_which_model_answers(world: World, model: str, spelt: str) -> None:
    run = world.deliver(_drop(world, model, spelt=spelt))

    assert [row["species"] for row in _completed(world, run)] == _expected(model)
    assert world.record(run).choice == model
    assert world.manifest(run)["model"]["choice"] == model


def test_where_nobody_says_so_the_best_answers(world: World) -> None:
    run = world.deliver(_drop(world))

    assert [row["species"] for row in _completed(world, run)] == _expected("random_forest")
    assert world.record(run).choice is None
    assert world.manifest(run)["model"]["choice"] == "best"


def test_all_models_answer_a_column_each(world: World) -> None:
    rows = _completed(world, world.deliver(_drop(world, "all")))

    for model in _MODELS:
        assert [row[f"{model}_species"] for row in rows] == _expected(model)
    assert "confidence" not in rows[0]


def test_an_endpoint_that_takes_json_alone_is_told_too(world: World) -> None:
    world.endpoint.mood = without_arrow(415)

    rows = _completed(world, world.deliver(_drop(world, "logistic")))

    assert [row["species"] for row in rows] == _expected("logistic")


def test_a_wish_that_nobody_can_fulfil_ends_the_run(world: World) -> None:
    run = world.deliver(_drop(world, "xgboost"))

    assert run.error is not None
    assert (run.state, run.error.code) == ("failed", "unknown_model")
    assert "random_forest" in run.error.message
    assert world.endpoint.received == []
    assert world.blobs.names(RESULTS) == []


def test_a_model_that_the_live_bundle_has_not_ends_the_run_without_a_search_for_bad_rows() -> None:
    older = Penguins()
    older.knows = frozenset({"best"})
    with FakeEndpoint(older, Pipeline([("nothing", "passthrough")])).running() as endpoint:
        world = _world(endpoint)
        run = world.deliver(_drop(world, "svm"))

    assert run.error is not None
    assert (run.state, run.error.code) == ("failed", "unknown_model")
    assert older.choices == ["svm"]


def test_the_same_file_with_another_wish_is_scored_again_and_with_the_same_one_is_not(world: World) -> None:
    for wish, asks in (("svm", True), ("svm", False), (None, True), ("best", False), ("logistic", True)):
        world.endpoint.received.clear()

        run = world.deliver(_drop(world, wish))

        assert [row["species"] for row in _completed(world, run)] == _expected(
            "random_forest" if wish in (None, "best") else wish
        )
        assert bool(world.endpoint.received) == asks, wish


def test_the_second_try_asks_what_the_first_one_asked(world: World) -> None:
    blob = _drop(world, "logistic")
    world.endpoint.mood = refusal(503)
    waiting = world.deliver(blob)
    assert waiting.state == "waiting"

    world.endpoint.mood = None
    for _ in range(10):
        world.tick()

    assert [row["species"] for row in _completed(world, world.record(waiting))] == _expected("logistic")


@pytest.mark.parametrize("calls", [6, 10, 14, 18])
def test_an_instance_that_takes_over_asks_the_same_model(world: World, calls: int) -> None:
    blob = _drop(world, "all")
    frail, _ = Frail.over(world.blobs, calls, after=False, error=KilledError())
    chosen = settings(score_rows_per_request=10)
    with pytest.raises(KilledError):
        broken = app_over(frail, world.queue, world.clock, chosen)
        broken.files.run(broken.files.receive(blob)[0])

    world.clock.advance(timedelta(hours=1))  # whatever it had claimed is free again
    run = world.deliver(blob)

    rows = _completed(world, world.record(run))
    assert {model: [row[f"{model}_species"] for row in rows] for model in _MODELS} == {
        model: _expected(model) for model in _MODELS
    }


@pytest.mark.parametrize("wish", ["logistic", "all"])
def test_parts_of_a_file_ask_the_same_model(endpoint: FakeEndpoint, wish: str) -> None:
    whole = _world(endpoint)
    _completed(whole, whole.deliver(_drop(whole, wish)))
    parts = _world(endpoint, score_split_bytes=700)

    with mock.patch("shared.tables.streams.BLOCK", 32):  # a part begins where a block ends
        run = parts.deliver(_drop(parts, wish))
        under_way = run.parts
        while messages := parts.queue.take_all():
            for message in messages:
                parts.app.do(message)

    _completed(parts, parts.record(run))
    assert under_way is not None and under_way["of"] > 2
    assert parts.result("penguins/x_scored.csv") == whole.result("penguins/x_scored.csv")


def test_a_wish_when_asked_for_again_counts_for_that_time(world: World) -> None:
    blob = _drop(world, "svm")
    first = world.deliver(blob)
    assert first.state == "completed"

    held = world.app.files.ask_again(world.app.runs.load("penguins", first.id), "logistic")
    again = world.app.files.run(held)

    assert (again.id, again.choice) == (first.id, "logistic")
    assert [row["species"] for row in _completed(world, again)] == _expected("logistic")


def test_a_run_that_is_under_way_goes_on_asking_what_it_asked(world: World) -> None:
    held, _ = world.app.files.receive(_drop(world, "svm"))

    assert world.app.files.ask_again(held, "svm") == held
    with pytest.raises(ConflictError, match="run_under_way"):
        world.app.files.ask_again(held, "all")


def test_metadata_changed_later_are_a_version_of_their_own(world: World) -> None:
    """As in Azure, where setting metadata changes the ETag; the polling trigger then delivers the new version."""
    first = world.deliver(_drop(world, "svm"))
    second = world.deliver(_drop(world, "logistic"))

    assert second.id != first.id
    assert [world.record(run).choice for run in (first, second)] == ["svm", "logistic"]
    assert [row["species"] for row in _completed(world, second)] == _expected("logistic")


def test_a_series_has_nothing_to_choose_from() -> None:
    gas = load_contract("gas")

    assert gas.answering("best") == gas.answering(None) == gas
    assert gas.asked is None
