"""How long a run may stay where Azure ML has the next word: what hangs must not hold up its successors for ever."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from shared.errors import TryAgainError, WorkspaceRefusedError
from shared.retraining.lifecycle import State
from shared.runs import Run

_LONGEST: Mapping[str, tuple[timedelta, str, str]] = {
    State.TRAINING: (timedelta(hours=24), "training_timeout", "The training job {job} did not end"),
    # it may have to wait for another run of the dataset that is being deployed
    State.REGISTERED: (timedelta(hours=12), "endpoint_timeout", "The endpoint did not get ready"),
    State.DEPLOYING: (timedelta(hours=2), "deployment_timeout", "The deployment {deployment} did not get ready"),
    State.VERIFYING: (timedelta(hours=1), "verification_timeout", "The deployment {deployment} did not take over"),
}


def is_late(run: Run, now: datetime, canary: timedelta) -> bool:
    """Whether the run has been in its state for longer than anything there should take.

    Args:
        canary: how long the steps of a canary last in all; they come on top of what verifying may take.
    """
    limit = _LONGEST.get(run.state)
    if limit is None:
        return False
    more = canary if run.state == State.VERIFYING else timedelta()
    return now - run.updated > limit[0] + more


def hangs(run: Run, error: TryAgainError | None) -> WorkspaceRefusedError:
    """What a late run ends with; `error` is what it met last, if anything."""
    limit, code, what = _LONGEST[run.state]
    last = f" Last it said: {error.message}" if error else ""
    hours = limit / timedelta(hours=1)
    return WorkspaceRefusedError(code, f"{what.format(job=run.job, deployment=run.deployment)} in {hours:g} h.{last}")
