"""The work queue and the poison queues: what was asked for is done once, and a crash becomes a failed run."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from shared.naming import DATASETS, INCOMING
from shared.storage import BlobInfo
from tests.fakes.endpoint import FakeEndpoint
from tests.functional.scoring.world import World, hourly, table

_FILE = table(hourly(30))


def _of_the_host(blob: BlobInfo, function: str = "file_dropped") -> str:
    """What the Functions host puts into the poison queue of blob triggers."""
    return json.dumps(
        {
            "Type": "BlobTrigger",
            "FunctionId": f"Host.Functions.{function}",
            "BlobType": "BlockBlob",
            "ContainerName": blob.container,
            "BlobName": blob.name,
            "ETag": f'"{blob.etag}"',
        }
    )


def test_a_file_on_which_the_app_crashed_is_a_failed_run(world: World) -> None:
    blob = world.drop("gas/x.csv", _FILE)
    held, _ = world.app.files.receive(blob)

    buried = world.app.desk.bury(_of_the_host(blob))

    run = world.record(held.run)
    assert run == buried
    assert (run.state, run.error and run.error.code, run.claimed_until) == ("failed", "crashed", None)
    assert run.error is not None
    assert "gas/x.csv" in run.error.message
    assert world.app.desk.bury(_of_the_host(blob)) is None, "a second message changes nothing"


def test_a_message_without_an_etag_is_about_the_newest_version(world: World) -> None:
    world.app.files.receive(world.drop("gas/x.csv", _FILE))
    newest, _ = world.app.files.receive(world.drop("gas/x.csv", _FILE))

    world.app.desk.bury('{"ContainerName": "incoming", "BlobName": "gas/x.csv", "ETag": null}')

    assert [held.run.state for held in world.app.runs.search()] == ["failed", "received"]
    assert world.record(newest.run).state == "failed"


@pytest.mark.parametrize(("container", "kind"), [(INCOMING, "score"), (DATASETS, "train")])
def test_a_crash_before_there_was_a_run_makes_one(world: World, container: str, kind: str) -> None:
    world.blobs.put(container, "gas/x.csv", _FILE)
    blob = world.blobs.info(container, "gas/x.csv")

    world.app.desk.bury(_of_the_host(blob))

    (held,) = world.app.runs.search()
    assert (held.run.kind, held.run.blob, held.run.etag) == (kind, f"{container}/gas/x.csv", blob.etag)
    assert (held.run.state, held.run.error and held.run.error.code) == ("failed", "crashed")


def test_a_run_that_ended_after_all_keeps_its_end(world: World) -> None:
    blob = world.drop("gas/x.csv", _FILE)
    run = world.deliver(blob)

    assert world.app.desk.bury(_of_the_host(blob)) is None
    assert world.record(run) == run


def test_a_poisoned_work_message_ends_its_run(world: World) -> None:
    held, _ = world.app.files.receive(world.drop("gas/x.csv", _FILE))
    world.app.desk.ask(held.run)
    (message,) = world.queue.take_all()

    world.app.desk.bury(message)

    assert world.record(held.run).state == "failed"


@pytest.mark.parametrize(
    "message",
    [
        "",
        "not json",
        "null",
        "3",
        '"run"',
        '["run"]',
        "{}",
        '{"run": 1}',
        '{"run": "a", "dataset": "gas"}',
        '{"run": null, "dataset": null}',
        '{"ContainerName": null, "BlobName": null, "ETag": null}',
        "[" * 100_000,
    ],
)
def test_a_message_that_nobody_can_read_is_a_failed_run_too(world: World, message: str) -> None:
    buried = world.app.desk.bury(message)

    assert buried is not None
    assert (buried.state, buried.error and buried.error.code) == ("failed", "crashed")
    assert [held.run for held in world.app.runs.search()] == [buried]


def test_waking_asks_once_for_what_is_due(endpoint: FakeEndpoint) -> None:
    world = World.build(endpoint, live=False)
    run = world.score("gas/x.csv", _FILE)
    assert world.app.desk.wake_files() == 0

    world.go_live()

    assert world.app.desk.wake_files() == 1
    assert world.app.desk.wake_files() == 0, "it is on its way"
    (message,) = world.queue.take_all()
    world.clock.advance(timedelta(minutes=6))
    assert world.app.desk.wake_files() == 1, "the message was lost"
    world.app.do(message)
    world.app.do(message)
    assert world.record(run).state == "completed"
    world.clock.advance(timedelta(days=1))
    assert world.app.desk.wake_files() == 0


def test_two_timers_at_once_ask_once(endpoint: FakeEndpoint) -> None:
    world = World.build(endpoint, live=False)
    world.score("gas/x.csv", _FILE)
    world.go_live()
    other = world.again()

    def the_other_is_quicker(operation: str, container: str, name: str) -> None:
        if (operation, container) == ("put", "runs"):
            world.blobs.interruption = None
            other.app.desk.wake_files()

    world.blobs.interruption = the_other_is_quicker

    assert world.app.desk.wake_files() == 0
    assert len(world.queue.messages) == 1


def test_with_somebody_elses_endpoint_no_live_model_is_waited_for(endpoint: FakeEndpoint) -> None:
    world = World.build(endpoint, live=False)
    run = world.score("gas/x.csv", _FILE)

    world.again(aml_endpoint_url=endpoint.url, aml_endpoint_key="secret").tick()

    assert world.record(run).state == "completed"


def test_a_training_run_that_breaks_does_not_keep_files_waiting(
    endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World.build(endpoint, live=False)
    run = world.score("gas/x.csv", _FILE)
    world.go_live()
    world.blobs.put(DATASETS, "gas/1.csv", _FILE)
    world.blobs.put(DATASETS, "gas/2.csv", _FILE)
    for blob in list(world.blobs.list_blobs(DATASETS)):
        world.app.retraining.receive(blob)
    looked_at: list[str] = []

    def break_down(held: object) -> None:
        looked_at.append(repr(held))
        raise RuntimeError("nobody expected this")

    monkeypatch.setattr(world.app.retraining, "advance", break_down)

    with pytest.raises(ExceptionGroup, match="2 training runs"):
        world.app.reconcile()
    world.work()

    assert len(looked_at) == 2
    assert world.record(run).state == "completed"
