"""What every step of the lifecycle has at hand, and the only ways in which it writes a run's record."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.errors import ConflictError, DropscoreError, GiveUpError, WorkspaceRefusedError
from shared.live import LiveModels
from shared.retraining.lifecycle import State, moves
from shared.retraining.slot import Slot
from shared.retraining.workspace import Workspace
from shared.runs import Held, Run, RunStore
from shared.scoring.history import History
from shared.scoring.targets import Targets
from shared.settings import Settings
from shared.storage import BlobStore

_log = logging.getLogger(__name__)


class VanishedError(WorkspaceRefusedError):
    """What a run had deployed is not there any more: it begins again with its registered model."""


class UnfitError(GiveUpError):
    """The new model answers recent files in a way that the contract does not allow."""


@dataclass(frozen=True)
class Parts:
    """What retraining is made of."""

    settings: Settings
    blobs: BlobStore
    runs: RunStore
    live: LiveModels
    history: History
    targets: Targets
    workspace: Workspace
    clock: Callable[[], datetime]


class Stage:
    """A stretch of the lifecycle: its steps look at the world, do what is due, and record it by a conditional write."""

    def __init__(self, parts: Parts) -> None:
        self._settings = parts.settings
        self._blobs = parts.blobs
        self._runs = parts.runs
        self._live = parts.live
        self._history = parts.history
        self._targets = parts.targets
        self._workspace = parts.workspace
        self._clock = parts.clock
        self._slot = Slot(parts.blobs, parts.runs)

    def _move(self, held: Held, state: State, note: str | None = None, **changes: Any) -> Held:
        if state not in moves(State(held.run.state)):
            raise RuntimeError(f"a run never goes from {held.run.state} to {state}")
        _log.info("run %s: %s", held.run.id, state, extra={"run": held.run.id, "blob": held.run.blob})
        return self._runs.save(
            held, held.run.entered(state, self._clock(), note, error=None, not_before=None, **changes)
        )

    def _end(self, held: Held, state: State, error: DropscoreError) -> Held:
        _log.warning("run %s ends %s: %s", held.run.id, state, error, extra=error.where)
        return self._runs.save(held, held.run.failed(state, self._clock(), error))

    def _require_current(self, held: Held) -> None:
        """Stops an instance that was held up while others went on: the colour that it means may be in service now."""
        run = held.run
        if self._runs.load(run.dataset, run.id).etag != held.etag:
            raise ConflictError("run_moved", f"The run {run.id} was moved by somebody else.", run=run.id)


def folder(run: Run) -> str:
    """The run's place in the container `training`."""
    return f"{run.dataset}/{run.id}"
