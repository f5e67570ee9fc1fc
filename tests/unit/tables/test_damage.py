"""Damaged files end with a clear error, and in time: nothing else may come out of a reader, and nothing may hang."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from typing import IO

import pyarrow as pa
import pytest

from shared.tables import BytesSource, TableError, foreign, survey
from tests.unit.tables.samples import METER, gz, parquet, whole, workbook

ROWS = 400
TIMES = [f"2026-01-{1 + at % 28:02d} 00:00" for at in range(ROWS)]
TEXT = "FechaHora;VolCorrected\n" + "".join(f"{moment};{at}\n" for at, moment in enumerate(TIMES))
FILES = {
    "x.parquet": parquet(pa.table({"FechaHora": TIMES, "VolCorrected": list(range(ROWS)), "Serie": ["a", "b"] * 200})),
    "x.xlsx": workbook([["FechaHora", "VolCorrected"], *map(list, zip(TIMES, range(ROWS), strict=True))]),
    "x.csv.gz": gz(TEXT),
}


def _damaged(data: bytes, chance: random.Random) -> bytes:
    """A few bytes overwritten, a piece cut out, doubled or zeroed, or the end missing."""
    at, size = chance.randrange(len(data)), chance.choice([1, 1, 4, 64, 512])
    tail = data[at + size :]
    return chance.choice(
        [
            data[:at] + chance.randbytes(size) + tail,
            data[:at] + tail,
            data[: at + size] + data[at:],
            data[:at] + bytes(size) + tail,
            data[:at],
        ]
    )


def _survives(name: str, number: int) -> None:
    data = _damaged(FILES[name], random.Random(f"{name} {number}"))
    source = BytesSource(name, data)
    try:
        whole(source)
    except TableError as error:
        assert error.code != "changed_file"
        assert error.message.endswith((".", ").")), error.message


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("name", FILES)
def test_damaged_files_end_with_an_error(name: str, number: int) -> None:
    _survives(name, number)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", FILES)
def test_hundreds_of_damaged_files_end_with_an_error(name: str) -> None:
    for number in range(500):
        _survives(name, number)


def _reader(script: str, monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Put a program in the place of the reader of workbooks and Parquet files; answers those that were started."""
    started: list[subprocess.Popen[bytes]] = []

    def start(container: str, file: IO[bytes], complaints: IO[bytes]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", script]
        started.append(subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE, stderr=complaints))
        return started[-1]

    monkeypatch.setattr(foreign, "_start", start)
    return started


def test_a_reader_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    started = _reader("while True: pass", monkeypatch)
    monkeypatch.setattr(foreign, "PATIENCE_SECONDS", 0.3)
    begun = time.monotonic()

    with pytest.raises(TableError, match="comes to no end") as caught:
        survey(BytesSource("x.parquet", FILES["x.parquet"]), METER)

    assert caught.value.code == "unreadable_file"
    assert time.monotonic() - begun < 30
    assert [process.poll() is not None for process in started] == [True]


def test_a_reader_that_crashes_makes_the_file_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    _reader("import os; os.abort()", monkeypatch)

    with pytest.raises(TableError, match="its reader ended with status") as caught:
        survey(BytesSource("x.xlsx", FILES["x.xlsx"]), METER)

    assert caught.value.code == "unreadable_file"


def test_a_stream_that_breaks_off_between_batches_is_no_whole_file(monkeypatch: pytest.MonkeyPatch) -> None:
    script = """
import sys, os, pyarrow as pa
schema = pa.schema([("0", "string"), ("1", "string")], {"header": '["FechaHora", "VolCorrected"]'})
stream = pa.ipc.new_stream(sys.stdout.buffer, schema)
batch = pa.record_batch([["2026-01-01"], ["1"]], schema=schema)
stream.write_batch(batch, custom_metadata={"about": '{"first": 2, "rejects": [], "native": []}'})
sys.stdout.flush()
os._exit(9)
"""
    _reader(script, monkeypatch)

    with pytest.raises(TableError, match="its reader ended with status 9"):
        survey(BytesSource("x.parquet", FILES["x.parquet"]), METER)


def test_a_reading_that_is_given_up_ends_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    original = foreign._start

    def start(container: str, file: IO[bytes], complaints: IO[bytes]) -> subprocess.Popen[bytes]:
        started.append(original(container, file, complaints))
        return started[-1]

    monkeypatch.setattr(foreign, "_start", start)
    with pytest.raises(TableError, match="FechaHora"):
        survey(BytesSource("x.parquet", parquet(pa.table({"a": [1]}))), METER)
    assert [process.poll() is not None for process in started] == [True]
