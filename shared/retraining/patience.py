"""How long a run may stay where Azure ML has the next word: what hangs must not hold up its successors for ever."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from shared.errors import TryAgainError, WorkspaceRefusedError
from shared.retraining.lifecycle import State
from shared.runs import Run

_LONGEST: Mapping[str, tuple[timedelta, str, str]] = {
    State.TRAINING: (timedelta(hours=24), "training_timeout", "The training job {job} did not end"),
    State.DEPLOYING: (timedelta(hours=2), "deployment_timeout", "The deployment {deployment} did not get ready"),
    State.VERIFYING: (timedelta(hours=1), "verification_timeout", "The deployment {deployment} did not take over"),
}


def is_late(run: Run, now: datetime) -> bool:
    """Whether the run has been in its state for longer than anything there should take."""
    limit = _LONGEST.get(run.state)
    return limit is not None and now - run.updated > limit[0]


def hangs(run: Run, error: TryAgainError | None) -> WorkspaceRefusedError:
    """What a late run ends with; `error` is what it met last, if anything."""
    limit, code, what = _LONGEST[run.state]
    last = f" Last it said: {error.message}" if error else ""
    hours = limit / timedelta(hours=1)
    return WorkspaceRefusedError(code, f"{what.format(job=run.job, deployment=run.deployment)} in {hours:g} h.{last}")
