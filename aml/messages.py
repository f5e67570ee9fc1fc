"""Bytes of requests and answers, for the services of series and of tables alike (`aml.serving`, `aml.tabular.serving`).

Arrow (`application/vnd.apache.arrow.stream`) is what the function app speaks: columns in, prediction columns out.
JSON is the contract of the system that came before: `{"data": [{...}]}` in, `ok`, `rows`, `preview` and `csv_base64`
out, with `predictions` and `model` added.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from aml.columns import InputError
from aml.contract import ContractError, PredictionColumn

ARROW = "application/vnd.apache.arrow.stream"
JSON = "application/json"

Predictions = Mapping[str, NDArray[Any] | pa.Array]
Record = dict[str, Any]

_PREVIEW_ROWS = 10
_ARROW_TYPES = {"integer": pa.int64(), "number": pa.float64(), "text": pa.string()}


@dataclass(frozen=True, eq=False)
class Answer:
    """Status, content type and body of a response."""

    status: int
    content_type: str
    body: bytes


def answered(content_type: str, body: bytes, by: Mapping[str, Callable[[bytes], bytes]]) -> Answer:
    """The answer to a request, by what makes the body of one of its content type.

    Args:
        content_type: media type without parameters, lower case.
        body: the request's body.
        by: for `ARROW` and `JSON`, an answer's body from a request's; raises ContractError or InputError.

    Returns:
        200 with the predictions; 400 when the request is at fault; 415 for any other content type. Errors are
        `{"error": words, "code": stable code, "row": number from 1 where it is one row}`.
    """
    if content_type not in by:
        known = " or ".join(by)
        return refusal(415, "unsupported_content_type", f"Send {known}, not {content_type or 'an unnamed type'}.")
    try:
        return Answer(200, content_type, by[content_type](body))
    except ContractError as error:
        return refusal(400, error.code, error.message)
    except InputError as error:
        return refusal(400, error.code, error.message, error.row)


def arrow_answer(predictions: Predictions, columns: Sequence[PredictionColumn], metadata: Mapping[str, str]) -> bytes:
    """An IPC stream of the prediction columns; numbers that are not known are null."""
    kinds = [(column.name, _ARROW_TYPES[column.type]) for column in columns]
    schema = pa.schema(kinds, metadata=metadata)
    arrays = []
    for name, kind in kinds:
        values = predictions[name]
        arrays.append(values.cast(kind) if isinstance(values, pa.Array) else pa.array(values, kind, from_pandas=True))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.table(arrays, schema=schema))
    return bytes(sink.getvalue().to_pybytes())


def json_answer(
    data: Sequence[Record], predictions: Predictions, columns: Sequence[PredictionColumn], model: Mapping[str, Any]
) -> bytes:
    """The earlier system's answer to these records."""
    names = [column.name for column in columns]
    answers = [
        dict(zip(names, row, strict=True)) for row in zip(*(_plain(predictions[name]) for name in names), strict=True)
    ]
    full = [{**record, **answer} for record, answer in zip(data, answers, strict=True)]
    header = [name for name in header_of(data) if name not in names] + names
    return _json(
        {
            "ok": True,
            "rows": len(data),
            "preview": full[:_PREVIEW_ROWS],
            "csv_base64": base64.b64encode(_csv(header, full)).decode("ascii"),
            "predictions": answers,
            "model": dict(model),
        }
    )


def _plain(column: NDArray[Any] | pa.Array) -> list[Any]:
    """For JSON, which has no number for what is not known."""
    values: list[Any] = column.tolist()
    if not isinstance(column, pa.Array) and column.dtype.kind == "f":
        return [None if math.isnan(value) else value for value in values]
    return values


def read_stream(body: bytes) -> pa.Table:
    """The table of an Arrow request; InputError ``bad_arrow``."""
    try:
        table = pa.ipc.open_stream(pa.py_buffer(body)).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last: a column's name is not UTF-8
        raise InputError("bad_arrow", f"The body is not a valid Arrow IPC stream: {error}") from error
    return table


def context_rows(table: pa.Table) -> int:
    """How many of its first rows are context; InputError ``bad_context``."""
    text = (table.schema.metadata or {}).get(b"dropscore.context_rows", b"0")
    if not (text.isdigit() and len(text) <= 18 and int(text) <= table.num_rows):
        raise InputError(
            "bad_context", f"dropscore.context_rows must be a number from 0 to {table.num_rows}, not {text!r}."
        )
    return int(text)


def read_json(body: bytes) -> Record:
    """The object of a JSON request, with lists of records under `data` and `context`. What JSON has no number for (NaN,
    1e999) stays text, and is refused later with its row.

    Raises:
        InputError: ``bad_json``, ``bad_request``.
    """
    try:
        request = json.loads(body, parse_float=_finite, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise InputError("bad_json", f"The body is not JSON: {error}") from error
    if not isinstance(request, dict) or "data" not in request:
        raise InputError("bad_request", 'The body must be an object like {"data": [{"column": value}]}.')
    return {**request, **{key: _list_of_records(request, key) for key in ("data", "context")}}


def _list_of_records(request: Mapping[str, Any], key: str) -> list[Record]:
    records = request.get(key, [])
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise InputError("bad_request", f'"{key}" must be a list of objects, one per row.')
    return records


def _finite(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def header_of(records: Sequence[Record]) -> list[str]:
    """Every key of every record, by first appearance."""
    return list(dict.fromkeys(key for record in records for key in record))


def _csv(header: Sequence[str], records: Sequence[Record]) -> bytes:
    """A `;`-separated table of all records, UTF-8, `\\n` line ends; numbers with a point, missing values empty."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";", lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(record.get(name)) for name in header] for record in records)
    # JSON can spell half a surrogate pair, which no encoding can.
    return text.getvalue().encode("utf-8", errors="replace")


def _cell(value: object) -> object:
    return json.dumps(value) if isinstance(value, bool | dict | list) else value


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, allow_nan=False).encode("ascii")


def bad_row(position: int, before: int, why: str) -> InputError:
    """The error of a row at this position (from 0, `before` of them context)."""
    if position < before:
        return InputError("bad_context", f"Context row {position + 1}: {why}.", position + 1)
    number = position - before + 1
    return InputError("bad_row", f"Row {number}: {why}.", number)


def refusal(status: int, code: str, message: str, row: int | None = None) -> Answer:
    """An answer that says what is wrong."""
    where = {} if row is None else {"row": row}
    return Answer(status, JSON, _json({"error": message, "code": code, **where}))
