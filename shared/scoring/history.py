"""The history of a dataset: which rows come before a file, and which files a newly known file comes before.

A file's context are the last rows of each of its series that are older than its first one, out of the tails of all
files known: chosen by event time, whatever the order of arrival. Of rows of one series and time in two files, those of
the file that arrived later count; within a file rows of one time are all rows. What a file was given is remembered as a
fingerprint, so that it can be told whether it would be given the same now; a file that would not is marked
(`revisit/<dataset>/<run>.json`) for `shared.scoring.revisions`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from aml.contract import DatasetContract
from shared.errors import ConflictError
from shared.naming import STATE
from shared.scoring.context import Firsts, fingerprint, no_rows, opening, tail, time_order
from shared.scoring.joining import Times, cutoff, merged, missing, older, reach, series_in
from shared.scoring.packs import About, KeptTail, TailCache
from shared.scoring.tails import Pointer, Tail, Tails, describe, digest, month_of, tokens
from shared.storage import BlobStore

_log = logging.getLogger(__name__)

_LISTED = 20_000
"""How many entries of the index are gone through on either side of a file: its own meters may be in few of them."""

_READ_AHEAD = 64
"""So many tails are read at once at most; they are held until the context is found."""

_TRIES = 10


@dataclass(frozen=True)
class Place:
    """Where a file stands in time: its first and last usable rows, and when each of its series begins (None: unknown,
    and then any series may be in it)."""

    source: str
    first: datetime
    last: datetime
    firsts: Firsts | None

    def opening(self, history: pa.Table, contract: DatasetContract) -> pa.Table:
        """The rows of `history` that are context of the file."""
        return history if self.firsts is None else opening(history, self.firsts, contract)


class History:
    """The tails of what was trained on and scored; see the module."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._cache = TailCache()

    def before(self, contract: DatasetContract, place: Place) -> pa.Table:
        """What is known around a file's first row, in time order within each series.

        The last `context_rows` rows of each series before the file's first row; and, because a series may begin later
        than the file does, the tails of files that end later, as far as they hold rows that can be older than it.
        """
        if contract.context_rows == 0:
            return no_rows(contract)
        return _before(self._look(contract), contract, place)

    def remember(
        self,
        contract: DatasetContract,
        source: str,
        run: str,
        rows: pa.Table,
        place: Place | None = None,
        before: pa.Table | None = None,
    ) -> list[str]:
        """Keeps the tail of `rows` (in time order), replacing one of an earlier version of the file; marks every file
        whose context is another one now.

        Args:
            run: sorts by the file's arrival. The tail of a later version is not replaced.
            place, before: of a scored file, and the context that it was given; training data have none.

        Returns:
            The runs marked. Safe to repeat, and to be repeated when it broke anywhere.
        """
        kept = tail(rows, contract)
        if kept.num_rows == 0:
            return []
        about = About(source=source, run=run)
        if place is not None and before is not None:
            firsts = None if place.firsts is None else tuple(place.firsts.items())
            used = fingerprint(place.opening(before, contract), contract)
            about = About(source=source, run=run, first=place.first, last=place.last, firsts=firsts, used=used)
        entry = describe(contract, about, kept)
        moved = self._replace(contract, entry, about, kept)
        look = self._look(contract)
        stale = {found.run: found for span in moved for found in _behind(look, contract, source, span)}
        if about.first is not None and _is_stale(look, contract, about):
            stale[run] = about  # something arrived while it was scored
        for found in stale.values():
            self._mark(contract, found, source)
        if len(moved) > 1:
            self._settled(contract, entry, about)
        return list(stale)

    def _look(self, contract: DatasetContract) -> Tails:
        return Tails(self._blobs, contract, self._cache)

    def known(self, contract: DatasetContract, source: str) -> pa.Table | None:
        """The tail that is known of a file; None when there is none."""
        look = self._look(contract)
        pointer, _ = look.pointer(source)
        kept = look.read(pointer.tails[-1].name) if pointer is not None else None
        return None if kept is None else kept.rows

    def stale(self, contract: DatasetContract, source: str, run: str) -> bool:
        """Whether the file's run, the newest of it, would be given another context now than it was."""
        return bool(self.stale_among(contract, [(source, run)]))

    def stale_among(self, contract: DatasetContract, runs: Iterable[tuple[str, str]]) -> set[str]:
        """The same of several files and runs, in one look: those that would."""
        look, found = self._look(contract), set()
        for source, run in runs:
            pointer, _ = look.pointer(source)
            kept = look.read(pointer.tails[-1].name) if pointer is not None else None
            if kept is not None and kept.about.run == run and _is_stale(look, contract, kept.about):
                found.add(run)
        return found

    def _replace(self, contract: DatasetContract, entry: Tail, about: About, kept: pa.Table) -> tuple[Tail, ...]:
        """Writes the tail; returns every place at which the file's tail lies or lay, unless a later version has one."""
        for _ in range(_TRIES):
            look = self._look(contract)
            pointer, etag = look.pointer(about.source)
            if pointer is not None and pointer.run > about.run:
                look.remove(entry)
                return ()
            others = [] if pointer is None else [each for each in pointer.tails if each.name != entry.name]
            changed = Pointer(run=about.run, tails=(*others, entry))
            try:
                if changed != pointer:
                    look.point(about.source, changed, etag)
            except ConflictError:
                continue
            look.put(entry, about, kept)
            for other in others:
                look.remove(other)
            if look.pointer(about.source)[0] == changed:
                return changed.tails  # else a later version came in between, and goes before this one
        raise ConflictError("blob_changed", f"The history of {about.source} is written by many at once.")

    def _settled(self, contract: DatasetContract, entry: Tail, about: About) -> None:
        """Forgets where the file's tail lay before; where it is not forgotten, it is looked at again next time."""
        look = self._look(contract)
        pointer, etag = look.pointer(about.source)
        if pointer is not None and pointer.run == about.run:
            try:
                look.point(about.source, Pointer(run=about.run, tails=(entry,)), etag)
            except ConflictError:
                _log.info("the tail of %s was moved by somebody else meanwhile", about.source)

    def _mark(self, contract: DatasetContract, found: About, cause: str) -> None:
        body = json.dumps({"dataset": contract.name, "run": found.run, "source": found.source, "cause": cause})
        self._blobs.put(STATE, f"revisit/{contract.name}/{found.run}.json", body.encode())


def _before(look: Tails, contract: DatasetContract, place: Place) -> pa.Table:
    found = [*_ending_before(look, contract, place), *_ending_later(look, contract, place)]
    earlier, later = older(merged(_by_run(found), contract), place.first, contract)
    rows = pa.concat_tables([tail(earlier, contract), later])
    look.pack(month_of(place.first))
    return rows.take(pa.array(time_order(rows, contract)))


def _ending_before(look: Tails, contract: DatasetContract, place: Place) -> list[KeptTail]:
    """Of the files that end before this one begins those that hold its context, and perhaps a few more.

    They are read as many at once as it seems to take, going by what those nearest to it hold.
    """
    wanted, own = None if place.firsts is None else tokens(place.firsts), digest(place.source)
    entries = islice(look.ending_before(place.first), _LISTED)
    found: list[KeptTail] = []
    reached: Times = {}
    ahead = 1
    while batch := list(islice(_uncovered(entries, wanted, own, reached), ahead)):
        read = look.read_all([entry.name for entry in batch], month_of(place.first))
        found += [each for each in read if each is not None]
        rows = merged(_by_run(found), contract)
        reached = reach(rows, contract)
        a_tail = max(rows.num_rows // max(series_in(rows, contract) * len(found), 1), 1)
        lacking = missing(rows, None if wanted is None else len(wanted), contract)
        ahead = min(max(-(-lacking // a_tail), 1), _READ_AHEAD)
    return found


def _by_run(found: Iterable[KeptTail]) -> list[tuple[str, pa.Table]]:
    return [(each.about.run, each.rows) for each in found]


def _uncovered(
    entries: Iterator[Tail], wanted: frozenset[str] | None, own: str, reached: Mapping[str, datetime]
) -> Iterator[Tail]:
    """The next tails that may hold context; none once there is nothing wanted that is not reached."""
    for entry in entries:
        if wanted is not None and all(each in reached and reached[each] > entry.end for each in wanted):
            return
        series = entry.shared(wanted)
        covered = series is not None and all(each in reached and reached[each] > entry.end for each in series)
        if not covered and entry.source != own:
            yield entry


def _ending_later(look: Tails, contract: DatasetContract, place: Place) -> list[KeptTail]:
    """The tails that end within the file or later, as far as they may have rows that are older than one of its own."""
    wanted, own = None if place.firsts is None else tokens(place.firsts), digest(place.source)
    names = [
        entry.name
        for entry in islice(look.ending_from(place.first), _LISTED)
        if entry.since < place.last and entry.shared(wanted) != frozenset() and entry.source != own
    ]
    return [each for each in look.read_all(names, month_of(place.first)) if each is not None]


def _is_stale(look: Tails, contract: DatasetContract, about: About) -> bool:
    if about.first is None or about.last is None:
        return False  # training data have no context
    place = Place(about.source, about.first, about.last, None if about.firsts is None else dict(about.firsts))
    return fingerprint(place.opening(_before(look, contract, place), contract), contract) != about.used


def _behind(look: Tails, contract: DatasetContract, source: str, span: Tail) -> list[About]:
    """The scored files whose context is another one than they were given, as far as rows at `span` can reach."""
    found: list[About] = []
    ahead = _Ahead(contract, span.end)
    own = digest(source)
    entries = (
        entry
        for entry in islice(look.ending_from(span.since), _LISTED)
        if entry.source != own and ahead.leaves(entry, span.series)
    )
    while batch := list(islice(entries, _READ_AHEAD // 4)):
        read = look.read_all([entry.name for entry in batch], month_of(span.end))
        for entry, kept in zip(batch, read, strict=True):
            if kept is None or not ahead.leaves(entry, span.series):
                continue
            if _is_stale(look, contract, kept.about):
                found.append(kept.about)
            ahead.add(kept.rows)
    return found


class _Ahead:
    """The rows known behind a moment: where they are a whole context, nothing before them reaches any further."""

    def __init__(self, contract: DatasetContract, moment: datetime) -> None:
        self._contract, self._moment = contract, moment
        self._rows = no_rows(contract)
        self._waiting: list[pa.Table] = []
        self._new = 0
        self._cutoff: Times = {}

    def add(self, rows: pa.Table) -> None:
        """Some more of them. The cut-off is not found anew each time: one that is late has more files looked at."""
        times = rows.column(self._contract.time)
        newer = rows.filter(pc.greater(times, pa.scalar(self._moment, times.type)))
        self._waiting.append(newer)
        self._new += newer.num_rows
        if self._new >= max(self._contract.context_rows - self._rows.num_rows, self._rows.num_rows // 8, 1):
            self._rows = pa.concat_tables([self._rows, *self._waiting])
            self._waiting, self._new = [], 0
            self._cutoff = cutoff(self._rows, self._contract)

    def leaves(self, entry: Tail, wanted: frozenset[str] | None) -> bool:
        """Whether rows at the moment may be context of a file that begins where this one does."""
        series = entry.shared(wanted)
        return series is None or any(each not in self._cutoff or entry.first <= self._cutoff[each] for each in series)
