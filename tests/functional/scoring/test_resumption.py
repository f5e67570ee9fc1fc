"""Exactly one effect: an instance may break down at any call, or be overtaken; the next one goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.composition import App
from shared.naming import RESULTS, STATE
from shared.runs import Run
from shared.scoring import journal as journal_module
from shared.scoring import results as results_module
from shared.storage import BlobInfo, BlobStore
from tests.fakes.endpoint import FakeEndpoint, Received, Reply, poisoned_by
from tests.fakes.frail import Frail, KilledError
from tests.fakes.model import MODEL
from tests.functional.scoring.narrow import narrow_endpoint
from tests.functional.scoring.world import Row, World, app_over, hourly, rows_of, settings, table

_ROWS = 71
_POISON = "-1,25"
_SCORED, _REJECTED, _REPORT = "gas/x_scored.csv", "gas/x_rejected.csv", "gas/x_report.html"
_PER_BATCH = 10


@pytest.fixture(scope="module")
def running_endpoint() -> Iterator[FakeEndpoint]:
    with narrow_endpoint() as endpoint:
        yield endpoint


def _rows(shuffled: bool) -> list[Row]:
    rows: list[Row] = [(time, _POISON if place == 33 else value) for place, (time, value) in enumerate(hourly(_ROWS))]
    return [rows[(7 * place) % _ROWS] for place in range(_ROWS)] if shuffled else rows


def _file(shuffled: bool) -> bytes:
    lines = table(_rows(shuffled)).splitlines(keepends=True)
    return b"".join([*lines[:20], b"one;field;too many\n", *lines[20:50], b"another;field;too many\n", *lines[50:]])


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of seventy rows has several blocks and entries."""
    monkeypatch.setattr(results_module, "_BLOCK_BYTES", 1000)
    monkeypatch.setattr(journal_module, "_ENTRY_BYTES", 16 * 30)


def _world(endpoint: FakeEndpoint) -> World:
    endpoint.calm()
    endpoint.mood = poisoned_by(-1.25)
    return World.build(endpoint, score_rows_per_request=_PER_BATCH, score_requests_in_flight=2)


def _instance(world: World, store: BlobStore, **changes: Any) -> App:
    chosen = settings(**{"score_rows_per_request": _PER_BATCH, "score_requests_in_flight": 2} | changes)
    return app_over(store, world.queue, world.clock, chosen)


def _deliver(app: App, blob: BlobInfo) -> Run:
    return app.files.run(app.files.receive(blob)[0])


def _undisturbed(world: World, data: bytes) -> dict[str, bytes]:
    """The results of a run that nothing happens to."""
    assert world.score("gas/x.csv", data).state == "completed"
    return {name: world.result(name) for name in (_SCORED, _REJECTED, _REPORT)}


def _asked(received: Received) -> set[datetime]:
    """The times of the rows that a request wants scored."""
    return set(received.columns["FechaHora"][-received.rows :])


def _shown(block: bytes) -> set[datetime]:
    """The times of the rows of a block of the scored file."""
    lines = [line for line in block.decode().splitlines() if not line.startswith("Fecha_Hora")]
    return {datetime.strptime(line.split(";")[0], "%d/%m/%Y %H:%M:%S") for line in lines}  # noqa: DTZ007 - wall clock


def _consistent(world: World, run: Run, expected: dict[str, bytes]) -> dict[str, Any]:
    """Record, manifest and results agree and are what they would be, and nothing is left in `state`."""
    assert run.state == "completed", run.error
    assert {name: world.result(name) for name in expected} == expected
    manifest = world.manifest(run)
    assert manifest["run"] == run.id
    assert manifest["counts"] == run.counts
    assert [output["blob"] for output in manifest["outputs"]] == [f"{RESULTS}/{name}" for name in expected]
    for output in manifest["outputs"]:
        body, info = world.blobs.get(RESULTS, output["blob"].removeprefix("results/"))
        assert (output["sha256"], output["bytes"]) == (hashlib.sha256(body).hexdigest(), len(body))
        assert output["etag"] == info.etag
    assert list(world.blobs.list_blobs(STATE, "answers/")) == []
    return manifest


def _calls(endpoint: FakeEndpoint, shuffled: bool) -> int:
    """How many calls of the blob store a delivery makes."""
    world = _world(endpoint)
    store, frail = Frail.over(world.blobs, None, after=False, error=KilledError())
    _deliver(_instance(world, store), world.drop("gas/x.csv", _file(shuffled)))
    return len(frail.calls)


def _breakdowns(endpoint: FakeEndpoint, *, shuffled: bool, killed: bool, after: bool) -> None:
    expected = _undisturbed(_world(endpoint), _file(shuffled))
    for at in range(_calls(endpoint, shuffled)):
        _breakdown(endpoint, at, expected, shuffled=shuffled, killed=killed, after=after)


def _breakdown(
    endpoint: FakeEndpoint, at: int, expected: dict[str, bytes], *, shuffled: bool, killed: bool, after: bool
) -> None:
    """A delivery breaks down at one call, and the next one ends the run as if nothing had been."""
    world = _world(endpoint)
    blob = world.drop("gas/x.csv", _file(shuffled))
    error = KilledError() if killed else RuntimeError("the worker broke")
    store, frail = Frail.over(world.blobs, at, after=after, error=error)

    with suppress(KilledError, RuntimeError):
        _deliver(_instance(world, store), blob)
    blocks = world.blobs.block_contents(RESULTS, _SCORED)
    shown = set().union(*map(_shown, blocks))
    endpoint.received.clear()
    again, calls = Frail.over(world.blobs, None, after=False, error=error)
    run = _deliver(_instance(world, again), blob)
    if run.state != "completed":  # killed, or without an answer when it wrote its claim: that has to run out
        world.clock.advance(timedelta(minutes=6))
        run = _deliver(_instance(world, again), blob)

    _consistent(world, run, expected)
    asked = set().union(*map(_asked, endpoint.received))
    assert not asked & shown, "what a block shows is not asked for again"
    effects = Counter(call for call in frail.calls + calls.calls if call[0] == "commit")
    lost = frail.calls[at][0] == "commit" and not after
    assert sum(effects.values()) == 2 + lost, "every result appears once"


_SWEEP = [
    pytest.param(shuffled, killed, after, id=f"{'shuffled' if shuffled else 'in order'}, {how}")
    for shuffled, killed, after, how in [
        (False, True, False, "killed before"),
        (False, False, True, "broken after"),
        (True, True, True, "killed after"),
    ]
]


@pytest.mark.parametrize(("shuffled", "killed", "after"), _SWEEP)
def test_a_breakdown_at_any_call_changes_nothing(
    endpoint: FakeEndpoint, shuffled: bool, killed: bool, after: bool
) -> None:
    _breakdowns(endpoint, shuffled=shuffled, killed=killed, after=after)


@pytest.mark.slow
@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("after", [False, True])
def test_every_kind_of_breakdown_at_any_call_changes_nothing(
    endpoint: FakeEndpoint, shuffled: bool, killed: bool, after: bool
) -> None:
    _breakdowns(endpoint, shuffled=shuffled, killed=killed, after=after)


@pytest.mark.parametrize("shuffled", [False, True])
def test_an_instance_that_is_overtaken_at_any_call_spoils_nothing(endpoint: FakeEndpoint, shuffled: bool) -> None:
    expected = _undisturbed(_world(endpoint), _file(shuffled))
    for at in range(_calls(endpoint, shuffled)):
        world = _world(endpoint)
        blob = world.drop("gas/x.csv", _file(shuffled))
        _overtaken(world, blob, at)

        for _ in range(3):  # whoever met a conflict is looked at again
            world.tick(timedelta(hours=1))

        (held,) = world.app.runs.search()
        _consistent(world, held.run, expected)


def _overtaken(world: World, blob: BlobInfo, at: int) -> None:
    """An instance is held up before one of its calls for so long that another one takes the run over and ends it."""
    calls: Iterator[int] = iter(range(at + 1))

    def held_up(operation: str, container: str, name: str) -> None:
        if next(calls, None) == at:
            world.blobs.interruption = None
            world.clock.advance(timedelta(minutes=6))
            _deliver(_instance(world, world.blobs), blob)

    world.blobs.interruption = held_up
    _deliver(_instance(world, world.blobs), blob)


def _broken_off(world: World, blob: BlobInfo, blocks: int = 2) -> None:
    """An instance is killed once it has staged so many blocks."""
    staged = 0

    def kill(operation: str, container: str, name: str) -> None:
        nonlocal staged
        staged += operation == "stage"
        if staged > blocks:
            raise KilledError

    world.blobs.interruption = kill
    with pytest.raises(KilledError):
        _deliver(_instance(world, world.blobs), blob)
    world.blobs.interruption = None
    world.clock.advance(timedelta(minutes=6))


def test_the_plan_of_the_first_attempt_holds_when_the_settings_change(endpoint: FakeEndpoint) -> None:
    expected = _undisturbed(_world(endpoint), _file(False))
    world = _world(endpoint)
    blob = world.drop("gas/x.csv", _file(False))
    _broken_off(world, blob)
    before = set().union(*map(_shown, world.blobs.block_contents(RESULTS, _SCORED)))
    endpoint.received.clear()

    run = _deliver(_instance(world, world.blobs, score_rows_per_request=37), blob)

    _consistent(world, run, expected)
    assert not before & set().union(*map(_asked, endpoint.received))
    assert max(received.rows for received in endpoint.received) <= _PER_BATCH


def test_a_run_that_is_taken_up_again_says_how_often_the_endpoint_was_asked(endpoint: FakeEndpoint) -> None:
    world = _world(endpoint)
    endpoint.mood = None
    blob = world.drop("gas/x.csv", _file(False))
    _broken_off(world, blob)
    endpoint.received.clear()

    requests = world.manifest(_deliver(_instance(world, world.blobs), blob))["requests"]

    assert requests["count"] == len(requests["ids"]) >= 8
    assert 0 < len(endpoint.received) < 8


def test_answers_of_a_model_that_was_replaced_are_not_mixed_with_those_of_the_next(endpoint: FakeEndpoint) -> None:
    world = _world(endpoint)
    blob = world.drop("gas/x.csv", _file(False))
    _broken_off(world, blob)
    world.go_live("8", "green")
    endpoint.received.clear()

    run = _deliver(_instance(world, world.blobs), blob)

    assert run.state == "completed"
    assert len(set().union(*map(_asked, endpoint.received))) == _ROWS, "all of it"
    assert {received.deployment for received in endpoint.received} == {"green"}
    assert list(world.blobs.list_blobs(STATE, "answers/")) == []


def test_answers_that_nobody_can_complete_are_dropped(endpoint: FakeEndpoint) -> None:
    world = World.build(endpoint, live=False)
    theirs = {"aml_endpoint_url": endpoint.url, "score_requests_in_flight": 1, "score_wire": "json"}
    blob = world.drop("gas/x.csv", _file(False))
    app = _instance(world, world.blobs, **theirs)

    def replaced(received: Received) -> Reply | None:
        if len(endpoint.received) < 6:
            return None
        answer = json.loads(endpoint.properly(received).body)
        return Reply(200, json.dumps(answer | {"model": {"name": MODEL, "version": "8"}}).encode())

    endpoint.mood = replaced
    waiting = _deliver(app, blob)
    world.clock.advance(timedelta(hours=1))

    run = _deliver(app, blob)

    assert (waiting.state, waiting.error and waiting.error.code) == ("waiting", "model_changed")
    assert run.state == "completed", run.error
    assert world.manifest(run)["model"]["version"] == "8"
    assert len(rows_of(world.result(_SCORED))) == _ROWS


def test_blocks_of_the_same_rows_have_the_same_name_whoever_stages_them(endpoint: FakeEndpoint) -> None:
    names = []
    for in_flight in (1, 5):
        world = _world(endpoint)
        run = _deliver(
            _instance(world, world.blobs, score_requests_in_flight=in_flight),
            world.drop("gas/x.csv", _file(False)),
        )
        assert run.state == "completed"
        names.append(world.blobs.blocks(RESULTS, _SCORED).committed)

    assert names[0] == names[1]
    assert len(names[0]) > 3


def test_a_result_that_was_removed_after_a_breakdown_is_written_again(endpoint: FakeEndpoint) -> None:
    expected = _undisturbed(_world(endpoint), _file(False))
    world = _world(endpoint)
    blob = world.drop("gas/x.csv", _file(False))

    def kill(operation: str, container: str, name: str) -> None:
        if operation == "put" and name.endswith("manifest.json"):
            raise KilledError

    world.blobs.interruption = kill
    with pytest.raises(KilledError):
        _deliver(_instance(world, world.blobs), blob)
    world.blobs.interruption = None
    world.clock.advance(timedelta(minutes=6))
    world.blobs.delete(RESULTS, _SCORED)
    endpoint.received.clear()

    run = _deliver(_instance(world, world.blobs), blob)

    _consistent(world, run, expected)
    assert endpoint.received == []


def test_the_timer_removes_what_a_run_left_that_had_ended(endpoint: FakeEndpoint) -> None:
    world = _world(endpoint)
    unfinished = world.drop("gas/unfinished.csv", _file(False))
    _broken_off(world, unfinished)
    blob = world.drop("gas/x.csv", _file(False))

    def kill(operation: str, container: str, name: str) -> None:
        if operation == "list_blobs" and name.startswith("answers/"):
            raise KilledError

    world.blobs.interruption = kill
    with pytest.raises(KilledError):
        _deliver(_instance(world, world.blobs), blob)
    world.blobs.interruption = None
    left = {info.name.split("/")[2] for info in world.blobs.list_blobs(STATE, "answers/")}

    world.app.files.tidy()

    still = {info.name.split("/")[2] for info in world.blobs.list_blobs(STATE, "answers/")}
    states = {held.run.id: held.run.state for held in world.app.runs.search()}
    assert sorted(states[run] for run in left) == ["completed", "scoring"]
    assert [states[run] for run in still] == ["scoring"]
