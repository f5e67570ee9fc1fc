"""What the survey keeps of a file is what reading it again gives, wherever it is kept."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from unittest import mock

import pyarrow as pa
import pytest

from shared.tables import BytesSource, Chunk, Kept, Source, read, survey
from shared.tables import kept as kept_module
from tests.unit.tables.samples import METER, parquet

_HEAD = "FechaHora;VolCorrected;Serie\n"
_ROWS = [f"{1 + at % 28:02d}/03/2026 {at % 24:02d}:00;{at},5;m{at % 3}" for at in range(400)]
_PLAIN = _HEAD + "\n".join(_ROWS) + "\n"
_ODD = [_ROWS[0], "x;1,5;a", "one;two", *_ROWS[1:200], "01/03/2026;;b", "", "a;b;c;d", *_ROWS[200:], "z"]
_LATE = [line.replace(",5", ".5") for line in _ROWS[:100]] + [f"{line}5" for line in _ROWS[100:]]
_COLUMNS = pa.table({"FechaHora": ["2026-01-01"] * 900, "VolCorrected": [1.25] * 900, "note": ['a;"b"'] * 900})
_FILES = {
    "plain": BytesSource("x.csv", _PLAIN.encode()),
    "without a last line end": BytesSource("x.csv", _PLAIN.rstrip().encode()),
    "latin-1": BytesSource("x.csv", _PLAIN.replace("m1", "ñ1").encode("latin-1")),
    "odd lines": BytesSource("x.csv", (_HEAD + "\n".join(_ODD)).encode()),
    "quoted": BytesSource("x.csv", (_HEAD + "\n".join([*_ROWS[:99], '01/03/2026;"1,5";"a;b"', *_ROWS])).encode()),
    "another dialect than its beginning": BytesSource("x.csv", (_HEAD + "\n".join(_LATE)).encode()),
    "Parquet": BytesSource("x.parquet", parquet(_COLUMNS)),
}


@dataclass(frozen=True)
class Once:
    """A file that is not there any more once it was surveyed."""

    whole: Source
    name: str

    def open(self) -> Iterator[bytes]:
        raise AssertionError("fetched again")


def _seen(chunks: Iterator[Chunk]) -> list[object]:
    return [
        (
            c.index,
            c.first_row,
            list(c.cells),
            c.cells.written().to_pylist(),
            c.batch,
            c.usable.tolist(),
            c.errors,
            c.rejects,
        )
        for c in chunks
    ]


@pytest.mark.parametrize("in_memory", [1 << 20, 0])
@pytest.mark.parametrize("size", [7, 150, 10_000])
@pytest.mark.parametrize("name", _FILES)
def test_what_is_kept_reads_as_the_file_does(name: str, size: int, in_memory: int) -> None:
    source = _FILES[name]
    with (
        mock.patch("shared.tables.streams.BLOCK", 1500),
        mock.patch.object(kept_module, "_IN_MEMORY", in_memory),
        Kept() as kept,
    ):
        found = survey(source, METER, kept)
        expected = _seen(read(source, found, METER, rows_per_chunk=size))

        assert found == survey(source, METER)
        assert _seen(read(source, found, METER, rows_per_chunk=size, kept=kept)) == expected
        assert _seen(read(source, found, METER, rows_per_chunk=size, kept=kept)) == expected


@pytest.mark.parametrize("in_memory", [1 << 20, 0])
def test_an_ordinary_file_is_fetched_once(in_memory: int) -> None:
    source = _FILES["plain"]
    with mock.patch.object(kept_module, "_IN_MEMORY", in_memory), Kept() as kept:
        found = survey(source, METER, kept)

        chunks = list(read(Once(source, "x.csv"), found, METER, rows_per_chunk=100, kept=kept))

    assert sum(len(chunk.cells) for chunk in chunks) == len(_ROWS)


def test_a_full_disk_keeps_nothing_and_changes_nothing() -> None:
    source = _FILES["plain"]
    usage = namedtuple("usage", "free")
    with (
        mock.patch.object(kept_module, "_IN_MEMORY", 0),
        mock.patch("shutil.disk_usage", lambda _: usage(1000)),
        Kept() as kept,
    ):
        found = survey(source, METER, kept)

        assert not kept.whole
        assert sum(len(chunk.cells) for chunk in read(source, found, METER, rows_per_chunk=100, kept=kept)) == 400


def test_of_portions_on_disk_the_schema_is_held_once() -> None:
    columns = {"FechaHora": ["2026-01-01"] * 500, "VolCorrected": [1.25] * 500}
    table = pa.table(columns | {f"c{at}": ["x"] * 500 for at in range(1000)})
    with mock.patch.object(kept_module, "_IN_MEMORY", 0), Kept() as kept:
        survey(BytesSource("x.parquet", parquet(table)), METER, kept)

        schemas = {id(schema) for stored in kept._stored for schema in stored.schemas}

        assert kept.whole
        assert len(kept._stored) > 2
        assert len(schemas) == 2  # of the text, and of what is typed
