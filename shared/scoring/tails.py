"""The tails of files in the `state` container: their last rows, found by the time at which they end.

`history/<dataset>/<year-month>/<end>_<digest of the source>_<digest of the run>.arrow`: the rows, with what is known of
the file they come from. The metadata of these blobs are an index: a listing of a month tells what there is without
opening one of them.
`sources/<dataset>/<digest of the source>.json`: under which names the tail of a file lies, or lay a moment ago.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from aml.contract import DatasetContract
from shared.errors import NotFoundError
from shared.naming import STATE
from shared.scoring.context import conform, read_table, write_table
from shared.scoring.packs import About, KeptTail, Packs, TailCache
from shared.storage import ABSENT, BlobInfo, BlobStore
from shared.telemetry import carried

_ABOUT = b"dropscore.about"
_TOKENS_KEPT = 600
"""So many series fit into a blob's metadata (8 KB); the tail of a file of more is opened to know which they are."""

_AT_ONCE = 8
"""So many tails are fetched at once."""

_WITHOUT_PACK = 4
"""So many tails are fetched one by one before a pack is looked for."""

_WORTH_A_PACK = 8
"""Where so many had to be fetched although there is a pack, it is written anew."""

_MONTHS_ALONE = 2
"""So many months are listed one by one; what is not found there is looked for in whole years, with fewer requests."""


class Tail(BaseModel):
    """What a listing tells of a tail: the times of its oldest and last row, the file's first one, and its series."""

    model_config = ConfigDict(frozen=True)

    name: str
    since: datetime
    end: datetime
    first: datetime
    series: frozenset[str] | None

    @property
    def source(self) -> str:
        """Of which file it is the tail, as `digest` says it."""
        return self.name.rpartition("/")[2].split("_")[1]

    def shared(self, wanted: frozenset[str] | None) -> frozenset[str] | None:
        """Which of the wanted series it has; None where either is not known."""
        return self.series if wanted is None else wanted if self.series is None else self.series & wanted


class Pointer(BaseModel):
    """Where the tail of a file lies, newest last; more than one while a file's newer version moves it."""

    run: str
    tails: tuple[Tail, ...]


class Tails:
    """The store; every write is one blob's, and what several instances might write at once is written conditionally.

    What was listed or read once is not asked for again: make one for each look.

    Args:
        cache: what the process knows of tails already.
    """

    def __init__(self, blobs: BlobStore, contract: DatasetContract, cache: TailCache) -> None:
        self._blobs, self._contract, self._cache = blobs, contract, cache
        self._packs = Packs(blobs, contract)
        self._listed: dict[str, list[Tail]] = {}
        self._etags: dict[str, str] = {}
        self._read: dict[str, KeptTail | None] = {}
        self._fetched: set[str] = set()
        self._unpacked: set[str] = set()

    def ending_before(self, moment: datetime) -> Iterator[Tail]:
        """The tails of files that end before that moment, the nearest first; lists a month at a time."""
        for month in reversed(self._months):
            if month <= month_of(moment):
                yield from (tail for tail in reversed(self._of_month(month)) if tail.end < moment)

    def ending_from(self, moment: datetime) -> Iterator[Tail]:
        """The tails of files that end at that moment or later, the nearest first; lists a month at a time."""
        for month in self._months:
            if month >= month_of(moment):
                yield from (tail for tail in self._of_month(month) if tail.end >= moment)

    @cached_property
    def _months(self) -> list[str]:
        return sorted(self._blobs.folders(STATE, f"history/{self._contract.name}/"))

    def _of_month(self, month: str) -> list[Tail]:
        if month not in self._listed:
            year = month.partition("-")[0]
            span = f"{month}/" if len(self._listed) < _MONTHS_ALONE else f"{year}-"
            found: dict[str, list[Tail]] = {each: [] for each in self._months if f"{each}/".startswith(span)}
            for info in self._blobs.list_blobs(STATE, f"history/{self._contract.name}/{span}"):
                found.setdefault(info.name.split("/")[2], []).append(_listed(info))
                self._etags[info.name] = info.etag
            self._listed = {**found, **self._listed}
        return self._listed[month]

    def read(self, name: str) -> KeptTail | None:
        """What is known of a file and its last rows; None when its tail has moved meanwhile."""
        return self.read_all([name], "")[0]

    def read_all(self, names: Sequence[str], month: str) -> list[KeptTail | None]:
        """The same of many, at once.

        Args:
            month: of the file that needs them, whose pack may hold them; empty where none is to be looked for.
        """
        missing = self._unknown(names)
        if len(missing) > _WITHOUT_PACK and month:
            missing = self._unpack(month, missing)
        if len(missing) == 1:
            self._read[missing[0]] = self._fetch(missing[0])
        elif missing:
            with ThreadPoolExecutor(min(_AT_ONCE, len(missing)), thread_name_prefix="tails") as pool:
                self._read.update(zip(missing, pool.map(carried(self._fetch), missing), strict=True))
        self._fetched.update(missing)
        return [self._read[name] for name in names]

    def pack(self, month: str) -> None:
        """Leaves what this look read for the next process that needs it, where that saves it many requests."""
        if len(self._fetched) >= _WORTH_A_PACK:
            self._packs.write(month, (each for each in self._read.values() if each is not None))
            self._fetched.clear()

    def _unknown(self, names: Sequence[str]) -> list[str]:
        missing = []
        for name in names:
            if name not in self._read:
                known = self._cache.get(name, self._etags.get(name, ""))
                if known is None:
                    missing.append(name)
                else:
                    self._read[name] = known
        return missing

    def _unpack(self, month: str, missing: Sequence[str]) -> list[str]:
        """Which of these tails are not in the packs of this month and the one before it."""
        for each in (month, _before(month)):
            if each not in self._unpacked and missing:
                self._unpacked.add(each)
                for tail in self._packs.read(each):
                    if self._etags.get(tail.name) == tail.etag:
                        self._cache.put(tail)
                missing = self._unknown(missing)
        return list(missing)

    def _fetch(self, name: str) -> KeptTail | None:
        try:
            body, info = self._blobs.get(STATE, name)
        except NotFoundError:
            return None
        return self._kept(name, info.etag, body)

    def _kept(self, name: str, etag: str, body: bytes) -> KeptTail:
        table = read_table(body)
        about = About.model_validate_json(table.schema.metadata[_ABOUT])
        kept = KeptTail(name, etag, about, conform(table, self._contract))
        self._cache.put(kept)
        return kept

    def pointer(self, source: str) -> tuple[Pointer | None, str]:
        """Where the tail of a file lies, and the ETag that `point` must name."""
        try:
            data, info = self._blobs.get(STATE, _pointer(self._contract, source))
        except NotFoundError:
            return None, ABSENT
        return Pointer.model_validate_json(data), info.etag

    def point(self, source: str, pointer: Pointer, etag: str) -> str:
        """Says where the tail of a file lies; `ConflictError` when somebody else did meanwhile."""
        return self._blobs.put(
            STATE, _pointer(self._contract, source), pointer.model_dump_json().encode(), if_match=etag
        )

    def unpoint(self, source: str, etag: str) -> None:
        """Forgets where the tail of a file lies; `ConflictError` when somebody else wrote it meanwhile."""
        self._blobs.delete(STATE, _pointer(self._contract, source), if_match=etag)

    def put(self, tail: Tail, about: About, rows: pa.Table) -> None:
        """Writes the rows under the tail's name."""
        series = "*" if tail.series is None else " ".join(sorted(tail.series))
        metadata = {"since": tail.since.isoformat(), "first": tail.first.isoformat(), "series": series}
        body = write_table(rows.replace_schema_metadata({_ABOUT: about.model_dump_json()}))
        etag = self._blobs.put(STATE, tail.name, body, metadata={**metadata, "end": tail.end.isoformat()})
        self._kept(tail.name, etag, body)  # the next file's first look is at this one

    def remove(self, tail: Tail) -> None:
        """Removes a tail."""
        self._blobs.delete(STATE, tail.name)


def describe(contract: DatasetContract, about: About, rows: pa.Table) -> Tail:
    """The index entry of these rows (at least one)."""
    times = rows.column(contract.time)
    since, end = pc.min(times).as_py(), pc.max(times).as_py()
    names = [None] if contract.series is None else pc.unique(rows.column(contract.series)).to_pylist()
    stamp = f"{end.year:04d}{end:%m%dT%H%M%S%f}"
    return Tail(
        name=f"history/{contract.name}/{month_of(end)}/{stamp}_{digest(about.source)}_{digest(about.run)}.arrow",
        since=since,
        end=end,
        first=about.first or since,
        series=tokens(names) if len(names) <= _TOKENS_KEPT else None,
    )


def tokens(names: Iterable[str | None]) -> frozenset[str]:
    """Short names of series for the index, ASCII whatever the series is called."""
    return frozenset("-" if name is None else hashlib.sha256(name.encode()).hexdigest()[:10] for name in names)


def digest(text: str) -> str:
    """The part of a blob's name that stands for a source file or a run."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _listed(info: BlobInfo) -> Tail:
    said = info.metadata
    series = None if said["series"] == "*" else said["series"].split()
    about = {"name": info.name, "since": said["since"], "end": said["end"], "first": said["first"]}
    return Tail.model_validate({**about, "series": series})


def month_of(moment: datetime) -> str:
    """The folder in which tails that end then lie."""
    return f"{moment.year:04d}-{moment.month:02d}"


def _before(month: str) -> str:
    year, number = map(int, month.split("-"))
    return f"{year:04d}-{number - 1:02d}" if number > 1 else f"{year - 1:04d}-12"


def _pointer(contract: DatasetContract, source: str) -> str:
    return f"sources/{contract.name}/{digest(source)}.json"
