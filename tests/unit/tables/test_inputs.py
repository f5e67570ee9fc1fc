"""Every input of the contract, one test each: the same two rows in whatever way people write them.

Each case says what the file's bytes are, and what the dialect must be found to be; the rows, typed, must be the same
in all of them.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from datetime import datetime

import pyarrow as pa
import pytest

from shared.tables import BytesSource, TableError, render_header, render_rows, render_scored, survey
from tests.unit.tables.samples import METER, gz, parquet, whole, workbook

MOMENTS = [datetime(2026, 3, 1, 10, 30), datetime(2026, 3, 13, 11, 0)]  # noqa: DTZ001 - wall clock
VALUES = [1234.5, -7.25]
ISO = ("2026-03-01 10:30", "2026-03-13 11:00")
QUOTED_ISO = (f'"{ISO[0]}"', f'"{ISO[1]}"')
PLAIN = f"FechaHora;VolCorrected\n{ISO[0]};1234.5\n{ISO[1]};-7.25\n"
NAMES = ["FechaHora", "VolCorrected"]
SPANISH = [["Date", "Value"], ["01/03/2026 10:30", "1.234,5"], ["13/03/2026 11:00", "-7,25"]]
LARGE = "é" * (1 << 20)


def _with(times: tuple[str, str] = ISO, numbers: tuple[str, str] = ("1234.5", "-7.25"), mark: str = ";") -> bytes:
    rows = "".join(f"{moment}{mark}{number}\n" for moment, number in zip(times, numbers, strict=True))
    return f"FechaHora{mark}VolCorrected\n{rows}".encode()


def _noted(note: str) -> str:
    """The rows with a further column that the contract knows nothing of."""
    return PLAIN.replace("ted\n", "ted;n\n").replace("5\n", f"5;{note}\n")


def _named(header: str) -> bytes:
    return PLAIN.replace("FechaHora;VolCorrected", header).encode()


def _wide() -> bytes:
    names = ";".join(f"c{at}" for at in range(9_998))
    return PLAIN.replace("ted\n", f"ted;{names}\n").replace("5\n", f"5{';x' * 9_998}\n").encode()


CASES: dict[str, tuple[str, bytes, Mapping[str, object]]] = {
    # delimiters
    "semicolon": ("x.csv", PLAIN.encode(), {"delimiter": ";"}),
    "comma": ("x.csv", _with(mark=","), {"delimiter": ","}),
    "semicolons-in-fields": ("x.csv", _noted("a|b").replace(";", ",").replace("|", ";").encode(), {"delimiter": ","}),
    "tab": ("x.tsv", _with(mark="\t"), {"delimiter": "\t"}),
    "bar": ("x.txt", _with(mark="|"), {"delimiter": "|"}),
    "excel-sep-line": ("x.csv", b"sep=|\n" + _with(mark="|"), {"delimiter": "|"}),
    "trailing-delimiters-in-rows": ("x.csv", PLAIN.replace("5\n", "5;;\n").encode(), {"delimiter": ";"}),
    "trailing-delimiters-everywhere": ("x.csv", PLAIN.replace("\n", ";\n").encode(), {"delimiter": ";"}),
    # decimal and thousands marks
    "decimal-comma": ("x.csv", _with(numbers=("1234,5", "-7,25")), {"decimal": ",", "thousands": ""}),
    "decimal-comma-quoted": ("x.csv", _with(numbers=('"1234,5"', '"-7,25"'), mark=","), {"decimal": ",", "quote": '"'}),
    "thousands-point": ("x.csv", _with(numbers=("1.234,5", "-7,25")), {"decimal": ",", "thousands": "."}),
    "thousands-comma": ("x.csv", _with(numbers=("1,234.5", "-7.25")), {"decimal": ".", "thousands": ","}),
    "thousands-space": ("x.csv", _with(numbers=("1 234,5", "-7,25")), {"decimal": ",", "thousands": " "}),
    "thousands-no-break-space": ("x.csv", _with(numbers=("1\u202f234,5", "-7,25")), {"thousands": "\u202f"}),
    "thousands-apostrophe": ("x.csv", _with(numbers=("1'234.5", "-7.25")), {"thousands": "'"}),
    "exponents": ("x.csv", _with(numbers=("1.2345e3", "-725E-2")), {"decimal": "."}),
    "plus-and-blanks": ("x.csv", _with(numbers=(" +1234.5 ", " -7.25")), {"decimal": "."}),
    # encodings
    "byte-order-mark": ("x.csv", codecs.BOM_UTF8 + PLAIN.encode(), {"encoding": "utf-8-sig"}),
    "utf-16-le-mark": ("x.csv", codecs.BOM_UTF16_LE + PLAIN.encode("utf-16-le"), {"encoding": "utf-16-le"}),
    "utf-16-be-mark": ("x.csv", codecs.BOM_UTF16_BE + PLAIN.encode("utf-16-be"), {"encoding": "utf-16-be"}),
    "utf-16-no-mark": ("x.csv", PLAIN.encode("utf-16-le"), {"encoding": "utf-16-le"}),
    "cp1252": ("x.csv", _noted("ñ €").encode("cp1252"), {"encoding": "cp1252"}),
    "latin-1": ("x.csv", _noted("ñ \x81").encode("latin-1"), {"encoding": "latin-1"}),
    # quoting
    "all-quoted": ("x.csv", _with(QUOTED_ISO, ('"1234.5"', '"-7.25"')), {"quote": '"'}),
    "line-ends-in-quotes": ("x.csv", _noted('"a\r\n""b"""').encode(), {"quote": '"'}),
    # times
    "iso-t-zone": ("x.csv", _with(("2026-03-01T10:30:00Z", "2026-03-13T11:00:00+01:00")), {"day_first": True}),
    "day-first": ("x.csv", _with(("01/03/2026 10:30", "13/03/2026 11:00")), {"day_first": True}),
    "month-first": ("x.csv", _with(("03/01/2026 10:30", "03/13/2026 11:00")), {"day_first": False}),
    "day-first-short": ("x.csv", _with(("1.3.26 10:30:00", "13.3.26 11:00:00")), {"day_first": True}),
    "month-first-am-pm": ("x.csv", _with(("3/1/2026 10:30 AM", "3/13/2026 11:00 a.m.")), {"day_first": False}),
    # lines
    "windows-line-ends": ("x.csv", PLAIN.replace("\n", "\r\n").encode(), {"line_end": "\r\n"}),
    "lone-returns": ("x.csv", PLAIN.replace("\n", "\r").encode(), {"line_end": "\r"}),
    "mixed-line-ends": ("x.csv", PLAIN.replace("\n", "\r\n", 1).encode(), {"line_end": "mixed"}),
    "no-last-line-end": ("x.csv", PLAIN.rstrip().encode(), {"line_end": "\n"}),
    "blank-lines": ("x.csv", f"\n{PLAIN}\n \t\n\n".encode(), {"line_end": "\n"}),
    "blank-lines-between": ("x.csv", PLAIN.replace("\n", "\n\n").encode(), {"line_end": "\n"}),
    # headers
    "aliases": ("x.csv", _named("Date;Value"), {}),
    "header-case-and-marks": ("x.csv", _named("fecha hora;VOL-corrected"), {}),
    "duplicate-names": ("x.csv", PLAIN.replace("ted\n", "ted;n;n\n").replace("5\n", "5;a;b\n").encode(), {}),
    "ten-thousand-columns": ("x.csv", _wide(), {"delimiter": ";"}),
    "a-field-of-a-megabyte": ("x.csv", _noted(LARGE).encode(), {}),
    # containers
    "gzip": ("x.csv.gz", gz(PLAIN), {"container": "csv.gz"}),
    "gzip-of-several-members": ("x.csv.gz", gz(PLAIN[:40]) + gz(PLAIN[40:]), {}),
    "workbook": ("x.xlsx", workbook([NAMES, *map(list, zip(MOMENTS, VALUES, strict=True))]), {"container": "xlsx"}),
    "workbook-of-texts": ("x.xlsx", workbook(SPANISH), {"decimal": ",", "thousands": "."}),
    "parquet": ("x.parquet", parquet(pa.table([MOMENTS, VALUES], names=NAMES)), {"container": "parquet"}),
    "parquet-of-texts": ("x.parquet", parquet(pa.table([ISO, ["1234,5", "-7,25"]], names=NAMES)), {"decimal": ","}),
}


@pytest.mark.parametrize("case", CASES)
def test_an_input_of_the_contract(case: str) -> None:
    name, data, expected = CASES[case]
    source = BytesSource(name, data, piece=4097)

    found = survey(source, METER)
    result = whole(source, found, rows_per_chunk=1)

    typed = result.typed.drop_columns([name for name in result.typed.column_names if name == "Serie"])
    assert typed.to_pydict() == {"FechaHora": MOMENTS, "VolCorrected": VALUES}
    dialect = found.dialect.as_dict()
    dialect |= dialect["times"]["FechaHora"]
    assert {key: dialect[key] for key in expected} == dict(expected)
    assert found.rejected == 0

    # Input columns as they stand; and a result that is dropped again is the same table.
    written = render_header([*found.header, "error"]) + render_scored(result.cells, [result.errors])

    again = whole(BytesSource("y.csv", written))
    assert again.cells == [[*row, ""] for row in result.cells]
    assert again.typed.column("VolCorrected").to_pylist() == VALUES
    assert render_rows([*again.cells]) == written.partition(b"\n")[2]


PROOFS = ("13/02/2026 00:00", "02/14/2026 00:00")


@pytest.mark.parametrize("between", [0, 3, 90_000], ids=["neighbours", "near", "in-other-blocks"])
@pytest.mark.parametrize("texts", [PROOFS, PROOFS[::-1]], ids=["day-first-before", "month-first-before"])
def test_contradictory_times_are_an_error_that_names_the_lines(texts: tuple[str, str], between: int) -> None:
    rows = [texts[0], *["01/02/2026 00:00"] * between, texts[1]]
    data = "FechaHora;VolCorrected\n" + "".join(f"{row};1\n" for row in rows)

    with pytest.raises(TableError) as caught:
        survey(BytesSource("x.csv", data.encode()), METER)

    assert (caught.value.code, caught.value.line) == ("contradictory_times", between + 3)
    lines = {texts[0]: 2, texts[1]: between + 3}
    for text in PROOFS:
        assert f"line {lines[text]} has {text!r}" in caught.value.message


def test_contradictory_times_in_a_workbook_name_its_rows() -> None:
    rows: list[list[object]] = [["FechaHora", "VolCorrected"], ["13/02/2026", "1"], [None, None], ["02/14/2026", "1"]]
    with pytest.raises(TableError, match="line 2 has '13/02/2026', line 4 has '02/14/2026'"):
        survey(BytesSource("x.xlsx", workbook(rows)), METER)
