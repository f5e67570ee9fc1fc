"""Parts of a file when something breaks: instances die or are overtaken, messages are lost, the endpoint is down."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest

from shared.composition import App
from shared.naming import INCOMING, RESULTS, STATE
from shared.runs import Run
from shared.scoring import journal as journal_module
from shared.storage import BlobInfo, BlobStore
from tests.fakes.endpoint import DEPLOYMENT, FakeEndpoint, Received, Reply, poisoned_by, refusal
from tests.fakes.frail import Frail, KilledError
from tests.fakes.model import MODEL
from tests.functional.scoring.narrow import narrow_endpoint
from tests.functional.scoring.world import Row, World, app_over, hourly, settings, table

_SCORED, _REJECTED, _REPORT = "gas/x_scored.csv", "gas/x_rejected.csv", "gas/x_report.html"
_POISON = "-1,25"
_CHANGES = {"score_rows_per_request": 5, "score_requests_in_flight": 2, "score_split_bytes": 260}
_DONE = ("completed", "failed", "superseded")


@pytest.fixture(scope="module")
def running_endpoint() -> Iterator[FakeEndpoint]:
    with narrow_endpoint() as endpoint:
        yield endpoint


@pytest.fixture(autouse=True)
def _small_blocks() -> Iterator[None]:
    with mock.patch("shared.tables.streams.BLOCK", 32), mock.patch.object(journal_module, "_ENTRY_BYTES", 16 * 6):
        yield


def _rows(count: int = 34) -> list[Row]:
    """Three or four parts, with refused rows just before and behind where they meet."""
    return [(time, _POISON if place in (9, 11) else value) for place, (time, value) in enumerate(hourly(count))]


def _file() -> bytes:
    lines = table(_rows()).splitlines(keepends=True)
    return b"".join([*lines[:20], b"one;field;too many\n", *lines[20:]])


def _world(endpoint: FakeEndpoint, **changes: Any) -> World:
    endpoint.calm()
    endpoint.mood = poisoned_by(-1.25)
    return World.build(endpoint, **_CHANGES | changes)


def _instance(world: World, store: BlobStore, **changes: Any) -> App:
    return app_over(store, world.queue, world.clock, settings(**_CHANGES | changes))


def _expected(endpoint: FakeEndpoint) -> dict[str, bytes]:
    world = _world(endpoint, score_split_bytes=0)
    assert world.score("gas/x.csv", _file()).state == "completed"
    return {name: world.result(name) for name in (_SCORED, _REJECTED, _REPORT)}


def _work(world: World, app: App) -> None:
    """The messages on the queue, and those that follow from them; one that broke comes again, after the others."""
    for _ in range(60):
        for message in world.queue.take_all():
            try:
                app.do(message)
            except RuntimeError:
                world.queue.send(message)
        if not world.queue.messages:
            return
    raise AssertionError("there is no end to it")


def _to_the_end(world: World, run_id: str | None = None) -> Run:
    """The timer and the queue, until the file's run has ended."""
    for _ in range(20):
        _work(world, world.app)
        (held,) = world.app.runs.search()
        if held.run.state in _DONE:
            return held.run
        world.clock.advance(timedelta(minutes=6))
        world.app.reconcile()
    raise AssertionError(f"still {held.run}")


def _consistent(world: World, run: Run, expected: dict[str, bytes]) -> None:
    assert run.state == "completed", run.error
    assert {name: world.result(name) for name in expected} == expected
    about = world.manifest(run)
    assert about["parts"] >= 3
    assert about["counts"] == run.counts
    for output in about["outputs"]:
        assert world.blobs.info(RESULTS, output["blob"].removeprefix("results/")).etag == output["etag"]
    world.app.files.tidy()
    assert [info.name for kind in ("answers/", "parts/") for info in world.blobs.list_blobs(STATE, kind)] == []


def _through(world: World, store: BlobStore, blob: BlobInfo) -> None:
    """One instance is given the event and then every message."""
    app = _instance(world, store)
    app.files.run(app.files.receive(blob)[0])
    _work(world, app)


def _calls(endpoint: FakeEndpoint) -> int:
    world = _world(endpoint)
    store, frail = Frail.over(world.blobs, None, after=False, error=KilledError())
    _through(world, store, world.drop("gas/x.csv", _file()))
    return len(frail.calls)


def _breakdown(endpoint: FakeEndpoint, at: int, expected: dict[str, bytes], *, killed: bool, after: bool) -> None:
    world = _world(endpoint)
    blob = world.drop("gas/x.csv", _file())
    store, frail = Frail.over(
        world.blobs, at, after=after, error=KilledError() if killed else RuntimeError("the worker broke")
    )
    with suppress(KilledError, RuntimeError):
        _through(world, store, blob)
    again, calls = Frail.over(world.blobs, None, after=False, error=KilledError())
    app = _instance(world, again)
    app.files.run(app.files.receive(blob)[0])  # the event comes again, as it does where it was not acknowledged

    _work(world, app)
    run = _to_the_end(world)

    _consistent(world, run, expected)
    commits = Counter(call for call in frail.calls + calls.calls if call[0] == "commit")
    assert sum(commits.values()) <= 3, "every result appears once, but for a commit that did not take effect"


_KINDS = [pytest.param(True, False, id="killed before"), pytest.param(True, True, id="killed after")]
_KINDS += [pytest.param(False, False, id="broken before"), pytest.param(False, True, id="broken after")]


@pytest.mark.parametrize(("killed", "after"), _KINDS[:1] + _KINDS[3:])
def test_a_breakdown_at_a_call_changes_nothing(endpoint: FakeEndpoint, killed: bool, after: bool) -> None:
    expected = _expected(endpoint)
    for at in range(int(killed), _calls(endpoint), 13):
        _breakdown(endpoint, at, expected, killed=killed, after=after)


@pytest.mark.slow
@pytest.mark.parametrize(("killed", "after"), _KINDS)
def test_a_breakdown_at_any_call_changes_nothing(endpoint: FakeEndpoint, killed: bool, after: bool) -> None:
    expected = _expected(endpoint)
    for at in range(_calls(endpoint)):
        _breakdown(endpoint, at, expected, killed=killed, after=after)


@pytest.mark.parametrize("step", [pytest.param(17, id="some"), pytest.param(1, id="any", marks=pytest.mark.slow)])
def test_an_instance_that_is_overtaken_spoils_nothing(endpoint: FakeEndpoint, step: int) -> None:
    expected = _expected(endpoint)
    for at in range(0, _calls(endpoint), step):
        world = _world(endpoint)
        _overtaken(world, world.drop("gas/x.csv", _file()), at)

        _consistent(world, _to_the_end(world), expected)


def _overtaken(world: World, blob: BlobInfo, at: int) -> None:
    """An instance is held up before one of its calls for so long that others take over whatever it holds."""
    calls = iter(range(at + 1))

    def held_up(operation: str, container: str, name: str) -> None:
        if next(calls, None) == at:
            world.blobs.interruption = None
            world.clock.advance(timedelta(minutes=6))
            _through(world, world.blobs, blob)
            world.app.reconcile()
            _work(world, world.app)

    world.blobs.interruption = held_up
    _through(world, world.blobs, blob)


def test_lost_messages_are_asked_for_again_by_the_timer(endpoint: FakeEndpoint) -> None:
    expected = _expected(endpoint)
    world = _world(endpoint, score_claim_seconds=30)
    run = world.score("gas/x.csv", _file())
    first, *lost = world.queue.take_all()
    world.app.do(first)
    assert len(lost) >= 2

    world.app.reconcile()
    assert world.queue.messages == [], "not before a claim would have run out"
    world.clock.advance(timedelta(seconds=31))
    world.app.reconcile()
    world.work()

    assert sorted(world.queue.messages) == sorted(lost)
    assert (world.record(run).parts or {})["done"] == 1
    _consistent(world, _to_the_end(world), expected)


def _parts_asked(endpoint: FakeEndpoint) -> set[str]:
    """The times of the rows that were asked about, in either wire's writing."""
    return {str(time) for each in endpoint.received for time in each.columns["FechaHora"][-each.rows :]}


def test_an_endpoint_that_is_down_in_one_part_costs_that_part_alone(endpoint: FakeEndpoint) -> None:
    world = _world(endpoint)
    run = world.score("gas/x.csv", table(hourly(34)))
    messages = world.queue.take_all()
    world.app.do(messages.pop())
    answered = _parts_asked(endpoint)
    assert answered
    endpoint.mood = refusal(503)
    for message in messages:
        world.app.do(message)
    waiting = world.record(run)
    endpoint.mood = poisoned_by(-1.25)
    endpoint.received.clear()
    world.clock.advance(timedelta(minutes=3))
    world.app.reconcile()

    done = _to_the_end(world)

    assert (waiting.state, waiting.error and waiting.error.code) == ("waiting", "endpoint_failed")
    assert [step.state for step in done.history].count("waiting") == 1
    assert not answered & _parts_asked(endpoint)
    assert len(answered | _parts_asked(endpoint)) == 34
    assert done.counts is not None and done.counts["scored"] == 34


@pytest.mark.parametrize("parts_done", [0, 1, 3])
def test_a_file_that_is_replaced_meanwhile_is_superseded(endpoint: FakeEndpoint, parts_done: int) -> None:
    world = _world(endpoint)
    run = world.score("gas/x.csv", _file())
    messages = world.queue.take_all()
    for message in messages[:parts_done]:
        world.app.do(message)
    world.blobs.put(INCOMING, "gas/x.csv", _file() + b"\n")

    for message in messages[parts_done:]:
        world.app.do(message)
    _work(world, world.app)

    assert world.record(run).state == "superseded"
    assert world.blobs.names(RESULTS) == []
    assert list(world.blobs.list_blobs(STATE, "parts/")) == []


def test_a_part_on_which_the_app_crashed_ends_the_run(endpoint: FakeEndpoint) -> None:
    world = _world(endpoint)
    run = world.score("gas/x.csv", _file())
    message, *others = world.queue.take_all()
    past = json.dumps(json.loads(message) | {"key": "another plan's"})

    assert world.app.desk.bury(past) is None
    assert world.record(run).state == "scoring"
    buried = world.app.desk.bury(message)
    for other in others:
        world.app.do(other)

    assert buried is not None
    assert (buried.state, buried.error and buried.error.code) == ("failed", "crashed")
    assert world.record(run) == buried
    assert world.blobs.names(RESULTS) == []


def test_blocks_that_are_gone_are_staged_again_without_a_request(endpoint: FakeEndpoint) -> None:
    expected = _expected(endpoint)
    world = _world(endpoint)
    world.score("gas/x.csv", _file())
    *messages, last = world.queue.take_all()
    for message in messages:
        world.app.do(message)

    def discarded(operation: str, container: str, name: str) -> None:
        if operation == "blocks" and name == _SCORED:
            world.blobs.interruption = None
            world.blobs.put(RESULTS, _SCORED, b"somebody else's")
            endpoint.received.clear()

    world.app.do(last)
    again = world.queue.take_all()  # the parts behind a refused row
    for message in again[:-1]:
        world.app.do(message)
    world.blobs.interruption = discarded
    world.app.do(again[-1])
    run = _to_the_end(world)

    _consistent(world, run, expected)
    assert endpoint.received == []


def _swapping(endpoint: FakeEndpoint) -> Any:
    """Another deployment answers every request that is pinned to none."""

    def mood(received: Received) -> Reply | None:
        if -1.25 in received.columns["VolCorrected"]:
            return poisoned_by(-1.25)(received)
        proper = endpoint.properly(received)
        name = received.deployment or ("blue", "green")[len(endpoint.received) % 2]
        return Reply(200, proper.body, {**proper.headers, DEPLOYMENT: name}, proper.content_type)

    return mood


def test_the_first_answer_pins_all_parts_where_no_deployment_is_named(endpoint: FakeEndpoint) -> None:
    expected = _expected(endpoint)
    del expected[_REPORT]  # it says that nobody knows what the model was trained on
    theirs = {"aml_endpoint_url": endpoint.url}
    world = _world(endpoint, **theirs)
    endpoint.mood = _swapping(endpoint)
    world.score("gas/x.csv", _file())

    run = _to_the_end(world)

    _consistent(world, run, expected)
    named = Counter(received.deployment for received in endpoint.received)
    assert world.manifest(run)["model"]["deployment"] in ("blue", "green")
    assert len([name for name in named if name is not None]) == 1


def test_answers_of_two_models_are_not_put_together(endpoint: FakeEndpoint) -> None:
    world = World.build(endpoint, live=False, **_CHANGES | {"aml_endpoint_url": endpoint.url, "score_wire": "json"})
    run = world.score("gas/x.csv", table(hourly(34)))
    first, *others = world.queue.take_all()
    world.app.do(first)

    def replaced(received: Received) -> Reply:
        answer = json.loads(endpoint.properly(received).body)
        return Reply(200, json.dumps(answer | {"model": {"name": MODEL, "version": "8"}}).encode())

    endpoint.mood = replaced
    for message in others:
        world.app.do(message)
    waiting = world.record(run)
    world.clock.advance(timedelta(minutes=6))
    world.app.reconcile()

    done = _to_the_end(world)

    assert (waiting.state, waiting.error and waiting.error.code) == ("waiting", "model_changed")
    assert world.manifest(done)["model"]["version"] == "8"


@pytest.mark.parametrize("gone", [False, True])
def test_a_model_that_goes_live_meanwhile_takes_over_only_where_the_old_one_is_gone(
    endpoint: FakeEndpoint, gone: bool
) -> None:
    expected = _expected(endpoint)
    world = _world(endpoint)
    world.score("gas/x.csv", _file())
    first, *others = world.queue.take_all()
    world.app.do(first)
    world.go_live("8", "green")
    endpoint.mood = lambda received: (
        Reply(404) if gone and received.deployment == "blue" else poisoned_by(-1.25)(received)
    )
    for message in others:
        world.app.do(message)
    endpoint.received.clear()

    done = _to_the_end(world)

    _consistent(world, done, expected)
    assert world.manifest(done)["model"]["deployment"] == ("green" if gone else "blue")
    assert {received.deployment for received in endpoint.received} == {"green" if gone else "blue"}


def test_only_plain_text_is_scored_in_parts(endpoint: FakeEndpoint) -> None:
    world = _world(endpoint, score_split_bytes=50)

    run = world.score("gas/x.csv.gz", gzip.compress(_file()))

    assert (run.state, run.parts) == ("completed", None)


def test_a_file_whose_contexts_would_take_too_much_memory_stays_whole(endpoint: FakeEndpoint) -> None:
    world = _world(endpoint)

    with mock.patch("shared.scoring.ranges._CONTEXTS_BYTES", 100):
        run = world.score("gas/x.csv", _file())

    assert (run.state, run.parts) == ("completed", None)


def test_a_late_file_has_a_file_in_parts_scored_again(endpoint: FakeEndpoint) -> None:
    early, late = hourly(30), hourly(30, start=30)
    reference = _world(endpoint, score_split_bytes=0)
    reference.score("gas/early.csv", table(early))
    reference.score("gas/late.csv", table(late))
    world = _world(endpoint)

    for name, rows in (("late", late), ("early", early)):
        world.score(f"gas/{name}.csv", table(rows))
        _work(world, world.app)

    runs = {held.run.blob: held.run for held in world.app.runs.search()}
    assert {run.state for run in runs.values()} == {"completed"}
    assert runs["incoming/gas/late.csv"].revision == 1
    for name in ("early", "late"):
        assert world.result(f"gas/{name}_scored.csv") == reference.result(f"gas/{name}_scored.csv")


def test_a_file_of_which_every_row_is_refused_fails_as_it_does_whole(endpoint: FakeEndpoint) -> None:
    rows = [(time, _POISON) for time, _ in hourly(120)]
    world = _world(endpoint)
    world.score("gas/x.csv", table(rows))

    run = _to_the_end(world)

    assert (run.state, run.error and run.error.code) == ("failed", "endpoint_refuses_all")
    assert world.blobs.names(RESULTS) == []
