"""The journal of a run: the endpoint's answers, kept until the file is done, so that no attempt asks for them twice.

An entry holds the predictions of some consecutive batches and why rows were refused, in the order of scoring; it is
written before a block of the results that shows any of them. Whoever takes the run up again replays the entries: what
the scored file says of those rows, and the context of the rows behind them, follow from the answers and the input.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from shared.errors import NotFoundError
from shared.naming import STATE
from shared.runs import Run
from shared.scoring.scorer import REQUEST_IDS_KEPT, Conversation, Scored
from shared.scoring.uploads import Uploads
from shared.storage import BlobStore

_ANSWERS = "answers/"
PARTS = "parts/"
"""Beside the answers: what instances leave for each other that score one file together, see `shared.scoring.parts`."""
_ENTRY_BYTES = 4 * 1024 * 1024
_ABOUT = b"dropscore.journal"
_COMPRESSED = pa.ipc.IpcWriteOptions(compression="lz4")
"""Flags all but vanish; it costs next to nothing where it does not help."""
_DIGITS = b"dropscore.digits"
"""Of a column: it stands for numbers, of which it has that power of ten times as much, as integers."""
_DECIMALS = (3, 4, 6)
_PROBED = 256


def discard(blobs: BlobStore, dataset: str, run: str) -> None:
    """Removes whatever any attempt of the run wrote down; it has ended, or its answers are of no use any more."""
    for kind in (_ANSWERS, PARTS):
        for info in list(blobs.list_blobs(STATE, f"{kind}{dataset}/{run}/")):
            blobs.delete(STATE, info.name)


def unfinished(blobs: BlobStore) -> set[tuple[str, str]]:
    """Dataset and id of the runs that have something written down."""
    places = (info.name.split("/") for kind in (_ANSWERS, PARTS) for info in blobs.list_blobs(STATE, kind))
    return {(dataset, run) for _, dataset, run, *_ in places}


class Journal:
    """The answers that one run got for one plan.

    Args:
        key: says what the answers follow from (input, model, context, rows per batch); those under another key are
            left alone.
        conversation: restored as it was at each entry that is replayed, so that the deployment stays pinned.
        uploads: through which entries are written.
    """

    def __init__(self, blobs: BlobStore, run: Run, key: str, conversation: Conversation, uploads: Uploads) -> None:
        self._blobs = blobs
        self._uploads = uploads
        self._folder = f"{_folder(run.dataset, run.id)}{key}/"
        self._conversation = conversation
        self._batches = 0
        self._waiting: list[Scored] = []
        self._first = self._entry()

    @property
    def begun(self) -> bool:
        """Whether an earlier attempt left answers."""
        return self._first is not None

    def replay(self) -> Iterator[Scored]:
        """The answers of earlier attempts, from the first batch to the last one that is known without a gap."""
        entry, self._first = self._first, None
        while entry is not None:
            batches, about = entry
            self._restore(about["conversation"])
            for batch, refused in zip(batches, about["refused"], strict=True):
                predictions = pa.Table.from_batches([batch]).replace_schema_metadata(None)
                yield Scored(predictions, {int(row): why for row, why in refused.items()})
            self._batches += len(batches)
            entry = self._entry()

    def add(self, scored: Scored) -> None:
        """Takes the answer for the next batch; it is kept in memory until there is enough for an entry."""
        self._waiting.append(scored)
        if sum(each.predictions.nbytes for each in self._waiting) >= _ENTRY_BYTES:
            self.write()

    def write(self) -> None:
        """Hands over what was added so far, to be written before anything that is handed over later."""
        if not self._waiting:
            return
        known = vars(self._conversation) | {"request_ids": self._conversation.request_ids[:REQUEST_IDS_KEPT]}
        about = {"refused": [each.refused for each in self._waiting], "conversation": known}
        name, answers = self._name(), [each.predictions for each in self._waiting]
        self._uploads.add(lambda: self._blobs.put(STATE, name, _encode(answers, about)))
        self._batches += len(self._waiting)
        self._waiting.clear()

    def _name(self) -> str:
        return f"{self._folder}{self._batches:08d}.arrow"

    def _entry(self) -> tuple[list[pa.RecordBatch], dict[str, Any]] | None:
        """The entry that begins with the next batch."""
        try:
            return _decode(self._blobs.get(STATE, self._name())[0])
        except NotFoundError:
            return None

    def _restore(self, known: dict[str, Any]) -> None:
        for name, value in known.items():
            setattr(self._conversation, name, value)


def _folder(dataset: str, run: str) -> str:
    return f"{_ANSWERS}{dataset}/{run}/"


def _encode(answers: list[pa.Table], about: dict[str, Any]) -> bytes:
    batches = _narrowed([_one_batch(table) for table in answers])
    schema = batches[0].schema.with_metadata({_ABOUT: json.dumps(about).encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=_COMPRESSED) as writer:
        for batch in batches:
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))
    body: bytes = sink.getvalue().to_pybytes()
    return body


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    """The table as exactly one batch, even where it holds no row: the batches are counted."""
    if table.num_rows:
        (batch,) = table.combine_chunks().to_batches()  # copies nothing of what is in one piece
        return batch
    return pa.RecordBatch.from_arrays([column.combine_chunks() for column in table.columns], schema=table.schema)


def _narrowed(batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """The same with numbers of few decimals as integers, which take half of the room: where every one of a column
    comes back bit for bit."""
    fields, columns = [], []
    for at, field in enumerate(batches[0].schema):
        arrays = [batch.column(at) for batch in batches]
        for decimals in _DECIMALS:
            integers = [found for array in arrays if (found := _integers(array, decimals)) is not None]
            if len(integers) == len(arrays):
                field, arrays = pa.field(field.name, pa.int32(), metadata={_DIGITS: str(decimals)}), integers
                break
        fields.append(field)
        columns.append(arrays)
    return [pa.RecordBatch.from_arrays(list(each), schema=pa.schema(fields)) for each in zip(*columns, strict=True)]


def _integers(array: pa.Array, decimals: int) -> pa.Array | None:
    """The numbers as integers of 10^-decimals; None where one of them is not such a number, or too large, or -0.0."""
    if array.type != pa.float64() or array.null_count:
        return None
    values, unit = array.to_numpy(), 10.0**decimals
    for part in (values[:: len(values) // _PROBED + 1], values):
        with np.errstate(invalid="ignore", over="ignore"):
            grown = np.rint(part * unit)
        if not (np.abs(grown) < 1 << 31).all():
            return None
        integers = grown.astype(np.int32)
        if (integers / unit).tobytes() != np.ascontiguousarray(part).tobytes():
            return None
    return pa.array(integers)


def _widened(batch: pa.RecordBatch) -> pa.RecordBatch:
    """What `_narrowed` was given."""
    names, columns = batch.schema.names, []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        decimals = (field.metadata or {}).get(_DIGITS)
        columns.append(column if decimals is None else pa.array(column.to_numpy() / 10.0 ** int(decimals)))
    return pa.RecordBatch.from_arrays(columns, names=names)


def _decode(body: bytes) -> tuple[list[pa.RecordBatch], dict[str, Any]]:
    with pa.ipc.open_stream(body) as reader:
        about: dict[str, Any] = json.loads(reader.schema.metadata[_ABOUT])
        return [_widened(batch) for batch in reader], about
