"""What scoring a file leaves behind: result blobs that appear whole or not at all, and the manifest about them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.errors import ConflictError, NotFoundError
from shared.naming import RESULTS
from shared.runs import Run
from shared.scoring.journal import Journal
from shared.scoring.observed import Observed
from shared.scoring.scorer import REQUEST_IDS_KEPT, Conversation
from shared.scoring.table import Counts
from shared.scoring.targets import Target
from shared.scoring.uploads import Uploads
from shared.storage import ABSENT, BlobStore, Blocks
from shared.tables import Survey

CSV = "text/csv; charset=utf-8"
HTML = "text/html; charset=utf-8"
_BLOCK_BYTES = 4 * 1024 * 1024


class ResultWriter:
    """Writes a result blob block by block; nothing is visible before `commit`, and nothing is undone that another
    instance wrote since this writer was made.

    A block is named after its place, the key and all bytes up to its end: blocks of equal name are equal, whoever
    staged them, so that what an earlier attempt left is used, and attempts that overlap do not disturb each other.

    Args:
        key: what the bytes follow from, as hex digits (see `fingerprint`).
        journal: brought up to date before a block is staged.
        uploads: through which blocks are staged.
    """

    def __init__(self, blobs: BlobStore, name: str, key: str, journal: Journal, uploads: Uploads) -> None:
        self._blobs, self.name = blobs, name
        self._key, self._journal, self._uploads = key, journal, uploads
        self._gathered: list[bytes] = []
        self._waiting = 0
        self._blocks: list[str] = []
        self._digest = hashlib.sha256()
        self.size = 0
        self._found = _etag(blobs, name)
        self._left = blobs.blocks(RESULTS, name) if journal.begun else Blocks()

    def write(self, data: bytes) -> None:
        """Takes the next bytes of the blob."""
        self._gathered.append(data)
        self._waiting += len(data)
        self.size += len(data)
        if self._waiting >= _BLOCK_BYTES:
            self._flush()

    def _flush(self) -> None:
        parts, self._gathered, self._waiting = self._gathered, [], 0
        self._journal.write()
        self._uploads.add(lambda: self._stage(parts))

    def _stage(self, parts: list[bytes]) -> None:
        data = b"".join(parts)
        parts.clear()
        self._digest.update(data)
        block = f"{len(self._blocks):06d}-{self._key[:16]}-{self._digest.hexdigest()[:24]}"
        if block not in self._left.staged and block not in self._left.committed:
            self._blobs.stage(RESULTS, self.name, block, data)
        self._blocks.append(block)

    def commit(self) -> dict[str, Any]:
        """Makes it visible unless somebody else wrote the blob meanwhile; returns the manifest's entry."""
        if self._waiting:
            self._flush()
        self._uploads.finish()
        etag = self._found
        if self._left.committed != tuple(self._blocks):  # else an earlier attempt died just after its commit
            etag = self._commit()
        return {
            "blob": f"{RESULTS}/{self.name}",
            "etag": etag,
            "bytes": self.size,
            "sha256": self._digest.hexdigest(),
        }

    def _commit(self) -> str:
        try:
            return self._blobs.commit(RESULTS, self.name, self._blocks, if_match=self._found, content_type=CSV)
        except ConflictError:
            etag = _etag(self._blobs, self.name)
            if self._blobs.blocks(RESULTS, self.name).committed != tuple(self._blocks):
                raise
            return etag  # another attempt at the same, whose claim had run out, was quicker

    def discard(self) -> None:
        """Leaves no blob of this name, where there is nothing to write: one of an earlier version goes."""
        if self._found != ABSENT:
            self._blobs.delete(RESULTS, self.name, if_match=self._found)


class PageWriter:
    """Writes a result that is one small page, under the rules of `ResultWriter`."""

    def __init__(self, blobs: BlobStore, name: str) -> None:
        self._blobs, self._name = blobs, name
        self._found = _etag(blobs, name)

    def write(self, data: bytes) -> dict[str, Any]:
        """Makes it visible unless somebody else wrote another one meanwhile; returns the manifest's entry."""
        etag = self._same(data) if self._found != ABSENT else None
        if etag is None:
            try:
                etag = self._blobs.put(RESULTS, self._name, data, if_match=self._found, content_type=HTML)
            except ConflictError:
                etag = self._same(data)
                if etag is None:
                    raise
        digest = hashlib.sha256(data).hexdigest()
        return {"blob": f"{RESULTS}/{self._name}", "etag": etag, "bytes": len(data), "sha256": digest}

    def _same(self, data: bytes) -> str | None:
        """The ETag of the page that is there, where it is this one: another attempt at the same was quicker."""
        try:
            body, info = self._blobs.get(RESULTS, self._name)
        except NotFoundError:
            return None
        return info.etag if body == data else None


def _etag(blobs: BlobStore, name: str) -> str:
    try:
        return blobs.info(RESULTS, name).etag
    except NotFoundError:
        return ABSENT


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
    drift: Mapping[str, Any],
    observed: Observed,
    *,
    key: str,
    started: datetime,
    finished: datetime,
) -> dict[str, Any]:
    """Everything there is to say about a scored file; `outputs` are the entries that `ResultWriter.commit` gave.

    Args:
        key: the `fingerprint` of what the results follow from.
    """
    table = observed.contract.is_table
    gathered = {"answers": observed.answers.for_manifest()} if table else {"events": observed.events.for_manifest()}
    return {
        "run": run.id,
        "revision": run.revision,
        "dataset": run.dataset,
        "fingerprint": key,
        "input": about_input(run, found),
        "scored_by": conversation.scored_by,
        "model": {**answering_model(target, conversation), "training_run": target.run},
        "counts": counts.as_dict(),
        "warnings": about_warnings(found),
        "drift": drift,
        **gathered,
        "timings": about_time(started, finished),
        "requests": {
            "wire": conversation.wire,
            "count": conversation.requests,
            "ids": conversation.request_ids[:REQUEST_IDS_KEPT],
        },
        "outputs": outputs,
    }


def about_input(run: Run, found: Survey) -> dict[str, Any]:
    """The manifest's words about the file."""
    return {
        "blob": run.blob,
        "etag": run.etag,
        "sha256": found.sha256,
        "bytes": found.size,
        "rows": found.data_rows,
        "dialect": found.dialect.as_dict(),
        "first_time": found.first_time and found.first_time.isoformat(sep=" "),
        "last_time": found.last_time and found.last_time.isoformat(sep=" "),
        "in_time_order": found.ordered,
    }


def about_warnings(found: Survey) -> list[dict[str, Any]]:
    """What is odd about rows that were scored all the same, by column and kind: how many, and the first of them."""
    return [
        {
            "column": column,
            "kind": kind,
            "count": rows.count,
            "examples": [{"line": each.line, "reason": each.reason} for each in rows.examples],
        }
        for column, kinds in found.warnings.items()
        for kind, rows in kinds.items()
    ]


def about_time(started: datetime, finished: datetime) -> dict[str, Any]:
    """The manifest's words about the attempt that ended the run."""
    return {
        "started": started.isoformat(),
        "finished": finished.isoformat(),
        "seconds": round((finished - started).total_seconds(), 3),
    }
