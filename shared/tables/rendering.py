"""Writing `;`-separated UTF-8 tables, the way every result of the app is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shared.tables.model import Reject

DELIMITER = ";"
REJECTS_HEADER = ("line", "reason", "text")


def _field(text: str) -> str:
    if DELIMITER in text or '"' in text or "\n" in text or "\r" in text:
        return '"' + text.replace('"', '""') + '"'
    return text


def _row(fields: Sequence[str]) -> str:
    if len(fields) == 1 and not fields[0].strip(" \t"):
        return f'"{fields[0]}"'  # an empty or blank line would be read as no row
    return DELIMITER.join(map(_field, fields))


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


def render_scored(cells: Sequence[Sequence[str]], columns: Sequence[Sequence[str]]) -> bytes:
    """Input rows, each followed by its fields of the further columns (predictions, then `error`).

    Args:
        cells: the input's fields, row by row.
        columns: whole columns of text, each as long as `cells`.
    """
    tails = map(DELIMITER.join, zip(*columns, strict=True))
    text = "\n".join([f"{DELIMITER.join(row)};{tail}" for row, tail in zip(cells, tails, strict=True)])
    if cells and _plain(text, len(cells), sum(map(len, cells)) + len(columns) * len(cells)):
        return (text + "\n").encode()
    return render_rows([[*row, *further] for row, further in zip(cells, zip(*columns, strict=True), strict=True)])


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


def _texts(column: Any) -> list[str]:
    if pa.types.is_floating(column.type):
        values = column.cast(pa.float64()).to_pylist()
        if column.null_count == 0 and not np.isnan(values).any():
            return list(map(repr, values))
        return ["" if value is None or value != value else repr(value) for value in values]
    return ["" if value is None else str(value) for value in column.to_pylist()]


def render_predictions(predictions: pa.RecordBatch, names: Sequence[str], usable: NDArray[np.bool_]) -> list[list[str]]:
    """The named prediction columns as text, one field for every row of a chunk; empty where the row is not usable.

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
    places = np.flatnonzero(usable).tolist()
    result = []
    for column in columns:
        spread = list(repeat("", len(usable)))
        for place, text in zip(places, column, strict=True):
            spread[place] = text
        result.append(spread)
    return result


def render_rejects(rejects: Iterable[Reject]) -> bytes:
    """Rejected lines as rows of `REJECTS_HEADER`; a line's own end is left out."""
    return render_rows([(str(reject.line), reject.reason, reject.text) for reject in rejects])
