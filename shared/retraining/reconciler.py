"""The level-triggered reconciler: looks at a training run, does the next idempotent step, records it, and goes on.

Whoever looks (the blob trigger, the timer, a person by HTTP) calls `advance`; it takes the run as far as it goes
without waiting. Every effect is safe to repeat, every record is written conditionally, and what is under way in Azure
ML is looked at again the next time. A failure at any step leaves the live model as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from aml.contract import ContractError, DatasetContract
from shared import telemetry
from shared.drift.episodes import reason_of
from shared.errors import (
    ConflictError,
    DropscoreError,
    GiveUpError,
    NotFoundError,
    TryAgainError,
    WorkspaceUnavailableError,
)
from shared.naming import DATASETS, place, run_id
from shared.retraining.activation import activation
from shared.retraining.events import WorkspaceEvent
from shared.retraining.lifecycle import ENDS, OPEN, Action, Event, State, decide, may_be_overtaken
from shared.retraining.making import Making
from shared.retraining.patience import hangs, is_late
from shared.retraining.promotion import Promotion
from shared.retraining.searches import is_search
from shared.retraining.stage import Parts, Stage, UnfitError, VanishedError
from shared.retraining.undo import Undo
from shared.retraining.verification import Verification
from shared.retraining.workspace import UNAVAILABLE
from shared.runs import Failure, Held, Run
from shared.storage import BlobInfo

_log = logging.getLogger(__name__)

_BEGINNINGS = 3
"""So often a run begins to deploy its model, where somebody keeps deleting what it deployed."""
_UNDOING_AT_MOST = timedelta(hours=24)
"""A run that ends does so after this time whatever is left of what it began."""
_LONGEST_PAUSE_SECONDS = 3600
"""Of what a throttling workspace asks for."""


class Retraining(Stage):
    """Training runs: created from datasets, moved by `advance`."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        making, promotion, verification = Making(parts), Promotion(parts), Verification(parts)
        self._undo = Undo(parts)
        self._canary_time = verification.canary_time
        self._steps: Mapping[State, Callable[[Held], Held | None]] = {
            State.RECEIVED: making.validate,
            State.VALIDATED: making.train,
            State.TRAINING: making.evaluate,
            State.EVALUATED: making.register,
            State.REGISTERED: promotion.choose_colour,
            State.DEPLOYING: promotion.deploy,
            State.VERIFYING: verification.verify,
        }

    def receive(
        self, blob: BlobInfo, *, manual: bool = False, parameters: Mapping[str, Any] | None = None
    ) -> tuple[Held, bool]:
        """The run of this version of a dropped dataset, and whether it is new; a manual run is always a new one."""
        drop, now = place(DATASETS, blob.name), self._clock()
        about = (f"{blob.etag} {uuid4()}", now) if manual else (blob.etag, blob.last_modified)
        run = Run(
            id=run_id("train", drop.blob, *about),
            kind="train",
            dataset=drop.dataset,
            blob=drop.blob,
            etag=blob.etag,
            state=State.RECEIVED,
            manual=manual,
            parameters=dict(parameters or {}),
        )
        return self._runs.create(run.entered(State.RECEIVED, now, reason=reason_of(self._blobs, drop)))

    def activate(self, contract: DatasetContract, version: str) -> Held:
        """A run that puts a registered version into service because a person says so; one that is under way, if any.

        Raises:
            NotFoundError: ``version_not_found``.
            InvalidInputError: ``foreign_version``, no training run made it, so there are no rows to try it with.
        """
        found = next((each for each in self._workspace.models(contract.model_name) if each.version == version), None)
        if found is None:
            raise NotFoundError("version_not_found", f"There is no version {version} of {contract.model_name}.")
        for held in self._runs.search(dataset=contract.name, kind="train", states=OPEN):
            if held.run.activated and held.run.activated["version"] == version and held.run.ending is None:
                return held
        return self._runs.create(activation(contract, found, self._clock()))[0]

    def notice(self, event: WorkspaceEvent) -> list[Run]:
        """Looks at the open runs that an event of Azure ML is about; what it says of them is not believed."""
        return [self.advance(held) for held in self.open_runs() if event.concerns(held.run)]

    def open_runs(self) -> list[Held]:
        """All training runs with something left to do, oldest first: an older one is deployed before a newer."""
        return list(reversed(self._runs.search(kind="train", states=OPEN)))

    def advance(self, held: Held) -> Run:
        """Takes the run as far as it goes without waiting; returns it as it then stands."""
        with telemetry.following(held.run):
            try:
                while (after := self._look(held)) is not None:
                    held = after
            except ConflictError as error:
                _log.info("run %s is left to somebody else: %s", held.run.id, error, extra=error.where)
                self._call_off(held)
        return self._runs.load(held.run.dataset, held.run.id).run

    def abandon(self, held: Held, why: GiveUpError) -> Run:
        """Ends an open run on which the app itself fails again and again; what it began is undone, now or later.

        One whose model this run has brought into service already lacks its last record only, and gets that.
        """
        if self._is_promoted(held.run):
            self._move(held, State.LIVE, f"{held.run.endpoint or 'without an endpoint'}, {held.run.deployment or ''}")
        else:
            self._on(held, Event.REFUSED, why)
        return self._runs.load(held.run.dataset, held.run.id).run

    def _is_promoted(self, run: Run) -> bool:
        """Whether the live record was written by this run, not by one before it."""
        live = self._live.get(run.dataset) if run.state == State.VERIFYING else None
        here = live is not None and (live.run, live.deployment) == (run.maker, run.deployment or "")
        return live is not None and here and live.since >= run.updated

    def _call_off(self, held: Held) -> None:
        """Cancels the job that this instance may have started for a run which somebody else ended meanwhile."""
        now = self._runs.load(held.run.dataset, held.run.id)
        begun = held.run.state == State.VALIDATED and now.run.job is None
        went_on = held.run.state == State.TRAINING and is_search(held.run) and now.run.job == held.run.job
        if (begun or went_on) and now.run.state in ENDS:
            try:
                self._undo.do(Action.CANCEL_JOB, held)
            except DropscoreError as error:
                _log.warning("the job of run %s may go on: %s", held.run.id, error, extra=error.where)

    def _look(self, held: Held) -> Held | None:
        """One step; None when there is nothing to do at the moment."""
        run = held.run
        if State(run.state) not in OPEN or (run.not_before is not None and run.not_before > self._clock()):
            return None
        try:
            if run.ending is not None:
                return self._leave(held)
            return self._overtaken(held) or self._step(held) or self._wait(held, None)
        except ConflictError:
            raise
        except TryAgainError as error:
            return self._wait(held, error)
        except ContractError as error:  # deployed unsound while the run is under way: it is mended, or the run is late
            return self._wait(held, TryAgainError(error.code, error.message))

    def _step(self, held: Held) -> Held | None:
        try:
            if held.run.state == State.VALIDATED:
                self._require_current(held)  # the step costs money
            return self._steps[State(held.run.state)](held)
        except VanishedError as error:
            if sum(step.state == State.REGISTERED for step in held.run.history) < _BEGINNINGS:
                return self._begin_again(held, error)
            return self._on(held, Event.REFUSED, error)
        except UnfitError as error:
            return self._on(held, Event.WORSE, error)
        except GiveUpError as error:
            return self._on(held, Event.REFUSED, error)

    def _wait(self, held: Held, error: TryAgainError | None) -> Held | None:
        """The record says why the run waits, written when that changes; a run that has waited for too long is ended."""
        run = held.run
        if error is not None:
            _log.warning("run %s stays %s: %s", run.id, run.state, error, extra=error.where)
        out_of_reach = isinstance(error, WorkspaceUnavailableError)  # then nobody can know whether anything hangs
        if run.ending is None and not out_of_reach and is_late(run, self._clock(), self._canary_time):
            if run.error is not None and run.error.code == UNAVAILABLE:  # its time went by in an outage: once more
                again = run.entered(run.state, self._clock(), "Azure ML answers again", error=None)
                self._runs.save(held, again)
                return None
            return self._on(held, Event.OVERDUE, hangs(run, error))
        changes: dict[str, Any] = {}
        if run.ending is None and (run.error and run.error.code) != (error and error.code):
            changes["error"] = error and Failure(code=error.code, message=error.message)
        if error is not None and (asked := error.where.get("retry_after")):
            seconds = min(int(str(asked)), _LONGEST_PAUSE_SECONDS)
            changes["not_before"] = self._clock() + timedelta(seconds=seconds)
        if changes:
            self._runs.save(held, run.model_copy(update=changes))
        return None

    def _on(self, held: Held, event: Event, why: DropscoreError | str) -> Held | None:
        """Ends the run as the table says. What is to be undone first is noted, so that nobody takes the run on."""
        run, move = held.run, decide(State(held.run.state), event)
        if move.to == run.state:
            return None
        failure = Failure(code=why.code, message=why.message) if isinstance(why, DropscoreError) else None
        note = why.message if isinstance(why, DropscoreError) else why
        ending = {
            "state": move.to,
            "action": move.action,
            "note": failure.code if failure and move.to == State.FAILED else note,
            "since": self._clock().isoformat(),
        }
        _log.warning("run %s ends %s: %s", run.id, move.to, note, extra={"run": run.id, "blob": run.blob})
        changed = {"ending": ending, "error": failure if move.to == State.FAILED else None, "not_before": None}
        doomed = run.model_copy(update=changed)
        if move.action == Action.NOTHING:
            return self._ended(held, doomed)
        marked = self._runs.save(held, doomed)
        try:
            return self._leave(marked)
        except TryAgainError as error:
            return self._wait(marked, error)

    def _leave(self, held: Held) -> Held | None:
        """Undoes what is to be undone, then ends the run; None while Azure ML is at it."""
        ending = held.run.ending or {}
        over = self._clock() - datetime.fromisoformat(ending["since"]) > _UNDOING_AT_MOST
        try:
            done = self._undo.do(Action(ending["action"]), held)
        except ConflictError:
            raise
        except Exception as error:
            if not over and not isinstance(error, GiveUpError):
                raise
            known = isinstance(error, DropscoreError)
            where = error.where if isinstance(error, DropscoreError) else {}
            _log.warning("run %s leaves something behind: %s", held.run.id, error, extra=where, exc_info=not known)
            done = True
        return self._ended(held, held.run) if done or over else None

    def _ended(self, held: Held, run: Run) -> Held:
        ending = run.ending or {}
        return self._runs.save(
            held, run.entered(ending["state"], self._clock(), ending["note"], ending=None, claimed_until=None)
        )

    def _begin_again(self, held: Held, why: VanishedError) -> Held:
        """With the registered model, which is good still, from the choice of a colour on."""
        nothing = dict.fromkeys(("endpoint", "deployment", "smoke", "replay", "canary"))
        to = decide(State(held.run.state), Event.VANISHED).to
        return self._move(held, to, why.message, **nothing)

    def _overtaken(self, held: Held) -> Held | None:
        """A newer dataset that proved good ends an older run that is not yet being deployed.

        What a person activates neither overtakes a dataset nor is overtaken by one, only by another such wish.
        """
        run = held.run
        if not may_be_overtaken(State(run.state)):
            return None
        proved = set(State) - {State.RECEIVED, State.INVALID, State.FAILED, State.REJECTED, State.SUPERSEDED}
        newer = [
            other.run
            for other in self._runs.search(dataset=run.dataset, kind="train", states=proved, after=run.id)
            if bool(other.run.activated) == bool(run.activated) and other.run.ending is None
        ]
        if not newer:
            return None
        return self._on(held, Event.OVERTAKEN, f"overtaken by {newer[0].id} ({newer[0].blob})")
