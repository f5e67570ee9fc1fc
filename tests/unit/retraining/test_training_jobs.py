"""What a training job is submitted as, and that the SDK takes it so."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from aml.contract import Tuning
from shared.errors import WorkspaceRefusedError
from shared.retraining.jobs import file_of, own_changes
from shared.retraining.workspace import TrainingJob

AML = Path(__file__).resolve().parents[3] / "aml"
SPACE = {
    "trees": {"minimum": 50, "maximum": 400},
    "max_samples": {"minimum": 64, "maximum": 512, "log": True},
    "max_features": {"minimum": 0.5, "maximum": 1.0},
}


def job(**tuning: Any) -> TrainingJob:
    declared = Tuning.model_validate(tuning)
    return TrainingJob("gas-1", "gas", "run-1", "gas/run-1", 0.01, {"run": "run-1"}, tuning=declared)


def changes(**tuning: Any) -> dict[str, Any]:
    return {path: value for change in own_changes(job(**tuning), "D", "/code") for path, value in change.items()}


@pytest.mark.parametrize("tuning", [{}, {"method": "random", "space": SPACE}], ids=["none", "random"])
def test_what_the_job_finds_out_itself_is_a_plain_job(tuning: dict[str, Any]) -> None:
    assert file_of(job(**tuning)) == "train.yml"
    said = {"inputs.version": 1, "inputs.contamination": 0.01}
    assert changes(**tuning) == {"code": "/code", **said, "outputs.model.path": "D/jobs/gas-1"}


def test_automl_is_refused_before_anything_is_submitted() -> None:
    with pytest.raises(WorkspaceRefusedError, match="asks for AutoML") as caught:
        file_of(job(method="automl"))

    assert caught.value.code == "automl_not_served"


def test_a_sweep_has_the_space_of_the_contract_and_the_defaults_of_the_rest() -> None:
    found = changes(method="sweep", space=SPACE, objective="recall_leak", trials=7, concurrent=9, timeout_minutes=3)

    assert file_of(job(method="sweep", space=SPACE)) == "sweep.yml"
    assert found["outputs.model.path"] == "D/trials/${{name}}"
    assert found["search_space"] == {
        "contamination": {"type": "choice", "values": [0.01]},
        "trees": {"type": "quniform", "min_value": 50, "max_value": 400, "q": 1},
        "max_samples": {"type": "qloguniform", "min_value": math.log(64), "max_value": math.log(512), "q": 1},
        "max_features": {"type": "uniform", "min_value": 0.5, "max_value": 1.0},
    }
    assert found["objective"] == {"goal": "maximize", "primary_metric": "search_recall_leak"}
    assert found["limits"] == {"max_total_trials": 7, "max_concurrent_trials": 7, "timeout": 180}
    assert "early_termination" not in found
    only = changes(method="sweep", space={"contamination": {"values": [0.01, 0.02]}})["search_space"]
    assert only["trees"] == only["max_samples"] == only["max_features"] == {"type": "choice", "values": ["default"]}
    assert only["contamination"] == {"type": "choice", "values": [0.01, 0.02]}


@pytest.mark.filterwarnings("ignore::marshmallow.warnings.RemovedInMarshmallow4Warning")
@pytest.mark.filterwarnings("ignore::marshmallow.warnings.ChangedInMarshmallow4Warning")
@pytest.mark.parametrize(
    ("policy", "sent"),
    [
        ({"policy": "bandit", "slack_amount": 0.1, "delay_evaluation": 2}, ("Bandit", 0.1, 2)),
        ({"policy": "median", "evaluation_interval": 3}, ("MedianStopping", None, 0)),
        ({"policy": "truncation", "truncation_percentage": 20}, ("TruncationSelection", None, 0)),
    ],
    ids=lambda value: str(value)[:24],
)
def test_the_sdk_takes_every_policy_and_sends_it(policy: dict[str, Any], sent: tuple[Any, ...]) -> None:
    from azure.ai.ml import load_job

    asked = job(method="sweep", space=SPACE, early_termination=policy)
    loaded = load_job(AML / "jobs/sweep.yml", params_override=own_changes(asked, "azureml://D", str(AML.parent)))
    found = loaded._to_rest_object().properties.early_termination

    assert (found.policy_type, getattr(found, "slack_amount", None), found.delay_evaluation) == sent
    assert found.evaluation_interval == policy.get("evaluation_interval", 1)
