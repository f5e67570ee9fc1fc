"""A model that looks far back: its score tells every one of the rows before a row, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from aml.contract import DatasetContract, load_contract
from aml.messages import ARROW, Answer
from tests.fakes.model import MODEL, VERSION


def wide_contract(context_rows: int) -> DatasetContract:
    """The gas contract with so many rows of context."""
    return load_contract("gas").model_copy(update={"context_rows": context_rows})


def scores(values: Sequence[float], context_rows: int) -> NDArray[np.float64]:
    """A score for each row of one series, in time order: of it and the `context_rows` rows before it, and their order.

    Sums of whole numbers, so that it is the same however much comes before those rows.
    """
    numbers = np.round(np.asarray(values) * 10_000).astype(np.int64)
    found = np.empty(len(numbers))
    for place in range(len(numbers)):
        window = numbers[max(place - context_rows, 0) : place + 1][::-1]
        found[place] = int((window * np.arange(1, len(window) + 1)).sum() % 999_983)
    return found / 1000


class WideModel:
    """What stands in the place of `aml.serving.Service`; takes Arrow alone."""

    def __init__(self, context_rows: int) -> None:
        self._context_rows = context_rows

    def answer(self, content_type: str, body: bytes) -> Answer:
        """See `aml.serving.Service.answer`."""
        if content_type != ARROW:
            return Answer(415, "application/json", b"{}")
        with pa.ipc.open_stream(body) as reader:
            table = reader.read_all()
        context = int(table.schema.metadata[b"dropscore.context_rows"])
        rows = table.to_pydict()
        places: dict[str | None, list[int]] = defaultdict(list)
        for place, name in enumerate(rows.get("Serie", [None] * table.num_rows)):
            places[name].append(place)
        found = np.zeros(table.num_rows)
        for own in places.values():
            assert sum(place < context for place in own) <= self._context_rows
            found[own] = scores([rows["VolCorrected"][place] for place in own], self._context_rows)
        return Answer(200, ARROW, _answered(found[context:]))


def _answered(found: NDArray[np.float64]) -> bytes:
    columns = {"anomaly": pa.array((found > 900).astype(np.int64)), "anomaly_score": pa.array(found)}
    table = pa.table(columns).replace_schema_metadata({"dropscore.model": MODEL, "dropscore.version": VERSION})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body
