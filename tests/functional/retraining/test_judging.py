"""What is found in a dataset is told, the champion is judged beside the challenger, and a person may overrule."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from typing import Any

import pytest

from local.sample_data import hourly_gas, plain_csv
from shared.errors import NotFoundError
from shared.naming import DATASETS, TRAINING
from shared.runs import Run
from tests.fakes.workspace import METRICS
from tests.functional.retraining.world import FIRST, GAS, World, dataset

WORSE: dict[str, Any] = {"alert_rate": 0.01, "recall": 0.2}
"""Within the bounds of the contract, and 0.4 below the champion."""


def forced(world: World, name: str, data: bytes | None = None, **why: str) -> Run:
    """A run that a person asked for in spite of whatever the gate says."""
    world.clock.advance(timedelta(minutes=1))
    world.blobs.put(DATASETS, name, dataset() if data is None else data)
    parameters = {"force": True, **why}
    return world.retraining.receive(world.blobs.info(DATASETS, name), manual=True, parameters=parameters)[0].run


def challenged(world: World, metrics: dict[str, Any] | None = None, name: str = "gas/second.csv") -> Run:
    """A second dataset after a first one went live."""
    world.workspace.metrics = WORSE if metrics is None else metrics
    return world.settle(world.drop(name))


# -- the report ----------------------------------------------------------------------------------------------------


def test_a_valid_dataset_has_its_report_too_with_lines_and_counts() -> None:
    rows = dataset().decode().splitlines()
    rows[10], rows[11] = rows[11], rows[10]  # lines 11 and 12 the wrong way round
    rows[20] = rows[20].split(",")[0] + ",?"
    rows.append(rows[-1])
    world = World()
    run = world.look(world.drop("gas/x.csv", "\n".join(rows).encode()))

    assert run.state == "training"
    assert run.validation is not None
    assert run.validation["valid"]
    assert run.validation["errors"] == []
    found = {
        each["code"]: (each["count"], [row["line"] for row in each["examples"]]) for each in run.validation["warnings"]
    }
    assert found == {
        "not_a_number": (1, [21]),
        "not_in_time_order": (1, [12]),
        "duplicate_times": (1, [482]),
    }
    assert world.read(world.settle(run)).validation == run.validation


def test_a_clean_dataset_has_nothing_to_report() -> None:
    world = World()
    run = world.look(world.drop("gas/x.csv"))

    assert run.validation == {"valid": True, "errors": [], "warnings": []}


def test_every_error_is_told_not_the_first_alone() -> None:
    world = World()
    text = "\n".join(["FechaHora,VolCorrected", *["2026-01-01 00:00:00,5", "2026-01-01 01:00:00,x"] * 20])
    run = world.look(world.drop("gas/x.csv", text.encode()))

    assert run.validation is not None
    assert [each["code"] for each in run.validation["errors"]] == [
        "too_many_unusable",
        "too_few_rows",
        "too_few_days",
        "too_many_duplicate_times",
        "constant_value",
    ]
    assert run.error is not None
    assert run.error.code == "too_many_unusable"


# -- older than the live model ---------------------------------------------------------------------------------------


def test_a_dataset_that_ends_before_the_live_models_is_invalid_and_force_overrides_that() -> None:
    world = World()
    world.promoted()
    shorter = dataset(days=19)
    refused = world.settle(world.drop("gas/older.csv", shorter))

    assert (refused.state, refused.error and refused.error.code) == ("invalid", "older_than_live")
    run = world.settle(forced(world, "gas/older.csv", shorter))
    assert run.state == "live", run.error
    assert run.validation is not None
    assert [each["code"] for each in run.validation["warnings"]] == ["older_than_live"]


def test_force_trains_on_nothing_that_cannot_be_trained_on() -> None:
    world = World()
    run = world.settle(forced(world, "gas/x.csv", plain_csv(hourly_gas(FIRST, 3, 1)).encode()))

    assert (run.state, run.error and run.error.code) == ("invalid", "too_few_rows")
    assert not world.workspace.calls


# -- champion and challenger -----------------------------------------------------------------------------------------


def test_the_job_gets_the_live_model_and_the_gate_its_metrics() -> None:
    world = World()
    first = world.promoted()
    run = challenged(world)

    assert run.state == "rejected"
    (job,) = [job.asked for job in world.workspace.jobs.values() if job.asked.run == run.id]
    assert job.champion is not None
    assert (job.champion.name, job.champion.version) == (GAS.model_name, "1")
    assert job.name == f"gas-{run.id}-against-1".lower()
    assert run.metrics == WORSE
    assert run.champion == {"model": GAS.model_name, "version": "1", "run": first.id, "metrics": METRICS}
    assert run.verdict == {
        "promote": False,
        "reasons": [
            "alert_rate is 0.01, within its bounds",
            "recall is 0.2, more than 0.3 below the champion's 0.6",
        ],
    }


def test_a_first_model_is_held_to_the_bounds_alone() -> None:
    world = World()
    run = challenged(world, name="gas/first.csv")

    assert run.state == "live"
    assert run.champion is None
    assert world.workspace.jobs[run.job or ""].asked.champion is None


def test_a_tie_goes_to_the_newer_data() -> None:
    world = World()
    world.promoted()

    assert challenged(world, dict(METRICS)).state == "live"


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "0.6"])
def test_a_champion_with_a_metric_that_is_no_number_is_not_compared_with(value: object) -> None:
    world = World()
    world.promoted()
    world.workspace.champion_metrics = {"alert_rate": 0.01, "recall": value}
    run = challenged(world)

    assert run.state == "live"
    assert run.verdict is not None
    assert run.verdict["reasons"][1] == "recall is 0.2, and the champion's is not known"


def test_a_champion_that_the_job_could_not_measure_leaves_the_bounds() -> None:
    world = World()
    world.promoted()
    world.workspace.champion_metrics = {"problem": "trained with scikit-learn 0.1"}
    run = challenged(world)

    assert run.state == "live"
    assert run.champion is not None
    assert (run.champion["metrics"], run.champion["problem"]) == ({}, "trained with scikit-learn 0.1")
    assert challenged(world, {"alert_rate": 0.6, "recall": 0.6}, "gas/third.csv").state == "rejected"


@pytest.mark.parametrize("what", ["archived", "files"])
def test_a_champion_that_vanished_is_not_given_to_the_job(what: str) -> None:
    world = World()
    first = world.promoted()
    if what == "archived":
        world.workspace.versions.clear()
    else:
        world.blobs.delete(TRAINING, f"gas/{first.id}/model/bundle.joblib")
    run = challenged(world)

    assert run.state == "live"
    assert run.champion is not None
    assert (
        run.champion["problem"]
        == {
            "archived": "version 1 of iforest_gas is not registered any more",
            "files": "the files of version 1 of iforest_gas are gone",
        }[what]
    )
    assert world.workspace.jobs[run.job or ""].asked.champion is None


def test_a_live_model_whose_run_was_removed_is_no_reason_to_fail() -> None:
    world = World()
    first = world.promoted()
    world.blobs.delete("runs", f"gas/{first.id}.json")

    assert challenged(world, dict(METRICS)).state == "live"


def test_both_are_really_measured() -> None:
    world = World()
    world.workspace.metrics = "train"
    first = world.settle(world.drop("gas/first.csv", dataset(days=30)))
    run = world.settle(world.drop("gas/second.csv", dataset(days=33)))

    assert (first.state, run.state) == ("live", "live"), run.verdict
    assert run.champion is not None
    assert run.metrics is not None
    both = run.champion["metrics"].keys() & run.metrics.keys()
    assert {rule.metric for rule in GAS.gate} | {"detection", "reference_detection"} <= both
    (version,) = [each for each in world.workspace.models(GAS.model_name) if each.version == run.model_version]
    assert float(version.tags["metric.detection"]) == run.metrics["detection"]
    assert not [name for name in version.tags if "champion" in name or "reference" in name]
    assert len(version.tags) < 50


# -- force -----------------------------------------------------------------------------------------------------------


def test_force_promotes_what_the_gate_refuses_and_the_verdict_stands_as_it_was() -> None:
    world = World()
    world.promoted()
    refused = challenged(world)
    run = world.settle(forced(world, "gas/third.csv", reason="the meter was replaced", by="ana@example.org"))

    assert (refused.state, run.state) == ("rejected", "live")
    assert refused.verdict is not None
    assert run.verdict == refused.verdict | {
        "forced": True,
        "reason": "the meter was replaced",
        "by": "ana@example.org",
    }
    assert "iforest_gas version 2, forced" in [step.note for step in run.history]
    assert world.live_model().run == run.id


def test_force_for_what_passes_anyway_leaves_no_trace_in_the_verdict() -> None:
    world = World()
    run = world.settle(forced(world, "gas/first.csv", reason="to be sure"))

    assert run.state == "live"
    assert run.verdict is not None
    assert "forced" not in run.verdict
    assert run.parameters == {"force": True, "reason": "to be sure"}


def test_force_does_not_get_a_broken_deployment_into_service() -> None:
    world = World()
    first = world.promoted()
    world.targets.score = math.inf
    run = world.settle(forced(world, "gas/second.csv"))

    assert run.state == "failed"
    assert world.live_model().run == first.id


def test_metrics_left_by_a_job_that_names_no_champion_do_not_read_one() -> None:
    world = World()
    run = world.look(world.drop("gas/first.csv"))
    world.workspace.metrics = None
    left = json.dumps({**METRICS, "champion": {"recall": 1.0}}).encode()
    world.blobs.put(TRAINING, f"gas/{run.id}/{run.output}/metrics.json", left)
    run = world.settle(run)

    assert (run.state, run.champion, run.metrics) == ("live", None, METRICS)
    with pytest.raises(NotFoundError):
        world.blobs.info(TRAINING, f"gas/{run.id}/model/error.json")
