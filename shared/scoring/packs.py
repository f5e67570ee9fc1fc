"""Tails that need not be fetched one by one: those that this process has read, and those that lie together in a pack.

A tail is known by its name and ETag, as a listing tells them, so that nothing here can be out of date: what was written
anew has another ETag, and is fetched. A pack (`packs/<dataset>/<year-month>.arrow`) holds the tails that a file of that
month needed when somebody had to fetch many; a new process fetches that one blob instead of them. Losing it, or
another's being written over it, costs requests and never a row.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from aml.contract import DatasetContract
from shared.errors import NotFoundError, StorageUnavailableError
from shared.naming import STATE
from shared.scoring.context import conform, no_rows, read_table, write_table
from shared.storage import BlobStore

_log = logging.getLogger(__name__)

_CACHED_BYTES = 32 * 1024 * 1024
_PACK_BYTES = 16 * 1024 * 1024
"""A pack of more is not written: then reading it would not be quicker."""

_PACKED = b"dropscore.packed"
_OVERHEAD = 4096
"""About what a tail takes in memory beside its rows."""


class About(BaseModel):
    """What is known of the file that a tail comes from.

    Attributes:
        source: the file's blob; `run`: the run that read it. Of two files with rows of one time the later run's count.
        first, last: the times of a scored file's first and last usable rows; None for training data.
        firsts: when each of its series begins, or None where that is not known and any series may be in it.
        used: the fingerprint of the rows that were its context.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    run: str
    first: datetime | None = None
    last: datetime | None = None
    firsts: tuple[tuple[str | None, datetime], ...] | None = None
    used: str = ""


@dataclass(frozen=True)
class KeptTail:
    """A tail as it was read: its blob's name and ETag, what is known of its file, and the rows."""

    name: str
    etag: str
    about: About
    rows: pa.Table

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return int(self.rows.nbytes) + _OVERHEAD


class TailCache:
    """The tails that this process read or wrote last, within a bound; safe for several threads."""

    def __init__(self, nbytes: int = _CACHED_BYTES) -> None:
        self._most, self._held = nbytes, 0
        self._tails: OrderedDict[tuple[str, str], KeptTail] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str, etag: str) -> KeptTail | None:
        """That version of a tail, where it is known."""
        with self._lock:
            found = self._tails.get((name, etag))
            if found is not None:
                self._tails.move_to_end((name, etag))
            return found

    def put(self, tail: KeptTail) -> None:
        """Takes a tail; those that were not asked for longest make room for it."""
        key = tail.name, tail.etag
        with self._lock:
            if key in self._tails:
                return
            self._tails[key] = tail
            self._held += tail.nbytes
            while self._held > self._most:
                self._held -= self._tails.popitem(last=False)[1].nbytes


class Packs:
    """The packs of a dataset."""

    def __init__(self, blobs: BlobStore, contract: DatasetContract) -> None:
        self._blobs, self._contract = blobs, contract

    def read(self, month: str) -> list[KeptTail]:
        """The tails in the pack of a month; none where there is no pack of it, or one of other columns."""
        try:
            table = read_table(self._blobs.get(STATE, self._name(month))[0])
        except NotFoundError:
            return []
        entries = json.loads(table.schema.metadata[_PACKED])
        rows, at, found = conform(table, self._contract), 0, []
        for name, etag, about, size in entries:
            found.append(KeptTail(name, etag, About.model_validate(about), rows.slice(at, size)))
            at += size
        return found

    def write(self, month: str, tails: Iterable[KeptTail]) -> None:
        """Replaces the pack of a month, unless it would be too large; storage that fails does not matter."""
        kept = list(tails)
        if sum(each.nbytes for each in kept) > _PACK_BYTES:
            return
        entries = [[each.name, each.etag, each.about.model_dump(mode="json"), each.rows.num_rows] for each in kept]
        rows = pa.concat_tables([no_rows(self._contract), *(each.rows for each in kept)])
        body = write_table(rows.replace_schema_metadata({_PACKED: json.dumps(entries)}).combine_chunks())
        try:
            self._blobs.put(STATE, self._name(month), body)
        except StorageUnavailableError as error:
            _log.info("no pack of tails was written: %s", error)

    def _name(self, month: str) -> str:
        return f"packs/{self._contract.name}/{month}.arrow"
