"""A file that is dropped again is answered from its results where scoring it would give the same, and only there."""

from __future__ import annotations

from typing import Any

import pytest

from shared.naming import RESULTS
from shared.runs import Run
from tests.fakes.endpoint import FakeEndpoint
from tests.functional.scoring.world import Row, World, hourly, table

_FILE = table(hourly(60, start=30)) + b"one;field;too many\n"
_RESULTS = ("gas/x_scored.csv", "gas/x_rejected.csv", "gas/x_report.html")


def _etags(world: World) -> list[str]:
    return [world.blobs.info(RESULTS, name).etag for name in _RESULTS]


def _again(world: World, data: bytes = _FILE) -> tuple[Run, int]:
    """The file is dropped again: its run, and how many requests it took."""
    world.endpoint.received.clear()
    run = world.score("gas/x.csv", data)
    assert run.state == "completed", run.error
    return run, len(world.endpoint.received)


def test_an_identical_file_is_answered_from_what_is_there(world: World) -> None:
    first = world.score("gas/x.csv", _FILE)
    before, etags = world.manifest(first), _etags(world)

    for _ in range(2):
        run, requests = _again(world)

        manifest = world.manifest(run)
        assert requests == 0
        assert run.id != first.id
        assert _etags(world) == etags, "nothing was written again"
        assert manifest["reused"] == first.id, "the run that scored it"
        assert (manifest["run"], manifest["input"]["etag"]) == (run.id, run.etag)
        assert (manifest["requests"]["count"], manifest["requests"]["ids"]) == (0, [])
        for name in ("counts", "outputs", "model", "fingerprint"):
            assert manifest[name] == before[name]
        assert run.counts == first.counts
        assert run.history[-1].note == f"the results of run {first.id} hold"
    assert "reused" not in before


def _meters() -> list[Row]:
    """Two meters, the second of which begins later."""
    rows = [*hourly(40, start=30, meter="north"), *hourly(20, start=50, meter="south", seed=6)]
    return sorted(rows, key=lambda row: (row[0][3:5], row[0]))


@pytest.mark.parametrize("data", [_FILE, table(_meters()), table(hourly(50, start=30)[::-1])])
def test_what_the_file_itself_and_later_ones_left_is_no_new_context(world: World, data: bytes) -> None:
    world.score("gas/earlier.csv", table(hourly(30)))
    world.score("gas/x.csv", data)
    world.score("gas/later.csv", table(hourly(24, start=120)))

    assert _again(world, data)[1] == 0


def _a_new_model(world: World) -> None:
    world.go_live("8", "green")


def _a_new_context(world: World) -> None:
    world.score("gas/late.csv", table(hourly(30)))


def _a_result_removed(world: World) -> None:
    world.blobs.delete(RESULTS, "gas/x_rejected.csv")


def _a_result_overwritten(world: World) -> None:
    world.blobs.put(RESULTS, "gas/x_scored.csv", b"mine")


def _another_content_between(world: World) -> None:
    world.score("gas/x.csv", table(hourly(10)))


def _a_manifest_of_somebody_else(world: World) -> None:
    world.blobs.put(RESULTS, "gas/x_manifest.json", b"[]")


@pytest.mark.parametrize(
    "change",
    [
        _a_new_model,
        _a_new_context,
        _a_result_removed,
        _a_result_overwritten,
        _another_content_between,
        _a_manifest_of_somebody_else,
    ],
)
def test_what_is_not_what_scoring_would_give_is_scored_anew(world: World, change: Any) -> None:
    world.score("gas/x.csv", _FILE)
    change(world)

    run, requests = _again(world)

    assert requests > 0
    assert "reused" not in world.manifest(run)
    assert _etags(world) == [output["etag"] for output in world.manifest(run)["outputs"]]


def test_a_changed_file_is_a_new_run(world: World) -> None:
    world.score("gas/x.csv", _FILE)

    run, requests = _again(world, _FILE.replace(b"one;", b"two;"))

    assert requests > 0
    assert "reused" not in world.manifest(run)


def test_results_of_a_model_that_nobody_knows_are_never_reused(endpoint: FakeEndpoint) -> None:
    world = World.build(endpoint, live=False, aml_endpoint_url=endpoint.url)
    world.score("gas/x.csv", _FILE)

    assert _again(world)[1] > 0


def test_a_person_who_asks_gets_the_file_scored(world: World) -> None:
    blob = world.drop("gas/x.csv", _FILE)
    world.deliver(blob)
    world.endpoint.received.clear()
    world.tick()

    held, _ = world.app.files.receive(blob, manual=True)
    run = world.app.files.run(world.app.files.ask_again(held))

    assert run.state == "completed"
    assert len(world.endpoint.received) > 0
