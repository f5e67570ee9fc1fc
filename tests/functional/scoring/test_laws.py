"""What holds of every scored file, however it was cut, sent and interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.endpoint import (
    FakeEndpoint,
    Mood,
    Reply,
    first,
    larger_than,
    poisoned_by,
    refusal,
    without_arrow,
    wrapped,
)
from tests.functional.scoring.narrow import narrow_endpoint
from tests.functional.scoring.world import Row, World, hourly, rows_of, table

_SLOW = settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def running_endpoint() -> Iterator[FakeEndpoint]:
    with narrow_endpoint() as endpoint:
        yield endpoint


def _several_meters() -> list[Row]:
    """Three meters of different length, in turns, as an export by the hour has them."""
    rows = [
        *hourly(60, meter="north"),
        *hourly(30, start=10, meter="south", seed=6),
        *hourly(45, start=20, meter="Ñuñoa; Nº 1", seed=7),
    ]
    rows = [(time, value, f'"{meter}"' if ";" in meter else meter) for time, value, meter in rows]
    return sorted(rows, key=lambda row: (row[0][6:10], row[0][3:5], row[0][:2], row[0][11:]))


def _shuffled(rows: list[Row]) -> list[Row]:
    return [rows[(7 * place) % len(rows)] for place in range(len(rows))]  # 7 divides no length used here


_FILES = {
    "one meter": table(hourly(101)),
    "several meters": table(_several_meters()),
    "shuffled": table(_shuffled(hourly(101))),
    "several meters, one after the other": table(sorted(_several_meters(), key=lambda row: row[2])),
    "several meters, shuffled": table(_shuffled(_several_meters()[:134])),
}


@pytest.mark.parametrize("kind", _FILES)
@_SLOW
@given(
    rows_per_request=st.sampled_from([1, 2, 23, 24, 50, 1000]) | st.integers(3, 140),
    bytes_per_request=st.sampled_from([1, 700, 3_000, 1_500_000]),
    in_flight=st.integers(1, 6),
    wire=st.sampled_from(["auto", "arrow", "json"]),
)
def test_the_bytes_do_not_depend_on_requests_in_size_number_or_wire(
    running_endpoint: FakeEndpoint, kind: str, rows_per_request: int, bytes_per_request: int, in_flight: int, wire: str
) -> None:
    running_endpoint.calm()
    reference = World.build(running_endpoint, score_rows_per_request=1000, score_requests_in_flight=1)
    other = World.build(
        running_endpoint,
        score_rows_per_request=rows_per_request,
        score_bytes_per_request=bytes_per_request,
        score_requests_in_flight=in_flight,
        score_wire=wire,
    )

    expected = reference.scored("gas/x.csv", _FILES[kind])

    assert other.scored("gas/x.csv", _FILES[kind]) == expected


def _truncated(endpoint: FakeEndpoint, *, announced: bool) -> Mood:
    def mood(received: Any) -> Reply:
        proper = endpoint.properly(received)
        if announced:
            return Reply(200, proper.body, proper.headers, proper.content_type, cut=20)
        return Reply(200, proper.body[:-20], proper.headers, proper.content_type)

    return mood


def _without_rows(endpoint: FakeEndpoint, *, end_mark: bool) -> Mood:
    """Answers whole messages that hold too few rows, with or without the mark that ends an Arrow stream."""

    def mood(received: Any) -> Reply:
        proper = endpoint.properly(received)
        rows = pa.ipc.open_stream(proper.body).read_all()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows.slice(0, rows.num_rows // 2))
        body = sink.getvalue().to_pybytes()
        return Reply(200, body if end_mark else body[:-8], proper.headers, proper.content_type)

    return mood


@pytest.mark.parametrize(
    "trouble",
    [
        "503 twice",
        "429",
        "401 once",
        "408 above 7 rows",
        "413 above 7 rows",
        "415 for Arrow",
        "400 for Arrow",
        "connection lost",
        "answer cut short",
        "answer cut between two messages",
        "answer without its last rows",
        "424 around 500",
        "424 around 408 above 7 rows",
    ],
)
def test_trouble_on_the_way_does_not_change_the_bytes(endpoint: FakeEndpoint, world: World, trouble: str) -> None:
    moods: dict[str, Mood] = {
        "503 twice": first(2, refusal(503)),
        "429": first(3, refusal(429, Retry_After="7")),
        "401 once": first(1, refusal(401)),
        "408 above 7 rows": larger_than(7, 408),
        "413 above 7 rows": larger_than(7, 413),
        "415 for Arrow": without_arrow(415),
        "400 for Arrow": without_arrow(400),
        "connection lost": first(2, _truncated(endpoint, announced=True)),
        "answer cut short": first(2, _truncated(endpoint, announced=False)),
        "answer cut between two messages": first(2, _without_rows(endpoint, end_mark=False)),
        "answer without its last rows": first(2, _without_rows(endpoint, end_mark=True)),
        "424 around 408 above 7 rows": lambda received: wrapped(408) if received.rows > 7 else None,
        "424 around 500": first(2, refusal(424, ms_azureml_model_error_statuscode="500")),
    }
    expected = world.scored("gas/x.csv", _FILES["several meters"])
    other = World.build(endpoint, score_patience_seconds=1000)
    endpoint.mood = moods[trouble]

    assert other.scored("gas/x.csv", _FILES["several meters"]) == expected

    if trouble == "429":
        assert len(other.clock.slept) == 3
        assert min(other.clock.slept) >= 7


def test_a_shuffled_file_is_scored_as_if_it_were_sorted_and_written_as_it_is(world: World) -> None:
    rows = hourly(101)
    in_order = dict(zip(rows, rows_of(world.scored("gas/sorted.csv", table(rows))), strict=True))

    shuffled = rows_of(World.build(world.endpoint).scored("gas/shuffled.csv", table(_shuffled(rows))))

    assert shuffled == [in_order[row] for row in _shuffled(rows)]


@pytest.mark.parametrize("order", ["by time", "by meter"])
@pytest.mark.parametrize("cut", [1, 24, 60, 77, 134])
def test_a_file_cut_in_two_gets_the_predictions_of_the_whole(endpoint: FakeEndpoint, order: str, cut: int) -> None:
    rows = _several_meters()
    if order == "by meter":
        rows = sorted(rows, key=lambda row: row[2])
    whole = World.build(endpoint).scored("gas/whole.csv", table(rows))
    world = World.build(endpoint)

    before = world.scored("gas/1.csv", table(rows[:cut]))
    after = world.scored("gas/2.csv", table(rows[cut:]))

    assert before.splitlines() + after.splitlines()[1:] == whole.splitlines()


def test_a_stream_of_daily_files_gets_the_predictions_of_the_whole(endpoint: FakeEndpoint) -> None:
    rows = hourly(24 * 5)
    whole = rows_of(World.build(endpoint).scored("gas/whole.csv", table(rows)))
    world = World.build(endpoint)

    days = [world.scored(f"gas/{day}.csv", table(rows[24 * day : 24 * day + 24])) for day in range(5)]

    assert [row for day in days for row in rows_of(day)] == whole


@_SLOW
@given(data=st.data())
def test_every_row_is_scored_or_has_its_reason_in_its_place(
    running_endpoint: FakeEndpoint, data: st.DataObject
) -> None:
    good, bad, broken = hourly(70), ("02/03/2026 00:00:00", "mucho"), ("a", "b", "c", "d")
    kinds = data.draw(st.lists(st.sampled_from(["good", "good", "bad", "broken"]), min_size=1, max_size=70))
    rows = [good[place] if kind == "good" else bad if kind == "bad" else broken for place, kind in enumerate(kinds)]
    world = World.build(running_endpoint, score_rows_per_request=data.draw(st.integers(1, 80)))

    run = world.score("gas/x.csv", table([good[-1], *rows]))

    kept = [row for row in rows if len(row) == 2]
    scored = rows_of(world.result("gas/x_scored.csv"))
    assert [tuple(row[:2]) for row in scored] == [good[-1], *kept]
    assert [row[-1] == "" for row in scored] == [True, *(row is not bad for row in kept)]
    assert all((row[3] == "") == (row[-1] != "") for row in scored)
    assert run.counts is not None
    assert run.counts["rows"] == len(rows) + 1
    assert (run.counts["errors"], run.counts["rejected"]) == (kinds.count("bad"), kinds.count("broken"))
    assert run.counts["scored"] + run.counts["errors"] + run.counts["rejected"] == run.counts["rows"]


@pytest.mark.parametrize("rows_per_request", [1, 5, 30, 200])
@pytest.mark.parametrize("shuffled", [False, True])
def test_rows_that_the_model_refuses_cost_nobody_but_themselves(
    endpoint: FakeEndpoint, rows_per_request: int, shuffled: bool
) -> None:
    rows = hourly(90)
    poison = {30: "-1,25", 31: "-2,5", 64: "-1,25"}
    poisoned: list[Row] = [(time, poison.get(place, value)) for place, (time, value) in enumerate(rows)]
    clean = World.build(endpoint)
    expected = rows_of(clean.scored("gas/x.csv", table([row for p, row in enumerate(rows) if p not in poison])))
    after = rows_of(clean.scored("gas/next.csv", table(hourly(10, start=90))))
    world = World.build(endpoint, score_rows_per_request=rows_per_request, score_requests_in_flight=3)
    endpoint.mood = poisoned_by(-1.25, -2.5)

    run = world.score("gas/x.csv", table(_shuffled(poisoned) if shuffled else poisoned))

    assert run.state == "completed", run.error
    scored = rows_of(world.result("gas/x_scored.csv"))
    fine = sorted((row for row in scored if not row[-1]), key=lambda row: (row[0][3:5], row[0]))
    assert fine == expected
    assert sorted((row[1], row[2], row[3]) for row in scored if row[-1]) == [
        (v, "", "") for v in sorted(poison.values())
    ]
    assert all("refused" in row[-1] for row in scored if row[-1])
    assert run.counts is not None
    assert (run.counts["scored"], run.counts["errors"]) == (87, 3)
    # and what was refused is no context of the next file
    assert rows_of(world.scored("gas/next.csv", table(hourly(10, start=90)))) == after


def test_a_file_that_begins_with_many_refused_rows_is_scored_all_the_same(world: World, endpoint: FakeEndpoint) -> None:
    rows = hourly(120)
    rows[:70] = [(time, "-1,25") for time, _ in rows[:70]]
    world = world.again(score_rows_per_request=200)
    endpoint.mood = poisoned_by(-1.25)

    run = world.score("gas/x.csv", table(rows))

    assert run.counts is not None, run.error
    assert (run.counts["scored"], run.counts["errors"]) == (50, 70)
    assert [row[-1] == "" for row in rows_of(world.result("gas/x_scored.csv"))] == [False] * 70 + [True] * 50
