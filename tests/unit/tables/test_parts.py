"""A text read in parts is the text read whole, wherever it may be cut."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field, replace
from unittest import mock

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.tables import Block, Boundary, BytesSource, PartSource, Reject, Survey, read, survey
from tests.unit.tables.samples import METER
from tests.unit.tables.test_laws import NASTY

_ROWS = "FechaHora;VolCorrected;Serie;n\n" + "2026-01-01 00:00:00;1,5;ñu;n\n"
_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
_MARKED = [
    ("utf-8", b""),
    ("utf-8", codecs.BOM_UTF8),
    ("utf-8", 2 * codecs.BOM_UTF8),
    ("utf-16-le", codecs.BOM_UTF16_LE),
    ("utf-16-be", codecs.BOM_UTF16_BE),
    ("utf-32-le", codecs.BOM_UTF32_LE),
    ("cp1252", b""),
]


@dataclass
class _Boundaries:
    """What a survey tells of the places at which a text may be cut, with the rows and rejects before each."""

    found: list[tuple[Boundary, int, int]] = field(default_factory=list)
    rows: int = 0
    rejected: int = 0

    def begin(self) -> None:
        self.found, self.rows, self.rejected = [], 0, 0

    def take(self, block: Block, batch: pa.RecordBatch) -> None:
        self.rows += len(block.rows)
        self.rejected += len(block.rejects)
        if block.boundary is not None:
            self.found.append((block.boundary, self.rows, self.rejected))


def _parts(source: BytesSource, found: Survey, cuts: list[tuple[Boundary, int, int]]) -> list[PartSource]:
    parts = []
    begin, rows, rejected = Boundary(0, 1), 0, 0
    for boundary, rows_before, rejected_before in [*cuts, (Boundary(found.size, 0), found.rows, found.rejected)]:
        own = replace(found, rows=rows_before - rows, rejected=rejected_before - rejected)
        parts.append(PartSource(source, own, begin, boundary.offset))
        begin, rows, rejected = boundary, rows_before, rejected_before
    return parts


def _read(sources: list[PartSource] | list[tuple[BytesSource, Survey]], rows: int) -> tuple[object, ...]:
    cells: list[list[str]] = []
    errors: list[str] = []
    rejects: list[Reject] = []
    typed: list[dict[str, object]] = []
    for each in sources:
        source, found = (each, each.survey) if isinstance(each, PartSource) else each
        for chunk in read(source, found, METER, rows_per_chunk=rows):
            cells += chunk.cells
            errors += chunk.errors
            rejects += chunk.rejects
            typed += chunk.batch.to_pylist()
    return cells, errors, rejects, typed


@given(NASTY, _ENDS, st.sampled_from(_MARKED), st.integers(1, 9), st.integers(8, 60), st.booleans())
@settings(max_examples=300)
@example('"\n"2026-01-01;1;a;b\n', "\r\n", _MARKED[0], 3, 8, True)
def test_a_text_in_parts_is_the_whole_text(
    tail: str, end: str, marked: tuple[str, bytes], rows: int, block: int, every: bool
) -> None:
    encoding, mark = marked
    text = (_ROWS + tail).replace("\r", "\n").replace("\n", end)
    source = BytesSource("x.csv", mark + text.encode(encoding), 7)
    with mock.patch("shared.tables.streams.BLOCK", block):
        cuts = _Boundaries()
        found = survey(source, METER, follower=cuts)
        at = cuts.found if every else cuts.found[::2]
        expected = _read([(source, found)], rows)

        assert _read(_parts(source, found, at), rows) == expected


def test_a_text_may_be_cut_behind_each_of_its_records_and_nowhere_else() -> None:
    data = b'FechaHora;VolCorrected;Serie;n\n2026-01-01;1;"a\nb";n\n2026-01-02;2;c;d\n'
    source = BytesSource("x.csv", data)
    with mock.patch("shared.tables.streams.BLOCK", 1):
        cuts = _Boundaries()
        survey(source, METER, follower=cuts)

    places = {boundary.offset: boundary.line for boundary, _, _ in cuts.found}
    records = [31, data.index(b"2026-01-02"), len(data)]
    assert places == dict(zip(records, [2, 4, 5], strict=True))
