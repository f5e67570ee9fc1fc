"""A file that is scored in parts, by whoever takes the messages, has the bytes of one that is scored whole."""

from __future__ import annotations

import codecs
import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest

from shared.naming import STATE
from shared.runs import Run
from shared.storage import BlobInfo
from tests.fakes.endpoint import FakeEndpoint, poisoned_by
from tests.functional.drift.profiles import leave, louder
from tests.functional.scoring.narrow import narrow_endpoint
from tests.functional.scoring.world import Row, World, hourly, table

_SCORED, _REJECTED = "gas/x_scored.csv", "gas/x_rejected.csv"
_POISON = "-1,25"
_ROW = 28
"""About so many bytes has a row of the generated files."""


@pytest.fixture(scope="module")
def running_endpoint() -> Iterator[FakeEndpoint]:
    with narrow_endpoint() as endpoint:
        yield endpoint


@pytest.fixture(autouse=True)
def _small_blocks() -> Iterator[None]:
    """Texts are read in blocks of 1 MiB; here every row may be where one ends."""
    with mock.patch("shared.tables.streams.BLOCK", 32):
        yield


def _world(endpoint: FakeEndpoint, split: int, **changes: Any) -> World:
    endpoint.calm()
    endpoint.mood = poisoned_by(-1.25)
    chosen = {"score_rows_per_request": 10, "score_requests_in_flight": 2, "score_split_bytes": split}
    return World.build(endpoint, **chosen | changes)


def _whole(endpoint: FakeEndpoint, data: bytes, *, before: bytes | None = None) -> tuple[dict[str, bytes], Any]:
    """The results of the single path, and its manifest."""
    world = _world(endpoint, 0)
    if before is not None:
        world.score("gas/before.csv", before)
    run = world.score("gas/x.csv", data)
    assert run.state == "completed", run.error
    return _results(world), world.manifest(run)


def _results(world: World) -> dict[str, bytes]:
    return {name: world.result(name) for name in world.blobs.names("results") if name in (_SCORED, _REJECTED)}


def _deliver_all(world: World, blob: BlobInfo, *, order: random.Random | None = None) -> Run:
    """The event and the messages that follow from it, in any order; and the timer, should a message be lost."""
    run = world.deliver(blob)
    for _ in range(300):
        messages = world.queue.take_all()
        if order is not None:
            messages += [each for each in messages if order.random() < 0.2]
            order.shuffle(messages)
        for message in messages:
            world.app.do(message)
        run = world.record(run)
        if run.state in ("completed", "failed", "superseded"):
            return run
        if not world.queue.messages:
            world.clock.advance(timedelta(minutes=6))
            world.app.reconcile()
    raise AssertionError(f"still {run}")


def _same(world: World, run: Run, expected: dict[str, bytes], manifest: dict[str, Any]) -> dict[str, Any]:
    assert run.state == "completed", run.error
    assert _results(world) == expected
    about = world.manifest(run)
    for name in ("input", "model", "counts", "events", "fingerprint", "scored_by"):
        mine, other = dict(about), dict(manifest)
        for each in (mine, other):
            each["input"] = {key: value for key, value in each["input"].items() if key != "etag"}
        assert mine[name] == other[name]
    digests = [[(each["blob"], each["bytes"], each["sha256"]) for each in m["outputs"]] for m in (about, manifest)]
    assert digests[0] == digests[1]
    assert [info.name for info in world.blobs.list_blobs(STATE, "answers/")] == []
    assert [info.name for info in world.blobs.list_blobs(STATE, "parts/")] == []
    return about


# -- files ---------------------------------------------------------------------------------------------------------


def _with(rows: list[Row], poison: set[int]) -> list[Row]:
    return [(row[0], _POISON, *row[2:]) if place in poison else row for place, row in enumerate(rows)]


def _in_turns(*meters: list[Row]) -> list[Row]:
    rows = [row for meter in meters for row in meter]
    return sorted(rows, key=lambda row: (row[0][6:10], row[0][3:5], row[0][:2], row[0][11:]))


def _decorated(data: bytes) -> bytes:
    """Rejects, blank lines, rows without a value and a row with a quoted line end in between."""
    lines = data.splitlines(keepends=True)
    lines.insert(7, b"one;field;too;many;at least\n")
    lines.insert(15, b"\n")
    lines.insert(16, b"  \n")
    when, rest = lines[20].split(b";", 1)
    lines[20] = when + b";" + b"".join([b"none", b";" + rest.split(b";")[1] if b";" in rest else b"\n"])
    lines.insert(30, b"another;field;too;many;at least\n")
    return b"".join(lines)


def _quoted(rows: list[Row]) -> bytes:
    """A column that nobody asks for, with line ends, quotes and delimiters in it."""
    lines = ["Fecha_Hora;Nota;Caudal"]
    notes = ["a", '"two\nlines"', '"a ""quoted"" word; and more"', '"\n\n"', ""]
    lines += [f"{time};{notes[place % 5]};{value}" for place, (time, value) in enumerate(rows)]
    return ("\n".join(lines) + "\n").encode()


_NORTH = hourly(48, meter="north")
_SOUTH = hourly(20, start=25, meter="south", seed=6)
_METERS = _in_turns(_NORTH, _SOUTH, hourly(30, start=10, meter="Ñu", seed=7))

_FILES: dict[str, bytes] = {
    "one meter": table(hourly(60)),
    "decorated": _decorated(table(hourly(60))),
    "several meters": _decorated(table(_METERS)),
    "one meter after the other": table(sorted(_METERS, key=lambda row: row[2])),
    "quoted": _quoted(hourly(40)),
    "no last line end": table(hourly(40))[:-1],
    "windows": _quoted(hourly(40)).replace(b"\n", b"\r\n"),
    "old mac": table(hourly(40)).replace(b"\n", b"\r"),
    "mark": codecs.BOM_UTF8 + table(_METERS),
    "utf-16": codecs.BOM_UTF16_LE + _quoted(hourly(40)).decode().encode("utf-16-le"),
    "latin": table(_METERS).decode().encode("cp1252"),
    "duplicates": table([row for row in hourly(30) for _ in range(2)]),
    "refused here and there": table(_with(hourly(60), {0, 1, 9, 10, 11, 30, 59})),
    "refused in a row": table(_with(hourly(60), set(range(13, 40)))),
    "refused in several meters": _decorated(table(_with(_METERS, {3, 10, 11, 12, 40, 41, 42, 43, 60}))),
    "first rows of a meter refused": table(_with(_METERS, {10, 12, 40, 41, 43})),
    "unordered": table([hourly(40)[(7 * place) % 40] for place in range(40)]),
}


@pytest.mark.parametrize("kind", _FILES)
@pytest.mark.parametrize(
    "rows", [pytest.param(rows, marks=() if rows == 7 else pytest.mark.slow) for rows in (0, 1, 3, 7, 16)]
)
def test_parts_of_any_size_in_any_order_give_the_same_bytes(endpoint: FakeEndpoint, kind: str, rows: int) -> None:
    data = _FILES[kind]
    expected, manifest = _whole(endpoint, data, before=table(_before()))
    world = _world(endpoint, max(1, rows * _ROW))
    world.again(score_split_bytes=0).score("gas/before.csv", table(_before()))

    run = _deliver_all(world, world.drop("gas/x.csv", data), order=random.Random(rows))

    about = _same(world, run, expected, manifest)
    assert ("parts" in about) == (kind != "unordered")


def _before() -> list[Row]:
    """What was scored before: the same meters, earlier, as history."""
    return [(f"28/02/2026 {hour:02d}:00:00", f"{hour},5", meter) for hour in range(24) for meter in ("north", "south")]


@pytest.mark.parametrize("kind", ["decorated", pytest.param("refused in several meters", marks=pytest.mark.slow)])
def test_a_part_may_be_as_small_as_a_line(endpoint: FakeEndpoint, kind: str) -> None:
    expected, manifest = _whole(endpoint, _FILES[kind])
    world = _world(endpoint, 1)

    run = _deliver_all(world, world.drop("gas/x.csv", _FILES[kind]), order=random.Random(1))

    _same(world, run, expected, manifest)


def test_concurrent_instances_give_the_same_bytes(endpoint: FakeEndpoint) -> None:
    data = _FILES["refused in several meters"]
    expected, manifest = _whole(endpoint, data)
    world = _world(endpoint, 5 * _ROW)
    run = world.deliver(world.drop("gas/x.csv", data))
    instances = [world.again(score_rows_per_request=10, score_split_bytes=5 * _ROW).app for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        for _ in range(100):
            messages = world.queue.take_all()
            done = [pool.submit(instances[place % 4].do, message) for place, message in enumerate(2 * messages)]
            for each in done:
                each.result()
            if world.record(run).state == "completed":
                break
            if not world.queue.messages:
                world.clock.advance(timedelta(minutes=6))
                world.app.reconcile()

    _same(world, world.record(run), expected, manifest)


def test_a_file_of_the_size_stays_whole_and_a_larger_one_does_not(endpoint: FakeEndpoint) -> None:
    data = table(hourly(60))
    whole, cut = _world(endpoint, len(data)), _world(endpoint, len(data) - 2 * _ROW)

    first, second = whole.score("gas/x.csv", data), cut.score("gas/x.csv", data)

    assert (first.state, first.parts) == ("completed", None)
    assert second.state == "scoring"
    assert second.parts is not None and second.parts["of"] == 2


def test_the_record_says_how_far_the_parts_are(endpoint: FakeEndpoint) -> None:
    world = _world(endpoint, 10 * _ROW)
    run = world.score("gas/x.csv", table(hourly(60)))
    seen = []
    for message in world.queue.take_all():
        seen.append({name: (world.record(run).parts or {})[name] for name in ("of", "done")})
        world.app.do(message)

    assert seen == [{"of": len(seen), "done": place} for place in range(len(seen))]
    assert world.record(run).state == "completed"
    assert [step.state for step in world.record(run).history] == ["received", "scoring", "scoring", "completed"]
    assert json.loads(json.dumps(world.manifest(world.record(run))))["parts"] == len(seen)


def test_the_drift_of_the_parts_is_that_of_the_whole(endpoint: FakeEndpoint) -> None:
    data = table(louder(hourly(7 * 24)))
    worlds = [_world(endpoint, split) for split in (0, 40 * _ROW)]
    for world in worlds:
        leave(world)

    whole, parts = (world.manifest(_deliver_all(world, world.drop("gas/x.csv", data))) for world in worlds)

    assert parts["parts"] > 1
    assert parts["drift"] == whole["drift"]
    assert parts["drift"]["verdict"] == "severe"
