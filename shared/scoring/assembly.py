"""Putting the parts of a file together: what was taken on trust is verified, and the results appear whole.

A part was scored under the assumption that no row before it is refused by the endpoint. The records of the parts say
which rows it accepted; from them follows, part by part, what the true context was. A part that was scored with another
one is scored again with the true one, and only then is anything committed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import pyarrow as pa

from shared.drift.tally import Tally
from shared.errors import ConflictError, EndpointRefusedError, NotFoundError
from shared.naming import RESULTS
from shared.scoring.context import no_rows, tail, time_order
from shared.scoring.observed import Observed
from shared.scoring.parts import PartContext, PartRecord, PartStore, Pin
from shared.scoring.preceding import Preceding
from shared.scoring.ranges import essence, used
from shared.scoring.results import CSV
from shared.scoring.scorer import HOPELESS_REFUSALS, REQUEST_IDS_KEPT, Conversation
from shared.scoring.splitting import block_name
from shared.scoring.table import Counts, class_names, prediction_names
from shared.scoring.task import Task
from shared.storage import ABSENT, BlobStore
from shared.tables import REJECTS_HEADER, render_header, scored_header


@dataclass(frozen=True)
class Assembled:
    """What the parts add up to."""

    outputs: list[dict[str, Any]]
    counts: Counts
    conversation: Conversation
    latest: pa.Table
    observed: Observed
    tally: Tally | None = None


class Assembly:
    """Puts the parts of one plan together, all of which have a record."""

    def __init__(self, blobs: BlobStore, store: PartStore, task: Task, records: Sequence[PartRecord]) -> None:
        self._blobs, self._store, self._task = blobs, store, task
        self._records = records

    def stale(self) -> list[int]:
        """The parts that have to be scored again, with the context that they are given now; their records are gone.

        Every round the first of them gets the context that is true for good, so that there are not more rounds than
        parts; the others get what is known of theirs.
        """
        contract, again = self._task.contract, []
        history = Preceding.first(self._store.history(), contract)
        before, sure, accepted, pin = no_rows(contract), True, False, self._store.pin()
        for index, record in enumerate(self._records):
            right = record.used == used(history.then(before), record.names, contract)
            if record.doubt or not right or _is_foreign(record, pin):
                again.append(index)
                self._store.put_context(index, PartContext(before, sure, accepted and sure))
                self._store.forget(index)
                sure = False
            if record.doubt:
                break
            before = essence(pa.concat_tables([before, record.accepted]), contract)
            accepted = accepted or record.counts[0] > 0
        return again

    def require_accepted(self) -> None:
        """Whether the endpoint took any row at all, as `Scorer` would have found out over the whole file.

        Raises:
            EndpointRefusedError: ``endpoint_refuses_all``.
        """
        refused = sum(record.counts[1] for record in self._records) - self._task.found.unusable
        if refused >= HOPELESS_REFUSALS and not any(record.counts[0] for record in self._records):
            raise EndpointRefusedError("endpoint_refuses_all", "The endpoint refused every row it was sent.")

    def commit(self) -> Assembled | list[int]:
        """Makes the results visible, unless somebody else wrote them meanwhile; or the parts whose blocks are gone,
        for another commit discarded them or a week has passed: their records are gone too.

        Raises:
            ConflictError: the file was replaced, or a result was written by somebody else.
            RuntimeError: a row was lost or made up.
        """
        counts = self._counts()
        task = self._task
        header = render_header(scored_header(task.found.header, prediction_names(task.contract)))
        scored = _Output(self._blobs, task.drop.result("scored.csv"), [record.scored for record in self._records])
        rejected = _Output(self._blobs, task.drop.result("rejected.csv"), [record.rejected for record in self._records])
        lost = sorted(scored.lost() | rejected.lost())
        for index in lost:
            self._store.forget(index)
        if lost:
            return lost
        self._require_unchanged()
        outputs = [scored.commit(header, task.key)]
        if any(record.rejected for record in self._records):
            outputs.append(rejected.commit(render_header(REJECTS_HEADER), task.key))
        else:
            rejected.discard()
        return Assembled(outputs, counts, self._conversation(), self._latest(), self._observed(), self._tally())

    def _require_unchanged(self) -> None:
        drop, source = self._task.drop, self._task.source
        try:
            changed = self._blobs.info(drop.container, drop.name).etag != source.etag
        except NotFoundError:
            changed = True
        if changed:
            raise ConflictError("blob_changed", f"The file {drop.blob} was replaced while it was scored.")

    def _counts(self) -> Counts:
        total = Counts(class_names(self._task.contract))
        for record in self._records:
            scored, errors, rejected = record.counts
            total.scored += scored
            total.errors += errors
            total.rejected += rejected
            for name, seen in record.classes.items():
                total.classes.setdefault(name, Counter()).update(seen)
        if total.rows != self._task.found.data_rows:
            raise RuntimeError(
                f"{self._task.drop.blob}: {self._task.found.data_rows} data rows went in and {total.rows} came out"
            )
        return total

    def _conversation(self) -> Conversation:
        """The parts' conversations as one."""
        talks = [Conversation(**record.conversation) for record in self._records]
        first = next((talk for talk in talks if talk.requests), talks[0])
        ids = [each for talk in talks for each in talk.request_ids]
        return Conversation(
            deployment=next((talk.deployment for talk in talks if talk.deployment), None),
            model=first.model,
            version=first.version,
            wire=first.wire,
            request_ids=ids[:REQUEST_IDS_KEPT],
            requests=sum(talk.requests for talk in talks),
            by_bundle=sum(talk.by_bundle for talk in talks),
        )

    def _observed(self) -> Observed:
        """What the parts observed, in their order."""
        parts = (Observed.from_dict(record.observed, self._task.contract, self._task.found) for record in self._records)
        return reduce(Observed.then, parts, Observed.of(self._task.found, self._task.contract))

    def _tally(self) -> Tally | None:
        """What the parts counted for drift; None where one of them had no profile to count against."""
        known = [Tally.from_dict(record.tally) for record in self._records if record.tally is not None]
        return reduce(Tally.merge, known) if known and len(known) == len(self._records) else None

    def _latest(self) -> pa.Table:
        """The last accepted rows of each series of the file: what later files need."""
        contract, rows = self._task.contract, no_rows(self._task.contract)
        for record in self._records:
            rows = essence(pa.concat_tables([rows, record.accepted]), contract)
        if contract.context_rows == 0:
            return rows
        return tail(rows.take(pa.array(time_order(rows, contract))), contract)


def _is_foreign(record: PartRecord, pin: Pin | None) -> bool:
    """Whether another model scored the part: it was still under way when the answers of that one were dropped."""
    talk = record.conversation
    said = (talk.get("model"), talk.get("version"))
    return pin is not None and bool(talk.get("requests")) and said != (pin.model, pin.version)


class _Output:
    """One result blob, of blocks that several instances staged; found as it is before the input is looked at."""

    def __init__(self, blobs: BlobStore, name: str, parts: Iterable[tuple[str, ...]]) -> None:
        self._blobs, self._name, self._parts = blobs, name, list(parts)
        self._etag = self._current()
        self._left = blobs.blocks(RESULTS, name)

    def lost(self) -> set[int]:
        """The parts with blocks that are not there any more."""
        known = self._left.staged.union(self._left.committed)
        return {index for index, blocks in enumerate(self._parts) if not known.issuperset(blocks)}

    def commit(self, header: bytes, key: str) -> dict[str, Any]:
        """Makes it visible; returns the manifest's entry."""
        first = block_name(0, 0, key, header)
        blocks = [first, *(block for part in self._parts for block in part)]
        etag = self._etag
        if self._left.committed != tuple(blocks):  # else an earlier attempt died just after its commit
            self._blobs.stage(RESULTS, self._name, first, header)
            etag = self._committed(blocks)
        digest, size = hashlib.sha256(), 0
        for piece in self._blobs.pieces(RESULTS, self._name, etag):
            digest.update(piece)
            size += len(piece)
        return {"blob": f"{RESULTS}/{self._name}", "etag": etag, "bytes": size, "sha256": digest.hexdigest()}

    def _committed(self, blocks: list[str]) -> str:
        try:
            return self._blobs.commit(RESULTS, self._name, blocks, if_match=self._etag, content_type=CSV)
        except ConflictError:
            etag = self._current()
            if self._blobs.blocks(RESULTS, self._name).committed != tuple(blocks):
                raise
            return etag  # another attempt at the same, whose claim had run out, was quicker

    def discard(self) -> None:
        """Leaves no blob of this name."""
        if self._etag != ABSENT:
            self._blobs.delete(RESULTS, self._name, if_match=self._etag)

    def _current(self) -> str:
        try:
            return self._blobs.info(RESULTS, self._name).etag
        except NotFoundError:
            return ABSENT
