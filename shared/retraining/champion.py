"""The champion of a training run: the live model that its job measures beside the new one, on the same rows.

A run's record keeps under `champion` the version and the run of that model, its metrics as the job measured them, and
under `problem` why they could not be measured, where that is so. Then the bounds of the gate hold alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from shared.errors import GiveUpError, NotFoundError, WorkspaceRefusedError
from shared.live import LiveModel
from shared.retraining.findings import Live
from shared.retraining.workspace import ModelVersion
from shared.runs import Run, RunStore
from shared.scoring.bundle import bundle_name
from shared.storage import BlobStore

Champion = dict[str, Any]

_BECAUSE_OF_A_CHAMPION = ("fresh_", "reference_")
"""What `aml.comparison` calls such metrics."""


def named(live: LiveModel, registered: Sequence[ModelVersion], blobs: BlobStore) -> Champion:
    """The live model as a run's champion; with a `problem` where a job could not be given it."""
    champion: Champion = {"model": live.model, "version": live.version, "run": live.run}
    if live.version not in [each.version for each in registered]:
        return champion | {"problem": f"version {live.version} of {live.model} is not registered any more"}
    # A job whose input leads nowhere would fail, and so would every one after it.
    try:
        bundle_name(blobs, live.dataset, live.run)
    except NotFoundError:
        return champion | {"problem": f"the files of version {live.version} of {live.model} are gone"}
    return champion


def job_name(run: Run, live: LiveModel | None) -> str:
    """The name of the job that measures the run's model beside the live one: another champion, another job."""
    return f"{run.dataset}-{run.id}{f'-against-{live.version}' if live else ''}".lower()


def input_of(champion: Champion | None) -> ModelVersion | None:
    """What the job is given; None where there is no champion that could be."""
    if champion is None or "problem" in champion:
        return None
    return ModelVersion(champion["model"], champion["version"])


def is_measured_against(run: Run, live: LiveModel | None) -> bool:
    """Whether the live model is the one that the run's job was given, or was to be given."""
    before = run.champion and (run.champion.get("version"), run.champion.get("run"))
    return before == (live and (live.version, live.run))


def require_unchanged(run: Run, live: LiveModel | None) -> None:
    """What a person activates was compared with no other model; a run whose own model is live has been through.

    Raises:
        GiveUpError: ``champion_replaced``, the gate compared the run with another model than the one that is live.
    """
    if run.activated is not None or (live is not None and live.run == run.id) or is_measured_against(run, live):
        return
    before = f"version {run.champion.get('version')}" if run.champion else "no model at all"
    raise GiveUpError(
        "champion_replaced",
        f"The gate compared the new model with {before}, and {f'version {live.version}' if live else 'none'} is live "
        "now: somebody else changed that meanwhile.",
    )


def measured(run: Run, left: Mapping[str, Any]) -> tuple[dict[str, Any], Champion | None]:
    """What the run's job left as its metrics, taken apart: those of the challenger, and the champion with its own.

    Raises:
        WorkspaceRefusedError: ``metrics_missing``.
    """
    challenger, champion = dict(left), run.champion
    theirs = challenger.pop("champion", None)
    if not challenger:
        raise WorkspaceRefusedError(
            "metrics_missing", f"The training job {run.job} completed without readable metrics."
        )
    if champion is None:
        return challenger, None
    metrics = dict(theirs) if isinstance(theirs, Mapping) else {}
    problem = champion.get("problem") or metrics.pop("problem", None)
    if problem is None and not metrics:
        problem = "the job did not measure it"
    known = champion | {"metrics": metrics}
    return challenger, known | ({"problem": str(problem)} if problem else {})


def as_tags(metrics: Mapping[str, Any]) -> dict[str, str]:
    """A challenger's own metrics as tags of its model version; what was measured because of a champion is of that day,
    stands in the run's record, and would be more tags than a resource of Azure may have (50)."""
    own = {
        name: value
        for name, value in metrics.items()
        if isinstance(value, str | int | float) and not name.startswith(_BECAUSE_OF_A_CHAMPION)
    }
    return {f"metric.{name}": f"{value}" for name, value in own.items()}


def served_data(live: LiveModel | None, runs: RunStore, overruled: bool) -> Live | None:
    """How new the data of the live model is; None where nobody knows."""
    if live is None:
        return None
    try:
        data = runs.load(live.dataset, live.run).run.data or {}
    except NotFoundError:
        return None
    last = data.get("last_time")
    return Live(live.version, datetime.fromisoformat(last), overruled) if last else None
