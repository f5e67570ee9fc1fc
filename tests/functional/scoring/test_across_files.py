"""A stream cut into files: once everything has landed, each has the bytes that the whole would have, in any order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.naming import INCOMING, RUNS, STATE
from shared.runs import Run
from tests.fakes.endpoint import FakeEndpoint, refusal
from tests.functional.scoring.narrow import narrow_endpoint
from tests.functional.scoring.world import Row, World, hourly, rows_of, table

_ANY_SPEED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
_DAYS = [hourly(24, start=24 * day) for day in range(6)]


@pytest.fixture(scope="module")
def running_endpoint() -> Iterator[FakeEndpoint]:
    with narrow_endpoint() as endpoint:
        yield endpoint


def _settle(world: World) -> None:
    """The timer and the queue, until nothing is left to do."""
    for _ in range(20):
        world.tick(timedelta(minutes=10))
        open_runs = world.app.runs.search(states=("received", "scoring", "waiting"))
        if not open_runs and not world.queue.messages and not _marks(world):
            return
    raise AssertionError("it never comes to rest")


def _marks(world: World) -> list[str]:
    return [name for name in world.blobs.names(STATE) if name.startswith("revisit/")]


def _day(world: World, day: int) -> Run:
    """The newest run of a day's file."""
    return next(held.run for held in world.app.runs.search() if held.run.blob == f"incoming/gas/{day}.csv")


def _drop(world: World, day: int) -> Run:
    return world.score(f"gas/{day}.csv", table(_DAYS[day]))


def _revisions(world: World) -> list[int]:
    return [_day(world, day).revision for day in range(len(_DAYS))]


def _as_a_whole(endpoint: FakeEndpoint) -> list[list[str]]:
    return rows_of(World.build(endpoint).scored("gas/whole.csv", table([row for day in _DAYS for row in day])))


def _as_days(world: World) -> list[list[str]]:
    return [row for day in range(len(_DAYS)) for row in rows_of(world.result(f"gas/{day}_scored.csv"))]


def _stream(random: Random, meters: int, rows: int) -> list[Row]:
    """Rows in time order, or meter by meter, with gaps and with rows of one time."""
    found: list[tuple[int, int, Row]] = []
    for meter in range(meters):
        start = random.randrange(20)
        kept = sorted(random.sample(range(rows // meters + 10), rows // meters))
        readings = hourly(rows // meters + 10, start=start, meter=f"m{meter}", seed=meter)
        twice = [(place, readings[place]) for place in kept for _ in range(1 + (random.random() < 0.1))]
        found.extend((start + place, number, row) for number, (place, row) in enumerate(twice))
    if random.random() < 0.7:
        found.sort(key=lambda each: (each[0], each[2][2]))
    return [row if meters > 1 else row[:2] for _, _, row in found]


def _pieces(stream: list[Row], cuts: list[int]) -> Iterator[list[Row]]:
    """The stream cut before these rows; rows of one meter and time are not parted."""
    same = {cut for cut in cuts if 0 < cut < len(stream) and _moment(stream[cut]) == _moment(stream[cut - 1])}
    bounds = sorted({0, len(stream), *(cut for cut in cuts if 0 < cut < len(stream))} - same)
    for start, stop in pairwise(bounds):
        yield stream[start:stop]


def _moment(row: Row) -> tuple[str, ...]:
    return (row[0], *row[2:])


_CUTS = given(
    seed=st.integers(0, 10_000),
    meters=st.sampled_from([1, 1, 2, 3]),
    size=st.sampled_from([1, 7, 24, 40]),
    order=st.sampled_from(["in order", "backwards", "shuffled"]),
    twice=st.booleans(),
    at_once=st.booleans(),
)


@settings(max_examples=4, deadline=None, suppress_health_check=_ANY_SPEED)
@_CUTS
def test_a_stream_in_pieces_gets_the_bytes_of_the_whole(
    running_endpoint: FakeEndpoint, seed: int, meters: int, size: int, order: str, twice: bool, at_once: bool
) -> None:
    _in_pieces(running_endpoint, seed, meters, size, order, twice, at_once)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=_ANY_SPEED)
@_CUTS
def test_many_streams_in_pieces_get_the_bytes_of_the_whole(
    running_endpoint: FakeEndpoint, seed: int, meters: int, size: int, order: str, twice: bool, at_once: bool
) -> None:
    _in_pieces(running_endpoint, seed, meters, size, order, twice, at_once)


def _in_pieces(
    running_endpoint: FakeEndpoint, seed: int, meters: int, size: int, order: str, twice: bool, at_once: bool
) -> None:
    running_endpoint.calm()
    random = Random(seed)
    stream = _stream(random, meters, 14 if size == 1 else 120)
    whole = World.build(running_endpoint).scored("gas/whole.csv", table(stream))
    pieces = list(_pieces(stream, [cut + random.randrange(-2, 3) * (size > 2) for cut in range(0, len(stream), size)]))
    arrivals = list(range(len(pieces)))
    if twice:
        arrivals += random.sample(arrivals, len(arrivals) // 2)
    if order == "backwards":
        arrivals.reverse()
    elif order == "shuffled":
        random.shuffle(arrivals)
    world = World.build(running_endpoint)

    for number, piece in enumerate(arrivals):
        name = f"gas/{piece}.csv" if number % 2 else f"gas/{piece}/copy.csv"  # a copy, or the same name again
        world.score(name, table(pieces[piece]))
        world.score(f"gas/{piece}.csv", table(pieces[piece]))
        if not at_once:
            world.work()
    _settle(world)

    scored = [world.result(f"gas/{piece}_scored.csv").splitlines() for piece in range(len(pieces))]
    assert [line for lines in scored for line in lines[1:]] == whole.splitlines()[1:]
    assert {lines[0] for lines in scored} == {whole.splitlines()[0]}


def test_daily_files_in_order_are_scored_once_each(world: World, endpoint: FakeEndpoint) -> None:
    for day in range(6):
        _drop(world, day)
    _settle(world)

    assert len(endpoint.received) == 6
    assert _revisions(world) == [0] * 6
    assert {world.manifest(_day(world, day))["revision"] for day in range(6)} == {0}


def test_a_late_file_has_the_one_after_it_scored_again(world: World, endpoint: FakeEndpoint) -> None:
    for day in (0, 1, 3, 4, 5):
        _drop(world, day)
    before = world.manifest(_day(world, 3))["outputs"][0]["sha256"]

    _drop(world, 2)
    world.work()

    assert _revisions(world) == [0, 0, 0, 1, 0, 0]
    run = _day(world, 3)
    assert (run.state, world.manifest(run)["revision"]) == ("completed", 1)
    assert world.manifest(run)["outputs"][0]["sha256"] != before
    assert [step.note for step in run.history if step.note] == [
        "revision 1: the rows before it are others now, by incoming/gas/2.csv"
    ]
    assert _as_days(world) == _as_a_whole(endpoint)
    asked = len(endpoint.received)
    _settle(world)
    assert len(endpoint.received) == asked, "and that is all"


def test_files_that_arrive_backwards_are_each_scored_again_once(world: World, endpoint: FakeEndpoint) -> None:
    for day in reversed(range(6)):
        _drop(world, day)
        world.work()
    _settle(world)

    assert _revisions(world) == [0, 1, 1, 1, 1, 1]
    assert _as_days(world) == _as_a_whole(endpoint)


def test_a_file_dropped_twice_or_under_another_name_changes_nothing_behind_it(
    world: World, endpoint: FakeEndpoint
) -> None:
    for day in range(6):
        _drop(world, day)
    world.score("gas/copy of 2.csv", table(_DAYS[2]))
    _drop(world, 3)
    _settle(world)

    assert _revisions(world) == [0] * 6
    assert _as_days(world) == _as_a_whole(endpoint)


def test_a_replaced_file_has_the_one_after_it_scored_again_and_back(world: World, endpoint: FakeEndpoint) -> None:
    for day in range(6):
        _drop(world, day)
    world.score("gas/2.csv", table(hourly(24, start=48, seed=99)))
    _settle(world)
    assert _revisions(world) == [0, 0, 0, 1, 0, 0]
    assert _as_days(world) != _as_a_whole(endpoint)

    _drop(world, 2)
    _settle(world)

    assert _revisions(world) == [0, 0, 0, 2, 0, 0]
    assert _as_days(world) == _as_a_whole(endpoint)


def test_a_correction_of_some_hours_counts_as_context_instead_of_what_it_corrects(world: World) -> None:
    corrected = [*_DAYS[0][:20], *hourly(24, seed=99)[20:]]
    _drop(world, 0)
    _drop(world, 1)
    world.score("gas/correction.csv", table(corrected[20:]))
    _settle(world)
    other = World.build(world.endpoint)
    other.score("gas/0.csv", table(corrected))
    other.score("gas/1.csv", table(_DAYS[1]))

    assert world.result("gas/1_scored.csv") == other.result("gas/1_scored.csv")


def test_files_of_one_meter_each_do_not_disturb_one_another(world: World) -> None:
    for meter in ("north", "south"):
        world.score(f"gas/{meter}2.csv", table(hourly(24, start=24, meter=meter)))
    world.score("gas/north1.csv", table(hourly(24, meter="north")))
    _settle(world)

    revisions = {held.run.blob: held.run.revision for held in world.app.runs.search()}
    assert revisions == {"incoming/gas/north1.csv": 0, "incoming/gas/north2.csv": 1, "incoming/gas/south2.csv": 0}


def test_a_revision_is_by_the_model_that_is_live_then(world: World) -> None:
    _drop(world, 1)
    world.go_live(deployment="green")

    _drop(world, 0)
    _settle(world)

    run = _day(world, 1)
    assert (run.revision, world.manifest(run)["model"]["deployment"]) == (1, "green")


def test_a_revision_that_finds_the_endpoint_down_waits(world: World, endpoint: FakeEndpoint) -> None:
    _drop(world, 1)
    _drop(world, 0)
    endpoint.mood = refusal(503)
    world.work()
    assert (_day(world, 1).state, _day(world, 1).revision) == ("waiting", 1)

    endpoint.mood = None
    _settle(world)

    assert (_day(world, 1).state, _day(world, 1).revision) == ("completed", 1)


def test_a_file_that_arrives_while_its_successor_is_scored_is_not_missed(world: World, endpoint: FakeEndpoint) -> None:
    other = world.again()

    def arrive(operation: str, container: str, name: str) -> None:
        if (operation, name) == ("commit", "gas/1_scored.csv"):
            world.blobs.interruption = None
            other.score("gas/0.csv", table(_DAYS[0]))

    world.blobs.interruption = arrive
    _drop(world, 1)
    _settle(world)
    for day in range(2, 6):
        _drop(world, day)

    assert _day(world, 1).revision == 1
    assert _as_days(world) == _as_a_whole(endpoint)


@pytest.mark.parametrize("first", [(0, 2), (2, 0)])
def test_two_late_files_at_once(world: World, endpoint: FakeEndpoint, first: tuple[int, int]) -> None:
    for day in (1, 3, 4, 5):
        _drop(world, day)
    other = world.again()

    def the_other_too(operation: str, container: str, name: str) -> None:
        if (operation, container) == ("put", STATE) and name.startswith("history/"):
            world.blobs.interruption = None
            _drop(other, first[1])

    world.blobs.interruption = the_other_too
    _drop(world, first[0])
    _settle(world)

    assert _revisions(world) == [0, 1, 0, 1, 0, 0]
    assert _as_days(world) == _as_a_whole(endpoint)


@pytest.mark.parametrize("container", [STATE, RUNS])
@pytest.mark.parametrize("at", range(7))
def test_a_crash_at_any_write_is_healed(world: World, endpoint: FakeEndpoint, container: str, at: int) -> None:
    for day in (0, 1, 3, 4, 5):
        _drop(world, day)
    seen = [0]

    def crash(operation: str, where: str, name: str) -> None:
        if operation in ("put", "delete") and where == container:
            seen[0] += 1
            if seen[0] == at + 1:
                raise RuntimeError("the worker broke")

    world.blobs.interruption = crash
    blob = None
    for _ in range(5):  # as often as the host tries
        try:
            if blob is None:
                blob = world.drop("gas/2.csv", table(_DAYS[2]))
            world.deliver(blob)
            break
        except RuntimeError:
            world.clock.advance(timedelta(minutes=20))
    try:
        world.work()
    except RuntimeError:
        world.clock.advance(timedelta(minutes=20))
    world.blobs.interruption = None
    _settle(world)

    assert _revisions(world) == [0, 0, 0, 1, 0, 0]
    assert _as_days(world) == _as_a_whole(endpoint)


def test_a_run_that_an_operator_removed_is_forgotten(world: World) -> None:
    _drop(world, 1)
    run = _day(world, 1)
    world.blobs.delete(RUNS, f"gas/{run.id}.json")

    _drop(world, 0)
    _settle(world)

    assert _marks(world) == []


def test_the_results_of_a_file_that_was_removed_stay_as_they_are(world: World) -> None:
    _drop(world, 1)
    run = _day(world, 1)
    before = world.result("gas/1_scored.csv")
    world.blobs.delete(INCOMING, "gas/1.csv")

    _drop(world, 0)
    _settle(world)

    assert (world.record(run).state, world.record(run).revision) == ("completed", 0)
    assert world.result("gas/1_scored.csv") == before
    assert _marks(world) == []


def test_a_file_that_was_dropped_twice_is_revised_as_its_newest_run(world: World) -> None:
    """The second drop is answered from the first one's results; what comes late must revise the second."""
    _drop(world, 2)
    again = _drop(world, 2)
    assert world.manifest(again)["reused"]
    assert world.manifest(again)["revision"] == 0

    _drop(world, 1)
    _settle(world)

    assert world.record(again).revision == 1
    assert "reused" not in world.manifest(world.record(again))
    assert _marks(world) == []
    for day in (1, 2):
        alone = World.build(world.endpoint)
        alone.scored("gas/1.csv", table(_DAYS[1]))
        expected = alone.result("gas/1_scored.csv") if day == 1 else alone.scored("gas/2.csv", table(_DAYS[2]))
        assert world.result(f"gas/{day}_scored.csv") == expected
