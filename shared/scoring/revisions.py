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
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from aml.contract import DatasetContract, contract_names, load_contract
from shared.errors import ConflictError, DropscoreError, NotFoundError
from shared.naming import STATE
from shared.runs import Run, RunStore
from shared.scoring.context import Firsts, no_rows, read_table, write_table
from shared.scoring.history import History, Place
from shared.storage import ABSENT, BlobInfo, BlobStore
from shared.tables import Source, Survey, read

_log = logging.getLogger(__name__)

_READ_TWICE = 200_000
"""Up to so many rows a file of several meters is read once more beforehand, to know when each of them begins."""

_READ_ROWS = 20_000
_OPEN = frozenset({"received", "scoring", "waiting"})


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

    def settle(self, dataset: str, marked: Iterable[str]) -> None:
        """Looks at these marks at once; what fails here, the timer does."""
        for run in marked:
            try:
                self._settle(_mark(dataset, run))
            except DropscoreError as error:
                _log.info("the mark of run %s stays: %s", run, error)

    def settle_all(self) -> None:
        """Looks at every mark that there is."""
        for info in list(self._blobs.list_blobs(STATE, "revisit/")):
            try:
                self._settle(info.name)
            except ConflictError as error:
                _log.info("%s stays: %s", info.name, error)

    def _settle(self, name: str) -> None:
        try:
            data, info = self._blobs.get(STATE, name)
        except NotFoundError:
            return None  # somebody else was quicker
        about = json.loads(data)
        try:
            held = self._runs.load(about["dataset"], about["run"])
        except NotFoundError:
            return self._done(info)  # removed by an operator
        if about["dataset"] not in contract_names():
            return self._done(info)  # nobody can score it any more
        if held.run.state in _OPEN:
            return None  # it is looked at once it has ended
        contract = load_contract(about["dataset"])
        if (
            held.run.state == "completed"
            and self._is_there(held.run)
            and self._history.stale(contract, about["source"], held.run.id)
        ):
            own = about["cause"] == about["source"]
            cause = "files that arrived while it was scored" if own else about["cause"]
            fresh: dict[str, Any] = {"error": None, "not_before": None, "attempts": 0}
            note = f"revision {held.run.revision + 1}: the rows before it are others now, by {cause}"
            opened = held.run.entered("received", self._clock(), note, revision=held.run.revision + 1, **fresh)
            self._ask(self._runs.save(held, opened).run)
        return self._done(info)

    def _is_there(self, run: Run) -> bool:
        """Whether the run's input can be scored again: the results of one that was removed stay as they are."""
        try:
            return self._blobs.info(*run.blob.split("/", 1)).etag == run.etag
        except NotFoundError:
            return False

    def _done(self, mark: BlobInfo) -> None:
        """Removes the mark, unless it was set anew meanwhile."""
        self._blobs.delete(STATE, mark.name, if_match=mark.etag)


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
