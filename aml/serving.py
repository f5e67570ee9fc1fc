"""What a request asks and what it is answered, between bytes and `Rows`; the web server around it is `aml/score.py`'s.

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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from aml.columns import InputError, Parsed, rows_from_columns, rows_from_table
from aml.contract import ContractError, DatasetContract
from aml.detection.findings import Detections, Kind
from aml.detection.words import Texts, reasons
from aml.forest import Scorer
from aml.rows import Rows

ARROW = "application/vnd.apache.arrow.stream"
JSON = "application/json"

Predictions = dict[str, NDArray[Any]]
Record = dict[str, Any]

_PREVIEW_ROWS = 10
_KINDS = np.array([kind.name.lower() for kind in Kind], dtype=object)
_ARROW_TYPES = {"integer": pa.int64(), "number": pa.float64(), "text": pa.string()}


@dataclass(frozen=True, eq=False)
class Answer:
    """Status, content type and body of a response."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, eq=False)
class Service:
    """A model in service; `name` and `version` are what the deployment calls it, empty when it does not say."""

    contract: DatasetContract
    scorer: Scorer
    name: str = ""
    version: str = ""

    def answer(self, content_type: str, body: bytes) -> Answer:
        """Answer one request.

        Args:
            content_type: media type without parameters, lower case.
            body: the request's body.

        Returns:
            200 with the predictions; 400 when the request is at fault; 415 for any other content type. Errors are
            `{"error": words, "code": stable code, "row": number from 1 where it is one row}`.
        """
        try:
            if content_type == ARROW:
                return Answer(200, ARROW, self._arrow(body))
            if content_type == JSON:
                return Answer(200, JSON, _json(self._records(body)))
        except ContractError as error:
            return _refusal(400, error.code, error.message)
        except InputError as error:
            return _refusal(400, error.code, error.message, error.row)
        return _refusal(
            415, "unsupported_content_type", f"Send {JSON} or {ARROW}, not {content_type or 'an unnamed type'}."
        )

    def predict(self, parsed: Parsed, context_rows: int) -> Predictions:
        """The prediction columns for every row after the first `context_rows`.

        Raises:
            InputError: ``bad_row`` when a row, of the data or of the context, cannot be used.
        """
        if parsed.problems:
            position, why = min(parsed.problems.items())
            raise _bad_row(position, context_rows, why)
        found = self.scorer.detect(parsed.rows).after(context_rows)
        answers = {
            "anomaly": found.anomaly.astype(np.int64),
            "anomaly_score": found.score,
            "expected": found.expected,
            "lower": found.lower,
            "upper": found.upper,
            "severity": found.severity,
            "kind": _KINDS[found.kind],
            "reason": self._reasons(found, parsed.rows.take(slice(context_rows, None))),
        }
        return {column.name: answers[column.name] for column in self.contract.predictions}

    def _reasons(self, found: Detections, rows: Rows) -> Texts:
        scorer, holiday = self.scorer, self.scorer.holidays(rows.time)
        return reasons(
            found,
            rows.time,
            rows.value,
            scorer.interval,
            self.contract.language,
            history_days=scorer.history_days,
            holiday=holiday,
        )

    def _arrow(self, body: bytes) -> bytes:
        table = _read_stream(body)
        predictions = self.predict(rows_from_table(table, self.contract), _context_rows(table))
        kinds = [(column.name, _ARROW_TYPES[column.type]) for column in self.contract.predictions]
        metadata = {
            "dropscore.model": self.name,
            "dropscore.version": self.version,
            "dropscore.evaluation": self.scorer.evaluation,
        }
        schema = pa.schema(kinds, metadata=metadata)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema) as writer:
            columns = [pa.array(predictions[name], kind, from_pandas=True) for name, kind in kinds]
            writer.write_table(pa.table(columns, schema=schema))
        return bytes(sink.getvalue().to_pybytes())

    def _records(self, body: bytes) -> dict[str, Any]:
        data, context = _read_json(body)
        predictions = self._predict_records(data, context)
        names = [column.name for column in self.contract.predictions]
        answers = [
            dict(zip(names, row, strict=True))
            for row in zip(*(_plain(predictions[name]) for name in names), strict=True)
        ]
        full = [{**record, **answer} for record, answer in zip(data, answers, strict=True)]
        header = [name for name in _header(data) if name not in names] + names
        return {
            "ok": True,
            "rows": len(data),
            "preview": full[:_PREVIEW_ROWS],
            "csv_base64": base64.b64encode(_csv(header, full)).decode("ascii"),
            "predictions": answers,
            "model": {"name": self.name, "version": self.version},
        }

    def _predict_records(self, data: Sequence[Record], context: Sequence[Record]) -> Predictions:
        """Data and context may name their columns differently (canonical names here, aliases there)."""
        if not data:
            return {column.name: np.zeros(0) for column in self.contract.predictions}
        columns: dict[str, list[object]] = {column.name: [] for column in self.contract.columns}
        for records in (context, data):
            header = _header(records)
            found = self.contract.resolve(header) if records else {}
            for name, values in columns.items():
                key = header[found[name]] if name in found else None
                values.extend([None if key is None else record.get(key) for record in records])
        parsed = rows_from_columns(columns, self.contract, len(context) + len(data))
        return self.predict(parsed, len(context))


def _plain(column: NDArray[Any]) -> list[Any]:
    """For JSON, which has no number for what is not known."""
    values: list[Any] = column.tolist()
    if column.dtype.kind == "f":
        return [None if math.isnan(value) else value for value in values]
    return values


def _read_stream(body: bytes) -> pa.Table:
    try:
        table = pa.ipc.open_stream(pa.py_buffer(body)).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last: a column's name is not UTF-8
        raise InputError("bad_arrow", f"The body is not a valid Arrow IPC stream: {error}") from error
    return table


def _context_rows(table: pa.Table) -> int:
    text = (table.schema.metadata or {}).get(b"dropscore.context_rows", b"0")
    if not (text.isdigit() and len(text) <= 18 and int(text) <= table.num_rows):
        raise InputError(
            "bad_context", f"dropscore.context_rows must be a number from 0 to {table.num_rows}, not {text!r}."
        )
    return int(text)


def _read_json(body: bytes) -> tuple[list[Record], list[Record]]:
    """The records of `data` and `context`. What JSON has no number for (NaN, 1e999) stays text, and is refused later
    with its row."""
    try:
        request = json.loads(body, parse_float=_finite, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise InputError("bad_json", f"The body is not JSON: {error}") from error
    if not isinstance(request, dict) or "data" not in request:
        raise InputError("bad_request", 'The body must be an object like {"data": [{"column": value}]}.')
    return _list_of_records(request, "data"), _list_of_records(request, "context")


def _list_of_records(request: Mapping[str, Any], key: str) -> list[Record]:
    records = request.get(key, [])
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise InputError("bad_request", f'"{key}" must be a list of objects, one per row.')
    return records


def _finite(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _header(records: Sequence[Record]) -> list[str]:
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


def _bad_row(position: int, context_rows: int, why: str) -> InputError:
    if position < context_rows:
        return InputError("bad_context", f"Context row {position + 1}: {why}.", position + 1)
    number = position - context_rows + 1
    return InputError("bad_row", f"Row {number}: {why}.", number)


def _refusal(status: int, code: str, message: str, row: int | None = None) -> Answer:
    where = {} if row is None else {"row": row}
    return Answer(status, JSON, _json({"error": message, "code": code, **where}))
