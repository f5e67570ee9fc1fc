"""Every container as the same thing: a header and blocks of text rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from typing import Protocol

from aml.contract import ContractError, DatasetContract
from shared.tables.cells import TextRows
from shared.tables.csvrows import Splitter, separator_line, whole_lines
from shared.tables.foreign import unpacked
from shared.tables.model import Block, Boundary, Dialect, PartSource, RecordsSource, Source, TableError
from shared.tables.streams import (
    BLOCK,
    blocks,
    decode,
    decode_from,
    encoded_size,
    encoding_of,
    gunzip,
    mark_size,
    refuse_binary,
    spool,
)

_DELIMITERS = ",;\t|"
_SNIFFED = 1 << 18
_TEXT_ENDINGS = (".csv", ".txt", ".tsv")
_SEEKING = ("xlsx", "parquet")


class Table(Protocol):
    """A file opened as a table. Its blocks can be taken once."""

    @property
    def header(self) -> list[str]:
        """Column names as they stand in the file."""

    def blocks(self) -> Iterator[Block]:
        """All rows, in file order."""

    def dialect(self) -> Dialect:
        """What is known of the container; complete once all blocks are taken."""


def container_of(name: str) -> str:
    """What a file's name says it is.

    Raises:
        TableError: `unsupported_format`.
    """
    low = name.lower()
    for ending in _TEXT_ENDINGS:
        if low.endswith(ending):
            return "csv"
        if low.endswith(ending + ".gz"):
            return "csv.gz"
    for container in _SEEKING:
        if low.endswith("." + container):
            return container
    raise TableError(
        "unsupported_format",
        f"{name!r} is not one of .csv, .csv.gz, .txt, .tsv, .xlsx and .parquet, which can be read.",
    )


@contextmanager
def open_table(
    source: Source,
    contract: DatasetContract,
    *,
    watch: Callable[[Iterable[bytes]], Iterator[bytes]] = iter,
    encoding: str | None = None,
    delimiter: str | None = None,
) -> Iterator[Table]:
    """Open a source by what its name says it is, for as long as the context lasts.

    Args:
        watch: is handed the source's own bytes as they pass.
        encoding, delimiter: what an earlier look has found; None to find out.

    Raises:
        TableError: it cannot be opened as a table.
        UnicodeDecodeError: the encoding is not the file's; may also come with any later block.
    """
    if isinstance(source, RecordsSource):
        for _ in watch(source.open()):
            pass
        yield _RecordsTable(source)
        return
    if isinstance(source, PartSource) and source.begin.offset:
        yield _PartTable(source)
        return
    container = container_of(source.name)
    pieces = watch(source.open())
    if container in _SEEKING:
        with spool(pieces) as file, unpacked(container, file) as (header, rows):
            yield _BlockTable(container, header, rows)
        return
    data = blocks(gunzip(pieces) if container == "csv.gz" else pieces)
    yield _TextTable(container, data, contract, encoding, delimiter)


class _TextTable:
    def __init__(
        self,
        container: str,
        data: Iterator[bytes],
        contract: DatasetContract,
        encoding: str | None,
        delimiter: str | None,
    ) -> None:
        first = next(data, b"")
        refuse_binary(first)
        self._container = container
        self._encoding = encoding or encoding_of(first)
        texts = whole_lines(decode(chain([first] if first else [], data), self._encoding))
        head, last = next(texts)
        self._delimiter = sniff_delimiter(head, last, contract) if delimiter is None else delimiter
        self._splitter = Splitter(self._delimiter)
        self._offset = mark_size(first, self._encoding)
        self._begun = [self._split(head, last)]
        self._texts = texts
        for text, last in texts if self._splitter.header is None else ():
            self._begun.append(self._split(text, last))
            if self._splitter.header is not None:
                break
        if self._splitter.header is None:
            raise TableError("empty_file", "The file is empty: it has no header and no rows.")
        self.header = self._splitter.header

    def blocks(self) -> Iterator[Block]:
        while self._begun:
            yield self._begun.pop(0)
        for text, last in self._texts:
            yield self._split(text, last)

    def _split(self, text: str, last: bool) -> Block:
        block = self._splitter.split(text, last)
        self._offset += encoded_size(text, self._encoding)
        line = self._splitter.next_line
        return block if line is None else replace(block, boundary=Boundary(self._offset, line))

    def dialect(self) -> Dialect:
        ends = self._splitter.ends
        return Dialect(
            container=self._container,
            encoding=self._encoding,
            delimiter=self._delimiter,
            quote='"' if self._splitter.quoted else "",
            line_end=next(iter(ends), "") if len(ends) < 2 else "mixed",
        )


class _PartTable:
    """A part of a text from which no header can be read: what comes before it is known from the survey.

    It is cut into the same blocks as the whole text, so that what depends on them (how far a quote that never closes
    is looked at) comes out the same.
    """

    def __init__(self, source: PartSource) -> None:
        self._source = source
        self.header = list(source.survey.header)

    def blocks(self) -> Iterator[Block]:
        dialect, begin = self._source.survey.dialect, self._source.begin
        splitter = Splitter(dialect.delimiter, self.header, begin.line)
        texts = decode_from(blocks(self._source.open(), begin.offset), dialect.encoding)
        for text, last in whole_lines(texts):
            yield splitter.split(text, last)

    def dialect(self) -> Dialect:
        return self._source.survey.dialect


class _BlockTable:
    """A container whose reader gives text rows by itself."""

    def __init__(self, container: str, header: list[str], rows: Iterator[Block]) -> None:
        self._container = container
        self._rows = rows
        self.header = header

    def blocks(self) -> Iterator[Block]:
        return self._rows

    def dialect(self) -> Dialect:
        return Dialect(container=self._container)


class _RecordsTable:
    def __init__(self, source: RecordsSource) -> None:
        if not source.records:
            raise TableError("empty_file", "There are no records.")
        self._records = source.records
        self._keys = list(dict.fromkeys(key for record in source.records for key in record))
        self.header = list(map(_sound, self._keys))

    def blocks(self) -> Iterator[Block]:
        step = max(1, (BLOCK >> 5) // max(1, len(self.header)))
        for start in range(0, len(self._records), step):
            part = self._records[start : start + step]
            rows = [[json_text(record.get(key)) for key in self._keys] for record in part]
            native = {at for record in part for at, key in enumerate(self._keys) if isinstance(record.get(key), float)}
            yield Block(TextRows(rows), range(start + 2, start + 2 + len(rows)), [], native)

    def dialect(self) -> Dialect:
        return Dialect(container="records")


def json_text(value: object) -> str:
    """A JSON value as the field of a table."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _sound(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    return _sound(json.dumps(value, ensure_ascii=False, default=str))


def _sound(text: str) -> str:
    """JSON may escape half a character, which no file can hold: it becomes the replacement character."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def sniff_delimiter(head: str, last: bool, contract: DatasetContract) -> str:
    """The delimiter, or "" for a single column, from a text's first lines.

    A delimiter must occur in the header. The one under which the contract's columns are there wins; then the one under
    which the larger share of the lines has as many fields as the header; then the one that makes more columns.

    Args:
        head: whole lines.
        last: they are all there is.
    """
    if len(head) > _SNIFFED:
        cut = max(head.rfind("\n", 0, _SNIFFED), head.rfind("\r", 0, _SNIFFED)) + 1
        last = last and not cut
        head = head[:cut] if cut else head
    lines = head.lstrip().split("\n", 1)
    declared = separator_line(lines[0].rstrip("\r"))
    if declared is not None:
        return declared
    candidates = [mark for mark in _DELIMITERS if mark in head]
    return max(["", *candidates], key=lambda mark: _fitness(mark, head, last, contract))


def _fitness(mark: str, head: str, last: bool, contract: DatasetContract) -> tuple[bool, bool, float, int]:
    splitter = Splitter(mark)
    try:
        block = splitter.split(head, last)
    except TableError:
        return False, False, -1.0, 0
    header: Sequence[str] = splitter.header or []
    if mark and len(header) < 2:
        return False, False, -1.0, 0
    good, bad = len(block.rows), len(block.rejects)
    share = good / (good + bad) if good + bad else 1.0
    try:
        contract.resolve(header)
        resolves = True
    except ContractError as error:
        resolves = error.code == "ambiguous_column"
    return resolves, bool(mark) and share >= 0.5, share, len(header)
