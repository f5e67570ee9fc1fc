"""What the app keeps of files in `state` and needs no more, removed once it is old; conservatively, and safe to repeat.

- the context that a run was given, where the run has ended: a revision is given another one;
- what was counted for drift of files whose rows the live model was trained on, and which neither it nor the model
  before it scored: neither a look at drift nor a training set reads them;
- the tails of files that are not there any more, oldest first, as far as every file that is still there, and every
  one that comes after them, finds its whole context without them.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timedelta

import pyarrow as pa

from aml.contract import DatasetContract
from shared.errors import ConflictError, NotFoundError
from shared.naming import STATE
from shared.runs import RunStore
from shared.scoring.files import ENDS
from shared.scoring.joining import Times, merged, reach
from shared.scoring.packs import About, TailCache
from shared.scoring.tails import Tail, Tails
from shared.storage import BlobStore

_log = logging.getLogger(__name__)
# times of rows have no zone
_EPOCH, _FIRST, _LAST = datetime(1970, 1, 1), datetime(1, 1, 1), datetime(9999, 12, 31)  # noqa: DTZ001


class Forgetting:
    """One look at one dataset's leftovers, older than a moment."""

    def __init__(self, blobs: BlobStore, runs: RunStore) -> None:
        self._blobs = blobs
        self._runs = runs

    def contexts(self, dataset: str, before: datetime) -> int:
        """Removes contexts of ended runs; returns how many."""
        removed = 0
        for info in list(self._blobs.list_blobs(STATE, f"context/{dataset}/")):
            run = "-".join(info.name.rpartition("/")[2].removesuffix(".arrow").split("-")[:3])
            if info.last_modified <= before and self._has_ended(dataset, run, before):
                self._blobs.delete(STATE, info.name)
                removed += 1
        return removed

    def counts(self, dataset: str, before: datetime, models: Collection[str], trained_until: str | None) -> int:
        """Removes what was counted of files that no model in `models` (training runs) scored and whose rows end no
        later than `trained_until` (a time as run records have it; None: nobody knows); returns how many."""
        if trained_until is None:
            return 0
        until = (datetime.fromisoformat(trained_until) - _EPOCH) // timedelta(microseconds=1)
        old = [
            info.name
            for info in self._blobs.list_blobs(STATE, f"drift/{dataset}/files/")
            if info.last_modified <= before
            and info.metadata["model"] not in models
            and int(info.metadata["end"]) <= until
        ]
        for name in old:
            self._blobs.delete(STATE, name)
        return len(old)

    def tails(self, contract: DatasetContract, before: datetime) -> int:
        """Removes tails of files that are gone; returns how many.

        Gone through by the time of their rows until the first file that is still there, or is not old. Of those that
        end before every other file begins, the newest stay until each of their series has a whole context.
        """
        look, gone = Tails(self._blobs, contract, TailCache()), list[Tail]()
        listed = list(look.ending_from(_FIRST)) if contract.context_rows else []
        for entry in listed:
            if not self._is_gone(look, entry, before):
                break
            gone.append(entry)
        begin = min((each.first for each in listed[len(gone) :]), default=_LAST)
        kept: list[tuple[str, pa.Table]] = []
        removed = 0
        reached: Times = {}
        for entry in reversed([each for each in gone if each.end < begin]):
            covered = entry.series is not None and all(
                each in reached and reached[each] > entry.end for each in entry.series
            )
            found = look.read(entry.name)
            if covered and found is not None:
                removed += self._remove(look, entry, found.about)
            elif found is not None:
                kept.append((found.about.run, found.rows))
                reached = reach(merged(kept, contract), contract)
        return removed

    def _is_gone(self, look: Tails, entry: Tail, before: datetime) -> bool:
        found = look.read(entry.name)
        if found is None or self._blobs.info(STATE, entry.name).last_modified > before:
            return False
        try:
            self._blobs.info(*found.about.source.split("/", 1))
        except NotFoundError:
            return True
        return False

    def _remove(self, look: Tails, entry: Tail, about: About) -> bool:
        """Removes a tail and, before it, what says where it lies; not while a newer version of the file moves it."""
        pointer, etag = look.pointer(about.source)
        if pointer is not None and (pointer.run != about.run or len(pointer.tails) > 1):
            return False
        try:
            if pointer is not None:
                look.unpoint(about.source, etag)
        except ConflictError:
            return False
        look.remove(entry)
        return True

    def _has_ended(self, dataset: str, run: str, before: datetime) -> bool:
        try:
            found = self._runs.load(dataset, run).run
        except NotFoundError:
            return True  # removed by an operator
        return found.state in ENDS and found.updated <= before
