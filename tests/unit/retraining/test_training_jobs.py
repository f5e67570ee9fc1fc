"""What a training job is submitted as, and that the SDK takes it so."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from aml.contract import Tuning
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
    return {path: value for change in own_changes(job(**tuning), "D", "/code", "D/x") for path, value in change.items()}


@pytest.mark.parametrize("tuning", [{}, {"method": "random", "space": SPACE}], ids=["none", "random"])
def test_what_the_job_finds_out_itself_is_a_plain_job(tuning: dict[str, Any]) -> None:
    assert file_of(job(**tuning)) == "train.yml"
    said = {"inputs.version": 1, "inputs.contamination": 0.01, "inputs.dataset": "gas", "inputs.data.path": "D/x"}
    assert changes(**tuning) == {"code": "/code", **said, "outputs.model.path": "D/jobs/gas-1"}


def automl(step: Literal["table", "search", "train"], **more: Any) -> tuple[str, dict[str, Any]]:
    """The file and the changes of one of the jobs of a run with AutoML."""
    tuning = Tuning(method="automl", trials=3, concurrent=5, timeout_minutes=20)
    asked = TrainingJob("birds-1", "birds", "run-1", "birds/run-1", None, {}, tuning=tuning, step=step, **more)
    found = own_changes(asked, "azureml://D", str(AML.parent), "azureml://D/data.parquet")
    return file_of(asked), {path: value for change in found for path, value in change.items()}


def test_a_run_with_automl_has_three_jobs_of_which_each_reads_what_the_one_before_it_left() -> None:
    before = {"inputs.dataset": "birds", "inputs.data.path": "azureml://D/data.parquet", "code": str(AML.parent)}

    assert automl("table") == ("automl-table.yml", {**before, "outputs.table.path": "azureml://D/jobs/birds-1"})
    assert automl("search", table="birds-0", measure="AUC_weighted") == (
        "automl.yml",
        {
            "training_data.path": "azureml://D/jobs/birds-0",
            "primary_metric": "AUC_weighted",
            "limits.timeout_minutes": 20,
            "limits.trial_timeout_minutes": 20,
            "limits.max_trials": 3,
            "limits.max_concurrent_trials": 3,
        },
    )
    file, changes = automl("train", table="birds-0", found="birds-9_4")
    artifacts = "azureml://datastores/workspaceartifactstore/paths/ExperimentRun/dcid.birds-9_4/outputs"
    mounted = {"type": "uri_folder", "mode": "ro_mount"}
    assert file == "train.yml"
    assert changes == {
        **before,
        "inputs.version": 1,
        "outputs.model.path": "azureml://D/jobs/birds-1",
        "inputs.automl": {**mounted, "path": artifacts},
        "inputs.automl_table": {**mounted, "path": "azureml://D/jobs/birds-0"},
    }


@pytest.mark.filterwarnings("ignore::marshmallow.warnings.RemovedInMarshmallow4Warning")
@pytest.mark.filterwarnings("ignore::marshmallow.warnings.ChangedInMarshmallow4Warning")
def test_the_sdk_takes_every_job_of_automl_and_sends_it() -> None:
    from azure.ai.ml import load_job

    sent = {}
    for step in ("table", "search", "train"):
        file, changes = automl(step, table="birds-0", found="birds-9_4", measure="norm_macro_recall")
        loaded = load_job(AML / "jobs" / file, params_override=[{path: value} for path, value in changes.items()])
        job = loaded if step == "search" else loaded._to_job()
        sent[step] = job._to_rest_object().properties

    details = sent["search"].task_details
    assert details.training_data.uri == "azureml://D/jobs/birds-0"
    assert (details.primary_metric, details.limit_settings.timeout) == ("NormMacroRecall", timedelta(minutes=20))
    assert (details.limit_settings.max_trials, details.limit_settings.max_concurrent_trials) == (3, 3)
    assert sent["table"].outputs["table"].uri == "azureml://D/jobs/birds-1"
    assert sent["train"].inputs["automl"].job_input_type == "uri_folder"
    assert sent["train"].inputs["automl_table"].uri == "azureml://D/jobs/birds-0"


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
    loaded = load_job(AML / "jobs/sweep.yml", params_override=own_changes(asked, "azureml://D", str(AML.parent), "D/x"))
    found = loaded._to_rest_object().properties.early_termination

    assert (found.policy_type, getattr(found, "slack_amount", None), found.delay_evaluation) == sent
    assert found.evaluation_interval == policy.get("evaluation_interval", 1)
