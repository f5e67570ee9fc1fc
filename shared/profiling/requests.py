"""What the load consists of: bodies as the app would send them, of rows of a file, of training, or made up."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import pyarrow as pa

from aml.contract import Column, DatasetContract
from shared.errors import InvalidInputError
from shared.profiling.load import Send
from shared.scoring import wire
from shared.scoring.context import conform, no_rows
from shared.scoring.scorer import Client
from shared.tables import read, survey

_FIRST = datetime(2026, 1, 1)  # noqa: DTZ001 - files have local wall-clock times
_SEED = 7


@dataclass(frozen=True)
class PathSource:
    """A file on this machine as a source of bytes, see `shared.tables.Source`."""

    path: Path

    @property
    def name(self) -> str:
        """The file's name, whose ending says how it is read."""
        return self.path.name

    def open(self) -> Iterator[bytes]:
        """The file's bytes, piece by piece."""
        with self.path.open("rb") as file:
            while piece := file.read(1 << 20):
                yield piece


def rows_of_file(path: Path, contract: DatasetContract, most: int) -> pa.Table:
    """The file's first usable rows, typed; `InvalidInputError` where it has none."""
    source = PathSource(path)
    parts, found = [no_rows(contract)], 0
    for chunk in read(source, survey(source, contract), contract, rows_per_chunk=most):
        parts.append(conform(pa.Table.from_batches([chunk.batch]), contract))
        found += parts[-1].num_rows
        if found >= most:
            break
    if not found:
        raise InvalidInputError("no_usable_row", f"{path.name} has no usable row.")
    return pa.concat_tables(parts).slice(0, most)


def rows_of_contract(contract: DatasetContract, count: int) -> pa.Table:
    """Made-up rows, an hour apart, the same at every call: they cost the model what real ones do."""
    dice = random.Random(_SEED)
    columns = {column.name: _values(column, count, dice) for column in contract.columns if column.required}
    return conform(pa.table(columns), contract)


def _values(column: Column, count: int, dice: random.Random) -> pa.Array:
    if column.type == "time":
        return pa.array([_FIRST + timedelta(hours=n) for n in range(count)], pa.timestamp("us"))
    if column.type == "number":
        low = column.minimum if column.minimum is not None else 0.0
        high = column.maximum if column.maximum is not None else low + 1000.0
        return pa.array([dice.uniform(low, high) for _ in range(count)], pa.float64())
    return pa.array([f"{column.name}-1"] * count, pa.string())


def body_of(rows: pa.Table, count: int, contract: DatasetContract, kind: Literal["arrow", "json"]) -> bytes:
    """One request of `count` rows, repeated from the start where there are fewer, with context as a file's have."""
    repeated = pa.concat_tables([rows] * -(-(count + contract.context_rows) // rows.num_rows))
    context, asked = repeated.slice(0, contract.context_rows), repeated.slice(contract.context_rows, count)
    keep = [name for name in asked.schema.names if asked.column(name).null_count < count]
    encode = wire.encode_arrow if kind == "arrow" else wire.encode_json
    return encode(context.select(keep), asked.select(keep))


def sender(
    client: Client,
    body: bytes,
    rows: int,
    contract: DatasetContract,
    kind: Literal["arrow", "json"],
    deployment: str | None,
) -> Send:
    """Sends this body by the app's own client; an answer counts when its predictions can be read and are all there."""

    def send() -> int:
        client.post(
            body,
            wire.ARROW if kind == "arrow" else wire.JSON,
            deployment,
            lambda answer: wire.decode(answer.body, answer.content_type, contract, rows),
        )
        return rows

    return send
