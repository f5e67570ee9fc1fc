"""The path of a file: one effect per version of it, whatever is delivered twice, waits, breaks or is replaced."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import islice
from typing import Any

import pytest

from shared.errors import NotFoundError
from shared.naming import INCOMING, RESULTS, RUNS
from shared.scoring import table as table_module
from shared.tables import Chunk, read
from tests.fakes.blobs import FakeBlobStore
from tests.fakes.endpoint import FakeEndpoint, Received, Reply, refusal
from tests.functional.scoring.world import World, hourly, rows_of, table

_FILE = table(hourly(101))


class _Writes:
    """Counts the results that appear."""

    def __init__(self, blobs: FakeBlobStore) -> None:
        self.commits: list[str] = []
        blobs.interruption = self

    def __call__(self, operation: str, container: str, name: str) -> None:
        if operation in ("commit", "put") and container == RESULTS:
            self.commits.append(name)


class _Crash:
    """Fails once, before the first such operation on the results, or on this one of them."""

    def __init__(self, blobs: FakeBlobStore, operation: str, name: str = "") -> None:
        self._operation, self._name = operation, name
        self._blobs = blobs
        blobs.interruption = self

    def __call__(self, operation: str, container: str, name: str) -> None:
        if (operation, container) == (self._operation, RESULTS) and self._name in name:
            self._blobs.interruption = None
            raise RuntimeError("the worker broke")


def test_metadata_of_a_series_file_name_no_model(world: World) -> None:
    world.blobs.put(INCOMING, "gas/x.csv", _FILE, metadata={"model": "G25"})  # the meter's

    run = world.deliver(world.blobs.info(INCOMING, "gas/x.csv"))

    assert (run.state, run.choice) == ("completed", None)


def test_a_second_delivery_has_no_effect(world: World) -> None:
    writes = _Writes(world.blobs)
    blob = world.drop("gas/x.csv", _FILE)

    runs = [world.deliver(blob) for _ in range(3)]

    assert {run.state for run in runs} == {"completed"}
    assert writes.commits == ["gas/x_scored.csv", "gas/x_report.html", "gas/x_manifest.json"]
    assert len(world.blobs.names(RUNS)) == 1
    assert runs[-1].attempts == 1


def test_of_two_deliveries_at_once_one_scores_and_the_other_leaves_it_alone(
    world: World, endpoint: FakeEndpoint
) -> None:
    writes = _Writes(world.blobs)
    blob = world.drop("gas/x.csv", _FILE)
    other_returned = threading.Event()
    endpoint.mood = lambda received: None if other_returned.wait(20) else Reply(500)

    with ThreadPoolExecutor(2) as pool:
        deliveries = [pool.submit(world.again().deliver, blob) for _ in range(2)]
        while not any(delivery.done() for delivery in deliveries):
            threading.Event().wait(0.005)
        other_returned.set()
        states = sorted(delivery.result().state for delivery in deliveries)

    assert states == ["completed", "scoring"]
    assert writes.commits == ["gas/x_scored.csv", "gas/x_report.html", "gas/x_manifest.json"]
    assert len(world.blobs.names(RUNS)) == 1


def test_a_file_without_a_model_waits_and_is_scored_when_there_is_one(endpoint: FakeEndpoint) -> None:
    world = World.build(endpoint, live=False)
    blob = world.drop("gas/x.csv", _FILE)

    for _ in range(7):  # more often than the host would try
        run = world.deliver(blob)
        world.tick()

    assert (run.state, run.error and run.error.code, run.attempts) == ("waiting", "no_live_model", 0)
    assert endpoint.received == []
    world.go_live()
    world.tick()
    assert world.record(run).state == "completed"
    assert world.record(run).error is None
    assert len(rows_of(world.result("gas/x_scored.csv"))) == 101


def test_a_file_waits_twice_as_long_each_time_that_the_endpoint_is_down(world: World, endpoint: FakeEndpoint) -> None:
    endpoint.mood = refusal(503)
    run = world.score("gas/x.csv", _FILE)
    waits = []

    for _ in range(7):
        run = world.record(run)
        assert (run.state, run.error and run.error.code) == ("waiting", "endpoint_failed")
        assert run.not_before is not None
        asked = len(endpoint.received)
        waits.append(run.not_before - world.clock())
        world.tick(waits[-1] - timedelta(seconds=1))
        assert len(endpoint.received) == asked, "not before its time"
        world.tick(timedelta(seconds=2))
        assert len(endpoint.received) > asked

    assert [wait / timedelta(minutes=1) for wait in waits] == [2, 4, 8, 16, 32, 60, 60]
    endpoint.mood = None
    world.tick(timedelta(hours=2))
    assert world.record(run).state == "completed"


def test_waiting_for_a_model_does_not_lengthen_the_wait_for_its_endpoint(endpoint: FakeEndpoint) -> None:
    world = World.build(endpoint, live=False)
    run = world.score("gas/x.csv", _FILE)
    endpoint.mood = refusal(503)
    world.go_live()

    world.tick()

    not_before = world.record(run).not_before
    assert not_before is not None
    assert not_before - world.clock() == timedelta(minutes=2)


def test_a_file_comes_back_no_sooner_than_the_endpoint_asked_for(world: World, endpoint: FakeEndpoint) -> None:
    endpoint.mood = refusal(429, Retry_After="1200")

    run = world.score("gas/x.csv", _FILE)

    assert (run.state, run.error and run.error.code) == ("waiting", "endpoint_throttled")
    assert run.not_before == world.clock() + timedelta(minutes=20)


@pytest.mark.parametrize("at", ["info x_scored", "stage x_scored", "commit x_scored", "put x_manifest"])
def test_a_crash_gives_the_claim_back_and_the_next_try_ends_well(world: World, at: str) -> None:
    expected = World.build(world.endpoint).scored("gas/x.csv", _FILE)
    blob = world.drop("gas/x.csv", _FILE)
    _Crash(world.blobs, *at.split())

    with pytest.raises(RuntimeError, match="the worker broke"):
        world.deliver(blob)
    crashed = world.app.runs.search()[0].run
    run = world.deliver(blob)

    assert (crashed.state, crashed.claimed_until) == ("scoring", None)
    assert (run.state, run.attempts) == ("completed", 2)
    assert world.result("gas/x_scored.csv") == expected


def test_a_second_try_gets_the_context_of_the_first(world: World) -> None:
    blob = world.drop("gas/2.csv", table(hourly(24, start=24)))
    expected = World.build(world.endpoint).scored("gas/2.csv", table(hourly(24, start=24)))
    _Crash(world.blobs, "commit")
    with pytest.raises(RuntimeError):
        world.deliver(blob)
    world.scored("gas/1.csv", table(hourly(24)))

    world.deliver(blob)

    assert world.result("gas/2_scored.csv") == expected


def test_a_run_whose_holder_died_is_taken_over_when_its_claim_is_over(world: World) -> None:
    held, _ = world.app.files.receive(world.drop("gas/x.csv", _FILE))
    claimed = held.run.entered("scoring", world.clock(), claimed_until=world.clock() + timedelta(minutes=5), attempts=1)
    world.app.runs.save(held, claimed)

    world.tick(timedelta(minutes=4))
    before = world.record(held.run).state
    world.tick(timedelta(minutes=2))

    assert before == "scoring"
    assert world.record(held.run).state == "completed"


def test_a_run_whose_message_was_lost_is_found_by_the_timer(world: World) -> None:
    held, _ = world.app.files.receive(world.drop("gas/x.csv", _FILE))

    world.tick(timedelta(minutes=6))

    assert world.record(held.run).state == "completed"


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_long_file_keeps_its_claim(world: World, endpoint: FakeEndpoint, shuffled: bool) -> None:
    rows = list(reversed(hourly(101))) if shuffled else hourly(101)
    world = world.again(score_rows_per_request=10, score_requests_in_flight=1)
    blob = world.drop("gas/x.csv", table(rows))
    states = []

    def a_minute_each(received: Received) -> None:
        world.clock.advance(timedelta(minutes=2))
        states.append(world.again().deliver(blob).state)

    endpoint.mood = a_minute_each
    run = world.deliver(blob)

    assert (run.state, run.attempts) == ("completed", 1)
    assert states == ["scoring"] * 11


@pytest.mark.parametrize("replaced", [True, False], ids=["replaced", "removed"])
@pytest.mark.parametrize("when", ["before", "while it is read", "while it is scored"])
def test_old_bytes_are_never_committed_over_a_newer_file(
    world: World, endpoint: FakeEndpoint, replaced: bool, when: str
) -> None:
    newer = table(hourly(50, seed=9))
    blob = world.drop("gas/x.csv", _FILE)

    def change() -> None:
        world.blobs.interruption = endpoint.mood = None
        if replaced:
            world.blobs.put(INCOMING, "gas/x.csv", newer)
        else:
            world.blobs.delete(INCOMING, "gas/x.csv")

    if when == "before":
        change()
    elif when == "while it is read":
        world.blobs.interruption = lambda operation, container, name: change() if operation == "pieces" else None
    else:
        endpoint.mood = lambda received: change()

    run = world.deliver(blob)

    assert (run.state, run.error) == ("superseded", None)
    assert world.blobs.names(RESULTS) == []
    if replaced:
        again = world.deliver(world.blobs.info(INCOMING, "gas/x.csv"))
        assert again.state == "completed"
        assert again.id != run.id
        assert len(rows_of(world.result("gas/x_scored.csv"))) == 50


@pytest.mark.parametrize(
    "slow_at", ["gas/x_scored.csv", "gas/x_rejected.csv", "gas/x_report.html", "gas/x_manifest.json"]
)
def test_a_newer_version_that_was_quicker_keeps_all_its_results(world: World, slow_at: str) -> None:
    newer = table(hourly(50, seed=9)) + b"one;field;too many\n"
    world.score("gas/x.csv", _FILE + b"a;b;c\n")
    blob = world.drop("gas/x.csv", _FILE)
    other = world.again()
    quicker = []

    def overtake(operation: str, container: str, name: str) -> None:
        if (operation in ("commit", "put", "delete"), container, name) == (True, RESULTS, slow_at):
            world.blobs.interruption = None
            quicker.append(other.score("gas/x.csv", newer))

    world.blobs.interruption = overtake
    world.deliver(blob)
    for _ in range(3):  # whichever of the two met a conflict is looked at again
        world.tick(timedelta(hours=1))

    manifest = world.manifest(quicker[0].model_copy(update={"manifest": "results/gas/x_manifest.json"}))
    assert {run.run.state for run in world.app.runs.search()} <= {"completed", "superseded"}
    assert (manifest["run"], manifest["counts"]["rows"]) == (quicker[0].id, 51)
    for output in manifest["outputs"]:
        body = world.result(output["blob"].removeprefix("results/"))
        assert output["sha256"] == hashlib.sha256(body).hexdigest()
    assert len(manifest["outputs"]) == 3


def test_results_of_a_version_before_do_not_stay(world: World) -> None:
    world.score("gas/x.csv", _FILE + b"one;field;too many\n")
    assert world.result("gas/x_rejected.csv").startswith(b"line;reason;text\n103;")

    run = world.score("gas/x.csv", _FILE)

    assert run.state == "completed"
    with pytest.raises(NotFoundError):
        world.result("gas/x_rejected.csv")
    written = [output["blob"] for output in world.manifest(run)["outputs"]]
    assert written == ["results/gas/x_scored.csv", "results/gas/x_report.html"]


@pytest.mark.parametrize("lost", ["a row", "a reject"])
def test_nothing_is_committed_when_a_row_is_lost(world: World, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    def forgetful(*args: Any, **kwargs: Any) -> Iterator[Chunk]:
        chunks = read(*args, **kwargs)
        if lost == "a row":
            return islice(chunks, 1)
        return (Chunk(c.index, c.first_row, c.cells, c.batch, c.usable, c.errors, []) for c in chunks)

    monkeypatch.setattr(table_module, "read", forgetful)
    blob = world.drop("gas/x.csv", _FILE + b"one;field;too many\n")

    with pytest.raises(RuntimeError, match="102 data rows went in"):
        world.deliver(blob)

    assert world.blobs.names(RESULTS) == []
    assert world.app.runs.search()[0].run.claimed_until is None


def test_a_file_that_a_person_asks_for_again_is_scored_again_by_the_same_run(world: World) -> None:
    blob = world.drop("gas/x.csv", _FILE)
    run = world.deliver(blob)
    before = world.result("gas/x_scored.csv")
    world.blobs.delete(RESULTS, "gas/x_scored.csv")

    held, new = world.app.files.receive(blob, manual=True)
    again = world.app.files.run(world.app.files.ask_again(held))

    assert (new, again.id, again.state, again.attempts) == (False, run.id, "completed", 1)
    assert [step.state for step in again.history][3:] == ["received", "scoring", "completed"]
    assert world.result("gas/x_scored.csv") == before
