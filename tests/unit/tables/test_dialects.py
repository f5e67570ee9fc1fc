"""Encodings, delimiters, decimals and day order, decided on the evidence of the whole file."""

from __future__ import annotations

from datetime import datetime

import pytest

from shared.tables import BytesSource, TableError, survey
from tests.unit.tables.samples import METER, csv, look, numbers, times, whole

ROWS = "FechaHora;VolCorrected;n\n2026-01-01 00:00;1,5;Añil €\n2026-01-01 01:00;2,5;b\n"


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (ROWS.encode(), "utf-8"),
        (ROWS.encode("utf-8-sig"), "utf-8-sig"),
        (b"\xff\xfe" + ROWS.encode("utf-16-le"), "utf-16-le"),
        (b"\xfe\xff" + ROWS.encode("utf-16-be"), "utf-16-be"),
        (ROWS.encode("utf-16-le"), "utf-16-le"),
        (ROWS.encode("utf-16-be"), "utf-16-be"),
        (ROWS.encode("utf-32"), "utf-32-le"),
        (ROWS.encode("cp1252"), "cp1252"),
    ],
)
def test_encodings(data: bytes, encoding: str) -> None:
    source = BytesSource("x.csv", data, piece=7)
    found = survey(source, METER)
    assert found.dialect.encoding == encoding
    assert found.header == ("FechaHora", "VolCorrected", "n")
    assert [cells[2] for cells in whole(source, found).cells] == ["Añil €", "b"]


def test_one_byte_at_the_end_of_a_long_file_decides_its_encoding() -> None:
    text = "FechaHora;VolCorrected;Señal\n" + "2026-01-01 00:00;1;señal\n" * 60_000
    source = BytesSource("x.csv", text.encode("ascii", "replace") + "2026-01-01 00:00;1;ñ\n".encode("latin-1"))
    found = survey(source, METER)
    assert found.dialect.encoding == "cp1252"
    assert whole(source, found, rows_per_chunk=50_000).cells[-1][2] == "ñ"


def test_bytes_that_cp1252_does_not_know_are_latin_1() -> None:
    source = BytesSource("x.csv", b"FechaHora;VolCorrected;n\n2026-01-01 00:00;1;\xe1\x81\n")
    assert survey(source, METER).dialect.encoding == "latin-1"
    assert whole(source).cells[0][2] == "á\x81"


def test_a_utf16_mark_on_something_else_is_an_unknown_encoding() -> None:
    with pytest.raises(TableError) as caught:
        survey(BytesSource("x.csv", b"\xff\xfe" + ROWS.encode("utf-16-le") + b"\x00\xd8"), METER)
    assert caught.value.code == "unknown_encoding"


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_delimiters(mark: str) -> None:
    text = ROWS.replace(",", ".").replace(";", mark)
    assert look(text).dialect.delimiter == mark


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        pytest.param("FechaHora;VolCorrected\n2026-01-01;1,5\n2026-01-02;2,5\n", ";", id="decimal-commas"),
        pytest.param('FechaHora,"Vol;Corrected",Value\n2026-01-01,a;b,2\n', ",", id="the-other-within-fields"),
        pytest.param("FechaHora|VolCorrected\n2026-01-01, 10:00|1\n", "|", id="commas-in-times"),
    ],
)
def test_delimiters_of_doubtful_files(text: str, mark: str) -> None:
    assert look(text).dialect.delimiter == mark


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        pytest.param(["1,5", "2", "-,25"], [1.5, 2.0, -0.25], id="comma"),
        pytest.param(["1.5", "+2.", "1e-3", " 7 "], [1.5, 2.0, 0.001, 7.0], id="point"),
        pytest.param(["1.234", "1.234,5"], [1234.0, 1234.5], id="points-group"),
        pytest.param(["1,234", "1,234.5"], [1234.0, 1234.5], id="commas-group"),
        pytest.param(["1.234", "1.234.567"], [1234.0, 1234567.0], id="two-groups-prove"),
        pytest.param(["1,234", "0,500"], [1.234, 0.5], id="no-thousand-begins-with-zero"),
        pytest.param(["1 234,5", "12\u00a0345,5"], [1234.5, 12345.5], id="spaces-group"),
        pytest.param(["1'234.5", "2"], [1234.5, 2.0], id="apostrophes-group"),
        pytest.param(["1.234", "5.678"], [1.234, 5.678], id="no-proof-point"),
        pytest.param(["1,234", "5,678"], [1.234, 5.678], id="no-proof-comma"),
    ],
)
def test_decimal_and_thousands_marks(texts: list[str], values: list[float]) -> None:
    assert numbers(texts) == values


def test_a_value_proves_its_mark_but_once() -> None:
    text = "FechaHora;VolCorrected\n2026-01-01;1.5\n2026-01-02;2.5\n2026-01-03;0,5\n2026-01-04;0,7\n2026-01-05;3.5\n"

    assert look(text).dialect.decimal == "."


def test_unclear_commas_in_a_comma_delimited_file_group() -> None:
    assert numbers(["1,234", "5,678"], ",") == [1234.0, 5678.0]


def test_the_last_row_may_decide_the_decimal_mark_of_the_first() -> None:
    """The first pass begins under the wrong idea, and finds out."""
    text = "FechaHora;VolCorrected\n" + "2026-01-01;1.234\n" * 100_000 + "2026-01-01;1.234,5\n"
    found = look(text)
    assert (found.dialect.decimal, found.dialect.thousands) == (",", ".")
    assert (found.ranges["VolCorrected"].minimum, found.ranges["VolCorrected"].maximum) == (1234.0, 1234.5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("abc", "VolCorrected: 'abc' is not a number"),
        ("1_000", "VolCorrected: '1_000' is not a number"),
        ("1.5.2", "VolCorrected: '1.5.2' is not a number"),
        ("0x1F", "VolCorrected: '0x1F' is not a number"),
        ("١٢", "VolCorrected: '١٢' is not a number"),
        ("NaN", "VolCorrected is not finite"),
        ("-inf", "VolCorrected is not finite"),
        ("1e999", "VolCorrected is not finite"),
        ("  ", "VolCorrected is empty"),
        ("x" * 99, f"VolCorrected: '{'x' * 60}…' is not a number"),
    ],
)
def test_fields_that_are_no_numbers(text: str, reason: str) -> None:
    result = whole(csv(f"FechaHora;VolCorrected\n2026-01-01;1.5\n2026-01-01;{text}\n2026-01-01;2\n"))
    assert result.errors == ["", reason, ""]
    assert result.typed.column("VolCorrected").to_pylist() == [1.5, 2.0]


def test_bounds_missing_options_and_several_problems_of_one_row() -> None:
    text = (
        "FechaHora;VolCorrected;Pressure;Serie\n2026-01-01;1;;\n2026-01-01;1;101;a\n2026-01-01;1;-1;a\n;x;5;b\n"
        "2026-01-01;1;100; m \n"
    )
    result = whole(csv(text))
    assert result.errors == [
        "",
        "Pressure: '101' is above 100",
        "Pressure: '-1' is below 0",
        "FechaHora is empty; VolCorrected: 'x' is not a number",
        "",
    ]
    assert result.typed.to_pydict() == {
        "FechaHora": [datetime(2026, 1, 1)] * 2,  # noqa: DTZ001 - wall clock
        "VolCorrected": [1.0, 1.0],
        "Pressure": [None, 100.0],
        "Serie": [None, "m"],
    }
    assert [str(kind) for kind in result.typed.schema.types] == ["timestamp[us]", "double", "double", "string"]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param(["2026-03-01T04:05:06.25Z"], ["2026-03-01 04:05:06.250000"], id="iso-z-is-read-over"),
        pytest.param(["2026-03-01 04:05:06+02:00"], ["2026-03-01 04:05:06"], id="offset-is-read-over"),
        pytest.param(["2026/3/1 4:05"], ["2026-03-01 04:05:00"], id="iso-slashes"),
        pytest.param(["20260301"], ["2026-03-01 00:00:00"], id="compact"),
        pytest.param(["2026-03-01 24:00"], ["2026-03-02 00:00:00"], id="midnight-of-the-day-after"),
        pytest.param(["2026-03-01 00:00:00.1234567"], ["2026-03-01 00:00:00.123456"], id="seven-digits"),
        pytest.param(["13/02/2026", "1/2/2026 9:30"], ["2026-02-13 00:00:00", "2026-02-01 09:30:00"], id="day-first"),
        pytest.param(["02/13/2026", "01/02/2026"], ["2026-02-13 00:00:00", "2026-01-02 00:00:00"], id="month-first"),
        pytest.param(["13.02.26", "01-02-99"], ["2026-02-13 00:00:00", "1999-02-01 00:00:00"], id="short-years"),
        pytest.param(
            ["1/2/2026, 12:30 AM", "1/13/2026 12:30 p.m."], ["2026-01-02 00:30:00", "2026-01-13 12:30:00"], id="am-pm"
        ),
        pytest.param(["01/02/2026"], ["2026-02-01 00:00:00"], id="no-evidence-day-first"),
        pytest.param(["01/02/2026 1:00 PM"], ["2026-01-02 13:00:00"], id="no-evidence-am-pm"),
        pytest.param(
            ["01/03/2026", "02/03/2026", "03/03/2026"],
            ["2026-03-01 00:00:00", "2026-03-02 00:00:00", "2026-03-03 00:00:00"],
            id="what-changes-is-the-day",
        ),
        pytest.param(
            ["03/01/2026", "03/02/2026", "03/03/2026"],
            ["2026-03-01 00:00:00", "2026-03-02 00:00:00", "2026-03-03 00:00:00"],
            id="what-changes-is-the-day-month-first",
        ),
    ],
)
def test_time_layouts(texts: list[str], expected: list[str]) -> None:
    assert [str(moment) for moment in times(texts)] == expected


@pytest.mark.parametrize(
    "text",
    (
        *("2026-02-30", "2025-02-29", "2026-13-01", "0000-01-01", "32/01/2026", "2026-01", "2026-1/1", "yesterday"),
        *(
            "2026-01-01 24:01",
            "2026-01-01 10:60",
            "2026-01-01 13:00 PM",
            "2026-01-01 10",
            "9999-12-31 24:00",
            "45292.5",
        ),
    ),
)
def test_texts_that_are_no_times(text: str) -> None:
    result = whole(csv(f"FechaHora;VolCorrected\n{text};1\n2026-01-01;1\n"))
    assert result.errors == [f"FechaHora: {text!r} is not a time", ""]


def test_the_last_row_may_decide_the_day_order_of_the_first() -> None:
    text = "FechaHora;VolCorrected\n" + "01/02/2026 00:00;1\n" * 80_000 + "01/13/2026 00:00;1\n"
    found = look(text)
    assert str(found.first_time) == "2026-01-02 00:00:00"
    assert found.dialect.times["FechaHora"].layout == "mm/dd/yyyy HH:MM"
    assert found.dialect.times["FechaHora"].evidence == "proof"


def test_contradictory_times_name_both_lines() -> None:
    with pytest.raises(TableError) as caught:
        look("FechaHora;VolCorrected\n01/02/2026;1\n13/02/2026;1\n\n02/14/2026;1\n")
    assert caught.value.code == "contradictory_times"
    assert "line 3 has '13/02/2026', line 5 has '02/14/2026'" in caught.value.message
