"""What a survey counts, and what it refuses."""

from __future__ import annotations

import hashlib
import json

import pytest

from shared.tables import BytesSource, Range, TableError, survey
from tests.unit.tables.samples import METER, csv, gz, look, workbook


def test_a_survey_counts_everything() -> None:
    text = (
        "Date;Value;Serie\n2026-01-01 00:00;1,5;a\n2026-01-01 02:00;-3;b\n2026-01-01 00:00;x;a\n\n"
        "2026-01-01 01:00;9;a\ntoo;many;fields;here\n2026-01-01 01:00;9;a\n"
    )
    found = look(text)
    assert (found.rows, found.rejected, found.unusable, found.data_rows) == (5, 1, 1, 6)
    assert found.columns == {"FechaHora": 0, "VolCorrected": 1, "Serie": 2}
    assert found.ranges == {"VolCorrected": Range(-3.0, 9.0)}
    assert (str(found.first_time), str(found.last_time)) == ("2026-01-01 00:00:00", "2026-01-01 02:00:00")
    assert (found.ordered, found.duplicate_times) == (True, 1)
    assert (found.size, found.sha256) == (len(text), hashlib.sha256(text.encode()).hexdigest())
    assert json.loads(json.dumps(found.dialect.as_dict()))["times"]["FechaHora"]["layout"] == "yyyy-mm-dd HH:MM"


def test_a_survey_tells_each_flaw_by_column_and_kind_with_its_lines() -> None:
    contract = METER.model_copy(
        update={
            "columns": (
                METER.columns[0],
                METER.columns[1].model_copy(update={"minimum": 0.0, "maximum": 10.0}),
                METER.columns[3].model_copy(update={"categories": ("north", "south")}),
            )
        }
    )
    text = (
        "Date;Value;Serie\n2026-01-01 00:00;1;north\n2026-01-01 01:00;-1;east\n2026-01-01 02:00;x;south\n\n"
        "soon;11;north\nonly;two\n2026-01-01 04:00;;\n2026-01-01 05:00;inf; south \n2026-01-01 03:00;1;south\n"
        "2026-01-01 03:00;1;south\n2026-01-01 02:00;1;south\n"
    )
    found = survey(BytesSource("x.csv", text.encode()), contract)
    flaws = {
        (name, kind): (tally.count, [each.line for each in tally.examples])
        for name, kinds in found.flaws.items()
        for kind, tally in kinds.items()
    }

    assert flaws == {
        ("VolCorrected", "out_of_range"): (2, [3, 6]),
        ("Serie", "unknown_category"): (1, [3]),
        ("VolCorrected", "not_a_number"): (1, [4]),
        ("FechaHora", "not_a_time"): (1, [6]),
        ("VolCorrected", "empty"): (1, [8]),
        ("VolCorrected", "not_finite"): (1, [9]),
    }
    assert found.flaws["Serie"]["unknown_category"].examples[0].reason == "Serie: 'east' is none of north, south"
    assert [(each.line, each.reason) for each in found.rejects.examples] == [(7, "2 fields, the header has 3")]
    assert (found.backwards.count, [each.line for each in found.backwards.examples]) == (1, [12])
    assert (found.repeated.count, [each.line for each in found.repeated.examples]) == (1, [11])
    assert found.constant == ("VolCorrected",)


def test_flaws_are_counted_without_end_and_shown_five_times() -> None:
    found = look("Date;Value\n" + "2026-01-01;x\n" * 70_000 + "2026-01-01;1\n")
    tally = found.flaws["VolCorrected"]["not_a_number"]

    assert tally.count == 70_000
    assert [each.line for each in tally.examples] == [2, 3, 4, 5, 6]


def test_order_is_within_a_series() -> None:
    rows = ["2026-01-02;1;a", "2026-01-01;1;b", "2026-01-03;1;a", "2026-01-02;1;b"]
    assert look("Date;Value;Serie\n" + "\n".join(rows)).ordered
    assert not look("Date;Value;Serie\n" + "\n".join([*rows, "2026-01-01;1;a"])).ordered
    assert look("Date;Value;Serie\n" + "\n".join([*rows, "2026-01-01;1;a"])).duplicate_times is None


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("x.csv", b"", "empty_file"),
        ("x.csv", b"\xef\xbb\xbf", "empty_file"),
        ("x.csv", b"\n \r\n", "empty_file"),
        ("x.csv.gz", gz(""), "empty_file"),
        ("x.xlsx", workbook([]), "empty_file"),
        ("x.csv", b"FechaHora;VolCorrected\n\n", "no_rows"),
        ("x.xlsx", workbook([["FechaHora", "VolCorrected"]]), "no_rows"),
        ("x.csv", b"FechaHora;VolCorrected\n2026-01-01;x\n", "no_usable_row"),
        ("x.csv", b"FechaHora;VolCorrected\n1;2;3\n", "no_usable_row"),
        ("x.csv", workbook([["FechaHora"]]), "binary_file"),
        ("x.csv", gz("FechaHora;VolCorrected\n"), "binary_file"),
        ("x.csv", b"\x89PNG\r\n\x1a\n", "binary_file"),
        ("x.csv", b"FechaHora;VolCorrected\n2026-01-01;1\n2026-01-01;\0\n", "binary_file"),
        ("x.csv", bytes(range(1, 32)) * 9, "binary_file"),
        ("x.csv", b"FechaHora;n\n2026-01-01;1\n", "missing_column"),
        ("x.csv", b"FechaHora;VolCorrected;volcorrected\n2026-01-01;1;1\n", None),
        ("x.csv", b"FechaHora;vol corrected;volcorrected\n2026-01-01;1;1\n", "ambiguous_column"),
        ("x.csv", b'"FechaHora;VolCorrected\n2026-01-01;1\n', "bad_header"),
        ("x.xls", b"", "unsupported_format"),
        ("x", b"FechaHora;VolCorrected\n", "unsupported_format"),
        ("x.csv.gz", b"FechaHora;VolCorrected\n", "unreadable_file"),
        ("x.csv.gz", gz("FechaHora;VolCorrected\n2026-01-01;1\n")[:-9], "unreadable_file"),
        ("x.xlsx", b"FechaHora;VolCorrected\n", "unreadable_file"),
        ("x.xlsx", workbook([["FechaHora"]])[:400], "unreadable_file"),
        ("x.parquet", b"PAR1FechaHora", "unreadable_file"),
    ],
)
def test_files_that_cannot_be_scored_say_why(name: str, data: bytes, code: str | None) -> None:
    if code is None:
        survey(BytesSource(name, data), METER)
        return
    with pytest.raises(TableError) as caught:
        survey(BytesSource(name, data), METER)
    assert caught.value.code == code
    assert caught.value.message.endswith((".", ")."))


def test_what_a_misnamed_file_looks_like_is_said() -> None:
    with pytest.raises(TableError, match="looks like an Excel workbook"):
        survey(BytesSource("x.csv", workbook([["a"]])), METER)


def test_only_the_first_five_unusable_rows_are_told() -> None:
    found = survey(csv("FechaHora;VolCorrected\n2026-01-01;1\n" + "2026-01-01;x\n" * 9), METER)
    assert found.unusable == 9
    assert [example.line for example in found.examples] == [3, 4, 5, 6, 7]
