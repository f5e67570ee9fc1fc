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
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aml.contract import DatasetContract
from shared.errors import ConflictError
from shared.naming import STATE
from shared.scoring.context import Firsts, fingerprint, no_rows, opening, series_codes, tail, time_order
from shared.scoring.tails import About, Pointer, Tail, Tails, describe, tokens
from shared.storage import BlobStore

_log = logging.getLogger(__name__)

_LISTED = 2000
"""How many entries of the index are gone through on either side of a file: its own meters may be in few of them."""

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

    def before(self, contract: DatasetContract, place: Place) -> pa.Table:
        """What is known around a file's first row, in time order within each series.

        The last `context_rows` rows of each series before the file's first row; and, because a series may begin later
        than the file does, the tails of files that end later, as far as they hold rows that can be older than it.
        """
        if contract.context_rows == 0:
            return no_rows(contract)
        return _before(Tails(self._blobs, contract), contract, place)

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
        look = Tails(self._blobs, contract)
        stale = {found.run: found for span in moved for found in _behind(look, contract, source, span)}
        if about.first is not None and _is_stale(look, contract, about):
            stale[run] = about  # something arrived while it was scored
        for found in stale.values():
            self._mark(contract, found, source)
        if len(moved) > 1:
            self._settled(contract, entry, about)
        return list(stale)

    def known(self, contract: DatasetContract, source: str) -> pa.Table | None:
        """The tail that is known of a file; None when there is none."""
        look = Tails(self._blobs, contract)
        pointer, _ = look.pointer(source)
        kept = look.read(pointer.tails[-1].name) if pointer is not None else None
        return None if kept is None else kept[1]

    def stale(self, contract: DatasetContract, source: str, run: str) -> bool:
        """Whether the file's run, the newest of it, would be given another context now than it was."""
        look = Tails(self._blobs, contract)
        pointer, _ = look.pointer(source)
        kept = look.read(pointer.tails[-1].name) if pointer is not None else None
        return kept is not None and kept[0].run == run and _is_stale(look, contract, kept[0])

    def _replace(self, contract: DatasetContract, entry: Tail, about: About, kept: pa.Table) -> tuple[Tail, ...]:
        """Writes the tail; returns every place at which the file's tail lies or lay, unless a later version has one."""
        for _ in range(_TRIES):
            look = Tails(self._blobs, contract)
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
        look = Tails(self._blobs, contract)
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
    wanted = None if place.firsts is None else tokens(place.firsts)
    found: list[tuple[About, pa.Table]] = []
    reached: dict[str, datetime] = {}
    for entry in islice(look.ending_before(place.first), _LISTED):
        if wanted is not None and all(each in reached and reached[each] > entry.end for each in wanted):
            break
        series = entry.shared(wanted)
        covered = series is not None and all(each in reached and reached[each] > entry.end for each in series)
        kept = None if covered or entry.of(place.source) else look.read(entry.name)
        if kept is not None:
            found.append(kept)
            reached = reach(merged(found, contract), contract)
    for entry in islice(look.ending_from(place.first), _LISTED):
        series = entry.shared(wanted)
        beyond = entry.since >= place.last or series == frozenset()
        kept = None if beyond or entry.of(place.source) else look.read(entry.name)
        if kept is not None:
            found.append(kept)
    rows = merged(found, contract)
    times = rows.column(contract.time)
    first = pa.scalar(place.first, times.type)
    earlier = tail(rows.filter(pc.less(times, first)), contract)
    rows = pa.concat_tables([earlier, rows.filter(pc.greater_equal(times, first))])
    return rows.take(pa.array(time_order(rows, contract)))


def _is_stale(look: Tails, contract: DatasetContract, about: About) -> bool:
    if about.first is None or about.last is None:
        return False  # training data have no context
    place = Place(about.source, about.first, about.last, None if about.firsts is None else dict(about.firsts))
    return fingerprint(place.opening(_before(look, contract, place), contract), contract) != about.used


def _behind(look: Tails, contract: DatasetContract, source: str, span: Tail) -> list[About]:
    """The scored files whose context is another one than they were given, as far as rows at `span` can reach."""
    found, newer, cutoff = [], [], dict[str, datetime]()
    for entry in islice(look.ending_from(span.since), _LISTED):
        series = entry.shared(span.series)
        reached = series is None or any(each not in cutoff or entry.first <= cutoff[each] for each in series)
        kept = look.read(entry.name) if reached and not entry.of(source) else None
        if kept is None:
            continue
        if _is_stale(look, contract, kept[0]):
            found.append(kept[0])
        newer.append(kept[1].filter(pc.greater(kept[1].column(contract.time), pa.scalar(span.end, pa.timestamp("us")))))
        cutoff = _cutoff(pa.concat_tables(newer), contract)
    return found


def reach(rows: pa.Table, contract: DatasetContract) -> dict[str, datetime]:
    """Of every series with a whole context in `rows`, the time of the context's oldest row."""
    by_series = _times(rows, contract)
    return {name: times[-contract.context_rows] for name, times in by_series.items() if _enough(times, contract)}


def _cutoff(rows: pa.Table, contract: DatasetContract) -> dict[str, datetime]:
    """Of every series with a whole context in `rows`, the time from which on nothing older is context of anything."""
    by_series = {name: sorted(set(times)) for name, times in _times(rows, contract).items()}
    return {name: times[contract.context_rows - 1] for name, times in by_series.items() if _enough(times, contract)}


def _enough(times: list[datetime], contract: DatasetContract) -> bool:
    return len(times) >= contract.context_rows


def _times(rows: pa.Table, contract: DatasetContract) -> dict[str, list[datetime]]:
    times: list[datetime] = rows.column(contract.time).to_pylist()
    if contract.series is None:
        return {name: times for name in tokens([None])}
    found: dict[str | None, list[datetime]] = {}
    for name, time in zip(rows.column(contract.series).to_pylist(), times, strict=True):
        found.setdefault(name, []).append(time)
    return {token: each for name, each in found.items() for token in tokens([name])}


def merged(found: list[tuple[About, pa.Table]], contract: DatasetContract) -> pa.Table:
    """The rows in time order within each series; of rows of one series and time those of the file that came last."""
    if not found:
        return no_rows(contract)
    arrived = sorted(found, key=lambda each: each[0].run)
    rows = pa.concat_tables([each for _, each in arrived])
    order = time_order(rows, contract)
    arrival = np.repeat(np.arange(len(arrived)), [each.num_rows for _, each in arrived])[order]
    rows = rows.take(pa.array(order))
    times = rows.column(contract.time).to_numpy()
    differs = times[1:] != times[:-1]
    if contract.series is not None:
        codes = series_codes(rows, contract.series)
        differs |= codes[1:] != codes[:-1]
    group = np.concatenate([[0], np.cumsum(differs)])
    lasts = np.append(np.flatnonzero(differs), len(times) - 1)
    return rows.filter(pa.array(arrival == arrival[lasts][group]))
