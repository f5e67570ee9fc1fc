"""Scoring one part of a file: its rows with what comes before them, staged as blocks of the results, and its record."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

import pyarrow as pa

from aml.contract import DatasetContract
from shared.drift.gauge import Gauge
from shared.drift.profile import Reference
from shared.errors import EndpointRefusedError
from shared.naming import RESULTS, Drop
from shared.runs import Run
from shared.scoring.context import no_rows
from shared.scoring.grouping import way
from shared.scoring.guard import ContextInDoubtError, GuardedClient, OtherDeploymentError
from shared.scoring.journal import Journal
from shared.scoring.observed import Observed
from shared.scoring.parts import PartContext, PartRecord, PartStore, Plan
from shared.scoring.preceding import Preceding
from shared.scoring.ranges import Essence, series_of, used
from shared.scoring.scorer import REQUEST_IDS_KEPT, Conversation, Scored, Scorer
from shared.scoring.sizing import RequestSize
from shared.scoring.table import TableScoring
from shared.scoring.targets import Targets
from shared.scoring.task import BlobSource
from shared.scoring.uploads import Uploads
from shared.settings import Settings
from shared.storage import BlobStore, Blocks
from shared.tables import render_rejects

_log = logging.getLogger(__name__)

_BLOCK_BYTES = 4 * 1024 * 1024
_REFUSES_ALL = "endpoint_refuses_all"


def block_name(part: int, place: int, fingerprint: str, data: bytes) -> str:
    """The name of a block of the results: part 0 is the header, the others are counted from 1.

    Blocks of equal name are equal, whoever staged them; all names are as long as those of `ResultWriter`.
    """
    return f"{part:05d}{place:05d}-{fingerprint[:12]}-{hashlib.sha256(data).hexdigest()[:24]}"


class PartWriter:
    """Stages the blocks of one part of a result blob.

    Args:
        part: counted from 1.
        journal: brought up to date before a block is staged.
        uploads: through which blocks are staged.
    """

    def __init__(
        self, blobs: BlobStore, name: str, part: int, fingerprint: str, journal: Journal, uploads: Uploads
    ) -> None:
        self._blobs, self._name, self._part = blobs, name, part
        self._fingerprint, self._journal, self._uploads = fingerprint, journal, uploads
        self._buffer = bytearray()
        self._left = blobs.blocks(RESULTS, name) if journal.begun else Blocks()
        self.blocks: list[str] = []
        self.size = 0

    def write(self, data: bytes) -> None:
        """Takes the next bytes of the part."""
        self._buffer += data
        self.size += len(data)
        if len(self._buffer) >= _BLOCK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Stages what was not staged yet."""
        if not self._buffer:
            return
        data = bytes(self._buffer)
        block = block_name(self._part, len(self.blocks), self._fingerprint, data)
        self._journal.write()
        if block not in self._left.staged and block not in self._left.committed:
            self._uploads.add(lambda: self._blobs.stage(RESULTS, self._name, block, data))
        self.blocks.append(block)
        self._buffer.clear()


@dataclass
class _Seen:
    """What the record of a part says of its rows."""

    contract: DatasetContract
    accepted: Essence
    observed: Observed
    names: set[str | None] = field(default_factory=set)

    def follow(self, rows: pa.Table, scored: Scored) -> None:
        self.observed.add(rows, scored)
        self.names |= series_of(rows, self.contract)
        self.accepted.add(scored.accepted(rows))


class PartScoring:
    """Scores parts; one for each plan."""

    def __init__(
        self,
        settings: Settings,
        blobs: BlobStore,
        targets: Targets,
        store: PartStore,
        plan: Plan,
        contract: DatasetContract,
        reference: Reference,
    ) -> None:
        self._settings, self._blobs, self._targets = settings, blobs, targets
        self._store, self._plan, self._contract = store, plan, contract
        self._reference = reference

    def score(self, run: Run, drop: Drop, index: int, alive: Callable[[], None]) -> PartRecord:
        """What comes of the part now; its blocks are staged.

        Args:
            alive: called now and then.
        """
        context = self._store.context(index)
        while True:
            try:
                return self._attempt(run, drop, index, context, alive)
            except OtherDeploymentError as error:
                _log.info("part %d of run %s is asked for again: %s", index, run.id, error)
            except ContextInDoubtError as error:
                return self._doubtful(run, index, error)
            except EndpointRefusedError as error:
                if error.code != _REFUSES_ALL or context.sure:
                    raise
                return self._doubtful(run, index, error)  # the endpoint may have taken rows of other parts

    def _doubtful(self, run: Run, index: int, error: Exception) -> PartRecord:
        _log.info("part %d of run %s waits for those before it: %s", index, run.id, error)
        return PartRecord(no_rows(self._contract), doubt=True)

    def _attempt(self, run: Run, drop: Drop, index: int, context: PartContext, alive: Callable[[], None]) -> PartRecord:
        plan, settings = self._plan, self._settings
        before = Preceding.first(self._store.history(), self._contract)
        before = before.then(context.rows)
        conversation = Conversation(deployment=plan.target.deployment, wire=settings.score_wire)
        source = BlobSource(self._blobs, drop.container, drop.name, run.etag, alive)
        part = plan.ranges[index].of(source, plan.found)
        answers = f"{plan.fingerprint[:32]}-{plan.rows_per_batch}-{index}-{context.digest}"
        answers += way(part.survey, self._contract, plan.rows_per_batch)
        trusted = no_rows(self._contract) if context.sure else before.latest
        seen = _Seen(self._contract, Essence(self._contract), Observed.of(part.survey, self._contract))
        gauge = Gauge(self._reference, self._contract)
        with closing(self._targets.connect(plan.target)) as connected, Uploads() as uploads:
            client = GuardedClient(connected, self._store, self._contract, trusted, conversation)
            journal = Journal(self._blobs, run, answers, conversation, uploads)
            scorer = Scorer(
                client,
                self._contract,
                conversation,
                in_flight=settings.score_requests_in_flight,
                size=RequestSize(settings.score_rows_per_request, settings.score_bytes_per_request),
                accepted_before=context.accepted,
            )
            rows = plan.rows_per_batch
            table = TableScoring(
                part, part.survey, self._contract, scorer, before, rows, alive, journal, follow=seen.follow, gauge=gauge
            )
            scored, rejected = self._write(drop, index, table, journal, uploads, alive)
            uploads.finish()
        known = vars(conversation) | {"request_ids": conversation.request_ids[:REQUEST_IDS_KEPT]}
        names = tuple(sorted(seen.names, key=json.dumps))
        counts = table.counts
        return PartRecord(
            seen.accepted.rows,
            used=used(before, names, self._contract),
            names=names,
            scored=tuple(scored.blocks),
            rejected=tuple(rejected.blocks),
            bytes=(scored.size, rejected.size),
            counts=(counts.scored, counts.errors, counts.rejected),
            classes={name: dict(each) for name, each in counts.classes.items()},
            conversation=known,
            observed=seen.observed.as_dict(),
            tally=None if gauge.tally is None else gauge.tally.as_dict(),
        )

    def _write(
        self,
        drop: Drop,
        index: int,
        table: TableScoring,
        journal: Journal,
        uploads: Uploads,
        alive: Callable[[], None],
    ) -> tuple[PartWriter, PartWriter]:
        key = self._plan.fingerprint
        scored = PartWriter(self._blobs, drop.result("scored.csv"), index + 1, key, journal, uploads)
        rejected = PartWriter(self._blobs, drop.result("rejected.csv"), index + 1, key, journal, uploads)
        for chunk in table.chunks():
            scored.write(chunk.render())
            if chunk.rejects:
                rejected.write(render_rejects(chunk.rejects))
            alive()
        scored.flush()
        rejected.flush()
        return scored, rejected
