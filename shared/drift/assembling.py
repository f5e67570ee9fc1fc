"""A training set out of the live model's training rows and the rows of recent files, written as a dropped dataset."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aml.contract import DatasetContract
from shared.drift.recent import Measured
from shared.errors import ConflictError, InvalidInputError, NotFoundError
from shared.naming import DATASETS, TRAINING
from shared.scoring.context import conform, row_schema
from shared.scoring.joining import merged
from shared.storage import ABSENT, BlobStore
from shared.tables import read, survey

_ROWS_PER_CHUNK = 100_000
_BLOCK_BYTES = 4 * 1024 * 1024
_RECENT_ROWS = 2_000_000


@dataclass(frozen=True)
class _File:
    """One version of a dropped file, see `shared.tables.Source`."""

    blobs: BlobStore
    name: str
    etag: str

    def open(self) -> Iterator[bytes]:
        container, _, name = self.name.partition("/")
        return self.blobs.pieces(container, name, self.etag)


def assemble(
    blobs: BlobStore,
    contract: DatasetContract,
    model: str,
    files: Sequence[Measured],
    name: str,
    announce: Callable[[dict[str, Any]], None],
) -> bool:
    """Writes the training set to `name` in `datasets`, unless one is there already.

    First the rows that the live model was trained on, as they were validated; recent files alone would often be too
    short, and would make the model forget the other seasons. Then those rows of the files that are later than all of
    them, in order of series and time; of rows of one series and time in two files those of the file that came last.
    Rows that were flagged as anomalous are kept: a model that the data have left behind flags the new normal, and
    without it nothing would be learnt. The contract's contamination says how many rows a model declares anomalous.

    Args:
        model: the training run of the live model.
        files: recent files, latest rows first; those replaced or removed meanwhile are left out.
        announce: is told what goes in, for the record, just before the training set can be seen by anybody.

    Returns:
        False, and nothing is written, when the files have no later row.
    """
    with tempfile.TemporaryFile() as file:
        with pq.ParquetWriter(file, row_schema(contract)) as writer:
            trained, last = _copy(blobs, contract, model, writer)
            used, rows = _rows(blobs, contract, files, last)
            if rows.num_rows == 0:
                return False
            writer.write_table(rows)
        file.seek(0)
        announce(
            {
                "training_rows": trained,
                "recent_rows": rows.num_rows,
                "recent_files": len(used),
                "flagged_rows_kept": sum(each.anomalies for each in used),
            }
        )
        _put(blobs, name, file)
    return True


def _copy(blobs: BlobStore, contract: DatasetContract, model: str, writer: Any) -> tuple[int, datetime | None]:
    """The rows that the live model was trained on, if they are still there: how many, and the last one's time."""
    name = f"{contract.name}/{model}/data.parquet"
    rows, last = 0, None
    try:
        etag = blobs.info(TRAINING, name).etag
    except NotFoundError:
        return 0, None
    with tempfile.TemporaryFile() as file:
        for piece in blobs.pieces(TRAINING, name, etag):
            file.write(piece)
        file.seek(0)
        for batch in pq.ParquetFile(file).iter_batches(_ROWS_PER_CHUNK):
            table = conform(pa.Table.from_batches([batch]), contract)
            writer.write_table(table)
            end = pc.max(table.column(contract.time)).as_py()
            rows, last = rows + table.num_rows, end if last is None else max(last, end)
    return rows, last


def _rows(
    blobs: BlobStore, contract: DatasetContract, files: Sequence[Measured], last: datetime | None
) -> tuple[list[Measured], pa.Table]:
    """The rows later than `last`, of as many of the latest files as may be held at once."""
    used: list[Measured] = []
    found: list[tuple[str, pa.Table]] = []
    held = 0
    for each in files:
        if held >= _RECENT_ROWS:
            break
        rows = _later(blobs, contract, each, last)
        if rows is not None and rows.num_rows:
            found.append((each.run, rows))
            used.append(each)
            held += rows.num_rows
    return used, merged(found, contract)


def _later(blobs: BlobStore, contract: DatasetContract, file: Measured, last: datetime | None) -> pa.Table | None:
    """The usable rows of one file; None when it is not there any more as it was scored."""
    source = _File(blobs, file.blob, file.etag)
    try:
        found = survey(source, contract)
        parts = [
            pa.Table.from_batches([chunk.batch])
            for chunk in read(source, found, contract, rows_per_chunk=_ROWS_PER_CHUNK)
        ]
    except (ConflictError, InvalidInputError, NotFoundError):
        return None
    rows = conform(pa.concat_tables(parts), contract)
    return (
        rows
        if last is None
        else rows.filter(pc.greater(rows.column(contract.time), pa.scalar(last, pa.timestamp("us"))))
    )


def _put(blobs: BlobStore, name: str, file: IO[bytes]) -> None:
    """All or nothing; what is there already, of an attempt that died before it could say so, stays."""
    attempt = uuid4().hex[:8]
    blocks: list[str] = []
    while piece := file.read(_BLOCK_BYTES):
        blocks.append(f"{len(blocks):06d}-{attempt}")
        blobs.stage(DATASETS, name, blocks[-1], piece)
    try:
        blobs.commit(DATASETS, name, blocks, if_match=ABSENT)
    except ConflictError:
        blobs.info(DATASETS, name)
