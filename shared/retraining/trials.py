"""What a training job leaves in the run's folder: its metrics, the model, and for a sweep a folder for each trial.

Every job and every trial writes into a folder of its own. The files of the one that is judged are copied to the run's
`model`, so that whatever reads a run's model reads one place; what is registered is the job's own output.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aml.contract import Tuning
from shared.errors import NotFoundError, WorkspaceRefusedError
from shared.naming import TRAINING
from shared.retraining.jobs import MODEL, TRIALS
from shared.runs import Run
from shared.storage import BlobStore

TRIALS_KEPT = 50
"""Rows of the table of trials in a run record: the best ones, in their order."""


@dataclass(frozen=True)
class Outcome:
    """What a job that succeeded has left; `tuning` is the search that its parameters come from, if there was one,
    `selection` the choice among the contract's candidates, likewise, and `place` the folder of its files, below the
    run's own."""

    place: str
    metrics: dict[str, Any]
    tuning: dict[str, Any] | None
    selection: dict[str, Any] | None = None


def asked_for(tuning: Tuning) -> dict[str, Any] | None:
    """What the run record says of the search when its job is started; the contract may be another one afterwards."""
    if tuning.method in ("none", "automl"):  # of the latter see `shared.retraining.searches`
        return None
    return {"method": tuning.method, "objective": tuning.objective, "goal": tuning.goal}


def outcome(blobs: BlobStore, folder: str, output: str, asked: Mapping[str, Any] | None, best: str | None) -> Outcome:
    """Reads metrics and trials.

    Args:
        folder: the run's place in `training`.
        output: where the job writes, below that, if it is no sweep.
        asked: of `asked_for`.
        best: the trial of a sweep whose output counts; None for a job that is no sweep.

    Raises:
        WorkspaceRefusedError: ``sweep_without_best``.
    """
    if asked is None or asked["method"] != "sweep":
        metrics = _left(blobs, f"{folder}/{output}/metrics.json")
        found, chosen = (metrics.pop(name, None) for name in ("tuning", "selection"))
        return Outcome(output, metrics, _object(found), _object(chosen))
    if best is None:
        raise WorkspaceRefusedError(
            "sweep_without_best",
            f"No trial of the sweep logged search_{asked['objective']}, so that none of them is the best. "
            f"{why_it_failed(blobs, folder, output) or ''}".strip(),
        )
    place = f"{TRIALS}/{best}"
    return Outcome(place, _left(blobs, f"{folder}/{place}/metrics.json"), _table(blobs, folder, best, asked))


def adopt(blobs: BlobStore, folder: str, place: str) -> None:
    """Makes the files at a place below the run's folder those of the run's model. Safe to repeat."""
    source, target = f"{folder}/{place}/", f"{folder}/{MODEL}/"
    if source == target:
        return  # of a run from before jobs had folders of their own
    for info in blobs.list_blobs(TRAINING, source):
        blobs.put(TRAINING, target + info.name.removeprefix(source), blobs.get(TRAINING, info.name)[0])


def model_job(run: Run) -> str:
    """The job whose output is the run's model: the best trial of a sweep, else the run's job itself."""
    return str((run.tuning or {}).get("job") or run.job or "")


def code_of_automl(blobs: BlobStore, folder: str, output: str) -> str | None:
    """What a job calls its failure where that is what AutoML has left: a reason that has a code of its own."""
    code = str(_left(blobs, f"{folder}/{output}/error.json").get("code"))
    return code if code.startswith("automl_") else None


def why_it_failed(blobs: BlobStore, folder: str, output: str) -> str | None:
    """Why a job failed, in its own words; of a sweep, its first trial that says so."""
    names = [f"{folder}/{output}/error.json"]
    names += [info.name for info in blobs.list_blobs(TRAINING, f"{folder}/{TRIALS}/") if _is(info.name, "error.json")]
    found = (_left(blobs, name).get("message") for name in names)
    return next((str(message) for message in found if message), None)


def _left(blobs: BlobStore, name: str) -> dict[str, Any]:
    """A JSON object that the training job wrote into its output; empty when there is none that can be read."""
    try:
        value = json.loads(blobs.get(TRAINING, name)[0])
    except (NotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _object(value: object) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def _table(blobs: BlobStore, folder: str, best: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    files = [info.name for info in blobs.list_blobs(TRAINING, f"{folder}/{TRIALS}/") if _is(info.name, "trial.json")]
    job = best.rpartition("_")[0]  # a run whose job was repeated has the trials of both
    rows = [row for name in files if (row := _row(name, _left(blobs, name)))["trial"].rpartition("_")[0] == job]
    sign = -1 if asked["goal"] == "maximize" else 1
    rows.sort(key=lambda row: (row["trial"] != best, math.inf if row["value"] is None else sign * row["value"]))
    kept = sorted(rows[:TRIALS_KEPT], key=lambda row: (len(row["trial"]), row["trial"]))
    return {
        **asked,
        "job": best,
        "measured": len(rows),
        "best": next((row for row in rows if row["trial"] == best), None),
        "trials": kept,
    }


def _row(name: str, left: dict[str, Any]) -> dict[str, Any]:
    """A trial: its parameters, its objective at the end, and after how many intervals that was."""
    values = left.get("values") or []
    return {
        "trial": name.split("/")[-2],
        "parameters": left.get("parameters") or {},
        "value": values[-1] if values else None,
        "intervals": len(values),
    }


def _is(name: str, file: str) -> bool:
    return name.endswith(f"/{file}")
