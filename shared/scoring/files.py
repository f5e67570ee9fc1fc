"""The path of a file: from its drop in `incoming` to its scored file, its manifest and the end of its run.

States of a scoring run: received → scoring → completed; waiting (no model in service, or its endpoint is down: looked
at again by the reconciler); and the ends failed (the file is at fault, or the endpoint refuses it) and superseded (the
blob was replaced or removed; its newer version has a run of its own).

A large file in order of time is scored in parts, by many instances at once: see `shared.scoring.distribution`.

The effects of an attempt come in this order: answers in the journal → blocks → commit of the results → history →
counts for drift → report → manifest → record. Whoever takes over after a crash between any two does what is missing
and nothing twice.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import datetime, timedelta
from typing import Any

from aml.contract import contract_names
from shared import telemetry
from shared.claims import Claim, is_claimed
from shared.drift.gauge import Gauge
from shared.drift.profile import Profiles
from shared.drift.recent import Recent
from shared.errors import (
    ConflictError,
    DropscoreError,
    NoLiveModelError,
    NotFoundError,
    StorageUnavailableError,
    TryAgainError,
)
from shared.naming import INCOMING, RESULTS, Drop, place, require_known, run_id
from shared.runs import Held, Run, RunStore
from shared.scoring.asked import contract_for, require_same_choice, wish_of
from shared.scoring.assembly import Assembled
from shared.scoring.distribution import AskForPart, Distribution
from shared.scoring.grouping import way
from shared.scoring.journal import Journal, discard, unfinished
from shared.scoring.observed import Observed
from shared.scoring.results import PageWriter, ResultWriter, about_input, about_time
from shared.scoring.revisions import Revisions
from shared.scoring.scorer import Conversation, Scorer
from shared.scoring.sizing import RequestSize
from shared.scoring.standing import Standing, fingerprint
from shared.scoring.table import TableScoring, prediction_names
from shared.scoring.targets import Target, Targets
from shared.scoring.task import BlobSource, Task
from shared.scoring.telling import Telling
from shared.scoring.uploads import Uploads
from shared.settings import Settings
from shared.storage import BlobInfo, BlobStore
from shared.tables import REJECTS_HEADER, Kept, render_header, render_rejects, scored_header, survey

_log = logging.getLogger(__name__)

ENDS = frozenset({"completed", "failed", "superseded"})
STATES = ENDS | {"received", "scoring", "waiting"}
_LONGEST_WAIT = timedelta(hours=1)


class FileScoring:
    """The use case; safe for any number of instances and deliveries at once."""

    def __init__(
        self,
        *,
        settings: Settings,
        blobs: BlobStore,
        runs: RunStore,
        revisions: Revisions,
        targets: Targets,
        clock: Callable[[], datetime],
        ask_for_part: AskForPart,
    ) -> None:
        self._settings = settings
        self._blobs = blobs
        self._runs = runs
        self._revisions = revisions
        self._targets = targets
        self._profiles = Profiles(blobs)
        self._telling = Telling(settings, revisions, self._profiles, Recent(blobs), clock)
        self._clock = clock
        self._distribution = Distribution(
            settings=settings,
            blobs=blobs,
            runs=runs,
            revisions=revisions,
            targets=targets,
            profiles=self._profiles,
            ask=ask_for_part,
            clock=clock,
        )

    def receive(self, blob: BlobInfo, *, manual: bool = False, choice: str | None = None) -> tuple[Held, bool]:
        """The run of this version of a dropped file, and whether it is new; never a second one for the same version.

        Args:
            choice: which model is asked; None: the one that the file's metadata name, if they do.
        """
        drop = place(INCOMING, blob.name)
        run = Run(
            id=run_id("score", drop.blob, blob.etag, blob.last_modified),
            kind="score",
            dataset=drop.dataset,
            blob=drop.blob,
            etag=blob.etag,
            state="received",
            manual=manual,
            choice=choice or wish_of(blob),
        )
        return self._runs.create(run.entered("received", self._clock()))

    def ask_again(self, held: Held, choice: str | None = None) -> Held:
        """Opens an ended run for another try, because a person asked for it; a run that is open stays as it is.

        Raises:
            ConflictError: ``run_under_way``, it is open and asks another model.
        """
        if held.run.state not in ENDS:
            require_same_choice(held.run, choice)
            return held
        fresh: dict[str, Any] = {"error": None, "not_before": None, "attempts": 0, "manual": True, "choice": choice}
        fresh |= {"model": None, "counts": None, "manifest": None, "parts": None}
        return self._runs.save(held, held.run.entered("received", self._clock(), "asked for again", **fresh))

    def run(self, held: Held) -> Run:
        """Takes the run as far as it goes; returns it as it then stands. Ended or claimed runs are left alone.

        Raises:
            Exception: whatever nobody expected; the claim is given back, so that the host's next try finds it free.
        """
        with telemetry.following(held.run):
            run = self._attempt(held)
        if run.state in ENDS:
            with suppress(StorageUnavailableError):  # another delivery may find and remove it
                discard(self._blobs, run.dataset, run.id)
        return run

    def tidy(self) -> None:
        """Removes what runs left that ended on an instance which died before it could."""
        for dataset, run in sorted(unfinished(self._blobs)):
            try:
                ended = self._runs.load(dataset, run).run.state in ENDS
            except NotFoundError:
                ended = True  # removed by an operator
            if ended:
                discard(self._blobs, dataset, run)

    def part(self, held: Held, key: str, index: int) -> Run:
        """Scores one part of a file that is scored in parts, and assembles the file where it was the last.

        Raises:
            Exception: whatever nobody expected; the part is given back, so that the host's next try finds it free.
        """
        run = held.run
        try:
            if not self._distribution.part(run, key, index):
                return run
        except DropscoreError as error:
            return self._broken_off(run, key, error)
        return self.run(self._runs.load(run.dataset, run.id))

    def _broken_off(self, run: Run, key: str, error: DropscoreError) -> Run:
        """What the failure of a part means for its run, unless somebody holds the run or it has moved on by itself."""
        held = self._runs.load(run.dataset, run.id)
        now = held.run
        if now.state != "scoring" or is_claimed(now, self._clock()) or (now.parts or {}).get("key") != key:
            return now
        claim = Claim(self._runs, held, self._clock, timedelta(seconds=self._settings.score_claim_seconds))
        try:
            if not isinstance(error, ConflictError):
                self._end_or_wait(claim, error)
            elif self._current_etag(place(*run.blob.split("/", 1))) != run.etag:
                self._supersede(claim)  # else another instance took the part over
        except ConflictError:
            return self._broken_off(run, key, error)  # another part's instance wrote the record
        if claim.run.state in ENDS:
            discard(self._blobs, run.dataset, run.id)
        return claim.run

    def _attempt(self, held: Held) -> Run:
        if held.run.state in ENDS or is_claimed(held.run, self._clock()):
            return held.run
        claim = Claim(self._runs, held, self._clock, timedelta(seconds=self._settings.score_claim_seconds))
        try:
            self._begin(claim)
        except ConflictError:
            return self._runs.load(held.run.dataset, held.run.id).run  # another instance took it first
        try:
            self._score(claim, going_on=held.run.state == "scoring")
        except ConflictError as error:
            return self._after_conflict(claim, error)
        except DropscoreError as error:
            self._end_or_wait(claim, error)
        except Exception:
            with suppress(ConflictError):  # it is another instance's by now
                claim.release()
            raise
        return claim.run

    def _begin(self, claim: Claim) -> None:
        if claim.run.state == "scoring" and claim.run.parts is not None:
            claim.take(claim.run.model_copy(update={"not_before": None}))  # other instances are at it, or this one was
            return
        attempts = claim.run.attempts + 1
        claim.take(claim.run.entered("scoring", self._clock(), attempts=attempts, error=None, not_before=None))

    def _end_or_wait(self, claim: Claim, error: DropscoreError) -> None:
        if isinstance(error, TryAgainError):
            self._wait(claim, error)
            return
        claim.save(claim.run.failed("failed", self._clock(), error))
        _log.warning("run %s failed: %s", claim.run.id, error, extra=error.where)

    def _wait(self, claim: Claim, error: TryAgainError) -> None:
        run = claim.run.failed("waiting", self._clock(), error)
        if isinstance(error, NoLiveModelError):
            again: dict[str, Any] = {"attempts": run.attempts - 1, "not_before": None}  # nothing was tried
        else:
            wait = timedelta(minutes=self._settings.score_retry_minutes) * 2 ** min(run.attempts - 1, 10)
            retry_after = error.where.get("retry_after")
            asked = timedelta(seconds=retry_after if isinstance(retry_after, int) else 0)
            again = {"not_before": self._clock() + min(max(wait, asked), _LONGEST_WAIT)}
        claim.save(run.model_copy(update=again))
        pinned = (run.model or {}).get("deployment") is not None
        if error.code == "model_changed" or (error.code == "endpoint_missing" and not pinned):
            discard(
                self._blobs, run.dataset, run.id
            )  # nobody can complete these answers: the next try asks for all of them anew
        _log.info("run %s waits: %s", claim.run.id, error, extra=error.where)

    def _after_conflict(self, claim: Claim, error: ConflictError) -> Run:
        """The input was replaced, or another instance holds the run by now: find out which, and never write over it."""
        run = claim.run
        current = self._runs.load(run.dataset, run.id)
        if current.etag != claim.held.etag:
            return current.run
        if self._current_etag(place(*run.blob.split("/", 1))) == run.etag:
            self._wait(claim, error)  # a result was written by somebody else meanwhile: look again later
        else:
            self._supersede(claim)
        return claim.run

    def _supersede(self, claim: Claim) -> None:
        note = "the file was replaced or removed; its newer version has a run of its own"
        claim.save(claim.run.entered("superseded", self._clock(), note, claimed_until=None))

    def _current_etag(self, drop: Drop) -> str | None:
        try:
            return self._blobs.info(drop.container, drop.name).etag
        except NotFoundError:
            return None

    def _score(self, claim: Claim, *, going_on: bool) -> None:
        with Kept() as kept:
            task = self._distribution.resumed(claim, going_on=going_on) or self._task(claim, kept)
            self._take_through(claim, task)

    def _take_through(self, claim: Claim, task: Task) -> None:
        standing = Standing.of(self._blobs, task.drop)
        standing.require_own(claim.run, self._blobs)
        page = PageWriter(self._blobs, task.drop.result("report.html"))
        if standing.answers(claim.run, task.key, task.target, self._blobs):
            about, marked = self._reused(claim.run, task, standing)
        elif task.ranges:
            assembled = self._distribution.advanced(claim, task)
            if assembled is None:
                return  # what is missing is on the queue
            about, marked = self._telling.told(claim.run, task, assembled, page)
        else:
            about, marked = self._telling.told(claim.run, task, self._scored(claim, task), page)
        if about is not standing.manifest:
            body = json.dumps(about, indent=2, ensure_ascii=False, default=str).encode()
            where = task.drop.result("manifest.json")
            self._blobs.put(RESULTS, where, body, if_match=standing.etag, content_type="application/json")
        self._finish(claim, task.drop, about)
        self._revisions.settle(claim.run.dataset, marked)

    def _task(self, claim: Claim, kept: Kept) -> Task:
        started, run = self._clock(), claim.run
        drop = place(*run.blob.split("/", 1))
        require_known(drop, contract_names())
        contract = contract_for(drop.dataset, run.choice)
        source = BlobSource(self._blobs, drop.container, drop.name, run.etag, claim.renew)
        cutter = self._distribution.cutter(contract)
        found = survey(source, contract, kept, cutter)
        ranges, before = cutter.cut(found) if cutter is not None else ((), ())
        target = self._target(claim)
        given = self._revisions.context(run, contract, source, found)
        key = fingerprint(found, contract, target, given.rows)
        return Task(drop, contract, source, found, target, given, key, started, ranges, before, kept)

    def _reused(self, run: Run, task: Task, standing: Standing) -> tuple[dict[str, Any], list[str]]:
        """The manifest where the results are there already: a former run's, or its own that died before its record.

        The tail that is known of the file is this run's from now on: what comes late is to revise this one.
        """
        about = standing.manifest
        marked = self._revisions.stands(run, task.contract, task.given)
        if about["run"] == run.id:
            return about, marked
        again = {
            "run": run.id,
            "revision": run.revision,
            "input": about_input(run, task.found),
            "timings": about_time(task.started, self._clock()),
            "requests": {**about["requests"], "count": 0, "ids": []},
            "reused": about.get("reused", about["run"]),
        }
        return {**about, **again}, marked

    def _scored(self, claim: Claim, task: Task) -> Assembled:
        """Scores the file and commits the results."""
        rows = (claim.run.plan or {})["rows_per_batch"]
        conversation = Conversation(deployment=task.target.deployment, wire=self._settings.score_wire)
        with closing(self._targets.connect(task.target)) as client, Uploads() as uploads:
            answers = f"{task.key[:32]}-{rows}{way(task.found, task.contract, rows)}"
            journal = Journal(self._blobs, claim.run, answers, conversation, uploads)
            size = RequestSize(self._settings.score_rows_per_request, self._settings.score_bytes_per_request)
            in_flight = self._settings.score_requests_in_flight
            scorer = Scorer(client, task.contract, conversation, in_flight=in_flight, size=size)
            before = task.given.rows
            gauge = Gauge(self._profiles.find(task.target.dataset, task.target.run), task.contract)
            observed = Observed.of(task.found, task.contract)
            table = TableScoring(
                task.source,
                task.found,
                task.contract,
                scorer,
                before,
                rows,
                claim.renew,
                journal,
                task.kept,
                follow=observed.add,
                gauge=gauge,
            )
            outputs = self._write(claim, task, table, journal, uploads)
        return Assembled(outputs, table.counts, conversation, table.latest, observed, gauge.tally)

    def _target(self, claim: Claim) -> Target:
        """The live model, noted in the record with the plan, which stays that of the first attempt."""
        target = self._targets.find(claim.run.dataset)
        model = {"name": target.model, "version": target.version, "deployment": target.deployment, "run": target.run}
        plan = claim.run.plan or {"rows_per_batch": self._settings.score_rows_per_request}
        claim.note(model=model, plan=plan)
        return target

    def _write(
        self, claim: Claim, task: Task, table: TableScoring, journal: Journal, uploads: Uploads
    ) -> list[dict[str, Any]]:
        drop, found, contract = task.drop, task.found, task.contract
        scored = ResultWriter(self._blobs, drop.result("scored.csv"), task.key, journal, uploads)
        rejected = ResultWriter(self._blobs, drop.result("rejected.csv"), task.key, journal, uploads)
        scored.write(render_header(scored_header(found.header, prediction_names(contract))))
        for chunk in table.chunks():
            scored.write(chunk.render())
            if chunk.rejects:
                rejected.write(b"" if rejected.size else render_header(REJECTS_HEADER))
                rejected.write(render_rejects(chunk.rejects))
            claim.renew()
        if self._current_etag(drop) != claim.run.etag:
            raise ConflictError("blob_changed", f"The file {drop.blob} was replaced while it was scored.")
        outputs = [scored.commit()]
        if rejected.size:
            outputs.append(rejected.commit())
        else:
            rejected.discard()
        return outputs

    def _finish(self, claim: Claim, drop: Drop, about: dict[str, Any]) -> None:
        run = claim.run
        done = run.entered(
            "completed",
            self._clock(),
            f"the results of run {about['reused']} hold" if "reused" in about else None,
            claimed_until=None,
            counts=about["counts"],
            manifest=f"{RESULTS}/{drop.result('manifest.json')}",
            model={**(run.model or {}), **about["model"]},
        )
        claim.save(done)
        telemetry.drifted(run.dataset, about.get("drift") or {})  # a manifest that stands from before it has none
        _log.info("run %s completed: %s", run.id, about["counts"], extra={"blob": run.blob})
