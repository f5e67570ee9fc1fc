"""Memory does not grow with a file, nor with the width of its rows."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from shared.tables import BytesSource, Kept, Source, read, survey
from tests.unit.tables.samples import METER, parquet

ROOT = Path(__file__).resolve().parents[3]
HEAD = "FechaHora;VolCorrected"
ROW = "2026-01-01 00:00;1.5"


@dataclass(frozen=True)
class Repeated:
    """A file made while it is read: a head, then one piece again and again."""

    head: bytes
    piece: bytes
    times: int
    name: str = "x.csv"

    def open(self) -> Iterator[bytes]:
        yield self.head
        for _ in range(self.times):
            yield self.piece


def _fat(rows: int) -> Source:
    note = "x" * (1 << 20)
    return Repeated(f"{HEAD};note\n".encode(), f"{ROW};{note}\n".encode(), rows)


def _fat_and_quoted(rows: int) -> Source:
    note = "x;" * (1 << 19)
    return Repeated(f"{HEAD};note\n".encode(), f'{ROW};"{note}"\n'.encode(), rows)


def _wide(rows: int) -> Source:
    names = ";".join(f"c{at}" for at in range(9_998))
    return Repeated(f"{HEAD};{names}\n".encode(), f"{ROW};xxxx{';1' * 9_997}\n".encode(), rows * 50)


@pytest.mark.parametrize("make", [_fat, _fat_and_quoted, _wide])
def test_a_chunk_is_bounded_in_bytes_as_well(make: Callable[[int], Source]) -> None:
    """20,000 rows of 1 MB would be 20 GB."""
    source = make(20)
    found = survey(source, METER)
    sizes = []
    for chunk in read(source, found, METER, rows_per_chunk=20_000):
        sizes.append(sum(len(field) for row in chunk.cells for field in row))
    assert max(sizes) <= 10 << 20
    assert len(sizes) >= 2


def test_a_parquet_file_of_large_fields_comes_in_small_chunks() -> None:
    note = ["x" * (1 << 20)] * 20  # stored once, as the dictionary's only value
    table = pa.table({"FechaHora": ["2026-01-01"] * 20, "VolCorrected": [1] * 20, "note": note})
    source = BytesSource("x.parquet", parquet(table))
    chunks = list(read(source, survey(source, METER), METER, rows_per_chunk=20_000))
    assert max(len(chunk.cells) for chunk in chunks) <= 12
    assert sum(len(chunk.cells) for chunk in chunks) == 20


def _peak(source: Source, *, keeping: bool) -> int:
    """Bytes that Python holds at most, Arrow's own aside."""
    tracemalloc.start()
    try:
        with Kept() as kept:
            found = survey(source, METER, kept if keeping else None)
            for _ in read(source, found, METER, rows_per_chunk=20_000, kept=kept if keeping else None):
                pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("keeping", [False, True])
def test_memory_does_not_grow_with_the_file(keeping: bool) -> None:
    head, piece = f"{HEAD}\n".encode(), f"{ROW}\n".encode() * 50_000
    small, large = (_peak(Repeated(head, piece, times), keeping=keeping) for times in (4, 16))
    assert large < 1.2 * small
    assert large < 40 << 20


_MEASURED = """
import sys
from benchmarks.peak import peak_bytes
from tests.unit.tables.samples import METER
from tests.unit.tables.test_memory import Repeated, HEAD, ROW
from shared.memory import be_economical
from shared.tables import Kept, read, render_scored, survey
be_economical()
source = Repeated(f"{HEAD}\\n".encode(), f"{ROW}\\n".encode() * 50_000, int(sys.argv[1]))
with Kept() as kept:
    for chunk in read(source, survey(source, METER, kept), METER, rows_per_chunk=20_000, kept=kept):
        render_scored(chunk.cells, [chunk.errors])
print(peak_bytes() >> 20)
"""


@pytest.mark.slow
def test_the_process_is_as_small_for_a_gigabyte_as_for_100_megabytes() -> None:
    def megabytes(pieces: int) -> int:
        command = [sys.executable, "-c", _MEASURED, str(pieces)]
        return int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)

    small, large = megabytes(100), megabytes(1000)
    assert large < 1.2 * small
    assert large < 300
