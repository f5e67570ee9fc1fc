"""What goes over the wire to the scoring script and comes back: Arrow IPC streams, or the earlier system's JSON."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from aml.contract import DatasetContract, PredictionColumn
from shared.errors import EndpointRefusedError, EndpointUnavailableError

ARROW = "application/vnd.apache.arrow.stream"
JSON = "application/json"
CONTEXT_ROWS = b"dropscore.context_rows"
MODEL_CHOICE = b"dropscore.model_choice"
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_UNREADABLE = (
    pa.ArrowException,
    OSError,  # an Arrow stream that is cut short
    ArithmeticError,  # JSON's Infinity, where an integer should be
    AttributeError,  # JSON of another shape
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    csv.Error,
)
_TYPES = {"integer": pa.int64(), "number": pa.float64(), "text": pa.string()}


@dataclass(frozen=True)
class Predictions:
    """The model's answer for the rows of one request, in order, and which model gave it ('' when it does not say).

    `columns` are the contract's prediction columns; a column that the endpoint does not know is null throughout.
    """

    columns: pa.Table
    model: str = ""
    version: str = ""


def prediction_schema(contract: DatasetContract) -> pa.Schema:
    """The Arrow schema of the contract's prediction columns."""
    return pa.schema([(column.name, _TYPES[column.type]) for column in contract.predictions])


def telling(contract: DatasetContract, *tables: pa.Table) -> list[str]:
    """The columns worth sending, of tables that have the same ones.

    An optional one in which there is nothing says what its absence says. Not so a required one: without it a whole
    request is refused; nor one that would be worked out from others where it is absent.
    """
    return [
        name
        for name in tables[0].schema.names
        if (column := contract.column(name)).required
        or column.source is not None
        or any(table.column(name).null_count < table.num_rows for table in tables)
    ]


def encode_arrow(context: pa.Table, rows: pa.Table, choice: str | None = None) -> bytes:
    """One IPC stream of the context rows and the rows to score; the schema's metadata have the number of the former,
    and which model is to answer, where there are several."""
    table = pa.concat_tables([context, rows]).combine_chunks()
    about = {CONTEXT_ROWS: str(context.num_rows)}
    table = table.replace_schema_metadata(about if choice is None else {**about, MODEL_CHOICE: choice})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def encode_json(context: pa.Table, rows: pa.Table, choice: str | None = None) -> bytes:
    """The earlier system's request, `{"data": [...]}`; context rows, where there are any, under `context`, and which
    model is to answer, where there are several, under `choice`."""
    body: dict[str, Any] = {"data": _records(rows)}
    if choice is not None:
        body["choice"] = choice
    if context.num_rows:
        body["context"] = _records(context)
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()


def _records(table: pa.Table) -> list[dict[str, Any]]:
    columns = []
    for field in table.schema:
        values = table.column(field.name)
        if pa.types.is_timestamp(field.type):
            values = [None if v is None else v.isoformat(sep=" ") for v in values.to_pylist()]
        else:
            values = values.to_pylist()
        columns.append(values)
    names = table.schema.names
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def decode(body: bytes, content_type: str, contract: DatasetContract, expected_rows: int) -> Predictions:
    """The predictions in an answer.

    Raises:
        EndpointUnavailableError: ``malformed_answer``, the answer is cut short or not what it says it is.
        EndpointRefusedError: ``wrong_row_count`` when it holds another number of rows, ``endpoint_error`` when a JSON
            answer with status 200 carries an error, as the earlier system's does.
    """
    arrow = content_type.partition(";")[0].strip().lower() == ARROW
    try:
        predictions = _decode_arrow(body, contract, expected_rows) if arrow else _decode_json(body, contract)
    except _UNREADABLE as error:
        raise EndpointUnavailableError(
            "malformed_answer", f"The endpoint's answer cannot be read ({type(error).__name__}: {error})."
        ) from error
    if predictions.columns.num_rows != expected_rows:
        raise EndpointRefusedError(
            "wrong_row_count",
            f"The endpoint answered {predictions.columns.num_rows} rows for {expected_rows} that were sent.",
        )
    return predictions


def _decode_arrow(body: bytes, contract: DatasetContract, expected_rows: int) -> Predictions:
    schema = prediction_schema(contract)
    with pa.ipc.open_stream(body) as reader:
        table = reader.read_all()
    if not body.endswith(_END_OF_STREAM) and table.num_rows < expected_rows:
        # cut short exactly between two messages, which Arrow takes for the end of the stream
        raise pa.ArrowInvalid("the stream breaks off without its end mark")
    metadata: Mapping[bytes, bytes] = table.schema.metadata or {}
    known = set(table.schema.names)
    if known.isdisjoint(schema.names):
        raise LookupError(f"none of the columns {', '.join(schema.names)}")
    columns = [
        table.column(field.name).cast(field.type) if field.name in known else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return Predictions(
        pa.table(columns, schema=schema),
        model=metadata.get(b"dropscore.model", b"").decode(),
        version=metadata.get(b"dropscore.version", b"").decode(),
    )


def _decode_json(body: bytes, contract: DatasetContract) -> Predictions:
    answer = json.loads(body)
    if isinstance(answer, str):  # the earlier system's script dumps its answer, and the server dumps it again
        answer = json.loads(answer)
    if "error" in answer:
        raise EndpointRefusedError("endpoint_error", f"The endpoint refused the rows: {answer['error']}")
    rows = answer["predictions"] if "predictions" in answer else _rows_of_csv(answer["csv_base64"])
    columns = [_column(column, rows) for column in contract.predictions]
    model = answer.get("model") or {}
    return Predictions(
        pa.table(columns, schema=prediction_schema(contract)),
        model=str(model.get("name") or ""),
        version=str(model.get("version") or ""),
    )


def _rows_of_csv(encoded: str) -> list[dict[str, Any]]:
    text = base64.b64decode(encoded, validate=True).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=";"))


def _column(column: PredictionColumn, rows: Sequence[Mapping[str, Any]]) -> pa.Array:
    values = [row.get(column.name) for row in rows]
    present = [None if value is None or value == "" else value for value in values]
    if column.type == "integer":
        return pa.array([None if v is None else int(v) for v in present], pa.int64())
    if column.type == "number":
        return pa.array([None if v is None else float(v) for v in present], pa.float64())
    return pa.array([None if v is None else str(v) for v in present], pa.string())
