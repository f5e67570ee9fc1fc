"""Workbooks and Parquet files, read by a process of their own.

Their libraries are written for sound files: some damaged ones they read for ever, or until the memory is gone, and no
thread of ours can be taken back from them. A process can: it is ended when it has been silent for too long, bounds its
own memory, and hands over nothing but columns of text. See `shared.unpacking`.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import pyarrow as pa

from shared import processes
from shared.tables.cells import ColumnRows
from shared.tables.model import Block, Reject, TableError

PATIENCE_SECONDS = 90.0
"""How long the reader may be silent while it is waited for. 400,000 rows of a workbook take 3 s of CPU."""
_KEPT = 1 << 16


@contextmanager
def unpacked(container: str, file: IO[bytes]) -> Iterator[tuple[list[str], Iterator[Block]]]:
    """The header and the rows of a file on disk, for as long as the context lasts.

    Args:
        container: `xlsx` or `parquet`.
        file: at its beginning; with a file descriptor.

    Raises:
        TableError: `unreadable_file`, `empty_file`; also while the rows are taken.
    """
    with tempfile.TemporaryFile() as complaints:
        process = _start(container, file, complaints)
        reading = _Reading(process, complaints)
        try:
            yield reading.header(), reading.blocks()
        finally:
            processes.end(process)
            if process.stdout is not None:
                process.stdout.close()


def _start(container: str, file: IO[bytes], complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    return processes.start("shared.unpacking", container, str(os.getpid()), stdin=file, stderr=complaints)


class _Reading:
    def __init__(self, process: subprocess.Popen[bytes], complaints: IO[bytes]) -> None:
        self._process = process
        self._complaints = complaints
        self._stream: Any = None

    def header(self) -> list[str]:
        self._stream = self._patiently(lambda: pa.ipc.open_stream(self._process.stdout))
        names: list[str] = json.loads(self._stream.schema.metadata[b"header"])
        return names

    def blocks(self) -> Iterator[Block]:
        while (found := self._patiently(self._next)) is not None:
            batch, about = found
            first = about.get("first")
            lines = about["lines"] if first is None else range(first, first + batch.num_rows)
            yield Block(ColumnRows(batch), lines, [Reject(*each) for each in about["rejects"]], set(about["native"]))

    def _next(self) -> tuple[pa.RecordBatch, dict[str, Any]] | None:
        try:
            batch, metadata = self._stream.read_next_batch_with_custom_metadata()
        except StopIteration:
            # A stream that breaks off between two batches ends like one that is whole.
            if self._process.wait() != 0:
                raise EOFError from None
            return None
        return batch, json.loads(metadata[b"about"])

    def _patiently(self, take: Callable[[], Any]) -> Any:
        with processes.ended_after(PATIENCE_SECONDS, self._process) as late:
            try:
                return take()
            except (pa.ArrowException, OSError, EOFError) as error:
                raise self._why(late=late.is_set()) from error

    def _why(self, *, late: bool) -> TableError:
        """What the process had against the file."""
        status = self._process.wait()
        if late:
            return TableError("unreadable_file", "The file is damaged: reading it comes to no end.")
        self._complaints.seek(max(0, self._complaints.seek(0, os.SEEK_END) - _KEPT))
        last = self._complaints.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
        try:
            told = json.loads(last)
            return TableError(told["code"], told["message"], told["line"])
        except (ValueError, TypeError, KeyError):
            return TableError("unreadable_file", f"The file is damaged: its reader ended with status {status}.")
