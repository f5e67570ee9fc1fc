"""What an attempt at a file has found out before it scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from aml.contract import DatasetContract
from shared.naming import Drop
from shared.scoring.ranges import Range
from shared.scoring.revisions import Given
from shared.scoring.targets import Target
from shared.storage import BlobStore
from shared.tables import Kept, Survey


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

    def open(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """See `shared.tables.RangedSource.open`."""
        for piece in self.blobs.pieces(self.container, self.name, self.etag, start, end):
            self.alive()
            yield piece


@dataclass(frozen=True)
class Task:
    """What an attempt has found out before it scores: the results follow from it, and `key` says so in short.

    `ranges` are the parts of a file that is scored in parts, and `before` the essence of what comes before each, where
    this attempt has surveyed the file itself; `kept` then is what it has kept of the rows.
    """

    drop: Drop
    contract: DatasetContract
    source: BlobSource
    found: Survey
    target: Target
    given: Given
    key: str
    started: datetime
    ranges: tuple[Range, ...] = ()
    before: tuple[pa.Table, ...] = ()
    kept: Kept | None = None
