"""Before money is spent: a dropped dataset is checked against its contract and written the way training reads it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from aml.contract import DatasetContract
from shared.errors import InvalidInputError
from shared.naming import TRAINING
from shared.scoring.context import conform, no_rows, row_schema, tail, time_order
from shared.storage import BlobStore
from shared.tables import Source, Survey, read, survey

_ROWS_PER_GROUP = 100_000
_SAMPLE_ROWS = 50
_BLOCK_BYTES = 4 * 1024 * 1024
_UNUSABLE = "dropscore.unusable"


@dataclass(frozen=True)
class TrainingData:
    """A validated dataset: what was found in it (for the run record), its last rows of every series, and a sample of
    its rows that any model of it must be able to score."""

    found: dict[str, Any]
    latest: pa.Table
    sample: pa.Table


def prepare(source: Source, contract: DatasetContract, blobs: BlobStore, name: str, attempt: str) -> TrainingData:
    """Checks the dataset and writes its usable rows as Parquet to `name` in the container `training`.

    The Parquet file holds the contract's columns under their canonical names, in file order, so that the training job
    needs to know nothing of dialects. Memory is bounded whatever the file's size; the disk holds the Parquet once.

    Raises:
        InvalidInputError: a code of `TableError`, or ``too_few_rows``, ``too_few_days``, ``too_many_unusable``.
    """
    found = survey(source, contract)
    check(found, contract)
    latest = sample = no_rows(contract)
    with tempfile.TemporaryFile() as file:
        bad = (found.unusable + found.rejected) / found.data_rows
        schema = row_schema(contract).with_metadata({_UNUSABLE: str(bad)})  # which training could not know else
        with pq.ParquetWriter(file, schema) as writer:
            for chunk in read(source, found, contract, rows_per_chunk=_ROWS_PER_GROUP):
                rows = conform(pa.Table.from_batches([chunk.batch]), contract)
                writer.write_table(rows.cast(schema))
                sample = pa.concat_tables([sample, rows.slice(max(0, rows.num_rows - _SAMPLE_ROWS))])
                sample = sample.slice(max(0, sample.num_rows - _SAMPLE_ROWS))
                rows = pa.concat_tables([latest, rows])
                latest = tail(rows.take(pa.array(time_order(rows, contract))), contract)
        file.seek(0)
        blocks = []
        for index, piece in enumerate(_pieces(file)):
            blocks.append(f"{index:06d}-{attempt}")
            blobs.stage(TRAINING, name, blocks[-1], piece)
        blobs.commit(TRAINING, name, blocks)
    return TrainingData(describe(found), latest, sample.take(pa.array(time_order(sample, contract))))


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_BLOCK_BYTES):
        yield piece


def check(found: Survey, contract: DatasetContract) -> None:
    """Raises `InvalidInputError` unless what was found is enough to train on."""
    rules, usable = contract.training, found.rows - found.unusable
    bad = found.unusable + found.rejected
    if bad > rules.max_unusable_share * found.data_rows:
        first = found.examples[0] if found.examples else None
        example = f" The first is line {first.line}: {first.reason}." if first else ""
        raise InvalidInputError(
            "too_many_unusable",
            f"{bad} of {found.data_rows} rows cannot be used; at most {rules.max_unusable_share:.0%} may be.{example}",
        )
    if usable < rules.min_rows:
        raise InvalidInputError(
            "too_few_rows", f"The dataset has {usable} usable rows; training needs at least {rules.min_rows}."
        )
    if found.first_time is None or found.last_time is None:
        return
    span = found.last_time - found.first_time
    if span < timedelta(days=rules.min_days):
        tenths = span * 10 // timedelta(days=1)  # rounded down: "13.0 days; needs at least 13" would help nobody
        raise InvalidInputError(
            "too_few_days",
            f"The dataset covers {tenths / 10:.1f} days; training needs at least {rules.min_days:g}.",
        )


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
        "first_time": found.first_time and found.first_time.isoformat(sep=" "),
        "last_time": found.last_time and found.last_time.isoformat(sep=" "),
        "in_time_order": found.ordered,
        "dialect": found.dialect.as_dict(),
    }
