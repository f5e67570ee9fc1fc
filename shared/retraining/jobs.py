"""What a training job is submitted as: which file under `aml/jobs`, and what is set in it; nothing of Azure here."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from aml.contract import Choice, Tuning

if TYPE_CHECKING:
    from shared.retraining.workspace import TrainingJob

_WHOLE = frozenset({"trees", "max_samples"})
_PARAMETERS = ("trees", "max_samples", "max_features")
TRIALS = "trials"
"""Folder, below a run's own, with a folder for each trial of a sweep."""
JOBS = "jobs"
"""Folder, below a run's own, with a folder for each of its other jobs."""
_LONGEST_TRIAL_MINUTES = 30
_ARTIFACTS = "azureml://datastores/workspaceartifactstore/paths/ExperimentRun"
"""Where a workspace keeps what its jobs leave beside their outputs, AutoML's models among it."""
MODEL = "model"
"""Folder, below a run's own, with the files of the job or trial that was judged."""


def output_of(job: str) -> str:
    """Where a job that is no sweep writes, below the run's folder: two jobs of a run never write to one place."""
    return f"{JOBS}/{job}"


def file_of(job: TrainingJob) -> str:
    """The file under `aml/jobs` that defines the job."""
    if job.step != "train":
        return "automl.yml" if job.step == "search" else "automl-table.yml"
    return "sweep.yml" if job.tuning.is_sweep else "train.yml"


def own_changes(job: TrainingJob, folder: str, code: str, data: str) -> list[dict[str, Any]]:
    """What is set in the job's file that is not in every such file, each by its path in the file.

    Args:
        folder: the run's place as an azureml:// address.
        code: the folder of the code.
        data: the rows, as an address or an asset.
    """
    if job.step == "search":
        return _search(job, folder)
    return [{"inputs.dataset": job.dataset}, {"inputs.data.path": data}, *_inputs(job), *_command(job, folder, code)]


def _inputs(job: TrainingJob) -> list[dict[str, Any]]:
    if job.champion is None:
        return []
    path = f"azureml:{job.champion.name}:{job.champion.version}"
    return [{"inputs.champion": {"type": "custom_model", "path": path, "mode": "ro_mount"}}]


def _command(job: TrainingJob, folder: str, code: str) -> list[dict[str, Any]]:
    if job.step == "table":
        return [{"code": code}, {"outputs.table.path": _table(folder, job.name)}]
    if job.tuning.is_sweep:
        return [{"trial.code": code}, {"outputs.model.path": f"{folder}/{TRIALS}/${{{{name}}}}"}, *_sweep(job)]
    return [
        {"code": code},
        {"inputs.version": job.version},
        *([] if job.contamination is None else [{"inputs.contamination": job.contamination}]),
        {"outputs.model.path": f"{folder}/{output_of(job.name)}"},
        *_found(job, folder),
    ]


def _found(job: TrainingJob, folder: str) -> list[dict[str, Any]]:
    """What AutoML has left, and the table that it was given."""
    if job.found is None:
        return []
    given = {"automl": f"{_ARTIFACTS}/dcid.{job.found}/outputs", "automl_table": _table(folder, job.table or "")}
    return [{f"inputs.{name}": {"type": "uri_folder", "path": at, "mode": "ro_mount"}} for name, at in given.items()]


def _table(folder: str, job: str) -> str:
    return f"{folder}/{output_of(job)}"


def _search(job: TrainingJob, folder: str) -> list[dict[str, Any]]:
    tuning = job.tuning
    return [
        {"training_data.path": _table(folder, job.table or "")},
        {"primary_metric": job.measure},
        {"limits.timeout_minutes": tuning.timeout_minutes},
        {"limits.trial_timeout_minutes": min(tuning.timeout_minutes, _LONGEST_TRIAL_MINUTES)},
        {"limits.max_trials": tuning.trials},
        {"limits.max_concurrent_trials": min(tuning.concurrent, tuning.trials)},
    ]


def _sweep(job: TrainingJob) -> list[dict[str, Any]]:
    tuning = job.tuning
    space: dict[str, Any] = {name: _choice(["default"]) for name in _PARAMETERS}
    space["contamination"] = _choice([job.contamination])
    policy = [] if tuning.early_termination is None else [{"early_termination": _policy(tuning.early_termination)}]
    space |= {name: _distribution(name, entry) for name, entry in tuning.space.items()}
    return [
        {"sampling_algorithm": tuning.sampling},
        {"search_space": space},
        {"objective": {"goal": tuning.goal, "primary_metric": f"search_{tuning.objective}"}},
        {"limits": _limits(tuning)},
        *policy,
    ]


def _distribution(name: str, space: Any) -> dict[str, Any]:
    """A space of the contract as Azure ML writes it; logarithmic ranges are given by the logarithms of their ends."""
    if isinstance(space, Choice):
        return _choice(list(space.values))
    kind = "q" if name in _WHOLE else ""
    low, high = (math.log(space.minimum), math.log(space.maximum)) if space.log else (space.minimum, space.maximum)
    rounded = {"q": 1} if kind else {}
    return {"type": f"{kind}{'loguniform' if space.log else 'uniform'}", "min_value": low, "max_value": high, **rounded}


def _choice(values: list[Any]) -> dict[str, Any]:
    return {"type": "choice", "values": values}


def _policy(termination: BaseModel) -> dict[str, Any]:
    declared = termination.model_dump()
    kinds = {"bandit": "bandit", "median": "median_stopping", "truncation": "truncation_selection"}
    return {"type": kinds[declared.pop("policy")], **{key: value for key, value in declared.items() if value}}


def _limits(tuning: Tuning) -> dict[str, Any]:
    return {
        "max_total_trials": tuning.trials,
        "max_concurrent_trials": min(tuning.concurrent, tuning.trials),
        "timeout": tuning.timeout_minutes * 60,
    }
