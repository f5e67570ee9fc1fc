"""Runs of a dataset whose contract asks for AutoML: three jobs, one after the other, and what may happen at each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from aml.contract import Model, Tuning
from shared.naming import TRAINING
from shared.runs import Run
from tests.fakes.workspace import METRICS
from tests.functional.retraining.world import GAS, Crash, CrashError, World

AUTOML = GAS.model_copy(
    update={"tuning": Tuning(method="automl"), "models": (Model(name="automl", algorithm="automl"),), "candidates": ()}
)
_STEPS = ("table", "search", "train")


@pytest.fixture(autouse=True)
def _asked_for(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The gas dataset's contract asks for AutoML; nothing here looks at what else is in a contract."""
    for module in ("making", "searches"):
        monkeypatch.setattr(f"shared.retraining.{module}.load_contract", {"gas": AUTOML}.__getitem__)
    yield


def names(run: Run, live: str = "") -> list[str]:
    """What the run's jobs are called."""
    plain = f"gas-{run.id}".lower()
    return [f"{plain}-table", f"{plain}-search", plain + (f"-against-{live}" if live else "")]


def at(world: World, run: Run, step: str) -> Run:
    """The run once it is at this job."""
    while (run.tuning or {}).get("step") != step:
        assert run.state not in ("failed", "live"), run.error
        run = world.look(run)
    return run


def ended(run: Run) -> tuple[str, str]:
    assert run.state == "failed"
    assert run.error is not None
    return run.error.code, run.error.message


def leave_error(world: World, run: Run, code: str, message: str) -> None:
    said = json.dumps({"code": code, "message": message}).encode()
    world.blobs.put(TRAINING, f"gas/{run.id}/{run.output}/error.json", said)


def test_three_jobs_make_the_model_and_the_record_says_what_was_tried() -> None:
    world = World()

    run = world.promoted()

    table, search, train = names(run)
    assert list(world.workspace.jobs) == [table, search, train]
    asked = {job.asked.step: job.asked for job in world.workspace.jobs.values()}
    assert asked["search"].table == asked["train"].table == table
    assert (asked["table"].found, asked["train"].found) == (None, f"{search}_1")
    assert asked["search"].measure == "accuracy"
    assert [step.state for step in run.history].count("training") == 3
    assert run.tuning == {
        "method": "automl",
        "objective": "accuracy",
        "goal": "maximize",
        "step": "train",
        "table": table,
        "search": search,
        "found": f"{search}_1",
        "measured": 2,
        "best": {"job": f"{search}_1", "algorithm": "RandomForest", "preprocessor": "MaxAbsScaler", "value": 0.95},
        "trials": [
            {"job": f"{search}_0", "algorithm": "DecisionTree", "preprocessor": "MaxAbsScaler", "value": 0.9},
            {"job": f"{search}_1", "algorithm": "RandomForest", "preprocessor": "MaxAbsScaler", "value": 0.95},
        ],
    }
    assert (run.job, run.metrics) == (train, METRICS)
    assert world.workspace.jobs_of_models == {("iforest_gas", "1"): train}


@pytest.mark.parametrize(
    ("step", "end", "code"),
    [
        ("table", "failed", "training_failed"),
        ("table", "canceled", "training_canceled"),
        ("search", "failed", "automl_failed"),
        ("search", "canceled", "automl_canceled"),
        ("train", "failed", "training_failed"),
        ("train", "canceled", "training_canceled"),
    ],
)
def test_a_job_that_does_not_succeed_ends_the_run_and_leaves_the_live_model(step: str, end: Any, code: str) -> None:
    world = World()
    live = world.promoted().id
    run = at(world, world.drop("gas/second.csv"), step)
    world.workspace.jobs[run.job or ""].end = end

    told, message = ended(world.settle(run))

    assert told == code
    assert str(run.job) in message
    assert (world.live_model().run, world.traffic()) == (live, {"blue": 100})
    assert len(world.workspace.jobs) == 3 + 1 + _STEPS.index(step)


@pytest.mark.parametrize("code", ["automl_without_onnx", "automl_unusable", "automl_other_rows", "automl_missing"])
def test_what_automl_left_and_cannot_be_used_is_told_by_its_own_code(code: str) -> None:
    world = World()
    live = world.promoted().id
    run = at(world, world.drop("gas/second.csv"), "train")
    world.workspace.jobs[run.job or ""].end = "failed"
    leave_error(world, run, code, "AutoML left nothing of use.")

    told, message = ended(world.settle(run))

    assert (told, world.live_model().run) == (code, live)
    assert "AutoML left nothing of use." in message


def test_another_reason_of_the_last_job_is_that_of_any_training() -> None:
    world = World()
    run = at(world, world.drop("gas/first.csv"), "train")
    world.workspace.jobs[run.job or ""].end = "failed"
    leave_error(world, run, "too_few_rows", "9 usable rows are too few.")

    told, message = ended(world.settle(run))

    assert told == "training_failed"
    assert "9 usable rows are too few." in message


def test_a_search_that_names_no_best_model_ends_the_run() -> None:
    world = World()
    run = at(world, world.drop("gas/first.csv"), "search")
    world.workspace.metrics = None

    assert ended(world.settle(run))[0] == "automl_without_best"


def test_a_search_that_hangs_is_cancelled() -> None:
    world = World()
    run = at(world, world.drop("gas/first.csv"), "search")
    world.workspace.hang()
    world.clock.advance(timedelta(hours=25))

    assert ended(world.settle(run))[0] == "training_timeout"
    assert world.workspace.jobs[names(run)[1]].end == "canceled"


@pytest.mark.parametrize("step", _STEPS)
def test_a_newer_dataset_cancels_the_job_that_is_under_way(step: str) -> None:
    world = World(looks=3)
    run = at(world, world.drop("gas/first.csv"), step)
    world.look_until(world.drop("gas/second.csv"), "training")

    assert world.settle(run).state == "superseded"
    job = world.workspace.jobs[run.job or ""]
    assert (job.asked.step, job.end) == (step, "canceled")
    assert world.workspace.effects["cancel"] == 1


@pytest.mark.parametrize("after", [False, True], ids=["before a write", "after a write"])
def test_an_instance_that_dies_at_any_write_changes_nothing_in_the_outcome(after: bool) -> None:
    quiet = World()
    counting = Crash(-1)
    quiet.blobs.interruption = counting
    quiet.promoted()
    for at_write in range(counting.writes):
        world = World()
        run = world.drop("gas/first.csv")
        crash = Crash(at_write, after=after)
        world.blobs.interruption = crash
        while run.state not in ("live", "failed"):
            try:
                run = world.look(run)
            except CrashError:
                world.clock.advance(timedelta(minutes=6))  # the dead instance's claim runs out
                world.retraining = world.again()
                run = world.read(run)
        assert (run.state, list(world.workspace.jobs)) == ("live", names(run)), at_write
        assert world.workspace.effects["job"] == 3


def test_a_champion_that_changes_meanwhile_is_measured_by_the_last_job_alone() -> None:
    world = World()
    world.promoted()
    world.promoted("gas/second.csv")
    run = at(world, world.drop("gas/third.csv"), "train")
    happened = world.meanwhile(f"runs/gas/{run.id}.json", lambda: world.settle(world.activate("1")))

    run = world.settle(run)

    assert happened
    assert (run.state, run.champion and run.champion["version"]) == ("live", "1")
    mine = [name for name, job in world.workspace.jobs.items() if job.asked.run == run.id]
    assert mine == [*names(run, "2"), names(run, "1")[2]]
    assert {world.workspace.jobs[name].asked.found for name in mine[2:]} == {f"{mine[1]}_1"}


def test_two_instances_at_once_start_each_job_once() -> None:
    world = World()
    run = world.drop("gas/first.csv")
    for _ in range(60):
        held = world.runs.load("gas", run.id)
        world.clock.advance(timedelta(minutes=1))
        world.retraining.advance(held)
        run = world.again().advance(held)  # which has read the record before the other one wrote it
        if run.state == "live":
            break

    assert (run.state, world.workspace.effects["job"]) == ("live", 3)


def test_an_instance_that_comes_late_cancels_the_job_that_it_started_for_a_run_that_has_ended() -> None:
    world = World()
    run = at(world, world.drop("gas/first.csv"), "table")
    world.workspace.jobs[run.job or ""].looks = 0

    def ends() -> None:
        newer = world.look_until(world.drop("gas/second.csv"), "training")
        assert newer.state == "training"
        assert world.look(run).state == "superseded"

    happened = world.meanwhile(f"runs/gas/{run.id}.json", ends)
    run = world.look(run)

    assert happened
    assert run.state == "superseded"
    assert world.workspace.jobs[names(run)[1]].end == "canceled"
