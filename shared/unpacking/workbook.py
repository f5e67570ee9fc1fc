"""Excel workbooks as columns of text."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import islice
from typing import IO

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from shared.unpacking.sheets import Sheet, UnpackError, batch_of

_MAX_UNPACKED = 1 << 31
"""Bytes that a workbook may unpack to: it is held in memory, and a small zip can unpack to anything."""
_CELLS = 1 << 15


def read_workbook(file: IO[bytes]) -> tuple[list[str], Iterator[Sheet]]:
    """The header and the rows of a workbook's first visible sheet.

    Numbers become their shortest text (5, not 5.0), times `yyyy-mm-dd HH:MM:SS[.ffffff]` to the millisecond, which is
    what Excel keeps, booleans `true` and `false`; error values (`#N/A`) are empty. Rows without any value are no rows.
    A row's line is its number in the sheet.

    Raises:
        UnpackError: `unreadable_file`, `empty_file`.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > _MAX_UNPACKED:
            raise UnpackError("unreadable_file", f"The workbook would unpack to {unpacked} bytes, which is too much.")
        file.seek(0)
        sheet = _first_sheet(CalamineWorkbook.from_filelike(file))
    except (CalamineError, zipfile.BadZipFile, NotImplementedError, OSError) as error:
        raise UnpackError("unreadable_file", f"The file is no sound Excel workbook ({error}).") from error
    rows = _numbered(sheet)
    for _, cells in rows:
        header = list(map(_text, cells))
        while not header[-1].strip():
            header.pop()
        return header, _sheets(rows, len(header))
    raise UnpackError("empty_file", f"The sheet {sheet.name!r} is empty: it has no header and no rows.")


def _first_sheet(workbook: CalamineWorkbook) -> CalamineSheet:
    for position, sheet in enumerate(workbook.sheets_metadata):
        if sheet.typ == SheetTypeEnum.WorkSheet and sheet.visible == SheetVisibleEnum.Visible:
            return workbook.get_sheet_by_index(position)
    raise UnpackError("empty_file", "The workbook has no visible sheet with cells.")


def _numbered(sheet: CalamineSheet) -> Iterator[tuple[int, Sequence[object]]]:
    """Rows that hold something, with their number in the sheet."""
    for line, cells in enumerate(sheet.iter_rows(), 1):
        if any(not isinstance(cell, str) or cell.strip() for cell in cells):
            yield line, cells


def _sheets(numbered: Iterator[tuple[int, Sequence[object]]], width: int) -> Iterator[Sheet]:
    while part := list(islice(numbered, max(1, _CELLS // width))):
        rows: list[list[str]] = []
        lines: list[int] = []
        rejects: list[tuple[int, str, str]] = []
        native: set[int] = set()
        for line, cells in part:
            row = [_text(cell) for cell in cells] + [""] * (width - len(cells))
            if any(row[width:]):
                rejects.append((line, f"a value beyond the header's {width} columns", _joined(row)))
                continue
            rows.append(row[:width])
            lines.append(line)
            native.update(at for at, cell in enumerate(cells) if isinstance(cell, float) and not cell.is_integer())
        columns = list(zip(*rows, strict=True)) or [()] * width
        yield Sheet(batch_of(columns), lines, rejects, native)


def _joined(row: Sequence[str]) -> str:
    return "\t".join(row).rstrip("\t")


def _text(cell: object) -> str:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime):
        # Excel keeps a time as a fraction of a day in a double: below the millisecond there is only noise.
        whole = cell.replace(microsecond=0)
        return str(whole + timedelta(milliseconds=round(cell.microsecond / 1000)))
    if isinstance(cell, date):  # what the reader makes of a midnight, whatever the cell's format
        return f"{cell} 00:00:00"
    return str(cell)
