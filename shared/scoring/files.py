"""The path of a file: from its drop in `incoming` to its scored file, its manifest and the end of its run.

States of a scoring run: received → scoring → completed; waiting (no model in service, or its endpoint is down: looked
at again by the reconciler); and the ends failed (the file is at fault, or the endpoint refuses it) and superseded (the
blob was replaced or removed; its newer version has a run of its own).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pyarrow as pa

from aml.contract import DatasetContract, contract_names, load_contract
from shared.claims import Claim, is_claimed
from shared.errors import ConflictError, GiveUpError, NotFoundError, TryAgainError
from shared.naming import INCOMING, RESULTS, STATE, Drop, place, require_known, run_id
from shared.runs import Held, Run, RunStore
from shared.scoring.context import History, read_table, write_table
from shared.scoring.scorer import Conversation, Scorer
from shared.scoring.table import TableScoring, prediction_names
from shared.scoring.targets import Target, Targets
from shared.settings import Settings
from shared.storage import ABSENT, BlobInfo, BlobStore
from shared.tables import REJECTS_HEADER, Survey, render_header, render_rejects, scored_header, survey

_log = logging.getLogger(__name__)

ENDS = frozenset({"completed", "failed", "superseded"})
CSV = "text/csv; charset=utf-8"
_BLOCK_BYTES = 4 * 1024 * 1024
_LONGEST_WAIT = timedelta(hours=1)
_REQUEST_IDS_KEPT = 100


@dataclass(frozen=True)
class BlobSource:
    """One version of a blob as a source of bytes; reading fails with `ConflictError` once the blob has changed.

    `alive` is called for every piece: whoever reads a large blob renews his claim there.
    """

    blobs: BlobStore
    container: str
    name: str
    etag: str
    alive: Callable[[], None]

    def open(self) -> Iterator[bytes]:
        """See `shared.tables.Source.open`."""
        for piece in self.blobs.pieces(self.container, self.name, self.etag):
            self.alive()
            yield piece


class _ResultWriter:
    """Writes a result blob block by block; nothing is visible before `commit`."""

    def __init__(self, blobs: BlobStore, name: str) -> None:
        self._blobs, self.name = blobs, name
        self._attempt = uuid4().hex[:8]
        self._buffer = bytearray()
        self._blocks: list[str] = []
        self._digest = hashlib.sha256()
        self.size = 0
        try:
            self._found = blobs.info(RESULTS, name).etag
        except NotFoundError:
            self._found = ABSENT

    def write(self, data: bytes) -> None:
        self._buffer += data
        self._digest.update(data)
        self.size += len(data)
        if len(self._buffer) >= _BLOCK_BYTES:
            self._flush()

    def _flush(self) -> None:
        block = f"{len(self._blocks):06d}-{self._attempt}"
        self._blobs.stage(RESULTS, self.name, block, bytes(self._buffer))
        self._blocks.append(block)
        self._buffer.clear()

    def commit(self) -> dict[str, Any]:
        """Makes it visible unless somebody else wrote the blob meanwhile; returns the manifest's entry."""
        if self._buffer:
            self._flush()
        self._blobs.commit(RESULTS, self.name, self._blocks, if_match=self._found, content_type=CSV)
        return {"blob": f"{RESULTS}/{self.name}", "bytes": self.size, "sha256": self._digest.hexdigest()}


class FileScoring:
    """The use case; safe for any number of instances and deliveries at once."""

    def __init__(
        self,
        *,
        settings: Settings,
        blobs: BlobStore,
        runs: RunStore,
        history: History,
        targets: Targets,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._blobs = blobs
        self._runs = runs
        self._history = history
        self._targets = targets
        self._clock = clock

    def receive(self, blob: BlobInfo, *, manual: bool = False) -> tuple[Held, bool]:
        """The run of this version of a dropped file, and whether it is new; never a second one for the same version."""
        drop = place(INCOMING, blob.name)
        run = Run(
            id=run_id("score", drop.blob, blob.etag, blob.last_modified),
            kind="score",
            dataset=drop.dataset,
            blob=drop.blob,
            etag=blob.etag,
            state="received",
            manual=manual,
        )
        return self._runs.create(run.entered("received", self._clock()))

    def ask_again(self, held: Held) -> Held:
        """Opens an ended run for another try, because a person asked for it; a run that is open stays as it is."""
        if held.run.state not in ENDS:
            return held
        again = held.run.entered("received", self._clock(), "asked for again", error=None, not_before=None, manual=True)
        return self._runs.save(held, again)

    def run(self, held: Held) -> Run:
        """Takes the run as far as it goes; returns it as it then stands. Ended or claimed runs are left alone.

        Raises:
            Exception: whatever nobody expected; the claim is given back, so that the host's next try finds it free.
        """
        if held.run.state in ENDS or is_claimed(held.run, self._clock()):
            return held.run
        claim = Claim(self._runs, held, self._clock, timedelta(seconds=self._settings.score_claim_seconds))
        try:
            self._begin(claim)
        except ConflictError:
            return self._runs.load(held.run.dataset, held.run.id).run  # another instance took it first
        try:
            self._score(claim)
        except ConflictError as error:
            return self._after_conflict(claim, error)
        except GiveUpError as error:
            claim.save(claim.run.failed("failed", self._clock(), error))
            _log.warning("run %s failed: %s", claim.run.id, error, extra=error.where)
        except TryAgainError as error:
            self._wait(claim, error)
        except Exception:
            claim.release()
            raise
        return claim.run

    def _begin(self, claim: Claim) -> None:
        attempts = claim.run.attempts + 1
        claim.take(claim.run.entered("scoring", self._clock(), attempts=attempts, error=None, not_before=None))

    def _wait(self, claim: Claim, error: TryAgainError) -> None:
        doubled = timedelta(minutes=self._settings.score_retry_minutes) * 2 ** min(claim.run.attempts - 1, 10)
        not_before = None if error.code == "no_live_model" else self._clock() + min(doubled, _LONGEST_WAIT)
        claim.save(claim.run.failed("waiting", self._clock(), error).model_copy(update={"not_before": not_before}))
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
            note = "the file was replaced or removed; its newer version has a run of its own"
            claim.save(run.entered("superseded", self._clock(), note, claimed_until=None))
        return claim.run

    def _current_etag(self, drop: Drop) -> str | None:
        try:
            return self._blobs.info(drop.container, drop.name).etag
        except NotFoundError:
            return None

    def _score(self, claim: Claim) -> None:
        started, run = self._clock(), claim.run
        drop = place(*run.blob.split("/", 1))
        require_known(drop, contract_names())
        contract = load_contract(drop.dataset)
        if self._current_etag(drop) != run.etag:
            raise ConflictError("blob_changed", f"The file {run.blob} was replaced or removed.", blob=run.blob)
        source = BlobSource(self._blobs, drop.container, drop.name, run.etag, claim.renew)
        found = survey(source, contract)
        target = self._target(claim)
        conversation = Conversation(deployment=target.deployment, wire=self._settings.score_wire)
        before = self._context(run, contract, found)
        with closing(self._targets.connect(target)) as client:
            scorer = Scorer(client, contract, conversation, in_flight=self._settings.score_requests_in_flight)
            rows = self._settings.score_rows_per_request
            table = TableScoring(source, found, contract, scorer, before, rows, claim.renew)
            outputs = self._write(claim, drop, contract, found, table)
        manifest = self._manifest(run, found, target, conversation, table, outputs, started)
        body = json.dumps(manifest, indent=2, ensure_ascii=False, default=str).encode()
        self._blobs.put(RESULTS, drop.result("manifest.json"), body, content_type="application/json")
        self._history.remember(contract, run.blob, table.latest)
        self._finish(claim, drop, manifest)

    def _target(self, claim: Claim) -> Target:
        """The live model, noted in the record."""
        target = self._targets.find(claim.run.dataset)
        model = {"name": target.model, "version": target.version, "deployment": target.deployment, "run": target.run}
        claim.note(model=model)
        return target

    def _context(self, run: Run, contract: DatasetContract, found: Survey) -> pa.Table:
        """The rows before the file's first one, chosen once per run, so that a later try is given the same."""
        name = f"context/{run.dataset}/{run.id}.arrow"
        try:
            return read_table(self._blobs.get(STATE, name)[0])
        except NotFoundError:
            pass
        if found.first_time is None or contract.context_rows == 0:
            return pa.table({})
        rows = self._history.before(contract, found.first_time)
        self._blobs.put(STATE, name, write_table(rows))
        return rows

    def _write(
        self, claim: Claim, drop: Drop, contract: DatasetContract, found: Survey, table: TableScoring
    ) -> list[dict[str, Any]]:
        scored = _ResultWriter(self._blobs, drop.result("scored.csv"))
        rejected = _ResultWriter(self._blobs, drop.result("rejected.csv"))
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
            self._blobs.delete(RESULTS, rejected.name)  # of an earlier version of the file
        return outputs

    def _manifest(
        self,
        run: Run,
        found: Survey,
        target: Target,
        conversation: Conversation,
        table: TableScoring,
        outputs: list[dict[str, Any]],
        started: datetime,
    ) -> dict[str, Any]:
        finished = self._clock()
        return {
            "run": run.id,
            "dataset": run.dataset,
            "input": {
                "blob": run.blob,
                "etag": run.etag,
                "sha256": found.sha256,
                "bytes": found.size,
                "rows": found.data_rows,
                "dialect": found.dialect.as_dict(),
                "first_time": found.first_time and found.first_time.isoformat(sep=" "),
                "last_time": found.last_time and found.last_time.isoformat(sep=" "),
                "in_time_order": found.ordered,
            },
            "model": {
                "name": target.model or conversation.model,
                "version": target.version or conversation.version,
                "deployment": conversation.deployment,
                "training_run": target.run,
            },
            "counts": table.counts.as_dict(),
            "timings": {
                "started": started.isoformat(),
                "finished": finished.isoformat(),
                "seconds": round((finished - started).total_seconds(), 3),
            },
            "requests": {
                "wire": conversation.wire,
                "count": conversation.requests,
                "ids": conversation.request_ids[:_REQUEST_IDS_KEPT],
            },
            "outputs": outputs,
        }

    def _finish(self, claim: Claim, drop: Drop, manifest: dict[str, Any]) -> None:
        run = claim.run
        done = run.entered(
            "completed",
            self._clock(),
            None,
            claimed_until=None,
            counts=manifest["counts"],
            manifest=f"{RESULTS}/{drop.result('manifest.json')}",
            model={**(run.model or {}), **manifest["model"]},
        )
        claim.save(done)
        _log.info("run %s completed: %s", run.id, manifest["counts"], extra={"blob": run.blob})
