"""Revisions: a scored file whose context changed, as a file before it came late or was replaced, is scored again.

`History.remember` marks such files in the same breath in which it keeps the rows that change them; here a mark becomes
a run that is opened again, with its `revision` one higher, once it is not under way. Level-triggered: a mark stays
until the run has ended and was looked at since, so that nothing is missed by a crash or by two files at once; and what
would be given the same context again is not scored again. A revision marks nothing further: its rows, and so its tail,
are those it had.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from aml.contract import DatasetContract, contract_names, load_contract
from shared.contracts import is_unsound
from shared.errors import ConflictError, DropscoreError, NotFoundError
from shared.naming import STATE
from shared.runs import Held, Run, RunStore
from shared.scoring.context import Firsts, no_rows, read_table, write_table
from shared.scoring.history import History, Place
from shared.storage import ABSENT, BlobInfo, BlobStore
from shared.tables import Source, Survey, read

_log = logging.getLogger(__name__)

_READ_TWICE = 200_000
"""Up to so many rows a file of several meters is read once more beforehand, to know when each of them begins."""

_READ_ROWS = 20_000
_OPEN = frozenset({"received", "scoring", "waiting"})

_SETTLING = timedelta(minutes=1)
"""A file is not scored again within so long of its last scoring, twice as long after each revision: of many files that
arrive at once each changes the context of others, and these are scored again when the last of them is there."""

_LONGEST_SETTLING = timedelta(hours=1)


@dataclass(frozen=True)
class Given:
    """The context of one revision of a run: where the file stands in time (None: no usable row), the rows before it."""

    place: Place | None
    rows: pa.Table


class Revisions:
    """The contexts that runs are given, and which runs must be given another one.

    Args:
        ask: puts a run on the work queue.
    """

    def __init__(
        self,
        blobs: BlobStore,
        runs: RunStore,
        history: History,
        ask: Callable[[Run], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._blobs = blobs
        self._runs = runs
        self._history = history
        self._ask = ask
        self._clock = clock

    def context(self, run: Run, contract: DatasetContract, source: Source, found: Survey) -> Given:
        """The rows before the file's first one, chosen once per revision, so that a later try is given the same."""
        place = place_of(run.blob, contract, source, found)
        if place is None or contract.context_rows == 0:
            return Given(None, no_rows(contract))
        revision = f"-{run.revision}" if run.revision else ""
        name = f"context/{run.dataset}/{run.id}{revision}.arrow"
        try:
            return Given(place, read_table(self._blobs.get(STATE, name)[0]))
        except NotFoundError:
            rows = self._history.before(contract, place)
        try:
            self._blobs.put(STATE, name, write_table(rows), if_match=ABSENT)
        except ConflictError:
            return Given(place, read_table(self._blobs.get(STATE, name)[0]))
        return Given(place, rows)

    def scored(self, run: Run, contract: DatasetContract, given: Given, latest: pa.Table) -> list[str]:
        """Keeps the tail of a file whose results are committed; returns the runs that it marked."""
        return self._history.remember(contract, run.blob, run.id, latest, given.place, given.rows)

    def stands(self, run: Run, contract: DatasetContract, given: Given) -> list[str]:
        """The same where the results of a former run hold: the tail that is known of the file is this run's now."""
        latest = self._history.known(contract, run.blob)
        return [] if latest is None else self.scored(run, contract, given, latest)

    def settle(self, dataset: str, marked: Sequence[str]) -> None:
        """Looks at these marks at once; what fails here, or is too early, the timer does.

        Where the first of them is not due, files are arriving at this moment, and the others are left to the timer too.
        """
        names = [_mark(dataset, run) for run in marked]
        try:
            if names and self._settle(names[:1]):
                self._settle(names[1:])
        except DropscoreError as error:
            _log.info("marks of %s stay: %s", dataset, error)

    def settle_all(self) -> None:
        """Looks at every mark that there is."""
        self._settle([info.name for info in self._blobs.list_blobs(STATE, "revisit/")])

    def _settle(self, names: Sequence[str]) -> bool:
        """Looks at some marks; whether all of them were due.

        All are read before the history is looked at: one that is set anew later is not removed by what was found now.
        """
        read = [each for each in map(self._read, names) if each is not None]
        due = [each for each in read if self._is_due(each.held) and not is_unsound(each.dataset)]
        stale: set[str] = set()
        for dataset in {each.dataset for each in due if each.held is not None and each.dataset in contract_names()}:
            completed = [each for each in due if each.dataset == dataset and each.is_completed]
            runs = [(each.source, each.run) for each in completed if self._is_there(each)]
            stale |= self._history.stale_among(load_contract(dataset), runs)
        for each in due:
            try:
                if each.held is not None and each.run in stale:
                    self._reopen(each.held, each)
                self._blobs.delete(STATE, each.mark.name, if_match=each.mark.etag)
            except ConflictError as error:
                _log.info("%s stays: %s", each.mark.name, error)  # set anew, or somebody else is on it
        return len(due) == len(read)

    def _read(self, name: str) -> _Marked | None:
        """A mark and the run that it is about; None while that is under way: it is looked at once it has ended."""
        try:
            data, info = self._blobs.get(STATE, name)
        except NotFoundError:
            return None  # somebody else was quicker
        about = json.loads(data)
        try:
            held = self._runs.load(about["dataset"], about["run"])
        except NotFoundError:
            held = None  # removed by an operator
        if held is not None and held.run.state in _OPEN:
            return None
        return _Marked(info, held, about["dataset"], about["run"], about["source"], about["cause"])

    def _is_due(self, held: Held | None) -> bool:
        """Whether a run may be revised already: the more often it was, the longer it waits for what else may come."""
        if held is None:
            return True
        wait = min(_SETTLING * 2 ** min(held.run.revision, 10), _LONGEST_SETTLING)
        return bool(self._clock() - held.run.updated >= wait)

    def _is_there(self, marked: _Marked) -> bool:
        """Whether the run's input can be scored again: the results of one that was removed stay as they are."""
        if marked.held is None:
            return False
        try:
            return self._blobs.info(*marked.held.run.blob.split("/", 1)).etag == marked.held.run.etag
        except NotFoundError:
            return False

    def _reopen(self, held: Held, marked: _Marked) -> None:
        own = marked.cause == marked.source
        cause = "files that arrived while it was scored" if own else marked.cause
        fresh: dict[str, Any] = {"error": None, "not_before": None, "attempts": 0}
        note = f"revision {held.run.revision + 1}: the rows before it are others now, by {cause}"
        opened = held.run.entered("received", self._clock(), note, revision=held.run.revision + 1, **fresh)
        self._ask(self._runs.save(held, opened).run)


@dataclass(frozen=True)
class _Marked:
    """A mark as it was read, and the run that it is about (None: removed)."""

    mark: BlobInfo
    held: Held | None
    dataset: str
    run: str
    source: str
    cause: str

    @property
    def is_completed(self) -> bool:
        return self.held is not None and self.held.run.state == "completed"


def place_of(blob: str, contract: DatasetContract, source: Source, found: Survey) -> Place | None:
    """Where a surveyed file stands in time; None when no usable row has one."""
    if found.first_time is None or found.last_time is None:
        return None
    return Place(blob, found.first_time, found.last_time, _firsts(contract, source, found))


def _firsts(contract: DatasetContract, source: Source, found: Survey) -> Firsts | None:
    if found.first_time is not None and (contract.series is None or contract.series not in found.columns):
        return {None: found.first_time}
    if found.rows > _READ_TWICE:
        return None
    firsts: dict[str | None, datetime] = {}
    for chunk in read(source, found, contract, rows_per_chunk=_READ_ROWS):
        rows = pa.Table.from_batches([chunk.batch])
        for each in rows.group_by(contract.series).aggregate([(contract.time, "min")]).to_pylist():
            name, first = each[contract.series], each[f"{contract.time}_min"]
            firsts[name] = min(first, firsts.get(name, first))
    return firsts


def _mark(dataset: str, run: str) -> str:
    return f"revisit/{dataset}/{run}.json"
