"""From a dropped dataset to a live model, once and only once, whoever looks and whenever it crashes."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from datetime import timedelta

import pytest

from local.sample_data import hourly_gas, plain_csv
from shared.errors import WorkspaceUnavailableError
from shared.naming import DATASETS, RUNS, TRAINING
from shared.retraining.workspace import Deployment
from shared.runs import Run
from shared.scoring.history import History, Place
from tests.fakes.workspace import METRICS
from tests.functional.retraining.world import ENDPOINT, FIRST, GAS, Crash, CrashError, World, dataset

_LATER = FIRST + timedelta(days=20)
ONCE = {"data": 1, "job": 1, "model": 1, "endpoint": 1, "deployment": 1, "traffic": 1}
FORWARD = ["received", "validated", "training", "evaluated", "registered", "deploying", "verifying", "live"]


def outcome(world: World, run: Run) -> dict[str, object]:
    """All that one promotion leaves behind, but for times."""
    live = world.live_model()
    return {
        "state": run.state,
        "history": [step.state for step in run.history],
        "effects": dict(world.workspace.effects),
        "traffic": dict(world.workspace.endpoints[ENDPOINT].traffic),
        "live": (live.run == run.id, live.version, live.endpoint, live.deployment, live.scoring_uri),
        "deployed": world.workspace.models_deployed[(ENDPOINT, live.deployment)].version,
        "error": run.error,
    }


def test_a_dropped_dataset_becomes_the_live_model() -> None:
    world = World(looks=2)
    run = world.settle(world.drop("gas/first.csv"))

    assert outcome(world, run) == {
        "state": "live",
        "history": FORWARD,
        "effects": ONCE,
        "traffic": {"blue": 100},
        "live": (True, "1", ENDPOINT, "blue", f"https://{ENDPOINT}.test/score"),
        "deployed": "1",
        "error": None,
    }
    assert run.metrics == METRICS
    assert run.verdict is not None
    assert run.verdict["promote"]
    assert len(run.verdict["reasons"]) == len(GAS.gate)
    assert run.smoke == {"rows": 50, "requests": 1, "deployment": "blue"}
    (version,) = world.workspace.models(GAS.model_name)
    assert run.data is not None
    assert dict(version.tags) == {
        "dataset": "gas",
        "blob": "datasets/gas/first.csv",
        "etag": world.blobs.info(DATASETS, "gas/first.csv").etag,
        "sha256": run.data["sha256"],
        "run": run.id,
        "data_asset": f"gas:{run.asset['version'] if run.asset else None}",
        "metric.alert_rate": "0.01",
        "metric.recall": "0.6",
        "metric.rows": "400",
    }
    (job,) = world.workspace.jobs.values()
    assert (job.asked.folder, job.asked.contamination) == (f"gas/{run.id}", GAS.contamination)
    assert dict(job.asked.tags).items() <= dict(version.tags).items()


def test_no_look_waits_for_a_job_or_a_deployment() -> None:
    world = World(looks=5)
    run = world.drop("gas/first.csv")

    seen = [world.look(run).state for _ in range(30)]

    assert seen.count("training") == seen.count("registered") == 5
    assert seen.count("deploying") == seen.count("verifying") == 6  # one that starts it, five that find it under way
    assert world.clock.slept == []


def test_it_really_trains() -> None:
    world = World()
    world.workspace.metrics = "train"
    run = world.settle(world.drop("gas/first.csv", dataset(days=30)))

    assert run.state == "live", run.error
    assert run.metrics is not None
    assert run.metrics["rows"] == 720
    assert world.blobs.info(TRAINING, f"gas/{run.id}/model/bundle.joblib").size > 0


def test_the_second_model_goes_to_the_other_colour_and_the_first_one_stays() -> None:
    world = World()
    first = world.promoted()
    second = world.settle(world.drop("gas/second.csv"))
    live = world.live_model()

    assert (second.state, second.deployment, second.model_version) == ("live", "green", "2")
    known = {"model": "iforest_gas", "version": "1", "run": first.id, "metrics": METRICS}
    assert (first.champion, second.champion) == (None, known)
    assert (live.run, live.deployment, live.version) == (second.id, "green", "2")
    assert world.workspace.endpoints[ENDPOINT].traffic == {"green": 100}
    assert world.workspace.deployments[(ENDPOINT, "blue")] == Deployment("blue", "succeeded", first.id)
    assert world.workspace.effects["endpoint"] == 1

    third = world.settle(world.drop("gas/third.csv"))

    assert (third.state, third.deployment) == ("live", "blue")


def test_the_live_models_colour_is_not_touched_though_somebody_moved_its_traffic() -> None:
    world = World()
    first = world.promoted()
    second = world.settle(world.drop("gas/second.csv"))
    world.workspace.start_traffic(ENDPOINT, {"blue": 100})  # by hand, in the studio; the app still scores with green

    third = world.settle(world.drop("gas/third.csv"))

    assert (third.state, third.error and third.error.code) == ("failed", "no_idle_deployment")
    assert world.live_model().run == second.id
    assert world.workspace.deployments[(ENDPOINT, "blue")].run == first.id


def test_duplicates_of_the_event_and_other_looks_change_nothing() -> None:
    world = World()
    run = world.drop("gas/first.csv")
    while run.state != "live":
        again, new = world.retraining.receive(world.blobs.info(DATASETS, "gas/first.csv"))
        assert (again.run.id, new) == (run.id, False)
        world.retraining.advance(again)
        run = world.look(run)
    before = world.blobs.get(RUNS, f"gas/{run.id}.json")

    assert world.look(run) == run
    assert world.blobs.get(RUNS, f"gas/{run.id}.json") == before
    assert world.workspace.effects == ONCE
    assert len(world.blobs.names(RUNS)) == 1


@pytest.mark.parametrize("instances", [2, 5])
def test_instances_that_look_at_once_change_nothing_in_the_outcome(instances: int) -> None:
    world = World(looks=0)
    run = world.drop("gas/first.csv")
    failures: list[BaseException] = []

    def instance(start: threading.Barrier) -> None:
        try:
            start.wait()
            world.again().advance(world.runs.load(run.dataset, run.id))
        except BaseException as error:
            failures.append(error)

    for _ in range(20):
        barrier = threading.Barrier(instances)
        threads = [threading.Thread(target=instance, args=(barrier,)) for _ in range(instances)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        world.clock.advance(timedelta(minutes=10))
        if world.read(run).state == "live":
            break

    assert failures == []
    assert outcome(world, world.read(run))["effects"] == ONCE
    assert [step.state for step in world.read(run).history] == FORWARD


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_at_any_write_leaves_the_next_look_to_finish_the_work(after: bool) -> None:
    clean = World()
    run = clean.drop("gas/first.csv")
    clean.blobs.interruption = whole = Crash(at=1_000_000)
    expected = outcome(clean, clean.settle(run))
    assert whole.writes > 10
    for at in range(whole.writes):
        world = World()
        run = world.drop("gas/first.csv")
        world.blobs.interruption = crash = Crash(at, after=after)
        for _ in range(40):
            world.clock.advance(timedelta(minutes=6))  # a claim of the dead instance runs out
            with suppress(CrashError):
                if world.again().advance(world.runs.load(run.dataset, run.id)).state == "live":
                    break

        assert outcome(world, world.read(run)) == expected, f"crash at write {at}"
        assert crash.happened


@pytest.mark.parametrize(
    "method", ["register_data", "start_training", "register", "start_endpoint", "start_deployment", "start_traffic"]
)
def test_an_effect_whose_answer_is_lost_is_not_repeated(method: str) -> None:
    world = World()
    run = world.drop("gas/first.csv")
    world.workspace.fail(method, WorkspaceUnavailableError("workspace_unavailable", "lost"), after=True)

    assert world.settle(run).state == "live"
    assert world.workspace.effects == ONCE
    assert not world.workspace.faults[method]  # it did happen


def test_a_shuffled_dataset_trains_on_the_same_rows_and_leaves_the_same_history() -> None:
    readings = hourly_gas(FIRST, 20, 1)
    shuffled = [readings[(7 * row) % len(readings)] for row in range(len(readings))]
    assert sorted(shuffled, key=lambda reading: reading.time) == readings
    tails, rows = [], []
    for order in (readings, shuffled):
        world = World()
        run = world.look(world.drop("gas/first.csv", plain_csv(order).encode()))
        assert run.data is not None
        assert run.data["in_time_order"] == (order is readings)
        rows.append(world.rows(run).sort_by("FechaHora"))
        tails.append(History(world.blobs).before(GAS, Place("later.csv", _LATER, _LATER, {None: _LATER})))

    assert rows[0].equals(rows[1])
    assert rows[0].num_rows == 480
    assert tails[0].equals(tails[1])
    assert tails[0].column("FechaHora").to_pylist() == [reading.time for reading in readings[-GAS.context_rows :]]


def test_contamination_from_the_request_reaches_the_job_and_a_manual_run_is_a_new_one() -> None:
    world = World()
    first = world.promoted()
    blob = world.blobs.info(DATASETS, "gas/first.csv")
    world.clock.advance(timedelta(minutes=1))
    runs = [world.retraining.receive(blob, manual=True, parameters={"contamination": 0.05}) for _ in range(2)]

    assert all(new for _, new in runs)
    assert len({first.id, *(held.run.id for held, _ in runs)}) == 3
    run = world.look(runs[0][0].run)
    assert run.manual
    assert run.job is not None
    assert world.workspace.jobs[run.job].asked.contamination == 0.05
    assert json.loads(world.blobs.get(RUNS, f"gas/{run.id}.json")[0])["parameters"] == {"contamination": 0.05}
