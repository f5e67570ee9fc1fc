"""A large file on many instances: one message a part on the work queue, and whoever completes the last part assembles.

The queue is the engine: nothing here waits, and no instance knows of another. Messages come twice, late or never; each
step looks at what is there in `state` (see `shared.scoring.parts`) and does what is missing:

    claim the run → plan → give the run back → a message for each part
    claim a part → answers in the journal → blocks → record, and how far the run is
    all records there → claim the run → verify the contexts → commit, or messages for the parts that were wrong

A run that nothing was heard of for as long as a claim lasts is looked at by the timer, which asks for what is missing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from aml.contract import DatasetContract
from shared.claims import Claim, is_claimed
from shared.drift.profile import Profiles
from shared.errors import ConflictError
from shared.naming import place
from shared.runs import Run, RunStore
from shared.scoring.asked import contract_for
from shared.scoring.assembly import Assembled, Assembly
from shared.scoring.parts import PartStore, Plan
from shared.scoring.ranges import Cutter
from shared.scoring.revisions import Revisions
from shared.scoring.splitting import PartScoring
from shared.scoring.targets import Targets
from shared.scoring.task import BlobSource, Task
from shared.settings import Settings
from shared.storage import BlobStore

_log = logging.getLogger(__name__)

AskForPart = Callable[[Run, str, int], None]
"""Puts one part of a run's plan (by its key) on the work queue."""

_TRIES = 5


class Distribution:
    """Scores files in parts; safe for any number of instances and deliveries at once."""

    def __init__(
        self,
        *,
        settings: Settings,
        blobs: BlobStore,
        runs: RunStore,
        revisions: Revisions,
        targets: Targets,
        profiles: Profiles,
        ask: AskForPart,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._blobs = blobs
        self._runs = runs
        self._revisions = revisions
        self._targets = targets
        self._profiles = profiles
        self._ask = ask
        self._clock = clock

    def cutter(self, contract: DatasetContract) -> Cutter | None:
        """What is to follow the survey of a file, which may be large; None where none is cut."""
        every = self._settings.score_split_bytes
        return Cutter(contract, every) if every else None

    def resumed(self, claim: Claim, *, going_on: bool) -> Task | None:
        """The task of a run that is under way in parts, without another survey; None where it is not, or where its plan
        does not hold any more: its context is another one, or another model is live.

        Args:
            going_on: nothing went wrong so far: then it is completed by the model with which it was begun.
        """
        run, known = claim.run, claim.run.parts
        if known is None:
            return None
        drop = place(*run.blob.split("/", 1))
        contract = contract_for(drop.dataset, run.choice)
        plan = PartStore(self._blobs, run, known["key"], contract).plan()
        if plan is None or plan.revision != run.revision:
            return None
        if not going_on and plan.target != self._targets.find(run.dataset):
            return None
        source = BlobSource(self._blobs, drop.container, drop.name, run.etag, claim.renew)
        given = self._revisions.context(run, contract, source, plan.found)
        return Task(drop, contract, source, plan.found, plan.target, given, plan.fingerprint, plan.started, plan.ranges)

    def advanced(self, claim: Claim, task: Task) -> Assembled | None:
        """Takes a file as far as it goes now: its results, committed; or None, and what is missing is on the queue."""
        run, rows = claim.run, (claim.run.plan or {})["rows_per_batch"]
        key = f"{task.key[:32]}-{rows}-{run.revision}"
        store = PartStore(self._blobs, run, key, task.contract)
        plan = store.plan()
        if plan is None:
            plan = Plan(run.revision, task.key, rows, task.started, task.found, task.target, task.ranges)
            store.begin(plan, task.given.rows, task.before)
            plan = store.plan() or plan
        records = [store.record(each.index) for each in plan.ranges]
        missing = [index for index, record in enumerate(records) if record is None]
        if not missing:
            assembly = Assembly(self._blobs, store, task, [record for record in records if record is not None])
            missing = assembly.stale()
            if not missing:
                assembly.require_accepted()
                result = assembly.commit()
                if isinstance(result, Assembled):
                    return result
                missing = result
        self._hand_out(claim, store, key, plan, missing)
        return None

    def _hand_out(self, claim: Claim, store: PartStore, key: str, plan: Plan, missing: list[int]) -> None:
        """Gives the run back first: the last part may be done before the last message is sent."""
        run, now = claim.run, self._clock()
        parts = {"of": len(plan.ranges), "done": len(plan.ranges) - len(missing), "key": key}
        changes = {"parts": parts, "claimed_until": None, "not_before": now + self._lasting}
        if run.parts is None or run.parts["key"] != key:
            claim.save(run.entered("scoring", now, f"in {len(plan.ranges)} parts", **changes))
        else:
            claim.note(**changes)
        for index in missing:
            if not store.is_held(index, now):
                self._ask(run, key, index)

    @property
    def _lasting(self) -> timedelta:
        return timedelta(seconds=self._settings.score_claim_seconds)

    def part(self, run: Run, key: str, index: int) -> bool:
        """Scores one part, unless it is done or in hand already; whether all parts are done now.

        Raises:
            ConflictError: the file was replaced, or another instance took the part over.
            Exception: whatever nobody expected; the part is given back, so that the host's next try finds it free.
        """
        if run.state != "scoring" or run.parts is None or run.parts["key"] != key:
            return False  # it has ended, waits, or goes by another plan
        drop = place(*run.blob.split("/", 1))
        contract = contract_for(drop.dataset, run.choice)
        store = PartStore(self._blobs, run, key, contract)
        plan = store.plan()
        if plan is None:
            return False
        if index not in store.done():
            hold = store.hold(index, self._clock, self._lasting)
            if hold is None:
                return False
            _log.info("scoring part %d of run %s", index, run.id, extra={"blob": run.blob})
            try:
                reference = self._profiles.find(plan.target.dataset, plan.target.run)
                parts = PartScoring(self._settings, self._blobs, self._targets, store, plan, contract, reference)
                store.put_record(index, parts.score(run, drop, index, hold.renew))
            finally:
                with suppress(ConflictError):
                    hold.release()
        done = len(store.done())
        self._note(run, key, done)
        return done == len(plan.ranges)

    def _note(self, run: Run, key: str, done: int) -> None:
        """Says how far the run is, which is also a sign of life; never to an instance that assembles it."""
        for _ in range(_TRIES):
            held = self._runs.load(run.dataset, run.id)
            now, parts = held.run, held.run.parts
            if now.state != "scoring" or is_claimed(now, self._clock()) or parts is None or parts["key"] != key:
                return
            changes = {
                "parts": {**parts, "done": max(done, parts["done"])},
                "not_before": self._clock() + self._lasting,
            }
            try:
                self._runs.save(held, now.model_copy(update=changes))
            except ConflictError:
                continue
            return
