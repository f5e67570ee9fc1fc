"""What the instances that score one file together leave for each other in `state`.

``parts/<dataset>/<run>/<key>/``: the plan, the history before the file, of each part the context (the essence of the
rows before it), a claim while somebody scores it and the record of what came of it, and which deployment answers for
the whole file. All of it is removed when the run has ended.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter

from aml.contract import DatasetContract
from shared.errors import ConflictError, NotFoundError
from shared.naming import STATE
from shared.runs import Run
from shared.scoring.context import conform, no_rows, read_table, write_table
from shared.scoring.journal import PARTS
from shared.scoring.ranges import Range
from shared.scoring.targets import Target
from shared.storage import ABSENT, BlobStore
from shared.tables import Survey

_ABOUT = b"dropscore.part"


@dataclass(frozen=True)
class Plan:
    """How a file is cut, and everything that each part is scored under."""

    revision: int
    fingerprint: str
    rows_per_batch: int
    started: datetime
    found: Survey
    target: Target
    ranges: tuple[Range, ...]


_PLAN = TypeAdapter(Plan)


@dataclass(frozen=True)
class Pin:
    """Which deployment and model answer for the whole file, as the first answer said ('' and None: it did not)."""

    deployment: str | None
    model: str
    version: str


@dataclass(frozen=True)
class PartContext:
    """What comes before a part.

    Attributes:
        rows: the essence of the rows before it.
        sure: none of them was, or will be, refused by the endpoint; else that is taken on trust.
        accepted: some row before it was accepted; never True on trust.
        digest: names the context in short.
    """

    rows: pa.Table
    sure: bool
    accepted: bool
    digest: str = ""


@dataclass(frozen=True)
class PartRecord:
    """What came of scoring a part once.

    Attributes:
        accepted: the essence of its rows that the endpoint accepted.
        doubt: nothing did, because its context is not to be trusted; the rest says nothing then.
        used: see `shared.scoring.ranges.used`, for the series `names` that occur in it.
        scored, rejected: the names of the blocks that hold it, and `bytes` how many bytes they have.
        counts, classes: see `shared.scoring.table.Counts`.
        conversation: see `shared.scoring.scorer.Conversation`.
        observed: see `shared.scoring.observed.Observed`.
        tally: see `shared.drift.tally.Tally`; None where the model has no profile.
    """

    accepted: pa.Table
    doubt: bool = False
    used: str = ""
    names: tuple[str | None, ...] = ()
    scored: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    bytes: tuple[int, int] = (0, 0)
    counts: tuple[int, int, int] = (0, 0, 0)
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    conversation: dict[str, Any] = field(default_factory=dict)
    observed: dict[str, Any] = field(default_factory=dict)
    tally: dict[str, Any] | None = None


class PartStore:
    """The folder of one plan."""

    def __init__(self, blobs: BlobStore, run: Run, key: str, contract: DatasetContract) -> None:
        self._blobs, self._contract = blobs, contract
        self._folder = f"{PARTS}{run.dataset}/{run.id}/{key}/"

    def plan(self) -> Plan | None:
        """The plan, once it is there with all that belongs to it."""
        data = self._read("plan.json")
        return None if data is None else _PLAN.validate_json(data[0])

    def begin(self, plan: Plan, history: pa.Table, before: Iterable[pa.Table]) -> None:
        """Writes the plan, after everything that belongs to it; another instance's holds where it was quicker."""
        self._put("history.arrow", write_table(history))
        for index, rows in enumerate(before):
            self.put_context(index, PartContext(rows, index == 0, accepted=False))
        try:
            self._put("plan.json", _PLAN.dump_json(plan), ABSENT)
        except ConflictError:
            return

    def history(self) -> pa.Table:
        """The rows known from before the file."""
        data = self._read("history.arrow")
        return no_rows(self._contract) if data is None else read_table(data[0])

    def context(self, index: int) -> PartContext:
        """What comes before a part, as far as it is known at the moment."""
        data, _ = self._blobs.get(STATE, f"{self._folder}context-{index:05d}.arrow")
        table = read_table(data)
        about = json.loads(table.schema.metadata[_ABOUT])
        return PartContext(conform(table, self._contract), **about, digest=hashlib.sha256(data).hexdigest()[:16])

    def put_context(self, index: int, context: PartContext) -> None:
        """Says what comes before a part."""
        about = {"sure": context.sure, "accepted": context.accepted}
        self._put(f"context-{index:05d}.arrow", _table(context.rows, about))

    def done(self) -> set[int]:
        """The parts that have a record."""
        names = (info.name.rpartition("/")[2] for info in self._blobs.list_blobs(STATE, f"{self._folder}record-"))
        return {int(name.removeprefix("record-").removesuffix(".arrow")) for name in names}

    def record(self, index: int) -> PartRecord | None:
        """What came of a part; None where nothing did yet."""
        data = self._read(f"record-{index:05d}.arrow")
        if data is None:
            return None
        table = read_table(data[0])
        about = json.loads(table.schema.metadata[_ABOUT])
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in about.items()
        }
        return PartRecord(conform(table, self._contract), **values)

    def put_record(self, index: int, record: PartRecord) -> None:
        """Says what came of a part, unless somebody else did already; then his, which is as good, stands."""
        about = {name: value for name, value in vars(record).items() if name != "accepted"}
        try:
            self._put(f"record-{index:05d}.arrow", _table(record.accepted, about), ABSENT)
        except ConflictError:
            return

    def forget(self, index: int) -> None:
        """Removes the record of a part that has to be scored again."""
        self._blobs.delete(STATE, f"{self._folder}record-{index:05d}.arrow")

    def pin(self) -> Pin | None:
        """Which deployment answers for the file; None until an answer came."""
        data = self._read("pin.json")
        return None if data is None else Pin(**json.loads(data[0]))

    def agree(self, pin: Pin) -> Pin:
        """Pins the file, unless it is: then the pin that holds."""
        try:
            self._put("pin.json", json.dumps(asdict(pin)).encode(), ABSENT)
        except ConflictError:
            return self.pin() or pin
        return pin

    def hold(self, index: int, clock: Callable[[], datetime], lasting: timedelta) -> Hold | None:
        """Claims a part; None while somebody else has it."""
        name = f"{self._folder}claim-{index:05d}.json"
        found = self._read(f"claim-{index:05d}.json")
        if found is not None and datetime.fromisoformat(json.loads(found[0])["until"]) > clock():
            return None
        hold = Hold(self._blobs, name, clock, lasting, ABSENT if found is None else found[1])
        try:
            hold.take()
        except ConflictError:
            return None
        return hold

    def is_held(self, index: int, now: datetime) -> bool:
        """Whether somebody scores the part at the moment."""
        found = self._read(f"claim-{index:05d}.json")
        return found is not None and datetime.fromisoformat(json.loads(found[0])["until"]) > now

    def _read(self, name: str) -> tuple[bytes, str] | None:
        try:
            data, info = self._blobs.get(STATE, self._folder + name)
        except NotFoundError:
            return None
        return data, info.etag

    def _put(self, name: str, data: bytes, if_match: str | None = None) -> None:
        self._blobs.put(STATE, self._folder + name, data, if_match=if_match)


class Hold:
    """A part in hand, for a while and longer by signs of life; `ConflictError` once somebody else took it over."""

    def __init__(
        self, blobs: BlobStore, name: str, clock: Callable[[], datetime], lasting: timedelta, etag: str
    ) -> None:
        self._blobs, self._name, self._clock, self._lasting, self._etag = blobs, name, clock, lasting, etag
        self._until = clock()

    def take(self) -> None:
        """Claims the part from now on."""
        self._until = self._clock() + self._lasting
        data = json.dumps({"until": self._until.isoformat()}).encode()
        self._etag = self._blobs.put(STATE, self._name, data, if_match=self._etag)

    def renew(self) -> None:
        """A sign of life, written once half of the time has passed."""
        if self._until - self._clock() < self._lasting / 2:
            self.take()

    def release(self) -> None:
        """Gives the part back."""
        self._blobs.delete(STATE, self._name, if_match=self._etag)


def _table(rows: pa.Table, about: dict[str, Any]) -> bytes:
    return write_table(rows.replace_schema_metadata({_ABOUT: json.dumps(about).encode()}))
