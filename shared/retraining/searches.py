"""A training run with AutoML: three jobs, one after the other, and what the run's record says of them.

    table   the training job's own code works out the features of the rows that are not held out
    search  AutoML searches on that table
    train   the training job measures what was found beside the contract's other models

The record keeps them under `tuning`: `step` is the one that is under way, `table` and `search` name the jobs of the
first two, `found` the child job of AutoML whose model is taken. What is live changes none of the first two, so that
a run that is measured again begins with the last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from aml.contract import ContractError, DatasetContract, Metric, load_contract
from shared.errors import WorkspaceRefusedError
from shared.live import LiveModel
from shared.retraining.champion import job_name
from shared.retraining.workspace import JobStatus, JobStep
from shared.runs import Run

Record = dict[str, Any]
"""What stands under `tuning`."""

_NEXT: Mapping[JobStep, JobStep] = {"table": "search", "search": "train", "train": "train"}

TRIED_KEPT = 50
"""Models in the table of those that AutoML tried: the best ones, in its order."""

MEASURES: Mapping[Metric, str] = {
    "accuracy": "accuracy",
    # the same but for the scale
    "balanced_accuracy": "norm_macro_recall",
    "roc_auc_ovr": "AUC_weighted",
    # AutoML goes by none of these; each has its nearest
    "f1_weighted": "accuracy",
    "f1_macro": "norm_macro_recall",
    "log_loss": "AUC_weighted",
}
"""AutoML's `primary_metric` by what a contract selects models by."""


def begun(contract: DatasetContract) -> Record:
    """What the record says when the first job is started."""
    return {"method": "automl", "objective": MEASURES[contract.selection], "goal": "maximize", "step": "table"}


def is_search(run: Run) -> bool:
    """Whether AutoML searches for the run."""
    return (run.tuning or {}).get("method") == "automl"


def step_of(run: Run) -> JobStep:
    """Which job the run is at."""
    step: JobStep = (run.tuning or {}).get("step", "train") if is_search(run) else "train"
    return step


def name_of(run: Run, step: JobStep, live: LiveModel | None) -> str:
    """What the job of this step is called."""
    return job_name(run, live) if step == "train" else f"{job_name(run, None)}-{step}"


def names_of(run: Run, live: LiveModel | None) -> list[str]:
    """What the jobs are called that may be under way: those that may have been started since the record was written,
    then the one on record."""
    if run.job is None:
        steps: list[JobStep] = ["table", "train"] if _asks_for_automl(run.dataset) else ["train"]
    else:
        steps = [_NEXT[step_of(run)]]
    return [*(name_of(run, step, live) for step in steps), *([run.job] if run.job else [])]


def after(run: Run, status: JobStatus) -> Record | None:
    """What the record says once the run's job has succeeded: of the next one; None when that was the last.

    Raises:
        WorkspaceRefusedError: ``automl_without_best``.
    """
    told, step = dict(run.tuning or {}), step_of(run)
    if step == "table":
        return told | {"step": "search", "table": run.job}
    if step == "train":
        return None
    if status.best is None:
        raise WorkspaceRefusedError(
            "automl_without_best",
            f"AutoML ended without naming a best model. What it tried: {status.url or run.job}",
        )
    tried = list(status.tried)
    best = next((each for each in tried if each.get("job") == status.best), None)
    return told | {
        "step": "train",
        "search": run.job,
        "found": status.best,
        "measured": len(tried),
        "best": best,
        "trials": _best_of(tried),
    }


def why_not(run: Run, status: JobStatus) -> str:
    """The code of a job that ended, but not well."""
    what = "automl" if step_of(run) == "search" else "training"
    return f"{what}_failed" if status.progress == "failed" else f"{what}_canceled"


def _best_of(tried: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    worth = [-math.inf if each.get("value") is None else each["value"] for each in tried]
    kept = sorted(range(len(tried)), key=lambda at: -worth[at])[:TRIED_KEPT]
    return [tried[at] for at in sorted(kept)]


def _asks_for_automl(dataset: str) -> bool:
    try:
        return load_contract(dataset).found_by_automl
    except ContractError:  # deployed unsound while the run is under way
        return False
