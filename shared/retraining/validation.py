"""Before money is spent: a dropped dataset is checked against its contract and written the way training reads it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from aml.contract import DatasetContract
from shared.naming import TRAINING
from shared.retraining.findings import Live, Report, UnfitDatasetError, examine, unreadable
from shared.retraining.labels import labels_to_read
from shared.retraining.repeated import Repeated
from shared.scoring.context import conform, no_rows, row_schema, tail, time_order
from shared.storage import BlobStore
from shared.tables import Source, Survey, TableError, Tally, read, survey

_ROWS_PER_GROUP = 100_000
_SAMPLE_ROWS = 50
_BLOCK_BYTES = 4 * 1024 * 1024
_UNUSABLE = "dropscore.unusable"


@dataclass(frozen=True)
class TrainingData:
    """A validated dataset: what it is and what was found in it (both for the run record), its last rows of every
    series, and a sample of its rows that any model of it must be able to score."""

    found: dict[str, Any]
    report: Report
    latest: pa.Table
    sample: pa.Table


def prepare(
    source: Source, contract: DatasetContract, blobs: BlobStore, name: str, attempt: str, live: Live | None = None
) -> TrainingData:
    """Checks the dataset and writes its usable rows as Parquet to `name` in the container `training`.

    The Parquet file holds the contract's columns under their canonical names, in file order, so that the training job
    needs to know nothing of dialects. Memory is bounded whatever the file's size, but for the times of a file that is
    in no order of time, 12 bytes a row; the disk holds the Parquet once.

    Args:
        live: what the dataset must not be older than.

    Raises:
        UnfitDatasetError: with the report; a code of `TableError` or of `findings`.
    """
    contract = contract.labelled()
    try:
        found = survey(source, contract)
    except TableError as error:
        raise UnfitDatasetError(unreadable(error)) from error
    report = _passed(examine(found, contract, found.repeated if found.ordered else Tally(), live))
    latest = sample = no_rows(contract)
    scattered, labels = None if found.ordered else Repeated(), labels_to_read(contract)
    with tempfile.TemporaryFile() as file:
        bad = (found.unusable + found.rejected) / found.data_rows
        schema = row_schema(contract).with_metadata({_UNUSABLE: str(bad)})  # which training could not know else
        with pq.ParquetWriter(file, schema) as writer:
            for chunk in read(source, found, contract, rows_per_chunk=_ROWS_PER_GROUP):
                rows = conform(pa.Table.from_batches([chunk.batch]), contract)
                writer.write_table(rows.cast(schema))
                if scattered is not None:
                    scattered.add(rows, chunk, contract)
                if labels is not None:
                    labels.add(rows, chunk)
                sample = pa.concat_tables([sample, rows.slice(max(0, rows.num_rows - _SAMPLE_ROWS))])
                sample = sample.slice(max(0, sample.num_rows - _SAMPLE_ROWS))
                rows = pa.concat_tables([latest, rows])
                latest = tail(rows.take(pa.array(time_order(rows, contract))), contract)
        if scattered is not None:
            report = _passed(examine(found, contract, scattered.tally(), live))
        if labels is not None:
            report = _passed(report.with_more([*labels.errors()], [*labels.warnings()]))
        file.seek(0)
        blocks, digest = [], hashlib.sha256()
        for index, piece in enumerate(_pieces(file)):
            blocks.append(f"{index:06d}-{attempt}")
            blobs.stage(TRAINING, name, blocks[-1], piece)
            digest.update(piece)
        blobs.commit(TRAINING, name, blocks)
    about = describe(found) | {"rows_sha256": digest.hexdigest()}
    if labels is not None and labels.there:
        about["labels"] = labels.as_dict()
    return TrainingData(about, report, latest, sample.take(pa.array(time_order(sample, contract))))


def _passed(report: Report) -> Report:
    if report.errors:
        raise UnfitDatasetError(report)
    return report


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_BLOCK_BYTES):
        yield piece


def describe(found: Survey) -> dict[str, Any]:
    """What the run record says about the dataset."""
    return {
        "sha256": found.sha256,
        "bytes": found.size,
        "rows": found.data_rows,
        "usable": found.rows - found.unusable,
        "unusable": found.unusable,
        "rejected": found.rejected,
        "examples": [{"line": example.line, "reason": example.reason} for example in found.examples],
        **({"classes": dict(found.classes)} if found.classes else {}),
        "first_time": found.first_time and found.first_time.isoformat(sep=" "),
        "last_time": found.last_time and found.last_time.isoformat(sep=" "),
        "in_time_order": found.ordered,
        "dialect": found.dialect.as_dict(),
    }
