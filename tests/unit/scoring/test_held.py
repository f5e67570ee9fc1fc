"""What scoring a file holds on to: so much, however long the file is and however many requests may be under way."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pytest

from aml.contract import load_contract
from shared.scoring import wire
from shared.scoring.context import no_rows
from shared.scoring.endpoint import Answer
from shared.scoring.scorer import REQUEST_IDS_KEPT, Conversation, Scorer
from shared.scoring.table import WAITING_BYTES, TableScoring
from shared.tables import CHUNK_BYTES, survey
from shared.tables.streams import BLOCK

_ROOT = Path(__file__).resolve().parents[3]
_GAS = load_contract("gas").model_copy(update={"context_rows": 5})
_FIRST = datetime.fromisoformat("2026-03-02")
_NOTE = "x" * 4000
_Decoded = TypeVar("_Decoded")


class _Answering:
    """An endpoint that answers at once that nothing is known of any row."""

    def __init__(self) -> None:
        self.asked = 0

    def post(
        self, body: bytes, content_type: str, deployment: str | None, decode: Callable[[Answer], _Decoded]
    ) -> tuple[_Decoded, Answer]:
        self.asked += 1
        with pa.ipc.open_stream(body) as reader:
            rows = reader.read_all()
        asked = rows.num_rows - int(rows.schema.metadata[wire.CONTEXT_ROWS])
        sink = pa.BufferOutputStream()
        answers = pa.table({"anomaly": pa.array([0] * asked, pa.int64())})
        with pa.ipc.new_stream(sink, answers.schema) as writer:
            writer.write_table(answers)
        answer = Answer(sink.getvalue().to_pybytes(), wire.ARROW, "blue", f"request {self.asked}")
        return decode(answer), answer

    def close(self) -> None:
        """There is nothing to give back."""


@dataclass
class _Watched:
    """A file of wide rows, made while it is read, and how much of it was handed out."""

    rows: int
    note: str = _NOTE
    name: str = "x.csv"
    taken: int = 0

    def open(self) -> Iterator[bytes]:
        self.taken = 0
        yield b"FechaHora;VolCorrected;note\n"
        for at in range(0, self.rows, 100):
            lines = (f"{_FIRST + timedelta(hours=at + more)};{at},5;{self.note}\n" for more in range(100))
            piece = "".join(lines).encode()
            self.taken += len(piece)
            yield piece


def _scoring(source: _Watched, *, in_flight: int, conversation: Conversation, rows: int = 20_000) -> TableScoring:
    scorer = Scorer(_Answering(), _GAS, conversation, in_flight=in_flight)
    return TableScoring(source, survey(source, _GAS), _GAS, scorer, no_rows(_GAS), rows)


def test_text_whose_answers_are_under_way_is_bounded_whatever_the_settings_allow() -> None:
    source = _Watched(rows=12_000)  # 48 MB: 64 chunks of it would be all
    handed_out, ahead = 0, []

    for chunk in _scoring(source, in_flight=64, conversation=Conversation()).chunks():
        ahead.append(source.taken - handed_out)
        handed_out += chunk.cells.size

    # a block that is cut, and the chunk that fills the room, come on top
    assert WAITING_BYTES - CHUNK_BYTES < max(ahead) <= WAITING_BYTES + 2 * (CHUNK_BYTES + BLOCK)


def _held(rows: int) -> tuple[int, int]:
    """Bytes of Arrow's that are there at most when a chunk was handed out, and Python's objects at the last one."""
    gc.collect()
    buffers, objects = pa.total_allocated_bytes(), len(gc.get_objects())
    most = 0
    scoring = _scoring(_Watched(rows, "x" * 1000), in_flight=1, conversation=Conversation(), rows=200)
    chunks = scoring.chunks()
    for _ in range(rows // 200):
        next(chunks)
        most = max(most, pa.total_allocated_bytes() - buffers)
    gc.collect()
    return most, len(gc.get_objects()) - objects


def test_what_is_held_does_not_grow_with_the_file() -> None:
    _held(400)  # imports, caches
    (short_bytes, short_objects), (long_bytes, long_objects) = _held(2_000), _held(12_000)

    assert long_bytes <= 1.05 * short_bytes + 10_000
    assert long_objects <= short_objects + 50


def test_of_very_many_requests_the_first_ids_are_kept() -> None:
    conversation = Conversation()
    rows = 100 * (REQUEST_IDS_KEPT + 20)

    for _ in _scoring(_Watched(rows, "x"), in_flight=3, conversation=conversation, rows=100).chunks():
        pass

    assert conversation.requests == REQUEST_IDS_KEPT + 20
    assert len(conversation.request_ids) == REQUEST_IDS_KEPT


_LIKE_THE_HOST = """
from shared.memory import be_economical
be_economical()
import numpy as np
import pyarrow as pa
from shared.scoring.context import read_table, write_table
from shared.scoring.journal import _decode, _encode
answers = pa.table({"anomaly": np.arange(200_000) % 7, "anomaly_score": np.random.default_rng(1).random(200_000)})
assert sum(batch.num_rows for batch in _decode(_encode([answers], {}))[0]) == 200_000
assert read_table(write_table(answers)).num_rows == 200_000
for pool in (pa.default_memory_pool(), pa.system_memory_pool()):
    assert pool.backend_name == "system" and pool.max_memory() > 1_000_000, pool
print([make().max_memory() for make in (pa.mimalloc_memory_pool, pa.jemalloc_memory_pool)])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere pyarrow may have other allocators")
def test_no_buffer_comes_from_an_allocator_that_keeps_what_it_had() -> None:
    """Arrow itself allocates what it compresses from its own default, whatever pool Python was told to take."""
    command = [sys.executable, "-W", "error", "-c", _LIKE_THE_HOST]
    done = subprocess.run(command, cwd=_ROOT, check=True, capture_output=True, text=True)

    assert done.stdout.strip() == "[0, 0]"
