"""Runs of datasets whose contract asks for a search: what stands in the record, what is registered, and what fails."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aml.contract import Tuning
from shared.naming import TRAINING
from shared.runs import Run
from tests.fakes.workspace import METRICS
from tests.functional.retraining.world import GAS, World

SWEEP = {"method": "sweep", "space": {"trees": {"values": [100, 300]}}, "trials": 3}


def declare(monkeypatch: pytest.MonkeyPatch, **tuning: Any) -> None:
    """The gas dataset with this tuning."""
    tuned = GAS.model_copy(update={"tuning": Tuning.model_validate(tuning)})
    monkeypatch.setattr("shared.retraining.making.load_contract", {"gas": tuned}.__getitem__)


def failed(run: Run) -> tuple[str, str]:
    assert run.state == "failed"
    assert run.error is not None
    return run.error.code, run.error.message


def test_a_sweeps_best_trial_goes_into_service(monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, **SWEEP)
    world = World()

    run = world.promoted()

    best = f"{run.job}_0"  # all trials of the fake are alike
    assert run.tuning is not None
    assert (run.tuning["method"], run.tuning["objective"], run.tuning["job"]) == ("sweep", "detection", best)
    assert [trial["trial"] for trial in run.tuning["trials"]] == [f"{run.job}_{number}" for number in range(3)]
    assert run.tuning["best"] == {"trial": best, "parameters": {"trees": 100}, "value": 0.6, "intervals": 2}
    assert run.metrics == METRICS
    assert world.workspace.jobs_of_models == {("iforest_gas", "1"): best}
    assert json.loads(world.blobs.get(TRAINING, f"gas/{run.id}/model/metrics.json")[0]) == METRICS


def test_a_search_in_the_job_stands_in_the_record_and_not_among_the_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, method="random", space=SWEEP["space"])
    world = World()
    table = {"method": "random", "objective": "recall", "best": {"number": 0}, "trials": []}
    world.workspace.metrics = {**METRICS, "tuning": table}

    run = world.promoted()

    assert run.tuning == table
    assert run.metrics == METRICS
    (version,) = world.workspace.versions["iforest_gas"]
    assert "metric.tuning" not in version.tags


def test_a_choice_among_candidates_stands_in_the_record_and_not_among_the_metrics() -> None:
    world = World()
    table = {"by": "injected faults", "chosen": "default", "candidates": [{"name": "default", "worth": 0.7}]}
    world.workspace.metrics = {**METRICS, "candidate": "default", "selection": table}

    run = world.promoted()

    assert run.selection == table
    assert run.metrics == {**METRICS, "candidate": "default"}
    (version,) = world.workspace.versions["iforest_gas"]
    assert version.tags["metric.candidate"] == "default"
    assert "metric.selection" not in version.tags


def test_a_plain_training_has_no_search() -> None:
    run = World().promoted()

    assert run.tuning is None


def test_a_job_started_without_a_sweep_is_read_as_such_whatever_the_contract_says_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(looks=3)
    run = world.look_until(world.drop("gas/x.csv"), "training")
    declare(monkeypatch, **SWEEP)

    assert world.settle(run).state == "live"


def test_a_sweep_that_fails_says_what_its_trials_said(monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, **SWEEP)
    world = World()
    run = world.look_until(world.drop("gas/x.csv"), "training")
    world.workspace.jobs[run.job or ""].end = "failed"
    said = json.dumps({"code": "too_few_rows", "message": "9 usable rows are too few."}).encode()
    world.blobs.put(TRAINING, f"gas/{run.id}/trials/{run.job}_1/error.json", said)

    code, message = failed(world.settle(run))

    assert code == "training_failed"
    assert "9 usable rows are too few." in message


def test_a_sweep_in_which_nobody_logged_the_objective_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, **SWEEP)
    world = World()
    world.workspace.metrics = None

    assert failed(world.settle(world.drop("gas/x.csv"))) == (
        "sweep_without_best",
        "No trial of the sweep logged search_detection, so that none of them is the best.",
    )


def test_the_table_in_the_record_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, **{**SWEEP, "trials": 60})

    run = World().promoted()

    assert run.tuning is not None
    assert (run.tuning["measured"], len(run.tuning["trials"])) == (60, 50)
    assert run.tuning["best"] in run.tuning["trials"]
