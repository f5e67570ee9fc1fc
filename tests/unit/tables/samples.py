"""What the tests of tables share: a contract, makers of files, and a reader that puts the chunks together again."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.parquet as pq

from aml.contract import Column, DatasetContract, PredictionColumn, TrainingRules
from shared.tables import BytesSource, Reject, Source, Survey, read, survey

METER = DatasetContract(
    name="meter",
    task="anomaly",
    model_name="meter",
    columns=(
        Column(name="FechaHora", type="time", aliases=("Date",)),
        Column(name="VolCorrected", type="number", aliases=("Value",)),
        Column(name="Pressure", type="number", required=False, minimum=0, maximum=100),
        Column(name="Serie", type="text", required=False),
    ),
    time="FechaHora",
    value="VolCorrected",
    series="Serie",
    contamination=0.01,
    context_rows=0,
    predictions=(PredictionColumn(name="anomaly", type="integer"),),
    training=TrainingRules(min_rows=1, min_days=0, max_unusable_share=1),
)


@dataclass
class Whole:
    """A file's chunks, put together."""

    cells: list[list[str]]
    errors: list[str]
    usable: list[bool]
    rejects: list[Reject]
    typed: pa.Table


def csv(text: str, name: str = "x.csv", encoding: str = "utf-8", piece: int = 1 << 20) -> BytesSource:
    return BytesSource(name, text.encode(encoding), piece)


def look(text: str) -> Survey:
    return survey(csv(text), METER)


def whole(source: Source, found: Survey | None = None, rows_per_chunk: int = 1000) -> Whole:
    found = found or survey(source, METER)
    result = Whole([], [], [], [], None)
    batches = []
    for index, chunk in enumerate(read(source, found, METER, rows_per_chunk=rows_per_chunk)):
        assert (chunk.index, chunk.first_row) == (index, len(result.cells))
        assert len(chunk.cells) <= rows_per_chunk
        assert len(chunk.errors) == len(chunk.usable) == len(chunk.cells)
        assert chunk.batch.num_rows == int(chunk.usable.sum())
        result.cells += list(chunk.cells)
        result.errors += chunk.errors
        result.usable += chunk.usable.tolist()
        result.rejects += chunk.rejects
        batches.append(chunk.batch)
    result.typed = pa.Table.from_batches(batches)
    assert [not error for error in result.errors] == result.usable
    assert len(result.cells) + len(result.rejects) == found.data_rows
    return result


def times(text_rows: Sequence[str]) -> list[datetime]:
    """The typed times of a one-series file whose times are these texts."""
    text = "FechaHora;VolCorrected\n" + "".join(f"{row};1\n" for row in text_rows)
    typed: list[datetime] = whole(csv(text)).typed.column("FechaHora").to_pylist()
    return typed


def numbers(text_rows: Sequence[str], delimiter: str = ";") -> list[float]:
    """The typed numbers of a file whose numbers are these texts."""
    text = f"FechaHora{delimiter}VolCorrected\n"
    text += "".join(f'2026-01-01 00:00{delimiter}"{row}"\n' for row in text_rows)
    typed: list[float] = whole(csv(text)).typed.column("VolCorrected").to_pylist()
    return typed


def parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


_OFFICE = "http://schemas.openxmlformats.org"
_PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{_OFFICE}/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_OFFICE}/package/2006/relationships"><Relationship Id="r1" '
    f'Type="{_OFFICE}/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_OFFICE}/spreadsheetml/2006/main" '
    f'xmlns:r="{_OFFICE}/officeDocument/2006/relationships"><sheets>'
    '<sheet name="notes" sheetId="1" state="hidden" r:id="r1"/><sheet name="data" sheetId="2" r:id="r2"/>'
    "</sheets></workbook>",
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_OFFICE}/package/2006/relationships">'
    + "".join(
        f'<Relationship Id="{key}" Type="{_OFFICE}/officeDocument/2006/relationships/{kind}" Target="{target}"/>'
        for key, kind, target in (
            ("r1", "worksheet", "worksheets/sheet1.xml"),
            ("r2", "worksheet", "worksheets/sheet2.xml"),
            ("r3", "styles", "styles.xml"),
        )
    )
    + "</Relationships>",
    "xl/styles.xml": f'<styleSheet xmlns="{_OFFICE}/spreadsheetml/2006/main"><cellXfs count="2">'
    '<xf numFmtId="0"/><xf numFmtId="22"/></cellXfs></styleSheet>',
}


def workbook(rows: Sequence[Sequence[object]]) -> bytes:
    """An .xlsx whose second sheet holds these rows, the first being hidden; None is an empty cell."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in _PARTS.items():
            archive.writestr(path, content)
        archive.writestr("xl/worksheets/sheet1.xml", _sheet([["hidden"]]))
        archive.writestr("xl/worksheets/sheet2.xml", _sheet(rows))
    return out.getvalue()


def _sheet(rows: Sequence[Sequence[object]]) -> str:
    lines = []
    for number, row in enumerate(rows, 1):
        cells = "".join(_cell(f"{chr(65 + at)}{number}", value) for at, value in enumerate(row))
        lines.append(f'<row r="{number}">{cells}</row>')
    data = "".join(lines)
    return f'<worksheet xmlns="{_OFFICE}/spreadsheetml/2006/main"><sheetData>{data}</sheetData></worksheet>'


def _cell(place: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, datetime):
        days = (value - datetime(1899, 12, 30)) / timedelta(days=1)  # noqa: DTZ001 - Excel's times have no zone
        return f'<c r="{place}" s="1"><v>{days!r}</v></c>'
    if isinstance(value, (int, float)):
        return f'<c r="{place}"><v>{value!r}</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t>{escape(str(value))}</t></is></c>'


def gz(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)
