"""The gate's verdict holds for the model that is replaced: whoever becomes the champion meanwhile is measured too."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from shared.live import LiveModel
from shared.naming import TRAINING
from shared.runs import Run
from tests.fakes.workspace import METRICS
from tests.functional.retraining.world import GAS, THROTTLED, World


def two_models() -> World:
    """Versions 1 and 2, of which 2 is live."""
    world = World()
    world.promoted()
    world.promoted("gas/second.csv")
    return world


def jobs(run: Run) -> list[str]:
    """What the run's jobs measured it against, in their order."""
    notes = [step.note or "" for step in run.history if step.state == "training"]
    return [note.partition("-against-")[2] for note in notes]


def held_against_what_it_replaced(world: World, run: Run) -> bool:
    """Whether the run's verdict is about the model that was live until its own was."""
    before, _ = next(each for each in world.live.made if each[1].run == run.id)
    return run.champion is not None and before is not None and run.champion["run"] == before.run


def test_a_run_that_stands_before_the_gate_lets_nobody_else_become_the_champion() -> None:
    world = two_models()
    run = world.look_until(world.drop("gas/third.csv"), "training")
    world.workspace.fail("register", THROTTLED)
    run = world.look_until(run, "evaluated")
    wish = world.look(world.activate("1"))
    assert (wish.state, world.live_model().version) == ("registered", "2")

    run, wish = world.settle(run), world.settle(wish)
    assert (run.state, wish.state, jobs(run)) == ("live", "live", ["2"])
    assert held_against_what_it_replaced(world, run)
    assert [live.version for _, live in world.live.made] == ["1", "2", "3", "1"]


@pytest.mark.parametrize("write", ["run", "slot"], ids=["as it is evaluated", "as it takes its turn"])
def test_a_champion_that_changes_just_before_the_gate_is_measured_as_well(write: str) -> None:
    world = two_models()
    run = world.look_until(world.drop("gas/third.csv"), "training")
    blob = {"run": f"runs/gas/{run.id}.json", "slot": "state/deploying/gas.json"}[write]
    happened = world.meanwhile(blob, lambda: world.settle(world.activate("1")))
    run = world.settle(run)

    assert happened
    assert (run.state, jobs(run)) == ("live", ["2", "1"])
    assert held_against_what_it_replaced(world, run)
    assert run.champion is not None
    assert run.champion["version"] == "1"


def test_a_run_that_is_measured_again_keeps_nobody_waiting() -> None:
    world = two_models()
    run = world.look_until(world.drop("gas/third.csv"), "training")
    happened = world.meanwhile(f"runs/gas/{run.id}.json", lambda: world.settle(world.activate("1")))
    run = world.look(run)
    while run.state != "training":
        run = world.look(run)
    wish = world.settle(world.activate("2"))

    assert happened
    assert (wish.state, world.read(run).state) == ("live", "training")
    run = world.settle(run)
    assert (run.state, jobs(run)) == ("live", ["2", "1", "2"])
    assert held_against_what_it_replaced(world, run)


def test_each_job_of_a_run_keeps_what_it_left_and_the_one_that_was_judged_is_the_model() -> None:
    world = two_models()
    run = world.look_until(world.drop("gas/third.csv"), "training")
    second = {"alert_rate": 0.02, "recall": 0.5}
    left = {run.job: dict(METRICS)}

    def another_becomes_live() -> None:
        world.settle(world.activate("1"))
        world.workspace.metrics = second

    assert world.meanwhile(f"runs/gas/{run.id}.json", another_becomes_live) == []
    run = world.settle(run)
    left[run.job] = second

    assert (run.state, len(left), run.metrics) == ("live", 2, second)
    for job, metrics in left.items():
        found = json.loads(world.blobs.get(TRAINING, f"gas/{run.id}/jobs/{job}/metrics.json")[0])
        assert {name: found[name] for name in metrics} == metrics
    assert run.output == f"jobs/{run.job}"
    assert world.workspace.jobs_of_models[(GAS.model_name, run.model_version or "")] == run.job
    for file in ("metrics.json", "bundle.joblib"):
        judged = world.blobs.get(TRAINING, f"gas/{run.id}/{run.output}/{file}")[0]
        assert world.blobs.get(TRAINING, f"gas/{run.id}/model/{file}")[0] == judged


def test_a_champion_that_comes_back_is_measured_by_the_job_that_measured_it_before() -> None:
    world = two_models()
    run = world.look_until(world.drop("gas/third.csv"), "training")
    world.workspace.metrics = {"alert_rate": 0.01, "recall": 0.55}

    def another_becomes_live() -> None:
        world.settle(world.activate("1"))
        world.workspace.metrics = {"alert_rate": 0.01, "recall": 0.05}

    world.meanwhile(f"runs/gas/{run.id}.json", another_becomes_live)
    while len(jobs(run)) < 2:
        run = world.look(run)
    world.settle(world.activate("2"))
    run = world.settle(run)

    assert (run.state, jobs(run)) == ("live", ["2", "1", "2"])
    assert run.metrics == {"alert_rate": 0.01, "recall": 0.55}


def test_a_run_that_was_training_before_jobs_had_folders_of_their_own_goes_on() -> None:
    world = World()
    run = world.look(world.drop("gas/first.csv"))
    world.workspace.metrics = None
    held = world.runs.load("gas", run.id)
    world.runs.save(held, held.run.model_copy(update={"output": None}))
    world.blobs.put(TRAINING, f"gas/{run.id}/model/metrics.json", json.dumps(METRICS).encode())
    run = world.settle(run)

    assert (run.state, run.metrics) == ("live", METRICS)


def test_an_instance_that_was_held_up_before_the_gate_registers_nothing() -> None:
    world = two_models()
    run = world.look_until(world.drop("gas/third.csv"), "training")
    world.workspace.fail("register", THROTTLED)
    run = world.look_until(run, "evaluated")
    stale = world.runs.load("gas", run.id)
    assert world.settle(run).state == "live"
    registered = world.workspace.effects["model"]

    world.again().advance(stale)
    assert world.workspace.effects["model"] == registered


def written(world: World, **changes: object) -> Callable[[], None]:
    """Somebody writes the live record by hand."""

    def write() -> None:
        live, etag = world.live.held("gas")
        assert live is not None
        world.live.put(live.model_copy(update=changes), etag)

    return write


@pytest.mark.parametrize(
    ("when", "fallback"),
    [("before", "off"), ("at the very write", "off"), ("at the very write", "bundle-always")],
)
def test_where_the_live_record_is_changed_by_hand_the_model_does_not_go_live(when: str, fallback: str) -> None:
    world = World(score_fallback=fallback)
    world.promoted()
    world.promoted("gas/second.csv")
    run = world.drop("gas/third.csv")
    by_hand = written(world, version="7", run="20260101T000000Z-train-00000000")
    if when == "before":
        run = world.look_until(run, "deploying")
        by_hand()
    else:
        assert world.meanwhile("state/live/gas.json", by_hand) == []
    run = world.settle(run)

    assert (run.state, run.error and run.error.code) == ("failed", "champion_replaced")
    assert world.live_model().version == "7"
    if fallback == "off":
        assert world.traffic() == {world.live_model().deployment: 100}


def test_a_model_that_is_live_already_is_not_asked_for_its_champion_again() -> None:
    world = two_models()
    run = world.settle(world.drop("gas/third.csv"))
    records: list[LiveModel] = [live for _, live in world.live.made]

    assert (run.state, records[-1].run) == ("live", run.id)
    assert world.look(run) == run
