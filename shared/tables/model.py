"""What the table room speaks of: sources, dialects, surveys, chunks, rejects, and its one error."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shared.errors import InvalidInputError
from shared.tables.cells import Cells, Rows


class TableError(InvalidInputError):
    """A file that is no table for this contract.

    Codes: `empty_file`, `no_rows`, `no_usable_row`, `binary_file`, `unknown_encoding`, `line_too_long`,
    `missing_column`, `ambiguous_column`, `contradictory_times`, `unsupported_format`, `unreadable_file`,
    `bad_header`; and from `read` alone `changed_file`.
    """

    def __init__(self, code: str, message: str, line: int | None = None) -> None:
        super().__init__(code, message, line=line)
        self.line = line


class Source(Protocol):
    """Where a file's bytes come from."""

    @property
    def name(self) -> str:
        """The file's name; its ending says what the file is."""

    def open(self) -> Iterator[bytes]:
        """The whole file from its beginning, in pieces of any size; every call starts afresh."""


@dataclass(frozen=True)
class BytesSource:
    """A file that is already in memory, handed out in pieces of `piece` bytes."""

    name: str
    data: bytes
    piece: int = 1 << 20

    def open(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """See `RangedSource.open`."""
        until = len(self.data) if end is None else end
        for at in range(start, until, self.piece):
            yield self.data[at : min(at + self.piece, until)]


@dataclass(frozen=True)
class RecordsSource:
    """Records that came inline: a table whose header is the union of their keys in the order first seen.

    Numbers become their shortest text, None and missing keys the empty field, booleans `true` and `false`, lists and
    objects their JSON. Every record is a row, an empty one too.
    """

    records: Sequence[Mapping[str, object]]
    name: str = "request.json"

    def open(self) -> Iterator[bytes]:
        """The records as JSON, one a line; only the survey's digest and size are taken from it."""
        for record in self.records:
            yield json.dumps(record, default=str).encode() + b"\n"


class RangedSource(Protocol):
    """A source that can be opened in the middle."""

    @property
    def name(self) -> str:
        """See `Source`."""

    def open(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The file's bytes from `start` to before `end` (None: to its end), in pieces of any size."""


@dataclass(frozen=True)
class PartSource:
    """A part of a text that was surveyed: the bytes from one boundary to before the offset `end`.

    Read under the survey of the whole (with the part's own numbers of rows and rejects) it gives the very rows, errors
    and rejects that the whole gives there.
    """

    source: RangedSource
    survey: Survey
    begin: Boundary
    end: int | None

    @property
    def name(self) -> str:
        """The whole file's."""
        return self.source.name

    def open(self) -> Iterator[bytes]:
        """See `Source.open`."""
        return self.source.open(self.begin.offset, self.end)


@dataclass(frozen=True)
class TimeFormat:
    """How a time column is written. Offsets and `Z` are read over: a time is the wall clock as written.

    Attributes:
        layout: the commonest layout, e.g. `dd/mm/yyyy HH:MM:SS`.
        day_first: whether `05/04/2026` is the fifth of April; of no effect on years that come first.
        evidence: what decided it: `year first`, `proof` (a number above 12), `order` (the part that changes oftener is
            the day), `am/pm` (month first), or `default` (day first).
        zoned: some times carry an offset, which was read over.
    """

    layout: str
    day_first: bool
    evidence: str
    zoned: bool


@dataclass(frozen=True)
class Dialect:
    """How a file is written; everything `read` needs to read it as `survey` did.

    Attributes:
        container: `csv`, `csv.gz`, `xlsx`, `parquet` or `records`.
        encoding: Python's name of the encoding; empty for containers that are no text.
        delimiter: one character; empty for a file of one column.
        decimal: `.` or `,`.
        thousands: the marks that group digits in this file, each one character, e.g. `.` or ` '`; usually empty.
        quote: `"` when fields are quoted anywhere, else empty.
        line_end: `\\n`, `\\r\\n`, `\\r`, `mixed`, or empty when there is none.
        times: one format for each time column, by canonical name.
    """

    container: str
    encoding: str = ""
    delimiter: str = ""
    decimal: str = "."
    thousands: str = ""
    quote: str = ""
    line_end: str = ""
    times: Mapping[str, TimeFormat] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The dialect for a manifest: JSON-serialisable."""
        return asdict(self)


@dataclass(frozen=True)
class Range:
    """Least and greatest usable value of a number column."""

    minimum: float
    maximum: float


@dataclass(frozen=True)
class Example:
    """One row that cannot be scored: its first physical line, counted from 1, and why."""

    line: int
    reason: str


@dataclass(frozen=True)
class Tally:
    """How many rows something was found in, and the first five of them."""

    count: int = 0
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Reject:
    """A line that cannot be split into the header's columns: its number counted from 1, why, and the line as it was."""

    line: int
    reason: str
    text: str


@dataclass(frozen=True)
class Survey:
    """What one look over the whole file tells.

    Attributes:
        sha256, size: of the file's own bytes (of a `.csv.gz`, compressed).
        header: the column names as they stand in the file.
        columns: canonical name -> position in the header, for every contract column that the file has.
        rows: data rows that split into the header's columns; `rejected`: lines that do not.
        unusable: rows among `rows` that have no prediction to expect; `examples`: the first five of them.
        first_time, last_time: least and greatest time of the usable rows; None without a time column.
        ordered: within each series the times of the usable rows never decrease.
        duplicate_times: usable rows whose time equals the one before them in their series; None unless `ordered`.
        ranges: by canonical name, for number columns with a usable value.
        flaws: what makes rows unusable, by canonical name, then by kind (`typed.FLAWS`); a row may have several.
        warnings: likewise what is odd about rows that can be used (`typed.FLAWS` and `typed.IMPUTED`).
        classes: of training data that name a target, the usable rows of each class.
        rejects: the `rejected` lines.
        backwards: usable rows whose time is before that of the row before them in their series.
        repeated: the rows of `duplicate_times`; of no meaning unless `ordered`.
        series: how many series the usable rows are of.
        turns: how often the next usable row is of another series than the one before it, and 1 for the first.
        constant: canonical names of number and text columns in which all usable values are one, and there are two or
            more of them.
    """

    name: str
    sha256: str
    size: int
    dialect: Dialect
    header: tuple[str, ...]
    columns: Mapping[str, int]
    rows: int
    rejected: int
    unusable: int
    examples: tuple[Example, ...]
    first_time: datetime | None
    last_time: datetime | None
    ordered: bool
    duplicate_times: int | None
    ranges: Mapping[str, Range]
    flaws: Mapping[str, Mapping[str, Tally]] = field(default_factory=dict)
    rejects: Tally = Tally()
    backwards: Tally = Tally()
    repeated: Tally = Tally()
    constant: tuple[str, ...] = ()
    series: int = 0
    turns: int = 0
    warnings: Mapping[str, Mapping[str, Tally]] = field(default_factory=dict)
    classes: Mapping[str, int] = field(default_factory=dict)

    @property
    def data_rows(self) -> int:
        """Data rows in: what scored + errors + rejected must add up to."""
        return self.rows + self.rejected


@dataclass(frozen=True)
class Flaws:
    """Fields of one column without a usable value: empty ones, ones that cannot be read, values out of bounds."""

    empty: int = 0
    invalid: int = 0
    outside: int = 0

    def __add__(self, other: Flaws) -> Flaws:
        return Flaws(self.empty + other.empty, self.invalid + other.invalid, self.outside + other.outside)


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a file.

    Attributes:
        index: 0, 1, 2, … within the file.
        first_row: position of the first of `cells` among all rows that split, counted from 0.
        cells: the rows' fields as they stand in the file, each as wide as the header.
        batch: the usable rows in file order, typed: canonical columns that the file has, in the contract's order
            (time: timestamp[us] without zone, number: float64, text: string; an empty optional field is null).
        usable: shape (len(cells),), True where the row is in `batch`.
        errors: per row, empty or why it has no prediction.
        rejects: lines that do not split, met since the chunk before. A chunk may hold rejects alone: the last one, or
            any where there are very many.
        flaws: by canonical name, of the columns that have any; all chunks' together are the file's, but those of rows
            that were read together are all in the chunk where these begin.
        warnings: by position among `cells`, what is odd about rows that can be used all the same; empty where the rows
            are what the survey has kept.
        lines: in portions, one after the other, the physical line on which each of `cells` begins; empty where the rows
            are what the survey has kept.
    """

    index: int
    first_row: int
    cells: Cells
    batch: pa.RecordBatch
    usable: NDArray[np.bool_]
    errors: list[str]
    rejects: list[Reject]
    flaws: Mapping[str, Flaws] = field(default_factory=dict)
    lines: Sequence[Sequence[int]] = ()
    warnings: Mapping[int, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Boundary:
    """A place in a text at which a record begins: bytes from the file's beginning, and the physical line's number."""

    offset: int
    line: int


@dataclass(frozen=True)
class Block:
    """Rows as a container hands them out.

    Attributes:
        lines: `lines[i]` is the physical line on which row i begins.
        native: positions of columns with fractions that were numbers in the file, not text.
        boundary: where a text may be cut behind this block; None where a record is still open, and in other containers.
    """

    rows: Rows
    lines: Sequence[int]
    rejects: list[Reject]
    native: Set[int] = frozenset()
    boundary: Boundary | None = None
