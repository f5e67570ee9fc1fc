"""Laws that hold for any file."""

from __future__ import annotations

from datetime import datetime, timedelta
from unittest import mock

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.floats import shortest
from shared.tables import BytesSource, read, render_header, render_rows, render_scored, survey
from shared.tables.numbers import read_numbers
from shared.tables.shapes import shape
from shared.tables.times import settle, take_apart
from tests.unit.tables.samples import METER, Whole, numbers, times, whole

HEADER = ["FechaHora", "VolCorrected", "Serie", "n"]
GOOD = ["2026-01-01 00:00:00", "1.5", "s", "n"]
FIELD = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from(';,"\n\r\t '), max_size=9)
NASTY = st.lists(
    st.sampled_from(['"', '"', ";", "\n", "\r", "\r\n", "a", "é", "", ";;;", "2026-01-01", '"\n', '""', '";"', "\n\n"])
    | st.just("\n2026-01-01;1;a;b\n")
).map("".join)
MOMENT = st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31)).map(  # noqa: DTZ001 - wall clock
    lambda moment: moment.replace(microsecond=0)
)


@given(st.lists(st.lists(FIELD, min_size=4, max_size=4)))
def test_what_is_rendered_reads_back_the_same(rows: list[list[str]]) -> None:
    # more good rows than others: a file in which "0," outweighs "1.5" has the comma for its decimal mark
    rows = [GOOD] * (len(rows) + 1) + rows
    data = render_header(HEADER) + render_rows(rows)
    result = whole(BytesSource("x.csv", data))
    assert result.cells == rows
    assert result.rejects == []


@given(NASTY, st.integers(1, 5), st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=250)
def test_nothing_depends_on_how_a_file_is_cut(tail: str, rows_per_chunk: int, piece: int, block: int) -> None:
    """Nor is any line lost: `whole` holds each reading against the count of the survey."""
    data = render_rows([HEADER, GOOD]) + tail.encode()
    plain = BytesSource("x.csv", data)
    found = survey(plain, METER)
    expected = whole(plain, found)
    cut = BytesSource("x.csv", data, piece)
    assert survey(cut, METER) == found
    assert whole(cut, found, rows_per_chunk) == expected
    # Blocks are always 1 MiB in use; here they are tiny, so that every construct falls across their borders.
    with mock.patch("shared.tables.streams.BLOCK", block):
        assert whole(cut, survey(cut, METER), rows_per_chunk) == expected


@given(
    st.lists(st.integers(-(10**9), 10**9), min_size=1),
    st.sampled_from([(".", ","), (",", "."), (",", " "), (".", "'"), (".", ""), (",", "")]),
    st.integers(1, 5).filter(lambda places: places != 3),
)
def test_numbers_are_read_as_they_were_meant(values: list[int], marks: tuple[str, str], places: int) -> None:
    decimal, thousands = marks
    meant = [value / 10**places for value in values]
    texts = [
        f"{value:,.{places}f}".replace(",", "\0").replace(".", decimal).replace("\0", thousands) for value in meant
    ]
    assert numbers(texts) == [float(f"{value:.{places}f}") for value in meant]


@given(
    st.lists(MOMENT, min_size=1),
    st.sampled_from(
        ["%Y-%m-%dT%H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%d.%m.%y %H:%M:%S", "%m-%d-%Y %H:%M:%S"]
    ),
)
def test_times_are_read_as_they_were_meant(moments: list[datetime], layout: str) -> None:
    moments = [moment.replace(day=13) for moment in moments[:1]] + moments
    assert times([moment.strftime(layout) for moment in moments]) == moments


EVEN = st.lists(
    st.lists(st.sampled_from(["", " ", "a", "é", "1,5", "2026-01-01", "x y"]), min_size=2, max_size=4).map(";".join)
    | st.sampled_from(["", " ", "2026-01-01;1;s;n"])
)


@given(EVEN, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(), st.sampled_from(";,|\t"))
@settings(max_examples=200)
def test_whole_lines_are_read_and_written_as_row_by_row(lines: list[str], end: str, ended: bool, mark: str) -> None:
    """The quick way for lines that split evenly, against the way that takes every line apart."""
    good = ["2026-01-01 00:00", "1", "s", "n"]
    text = end.join([";".join(row) for row in (HEADER, good, good)] + lines) + end * ended
    source = BytesSource("x.csv", text.replace(";", mark).encode())

    def scored() -> tuple[Whole, list[bytes]]:
        found = survey(source, METER)
        chunks = list(read(source, found, METER, rows_per_chunk=3))
        return whole(source, found), [render_scored(chunk.cells, [chunk.errors]) for chunk in chunks]

    # Tiny blocks: most of them hold lines of one width.
    with mock.patch("shared.tables.streams.BLOCK", 64):
        quick = scored()
        with mock.patch("shared.tables.csvrows.Splitter._split_evenly", lambda *_: None):
            assert scored() == quick


@given(st.lists(st.floats()))
def test_floats_are_written_as_python_writes_them(values: list[float]) -> None:
    assert shortest(np.array(values, np.float64)).to_pylist() == list(map(repr, values))


@given(st.lists(st.floats(1e-6, 1e12) | st.integers(0, 10**12).map(lambda value: value / 1000)))
def test_floats_of_common_size_are_written_as_python_writes_them(values: list[float]) -> None:
    assert shortest(np.array(values, np.float64)).to_pylist() == list(map(repr, values))


TIMELIKE = st.from_regex(
    r"[0-3]?[0-9][-/.][0-3]?[0-9][-/.](20)?[0-9][0-9]( [0-2]?[0-9]:[0-6][0-9](:[0-6][0-9])?)?", fullmatch=True
)
ISOLIKE = st.from_regex(r"20[0-9][0-9]-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]", fullmatch=True)


def _slowly(text: str, day_first: bool) -> datetime | None:
    separators = {mark for mark in "-/." if mark in text}
    mark = separators.pop()
    date = f"%d{mark}%m{mark}%Y" if day_first else f"%m{mark}%d{mark}%Y"
    for base in (f"%Y{mark}%m{mark}%d", date, date.replace("Y", "y")):
        for clock in ("", " %H:%M", " %H:%M:%S", "T%H:%M:%S"):
            try:
                moment = datetime.strptime(text, base + clock)  # noqa: DTZ007 - wall clock
            except ValueError:
                continue
            return None if separators or moment.second > 59 else moment
    return None


@given(st.lists(TIMELIKE | ISOLIKE), st.booleans())
def test_whole_columns_are_read_as_each_field_would_be(texts: list[str], day_first: bool) -> None:
    """The shapes and the column arithmetic, against datetime.strptime field by field."""
    texts = [text for text in texts if ":60" not in text and " 24:00" not in text and "T24:00" not in text]
    micros, sound = settle(take_apart(shape(pa.array(texts, pa.string()))), day_first)
    got = [
        datetime(1970, 1, 1) + timedelta(microseconds=value) if fine else None  # noqa: DTZ001 - wall clock
        for value, fine in zip(micros.tolist(), sound.tolist(), strict=True)
    ]
    assert got == [_slowly(text, day_first) for text in texts]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_are_exact_to_the_last_bit(values: list[float]) -> None:
    read, bad = read_numbers(shape(pa.array([repr(value) for value in values], pa.string())), ".", "")
    assert not bad
    assert read.tolist() == values
