"""The same rows, whatever they come in."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from shared.tables import BytesSource, RecordsSource, Source, TableError, survey
from tests.unit.tables.samples import METER, csv, gz, parquet, whole, workbook

TEXT = "FechaHora;VolCorrected;Serie\n2026-01-01 00:00:00;1.5;a;\n2026-01-01 01:00:00;7;ñ\n2026-01-01 02:00:00;;b\n"
NAMES = ("FechaHora", "VolCorrected", "Serie")
MOMENTS = [datetime(2026, 1, 1, hour) for hour in range(3)]  # noqa: DTZ001 - wall clock
VALUES = [1.5, 7, None]
SERIES = ["a", "ñ", "b"]


def _sources() -> Iterator[Source]:
    yield csv(TEXT)
    yield csv(TEXT, "X.TXT")
    yield BytesSource("x.csv.gz", gz(TEXT), piece=3)
    head, tail = TEXT[:30].encode(), TEXT[30:].encode()
    yield BytesSource("x.csv.gz", gzip.compress(head) + gzip.compress(tail) + b"\0" * 9)
    rows: list[list[object]] = [list(row) for row in zip(MOMENTS, VALUES, SERIES, strict=True)]
    yield BytesSource("x.xlsx", workbook([list(NAMES), *rows]))
    texts = pa.table({"FechaHora": [str(moment) for moment in MOMENTS], "VolCorrected": ["1.5", "7", None]})
    yield BytesSource("x.parquet", parquet(texts.append_column("Serie", pa.array(SERIES).dictionary_encode())))
    stamps = pa.array(MOMENTS, pa.timestamp("ns"))
    volumes = pa.array([Decimal("1.5"), Decimal("7"), None])
    yield BytesSource("x.parquet", parquet(pa.table({"FechaHora": stamps, "VolCorrected": volumes, "Serie": SERIES})))
    yield RecordsSource([dict(zip(NAMES, (str(row[0]), *row[1:]), strict=True)) for row in rows])


@pytest.mark.parametrize("source", list(_sources()), ids=lambda source: source.name)
def test_the_same_rows_from_every_container(source: Source) -> None:
    found = survey(source, METER)
    result = whole(source, found, rows_per_chunk=2)
    assert found.header == NAMES
    assert [cells[0] for cells in result.cells] == [str(moment) for moment in MOMENTS]
    assert [float(cells[1]) if cells[1] else None for cells in result.cells] == VALUES
    assert [cells[2] for cells in result.cells] == SERIES
    assert result.errors == ["", "", "VolCorrected is empty"]
    assert found.examples[0].line == 4
    assert result.typed.to_pydict() == {
        "FechaHora": MOMENTS[:2],
        "VolCorrected": [1.5, 7.0],
        "Serie": ["a", "ñ"],
    }


def test_a_workbook_as_people_make_them() -> None:
    """Rows left empty, text among the numbers, a note beyond the header, times with Excel's rounding noise."""
    moment = datetime(2026, 1, 1, 0, 59, 59, 999_999)  # noqa: DTZ001 - wall clock
    rows: list[list[object]] = [
        [],
        ["FechaHora", "VolCorrected", "n", None],
        [moment, 0.1, True, None],
        [None, None, None, " "],
        ["13/01/2026 05:00", "2.5", 1e20, None],
        [moment, 1, None, "see below"],
    ]
    result = whole(BytesSource("x.xlsx", workbook(rows)))
    assert result.cells == [["2026-01-01 01:00:00", "0.1", "true"], ["13/01/2026 05:00", "2.5", "1e+20"]]
    assert [(reject.line, reject.text) for reject in result.rejects] == [(6, "2026-01-01 01:00:00\t1\t\tsee below")]


def test_a_workbook_of_texts_with_decimal_commas() -> None:
    rows = [["FechaHora", "VolCorrected"], ["01/02/2026", "1.234,5"], ["01/02/2026", "7"]]
    assert whole(BytesSource("x.xlsx", workbook(rows))).typed.column("VolCorrected").to_pylist() == [1234.5, 7.0]


def test_parquet_types_as_text() -> None:
    instant = datetime(2026, 7, 1, 12, tzinfo=UTC)
    columns = {
        "FechaHora": pa.array([instant], pa.timestamp("us", tz="Europe/Madrid")),
        "VolCorrected": pa.array([0.1], pa.float32()),
        "half": pa.array(np.array([0.1], np.float16)),
        "day": pa.array([date(2026, 1, 2)]),
        "flag": pa.array([True]),
        "raw": pa.array([b"a\xff"]),
        "list": pa.array([[1, 2]]),
        "whole": pa.array([2**63 - 1]),
        "one": pa.array([1.0]),
        "nothing": pa.nulls(1),
    }
    cells = whole(BytesSource("x.parquet", parquet(pa.table(columns)))).cells
    assert cells == [
        [
            "2026-07-01 14:00:00",
            "0.1",
            "0.1",
            "2026-01-02",
            "true",
            "a\\xff",
            "[1, 2]",
            "9223372036854775807",
            "1.0",
            "",
        ]
    ]


def test_a_damaged_parquet_file_is_unreadable_not_wrong() -> None:
    good = parquet(pa.table({"FechaHora": ["2026-01-01"] * 999, "VolCorrected": list(range(999))}))
    with pytest.raises(TableError) as caught:
        survey(BytesSource("x.parquet", good[:200] + b"\xff" * 300 + good[500:]), METER)
    assert caught.value.code == "unreadable_file"


def test_every_record_is_a_row() -> None:
    records: list[dict[str, object]] = [
        {"Date": "2026-01-01T00:00:00", "Value": 1.23},
        {},
        {"Value": "1.5", "Date": "2026-01-01T01:00:00", "ok": True, "more": {"a": [None]}},
    ]
    result = whole(RecordsSource(records))
    assert result.cells == [
        ["2026-01-01T00:00:00", "1.23", "", ""],
        ["", "", "", ""],
        ["2026-01-01T01:00:00", "1.5", "true", '{"a": [null]}'],
    ]
    assert result.usable == [True, False, True]


def test_records_may_hold_texts_with_decimal_commas() -> None:
    records: list[dict[str, object]] = [{"Date": "2026-01-01", "Value": "1,5"}, {"Date": "2026-01-01", "Value": 2}]
    assert whole(RecordsSource(records)).typed.column("VolCorrected").to_pylist() == [1.5, 2.0]


def test_no_records_are_an_empty_file() -> None:
    with pytest.raises(TableError) as caught:
        survey(RecordsSource([]), METER)
    assert caught.value.code == "empty_file"


def test_half_a_character_in_a_record_is_replaced() -> None:
    """JSON can escape what no file can hold."""
    records: list[dict[str, object]] = [{"Date": "2026-01-01", "Value": 1, "n": "a\ud83d", "m": ["\ud83d\ude00"]}]
    assert whole(RecordsSource(records)).cells == [["2026-01-01", "1", "a\ufffd", '["\U0001f600"]']]


def test_half_a_character_in_a_key_is_replaced() -> None:
    found = survey(RecordsSource([{"Date": "2026-01-01", "Value": 1, "n\ud83d": "x"}]), METER)

    assert found.header == ("Date", "Value", "n\ufffd")
    assert whole(RecordsSource([{"Date": "2026-01-01", "Value": 1, "n\ud83d": "x"}])).cells[0][2] == "x"
