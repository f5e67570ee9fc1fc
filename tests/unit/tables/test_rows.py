"""Text into rows: what splits, what does not, and that nothing is lost."""

from __future__ import annotations

import pytest

from shared.tables import BytesSource, Reject, TableError, read, survey
from tests.unit.tables.samples import METER, csv, look, whole

HEAD = "FechaHora;VolCorrected\n"
T = "2026-01-01 00:00"


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        pytest.param(f"{HEAD}{T};1\n{T};2\n", [[T, "1"], [T, "2"]], id="newline"),
        pytest.param(f"{HEAD}{T};1\r\n{T};2", [[T, "1"], [T, "2"]], id="windows-and-no-last-end"),
        pytest.param(f"FechaHora;VolCorrected\r{T};1\r{T};2\r", [[T, "1"], [T, "2"]], id="lone-returns"),
        pytest.param(f"\n  \n{HEAD}\n{T};1\n\n \t\n{T};2\n\n", [[T, "1"], [T, "2"]], id="blank-lines"),
        pytest.param(f"sep=;\r\n{HEAD}{T};1\n", [[T, "1"]], id="excel-sep-line"),
        pytest.param(f'{HEAD}"{T}";" 1 "\n', [[T, " 1 "]], id="quoted"),
        pytest.param(f"{HEAD}{T};1;;\n{T};2;\n", [[T, "1"], [T, "2"]], id="trailing-delimiters-in-rows"),
        pytest.param(f"FechaHora;VolCorrected;\n{T};1;\n{T};2\n", [[T, "1", ""], [T, "2", ""]], id="and-in-header"),
        pytest.param(
            f'FechaHora;VolCorrected;n;n\n{T};1;"a;""b""\r\nc";d"e\n', [[T, "1", 'a;"b"\r\nc', 'd"e']], id="quotes"
        ),
        pytest.param(f'FechaHora;VolCorrected;n\n{T};1;""\n{T};2;""""\n', [[T, "1", ""], [T, "2", '"']], id="doubled"),
    ],
)
def test_rows_split_as_they_stand(text: str, cells: list[list[str]]) -> None:
    result = whole(csv(text))
    assert result.cells == cells
    assert result.rejects == []


def test_lines_that_do_not_split_are_rejected_with_their_line_and_text() -> None:
    text = f"{HEAD}{T};1\n{T};2;3\nnonsense\r\n{T};4\n"
    result = whole(csv(text))
    assert result.cells == [[T, "1"], [T, "4"]]
    assert result.rejects == [
        Reject(3, "3 fields, the header has 2", f"{T};2;3"),
        Reject(4, "1 field, the header has 2", "nonsense"),
    ]


def test_line_numbers_are_physical_lines() -> None:
    text = f'FechaHora;VolCorrected;n\n{T};1;"two\nlines"\n\n{T};x;\nbad\n'
    found = look(text)
    assert [(example.line, example.reason) for example in found.examples] == [(5, "VolCorrected: 'x' is not a number")]
    assert [reject.line for reject in whole(csv(text)).rejects] == [6]


def test_a_quote_that_never_closes_costs_one_line() -> None:
    rows = "".join(f"{T};{n}\n" for n in range(500))
    text = f'{HEAD}{T};"1\n{rows}'
    result = whole(csv(text))
    assert [cells[1] for cells in result.cells] == [str(n) for n in range(500)]
    assert [(reject.line, reject.text) for reject in result.rejects] == [(2, f'{T};"1')]


def test_a_stray_quote_does_not_take_the_lines_up_to_the_next_one() -> None:
    text = f'{HEAD}{T};"1\n{T};2\n{T};"3"\n{T};4\n'
    result = whole(csv(text))
    assert [cells[1] for cells in result.cells] == ["2", "3", "4"]
    assert [(reject.line, reject.reason) for reject in result.rejects] == [
        (2, "text follows the closing quote of a field")
    ]


def test_a_file_of_stray_quotes_takes_linear_time() -> None:
    """Read naively, each of these lines opens a field that runs to the end of the file."""
    text = f"{HEAD}{T};1\n" + 'x";"\n' * 60_000
    result = whole(csv(text))
    assert len(result.cells) + len(result.rejects) == 60_001


def test_very_many_rejects_are_not_gathered_in_memory() -> None:
    text = f"{HEAD}{T};1\n" + "nonsense\n" * 300_000 + f"{T};2\n"
    chunks = list(read(csv(text), look(text), METER, rows_per_chunk=2))
    assert max(len(chunk.rejects) for chunk in chunks) <= 150_000
    assert [(chunk.first_row, list(chunk.cells)) for chunk in chunks if chunk.cells] == [(0, [[T, "1"], [T, "2"]])]
    assert sum(len(chunk.rejects) for chunk in chunks) == 300_000


def test_very_large_fields_and_very_many_columns() -> None:
    large = "é" * 1_000_000
    many = [f"c{n}" for n in range(10_000)]
    text = f'FechaHora;VolCorrected;{";".join(many)}\n{T};1;"{large}\n{large}";{large}{";" * 9_998}\n'
    result = whole(csv(text, piece=100_000))
    assert result.cells == [[T, "1", f"{large}\n{large}", large, *[""] * 9_998]]


def test_duplicate_header_names_stay() -> None:
    found = look(f"n;FechaHora;n;VolCorrected\na;{T};b;1\n")
    assert found.header == ("n", "FechaHora", "n", "VolCorrected")
    assert found.columns == {"FechaHora": 1, "VolCorrected": 3}


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    with pytest.raises(TableError) as caught:
        survey(BytesSource("x.csv", HEAD.encode() + b"1" * (18 << 20)), METER)
    assert (caught.value.code, caught.value.line) == ("line_too_long", 2)


def test_a_source_that_changed_between_the_passes_is_an_error() -> None:
    found = look(f"{HEAD}{T};1\n{T};2\n")
    with pytest.raises(TableError) as caught:
        whole(csv(f"{HEAD}{T};1\n"), found)
    assert caught.value.code == "changed_file"
