"""Drift that persists becomes a training set: once, with the reason in the run's record, and by the ordinary path."""

from __future__ import annotations

import io
import threading
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared.drift.profile import Profiles
from shared.drift.watch import DriftWatch
from shared.live import LiveModels
from shared.naming import DATASETS, STATE, TRAINING
from shared.runs import Run
from shared.scoring.context import conform
from tests.fakes.endpoint import FakeEndpoint
from tests.fakes.frail import Frail, KilledError
from tests.functional.drift.profiles import leave, louder
from tests.functional.scoring.world import FIRST, GAS, TRAINING_RUN, World, hourly, settings, table

FILES = 4
_DAY = 24
_ASKED: dict[str, Any] = {"retrain_on_drift": "persistent", "retrain_drift_files": FILES}


@pytest.fixture
def world(endpoint: FakeEndpoint) -> World:
    """An app that retrains on drift, with the profile and the training rows of its live model."""
    world = World.build(endpoint, **_ASKED)
    leave(world)
    hours = [FIRST - timedelta(hours=back) for back in range(50, 0, -1)]
    rows = conform(pa.table({"FechaHora": pa.array(hours, pa.timestamp("us")), "VolCorrected": [20.0] * 50}), GAS)
    body = io.BytesIO()
    pq.write_table(rows, body)
    world.blobs.put(TRAINING, f"gas/{TRAINING_RUN}/data.parquet", body.getvalue())
    return world


def day(world: World, number: int, *, factor: float = 4.0, name: str = "") -> Run:
    """The file of one day is dropped and scored."""
    rows = louder(hourly(_DAY, start=_DAY * number), factor)
    return world.score(name or f"gas/day{number:03d}.csv", table(rows))


def days(world: World, *numbers: int, factor: float = 4.0) -> None:
    """The files of these days."""
    for number in numbers:
        day(world, number, factor=factor)


def made(world: World) -> list[str]:
    """The training sets that the app made."""
    return [info.name for info in world.blobs.list_blobs(DATASETS, "gas/drift/")]


def rows_of(world: World, name: str) -> dict[datetime, float]:
    """What a training set holds."""
    found = pq.read_table(io.BytesIO(world.blobs.get(DATASETS, name)[0]))
    assert found.column_names == [column.name for column in GAS.columns]
    times, values = found.column("FechaHora").to_pylist(), found.column("VolCorrected").to_pylist()
    assert len(set(times)) == len(times)
    return dict(zip(times, values, strict=True))


def received(world: World, name: str) -> Run:
    """What the dataset trigger makes of it."""
    return world.app.retraining.receive(world.blobs.info(DATASETS, name))[0].run


def test_drift_that_persists_becomes_a_training_set_with_its_reason(world: World) -> None:
    days(world, *range(FILES))
    world.tick()

    (name,) = made(world)
    rows = rows_of(world, name)
    assert len(rows) == 50 + FILES * _DAY
    assert list(rows)[:50] == sorted(rows)[:50], "the live model's training rows come first"
    assert max(rows) == FIRST + timedelta(hours=FILES * _DAY - 1)
    run = received(world, name)
    assert run.blob == f"datasets/{name}"
    assert run.reason is not None
    assert {key: run.reason[key] for key in ("why", "model", "files", "rows", "latest_file")} == {
        "why": "drift",
        "model": TRAINING_RUN,
        "files": FILES,
        "rows": FILES * _DAY,
        "latest_file": "incoming/gas/day003.csv",
    }
    assert run.reason["drift"]["verdict"] == "severe"
    assert run.reason["first_time"] == FIRST.isoformat(sep=" ")
    flagged = sum(world.app.runs.search(kind="score")[at].run.counts["anomalies"] for at in range(FILES))  # type: ignore[index]
    data = {"training_rows": 50, "recent_rows": FILES * _DAY, "recent_files": FILES, "flagged_rows_kept": flagged}
    assert flagged > FILES * _DAY / 4
    assert run.reason["data"] == data


def test_what_somebody_drops_has_no_reason(world: World) -> None:
    for name in ("gas/x.csv", "gas/drift/x.csv"):
        world.blobs.put(DATASETS, name, table(hourly(200)))
        assert received(world, name).reason is None


def test_there_is_one_training_set_however_often_and_by_whomever_it_is_looked_at(world: World) -> None:
    days(world, *range(FILES + 2))
    others = [world.again(**_ASKED) for _ in range(3)]
    threads = [threading.Thread(target=each.app.drift.look) for each in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(3):
        world.tick()
    day(world, FILES + 2)
    world.tick()

    assert len(made(world)) == 1


def test_files_in_any_order_of_arrival_count_by_the_time_of_their_rows(world: World) -> None:
    days(world, 5, 2, 4, 3)
    days(world, 0, 1, factor=1.0)
    world.tick()

    assert len(made(world)) == 1


def test_less_than_all_of_it_starts_nothing(world: World) -> None:
    days(world, 0, 1, 2)
    world.tick()
    assert made(world) == [], "too few files"

    for number in (3, 4):  # weeks, as their first rows are judged beside the louder ones before them
        rows = hourly(60 * _DAY, start=60 * _DAY * number)
        world.score(f"gas/day{number:03d}.csv", table(rows))
    world.tick()

    assert made(world) == [], "the later half is as the training data"


def test_missing_data_are_nothing_to_train_on(world: World) -> None:
    for number in range(FILES):
        rows = hourly(3 * _DAY, start=3 * _DAY * number)
        run = world.score(
            f"gas/gap{number}.csv", table([(time, v if at % 3 else "") for at, (time, v) in enumerate(rows)])
        )
        assert world.manifest(run)["drift"]["verdict"] == "severe"
        assert world.manifest(run)["drift"]["unusable"]["verdict"] == "severe"
    world.tick()

    assert made(world) == []


def test_a_file_counts_once_whatever_becomes_of_it(world: World) -> None:
    for _ in range(FILES):
        run = day(world, 0)  # dropped again: another version of the same file
        world.deliver(world.blobs.info("incoming", "gas/day000.csv"))
        held = world.app.files.ask_again(world.app.runs.load("gas", run.id))
        assert world.app.files.run(held).state == "completed"
    world.tick()

    assert len(list(world.blobs.list_blobs(STATE, "drift/gas/files/"))) == 1
    assert made(world) == []


def test_an_older_version_does_not_come_back(world: World) -> None:
    blob = world.drop("gas/x.csv", table(louder(hourly(_DAY))))
    older, _ = world.app.files.receive(blob)
    newer = day(world, 0, name="gas/x.csv", factor=1.0)
    (entry,) = world.blobs.list_blobs(STATE, "drift/gas/files/")

    world.app.files.run(older)

    (still,) = world.blobs.list_blobs(STATE, "drift/gas/files/")
    assert still.etag == entry.etag
    assert still.metadata["run"] == newer.id


def test_only_what_the_live_model_scored_counts(world: World) -> None:
    days(world, 0, 1, 2)
    live = world.app.live.get("gas")
    assert live is not None
    promoted = "20261201T000000Z-train-11111111"
    world.app.live.put(live.model_copy(update={"run": promoted}))
    leave(world, promoted)
    days(world, 3, 4)
    world.tick()
    assert made(world) == []

    days(world, 5, 6)
    world.tick()

    (name,) = made(world)
    assert received(world, name).reason["model"] == promoted  # type: ignore[index]
    assert len(rows_of(world, name)) == 7 * _DAY, "all recent rows, and none of a training set that is not there"


def test_another_model_ends_the_episode_and_may_have_one_of_its_own(world: World) -> None:
    days(world, *range(FILES))
    world.tick()
    live = world.app.live.get("gas")
    assert live is not None
    promoted = "20261201T000000Z-train-11111111"
    world.app.live.put(live.model_copy(update={"run": promoted}))
    leave(world, promoted)
    days(world, *range(10, 10 + FILES))
    world.tick()

    assert len(made(world)) == 2


def test_drift_that_ends_and_comes_back_is_another_episode(world: World) -> None:
    days(world, *range(FILES))
    world.tick()
    days(world, *range(4, 4 + FILES), factor=1.0)
    world.tick()
    assert len(made(world)) == 1

    days(world, *range(8, 8 + FILES))
    world.tick()
    world.tick()

    assert len(made(world)) == 2


def test_files_that_are_gone_are_left_out_and_nothing_is_made_of_nothing(world: World) -> None:
    days(world, *range(FILES))
    world.blobs.delete("incoming", "gas/day001.csv")
    world.blobs.put("incoming", "gas/day002.csv", table(hourly(5)))
    world.tick()
    (name,) = made(world)
    assert len(rows_of(world, name)) == 50 + 2 * _DAY


def test_of_files_without_rows_that_are_new_nothing_is_made(world: World) -> None:
    days(world, *range(FILES))
    for number in range(FILES):
        world.blobs.delete("incoming", f"gas/day{number:03d}.csv")
    for _ in range(3):
        world.tick()

    assert made(world) == []


def test_of_rows_in_two_files_those_that_came_last_are_taken(world: World) -> None:
    days(world, *range(FILES))
    both = louder(hourly(2 * _DAY, start=_DAY), 8.0)
    world.score("gas/correction.csv", table(both))
    world.tick()

    (name,) = made(world)
    rows = rows_of(world, name)
    assert len(rows) == 50 + FILES * _DAY
    assert rows[FIRST + timedelta(days=1)] == pytest.approx(float(both[0][1].replace(",", ".")))


def test_a_breakdown_at_any_call_leaves_one_training_set_in_the_end(world: World) -> None:
    days(world, *range(FILES))
    saved = {
        info.name: world.blobs.get(STATE, info.name)[0] for info in world.blobs.list_blobs(STATE, "drift/gas/files/")
    }
    assert len(saved) == FILES
    at = 0
    while True:
        store, frail = Frail.over(world.blobs, at, after=at % 2 == 1, error=KilledError())
        watch = DriftWatch(settings(**_ASKED), store, LiveModels(store), Profiles(store), world.clock)
        with suppress(KilledError):
            watch.look()
            assert len(frail.calls) > 10
            break
        world.app.drift.look()
        (name,) = made(world)
        assert received(world, name).reason is not None
        assert received(world, name).reason["data"]["recent_files"] == FILES  # type: ignore[index]
        world.blobs.delete(DATASETS, name)
        world.blobs.delete(STATE, "drift/gas/episode.json")
        at += 1


def test_old_files_are_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.drift.recent._KEPT", 5)

    days(world, *range(7), factor=1.0)
    world.tick()

    names = {info.metadata["run"] for info in world.blobs.list_blobs(STATE, "drift/gas/files/")}
    assert len(names) == 5
    assert min(names) == world.app.runs.search(kind="score")[4].run.id
