"""Writing `;`-separated UTF-8 tables, the way every result of the app is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shared.floats import shortest
from shared.tables.cells import DELIMITER, Cells, TextRows, quoted, quoted_column
from shared.tables.model import Reject

REJECTS_HEADER = ("line", "reason", "text")


def _row(fields: Sequence[str]) -> str:
    if len(fields) == 1 and not fields[0].strip(" \t"):
        return f'"{fields[0]}"'  # an empty or blank line would be read as no row
    return DELIMITER.join(map(quoted, fields))


def render_rows(rows: Iterable[Sequence[str]]) -> bytes:
    """Rows of text as UTF-8, `;`-separated, quoted as RFC 4180 only where needed, each ended by one newline.

    The rows need not be equally long. Reading the bytes back gives the same fields.
    """
    rows = rows if isinstance(rows, list) else list(rows)
    if not rows:
        return b""
    text = "\n".join([DELIMITER.join(row) for row in rows])
    fields = sum(map(len, rows))
    # Rows of one field take the long way: one that is empty needs quotes, which a look at the text does not show.
    if min(map(len, rows)) < 2 or not _plain(text, len(rows), fields):
        text = "\n".join(map(_row, rows))
    return (text + "\n").encode()


def _plain(text: str, rows: int, fields: int) -> bool:
    """Whether no field needs quotes: one that does brings in more separators than were put between the fields."""
    return (
        '"' not in text and "\r" not in text and text.count("\n") == rows - 1 and text.count(DELIMITER) == fields - rows
    )


def render_header(header: Sequence[str]) -> bytes:
    """The header line."""
    return render_rows([header])


def render_scored(cells: Cells | Sequence[Sequence[str]], columns: Sequence[Any]) -> bytes:
    """Input rows, each followed by its fields of the further columns (predictions, then `error`).

    Args:
        cells: the input's fields.
        columns: one or more whole columns of text, as lists or Arrow strings without nulls, each as long as `cells`.
    """
    rows = cells if isinstance(cells, Cells) else Cells([TextRows(list(map(list, cells)))])
    if not len(rows):
        return b""  # of no rows Arrow makes a buffer of a few bytes
    *fields, last = [_written(column, len(rows)) for column in columns]
    last = "\n" if _empty(last) else pc.binary_join_element_wise(last, "\n", "")
    lines = pc.binary_join_element_wise(rows.written(), *fields, last, DELIMITER)
    _, _, data = lines.buffers()
    return b"" if data is None else bytes(data.to_pybytes())


def _written(column: Any, size: int) -> Any:
    if len(column) != size:
        raise ValueError(f"a column of {len(column)} fields for {size} rows")
    if isinstance(column, pa.Array):
        return quoted_column(column)
    if column.count("") == size:
        return pa.StringArray.from_buffers(size, pa.py_buffer(bytes(4 * size + 4)), pa.py_buffer(b""))
    return pa.array(list(map(quoted, column)), pa.string())


def _empty(column: Any) -> bool:
    """Whether there is no text in it, as in `error` more often than not."""
    return int(pc.sum(pc.binary_length(column)).as_py()) == 0


def scored_header(header: Sequence[str], prediction_names: Sequence[str]) -> list[str]:
    """The scored file's header: the input's names as they are, the predictions' names, `error`.

    Where the input already has a column of that name (letter case aside), the new column is called `<name>_2`,
    `<name>_3`, … whichever is free first; so a scored file can be dropped and scored again.
    """
    taken = {name.strip().casefold() for name in header}
    result = list(header)
    for wanted in (*prediction_names, "error"):
        name, number = wanted, 1
        while name.casefold() in taken:
            number += 1
            name = f"{wanted}_{number}"
        taken.add(name.casefold())
        result.append(name)
    return result


def _texts(column: Any) -> Any:
    if pa.types.is_floating(column.type):
        column = column.cast(pa.float64())
        values = column.fill_null(np.nan).to_numpy(zero_copy_only=False)
        texts, missing = shortest(values), np.isnan(values)
        return pc.if_else(pa.array(missing), "", texts) if missing.any() else texts
    if pa.types.is_integer(column.type) or pa.types.is_string(column.type):
        return column.cast(pa.string()).fill_null("")
    return pa.array(["" if value is None else str(value) for value in column.to_pylist()], pa.string())


def render_predictions(predictions: pa.RecordBatch, names: Sequence[str], usable: NDArray[np.bool_]) -> list[Any]:
    """The named prediction columns as Arrow strings, one field for every row of a chunk; empty where the row is not
    usable.

    Integers are written as digits, floats as the shortest text that reads back as the same number, with a point;
    a missing value and NaN as nothing.

    Args:
        predictions: one row for each usable row, in order.
        usable: shape (rows of the chunk,).
    """
    if predictions.num_rows != int(usable.sum()):
        raise ValueError(f"{predictions.num_rows} predictions for {int(usable.sum())} usable rows")
    columns = [_texts(predictions.column(name)) for name in names]
    if usable.all():
        return columns
    places = pa.array(np.cumsum(usable) - 1, mask=~usable)
    return [column.take(places).fill_null("") for column in columns]


def render_rejects(rejects: Iterable[Reject]) -> bytes:
    """Rejected lines as rows of `REJECTS_HEADER`; a line's own end is left out."""
    return render_rows([(str(reject.line), reject.reason, reject.text) for reject in rejects])
