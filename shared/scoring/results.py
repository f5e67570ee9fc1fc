"""What scoring a file leaves behind: result blobs that appear whole or not at all, and the manifest about them."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any
from uuid import uuid4

from shared.errors import NotFoundError
from shared.naming import RESULTS
from shared.runs import Run
from shared.scoring.scorer import Conversation
from shared.scoring.table import Counts
from shared.scoring.targets import Target
from shared.storage import ABSENT, BlobStore
from shared.tables import Survey

CSV = "text/csv; charset=utf-8"
JSON = "application/json"
_BLOCK_BYTES = 4 * 1024 * 1024
_REQUEST_IDS_KEPT = 100


class ResultWriter:
    """Writes a result blob block by block; nothing is visible before `commit`, and nothing is undone that another
    instance wrote since this writer was made."""

    def __init__(self, blobs: BlobStore, name: str, content_type: str = CSV) -> None:
        self._blobs, self.name = blobs, name
        self._content_type = content_type
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
        """Takes the next bytes of the blob."""
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
        self._blobs.commit(RESULTS, self.name, self._blocks, if_match=self._found, content_type=self._content_type)
        return {"blob": f"{RESULTS}/{self.name}", "bytes": self.size, "sha256": self._digest.hexdigest()}

    def discard(self) -> None:
        """Leaves no blob of this name, where there is nothing to write: one of an earlier version goes."""
        if self._found != ABSENT:
            self._blobs.delete(RESULTS, self.name, if_match=self._found)


def answering_model(target: Target, conversation: Conversation) -> dict[str, Any]:
    """Which model scored: as its answers say of themselves and, where they say nothing, as it is on record."""
    return {
        "name": conversation.model or target.model,
        "version": conversation.version or target.version,
        "deployment": None if conversation.scored_by == "bundle" else conversation.deployment,
    }


def manifest(
    run: Run,
    found: Survey,
    target: Target,
    conversation: Conversation,
    counts: Counts,
    outputs: list[dict[str, Any]],
    *,
    started: datetime,
    finished: datetime,
) -> dict[str, Any]:
    """Everything there is to say about a scored file; `outputs` are the entries that `ResultWriter.commit` gave."""
    return {
        "run": run.id,
        "revision": run.revision,
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
        "scored_by": conversation.scored_by,
        "model": {**answering_model(target, conversation), "training_run": target.run},
        "counts": counts.as_dict(),
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
