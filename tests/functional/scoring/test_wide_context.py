"""A context of weeks: hundreds of rows of each series before a row, of which every one tells in the score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from random import Random
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.pipeline import Pipeline

from shared.naming import STATE
from tests.fakes.endpoint import FakeEndpoint
from tests.fakes.wide import WideModel, scores, wide_contract
from tests.functional.scoring.world import Row, World, hourly, rows_of, table

_WIDE = 60
_WEEKS = 696
_ANY_SPEED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
_LOADERS = ["shared.contracts.load_contract", "shared.scoring.revisions.load_contract"]


@contextmanager
def _endpoint(context_rows: int) -> Iterator[FakeEndpoint]:
    """A model of so much context, and an app that knows it."""
    with mock.patch(_LOADERS[0]) as one, mock.patch(_LOADERS[1]) as other:
        for loader in (one, other):
            loader.return_value = wide_contract(context_rows)
        model = FakeEndpoint(WideModel(context_rows), Pipeline([("nothing", "passthrough")]))
        with model.running():
            yield model


@pytest.fixture(scope="module")
def wide() -> Iterator[FakeEndpoint]:
    """Sixty rows of context."""
    with _endpoint(_WIDE) as running:
        yield running


def _expected(rows: Sequence[Row], context_rows: int = _WIDE) -> dict[Row, str]:
    """The score of every row, by the model's own formula over the whole stream of each meter."""
    found: dict[Row, str] = {}
    for meter in {row[2:] for row in rows}:
        own = sorted((row for row in rows if row[2:] == meter), key=_moment)
        values = [float(row[1].replace(",", ".")) for row in own]
        found.update(zip(own, map(_text, scores(values, context_rows)), strict=True))
    return found


def _text(score: float) -> str:
    return f"{score:.10g}".replace(".", ",")


def _moment(row: Row) -> tuple[str, ...]:
    return row[0][6:10], row[0][3:5], row[0][:2], row[0][11:]


def _told(scored: bytes, width: int) -> dict[Row, str]:
    rows = rows_of(scored)
    header = scored.decode().splitlines()[0].split(";")
    at = header.index("anomaly_score")
    assert all(row[-1] == "" for row in rows)
    return {tuple(row[:width]): _text(float(row[at].replace(",", "."))) for row in rows}


def _meters(count: int, hours: int, start: int = 0) -> list[Row]:
    """The hours of several meters that take turns, some of which begin later or pause."""
    rows = []
    for meter in range(count):
        own = hourly(hours, start=start, meter=f"m{meter:03d}", seed=meter)
        rows += own[meter % 5 :] if meter % 3 else own[: hours // 2] + own[hours // 2 + meter % 4 :]
    return sorted(rows, key=lambda row: (_moment(row), row[2]))


_WAYS = given(
    rows_per_request=st.sampled_from([40, 90, 1000]),
    bytes_per_request=st.sampled_from([6_000, 20_000, 1_500_000]),
    in_flight=st.integers(1, 4),
    order=st.sampled_from(["by hour", "by meter", "shuffled"]),
    lot_rows=st.sampled_from([50, 250_000]),
)


@settings(max_examples=5, deadline=None, suppress_health_check=_ANY_SPEED)
@_WAYS
def test_meters_that_take_turns_are_scored_with_their_own_context(
    wide: FakeEndpoint, rows_per_request: int, bytes_per_request: int, in_flight: int, order: str, lot_rows: int
) -> None:
    _in_turns(wide, rows_per_request, bytes_per_request, in_flight, order, lot_rows)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=_ANY_SPEED)
@_WAYS
def test_many_ways_give_each_meter_its_own_context(
    wide: FakeEndpoint, rows_per_request: int, bytes_per_request: int, in_flight: int, order: str, lot_rows: int
) -> None:
    _in_turns(wide, rows_per_request, bytes_per_request, in_flight, order, lot_rows)


def _in_turns(
    wide: FakeEndpoint, rows_per_request: int, bytes_per_request: int, in_flight: int, order: str, lot_rows: int
) -> None:
    wide.calm()
    rows = _meters(9, 70)
    if order == "by meter":
        rows.sort(key=lambda row: row[2])
    elif order == "shuffled":
        Random(3).shuffle(rows)
    world = World.build(
        wide,
        score_rows_per_request=rows_per_request,
        score_bytes_per_request=bytes_per_request,
        score_requests_in_flight=in_flight,
    )
    with (
        mock.patch("shared.scoring.grouping.Grouped.__init__.__defaults__", (lot_rows,)),
        mock.patch("shared.scoring.grouping.Scattered.__init__.__defaults__", (lot_rows,)),
    ):
        scored = world.scored("gas/x.csv", table(rows))

    assert [tuple(row[:3]) for row in rows_of(scored)] == rows
    assert _told(scored, 3) == _expected(rows)


def test_the_context_of_meters_that_take_turns_is_sent_once(wide: FakeEndpoint) -> None:
    wide.calm()
    rows = _meters(30, 80)
    world = World.build(wide, score_rows_per_request=200)

    world.scored("gas/x.csv", table(rows))

    wide_rows = sum(len(each.columns["VolCorrected"]) for each in wide.received)
    assert wide_rows < len(rows) + 30 * _WIDE, "in turns it would be most of it in each of the chunks"


def test_a_request_has_room_for_its_context(wide: FakeEndpoint) -> None:
    wide.calm()
    rows = _meters(12, 70)
    world = World.build(wide, score_bytes_per_request=6_000, score_rows_per_request=500)

    scored = world.scored("gas/x.csv", table(rows))

    assert _told(scored, 3) == _expected(rows)
    assert max(len(each.body) for each in wide.received) <= 6_000
    assert len(wide.received) < len(rows) / 3, "it makes progress, though the context is most of a request"


@pytest.mark.parametrize("meters", [1, 9])
def test_daily_pieces_in_any_order_have_the_scores_of_the_whole(wide: FakeEndpoint, meters: int) -> None:
    wide.calm()
    days = [_meters(meters, 24, start=24 * day) for day in range(6)]
    arrivals = list(range(len(days)))
    Random(meters).shuffle(arrivals)
    world = World.build(wide, score_rows_per_request=100)

    for day in arrivals:
        world.score(f"gas/{day}.csv", table(days[day]))
        world.work()
    _settle(world)

    told: dict[Row, str] = {}
    for day in range(len(days)):
        told |= _told(world.result(f"gas/{day}_scored.csv"), 3)
    assert told == _expected([row for day in days for row in day])


@pytest.mark.parametrize("count", [15, pytest.param(60, marks=pytest.mark.slow)])
def test_a_storm_of_late_files_has_each_scored_twice_at_most(count: int) -> None:
    days = [hourly(24, start=24 * day) for day in range(count)]
    arrivals = list(range(len(days)))
    Random(5).shuffle(arrivals)
    with _endpoint(_WEEKS) as model:
        world = World.build(model, score_rows_per_request=1000)
        for day in arrivals:
            world.blobs.put("incoming", f"gas/{day}.csv", table(days[day]))
            world.deliver(world.blobs.info("incoming", f"gas/{day}.csv"))
            world.work()  # what the end of a run puts on the queue
        _settle(world)

        told: dict[Row, str] = {}
        for day in range(len(days)):
            told |= _told(world.result(f"gas/{day}_scored.csv"), 2)
        revisions = [held.run.revision for held in world.app.runs.search()]
        assert told == _expected([row for day in days for row in day], _WEEKS)
        assert max(revisions) == 1
        assert len(model.received) == len(days) + sum(revisions)


def test_the_next_daily_file_of_a_new_process_needs_few_requests() -> None:
    days = [hourly(24, start=24 * day) for day in range(36)]
    asked: list[str] = []
    with _endpoint(_WEEKS) as model:
        world = World.build(model)
        for day in range(33):
            world.score(f"gas/{day}.csv", table(days[day]))

        def count(operation: str, container: str, name: str) -> None:
            if operation == "get" and (container, name.partition("/")[0]) in ((STATE, "history"), (STATE, "packs")):
                asked.append(name)

        counts = []
        for day in range(33, 36):
            asked.clear()
            world = world.again()
            world.blobs.interruption = count
            world.score(f"gas/{day}.csv", table(days[day]))
            world.blobs.interruption = None
            counts.append(len(asked))

        assert counts[0] > 29, "one by one, and the packs that are not there yet"
        assert max(counts[1:]) <= 4
        assert _told(world.result("gas/35_scored.csv"), 2) == {
            row: score
            for row, score in _expected([row for day in days for row in day], _WEEKS).items()
            if row in days[35]
        }


@pytest.mark.parametrize("meters", [1, 9])
def test_parts_have_the_scores_of_the_whole(wide: FakeEndpoint, meters: int) -> None:
    wide.calm()
    before, rows = _meters(meters, 40), _meters(meters, 90, start=40)
    with mock.patch("shared.tables.streams.BLOCK", 64):
        world = World.build(wide, score_rows_per_request=50, score_split_bytes=700 * meters)
        world.score("gas/0.csv", table(before))
        _settle(world)
        run = world.score("gas/x.csv", table(rows))
        _settle(world)

    run = world.record(run)
    assert run.state == "completed", run.error
    assert world.manifest(run)["parts"] >= 3
    expected = _expected([*before, *rows])
    assert _told(world.result("gas/x_scored.csv"), 3) == {row: expected[row] for row in rows}


@pytest.mark.parametrize("at", [1, 4, 7, 12])
def test_a_breakdown_between_series_changes_nothing(wide: FakeEndpoint, at: int) -> None:
    wide.calm()
    rows = _meters(9, 70)
    undisturbed = World.build(wide, score_rows_per_request=100)
    expected = undisturbed.scored("gas/x.csv", table(rows))
    world, seen = World.build(wide, score_rows_per_request=100), [0]

    def breaks(operation: str, container: str, name: str) -> None:
        if operation in ("stage", "commit") or (operation, name.partition("/")[0]) == ("put", "answers"):
            seen[0] += 1
            if seen[0] == at:
                raise RuntimeError("the worker broke")

    blob = world.drop("gas/x.csv", table(rows))
    with (
        mock.patch("shared.scoring.journal._ENTRY_BYTES", 2_000),
        mock.patch("shared.scoring.results._BLOCK_BYTES", 4_000),
    ):
        world.blobs.interruption = breaks
        try:
            world.deliver(blob)
        except RuntimeError:
            world.clock.advance(timedelta(minutes=20))
        world.blobs.interruption = None
        run: Any = world.deliver(blob)

    assert run.state == "completed", run.error
    assert seen[0] >= at
    assert world.result("gas/x_scored.csv") == expected


def test_what_is_kept_of_tails_is_never_out_of_date(wide: FakeEndpoint) -> None:
    """Another process replaces a file: the tail that this one has kept of it is another one now."""
    wide.calm()
    days = [hourly(24, start=24 * day) for day in range(4)]
    corrected = [(time, value.replace("1", "2")) for time, value in days[1]]
    world = World.build(wide)
    other = world.again()
    for day in range(3):
        world.score(f"gas/{day}.csv", table(days[day]))

    other.score("gas/1.csv", table(corrected))
    _settle(other)
    world.score("gas/3.csv", table(days[3]))

    rows = [*days[0], *corrected, *days[2], *days[3]]
    assert _told(world.result("gas/3_scored.csv"), 2) == {
        row: score for row, score in _expected(rows).items() if row in days[3]
    }


def _settle(world: World) -> None:
    """The timer and the queue, until nothing is left to do."""
    for _ in range(30):
        world.tick(timedelta(minutes=10))
        open_runs = world.app.runs.search(states=("received", "scoring", "waiting"))
        marks = [name for name in world.blobs.names(STATE) if name.startswith("revisit/")]
        if not open_runs and not world.queue.messages and not marks:
            return
    raise AssertionError("it never comes to rest")
