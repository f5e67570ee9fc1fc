"""Quoted fields are left in their lines, and give the very rows that a reader gives."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.tables.cells import LineRows, TextRows
from shared.tables.csvrows import Splitter

HEAD = "a,b,c\n"
_FIELDS = st.text(st.sampled_from('xy ,;"\n\r'), max_size=4)


def _split(body: str, delimiter: str = ",", head: str = HEAD) -> tuple[list[list[str]], bool]:
    """The rows of a body after its header, and whether they were left as lines."""
    splitter = Splitter(delimiter)
    splitter.split(head, False)
    block = splitter.split(body, True)
    assert splitter.header == head.strip().split(delimiter)
    return list(block.rows), isinstance(block.rows, LineRows)


@given(st.lists(st.tuples(_FIELDS, _FIELDS, _FIELDS), min_size=1, max_size=4), st.lists(st.booleans(), min_size=12))
def test_they_are_what_a_reader_reads(rows: list[tuple[str, str, str]], quoted: list[bool]) -> None:
    places = iter(quoted * 12)
    text = ""
    for row in rows:
        fields = []
        for field in row:
            needed = any(mark in field for mark in ',"\n\r') or not "".join(row).strip()
            fields.append('"' + field.replace('"', '""') + '"' if needed or next(places) else field)
        text += ",".join(fields) + "\n"
    found, _ = _split(text)

    assert found == list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ('1,"(41.9, -87.6)",3\n', [["1", "(41.9, -87.6)", "3"]]),
        ('"1","","3"\n"4","5","6"', [["1", "", "3"], ["4", "5", "6"]]),
        ('"1","2"," 3 "\r\n4,5,6\r\n', [["1", "2", " 3 "], ["4", "5", "6"]]),
        ('1,"2;x",3\n', [["1", "2;x", "3"]]),
        ('1,"2 ""x""",3\n4,"5",6\n', [["1", '2 "x"', "3"], ["4", "5", "6"]]),
        ('1,"""",""\n"""2""",,3', [["1", '"', ""], ['"2"', "", "3"]]),
    ],
)
def test_quoted_lines_stay_lines_with_the_quotes_that_fields_need(body: str, rows: list[list[str]]) -> None:
    assert _split(body) == (rows, True)


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ('1,"2\nx",3\n', [["1", "2\nx", "3"]]),
        ('1,"2\r\nx",3\r\n', [["1", "2\r\nx", "3"]]),
        ('1,2"x,"3"\n', [["1", '2"x', "3"]]),
        ('1;2,"x",3\n', [["1;2", "x", "3"]]),
    ],
)
def test_other_fields_are_read(body: str, rows: list[list[str]]) -> None:
    assert _split(body) == (rows, False)


@given(st.lists(st.tuples(_FIELDS, _FIELDS, _FIELDS), min_size=1, max_size=4))
def test_columns_and_written_lines_are_those_of_rows(rows: list[tuple[str, ...]]) -> None:
    text = "".join(",".join('"' + each.replace('"', '""') + '"' for each in row) + "\n" for row in rows)
    splitter = Splitter(",")
    splitter.split(HEAD, False)
    found = splitter.split(text, True).rows
    plain = TextRows(list(found))

    assert found.written().to_pylist() == plain.written().to_pylist()
    assert [each.to_pylist() for each in found.columns([2, 0])] == [each.to_pylist() for each in plain.columns([2, 0])]
    assert list(found.part(1, len(found))) == list(plain.part(1, len(plain)))


def test_the_delimiter_of_the_app_may_be_that_of_the_file() -> None:
    assert _split('1;"2,x";3\n', ";", "a;b;c\n") == ([["1", "2,x", "3"]], True)
    assert _split('1;"2;x";3\n', ";", "a;b;c\n") == ([["1", "2;x", "3"]], True)


def test_lines_are_counted_and_odd_ones_rejected_as_ever() -> None:
    splitter = Splitter(",")
    splitter.split(HEAD, False)
    first = splitter.split('1,"2",3\n4,"5",6\n', False)
    second = splitter.split('7,"8"\n"9",8,7\n', True)

    assert list(first.lines) == [2, 3]
    assert [(each.line, each.text) for each in second.rejects] == [(4, '7,"8"')]
    assert (list(second.rows), list(second.lines)) == ([["9", "8", "7"]], [5])
