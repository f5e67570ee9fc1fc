"""What a request about a series asks and is answered, between bytes and `Rows`; `aml.messages` has the bytes, and
`aml/score.py` the web server around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from aml.columns import Parsed, rows_from_columns, rows_from_table
from aml.contract import DatasetContract
from aml.detection.findings import Detections, Kind
from aml.detection.words import Texts, reasons
from aml.forest import Scorer
from aml.messages import (
    ARROW,
    JSON,
    Answer,
    Record,
    answered,
    arrow_answer,
    bad_row,
    context_rows,
    header_of,
    json_answer,
    read_json,
    read_stream,
)
from aml.rows import Rows

Predictions = dict[str, NDArray[Any] | pa.Array]

_KINDS = pa.array([kind.name.lower() for kind in Kind], pa.string())


@dataclass(frozen=True, eq=False)
class Service:
    """A model in service; `name` and `version` are what the deployment calls it, empty when it does not say."""

    contract: DatasetContract
    scorer: Scorer
    name: str = ""
    version: str = ""

    def answer(self, content_type: str, body: bytes) -> Answer:
        """Answer one request; see `aml.messages.answered`."""
        return answered(content_type, body, {JSON: self._records, ARROW: self._arrow})

    def predict(self, parsed: Parsed, context_rows: int) -> Predictions:
        """The prediction columns for every row after the first `context_rows`.

        Raises:
            InputError: ``bad_row`` when a row, of the data or of the context, cannot be used.
        """
        if parsed.problems:
            position, why = min(parsed.problems.items())
            raise bad_row(position, context_rows, why)
        found = self.scorer.detect(parsed.rows).after(context_rows)
        answers = {
            "anomaly": found.anomaly.astype(np.int64),
            "anomaly_score": found.score,
            "expected": found.expected,
            "lower": found.lower,
            "upper": found.upper,
            "severity": found.severity,
            "kind": _KINDS.take(pa.array(found.kind)),
            "reason": self._reasons(found, parsed.rows, context_rows),
        }
        return {column.name: answers[column.name] for column in self.contract.predictions}

    def _reasons(self, found: Detections, rows: Rows, context_rows: int) -> pa.Array:
        scorer, interval = self.scorer, self.scorer.intervals(rows)
        rows = rows.take(slice(context_rows, None))
        holiday = scorer.holidays(rows.time)
        texts = reasons(
            found,
            rows.time,
            rows.value,
            interval if isinstance(interval, int) else interval[context_rows:],
            self.contract.language,
            history_days=scorer.history_days,
            holiday=holiday,
        )
        return _sparse(texts, np.flatnonzero(found.anomaly))

    def _arrow(self, body: bytes) -> bytes:
        table = read_stream(body)
        predictions = self.predict(rows_from_table(table, self.contract), context_rows(table))
        metadata = {
            "dropscore.model": self.name,
            "dropscore.version": self.version,
            "dropscore.evaluation": self.scorer.evaluation,
        }
        return arrow_answer(predictions, self.contract.predictions, metadata)

    def _records(self, body: bytes) -> bytes:
        request = read_json(body)
        predictions = self._predict_records(request["data"], request["context"])
        model = {"name": self.name, "version": self.version}
        return json_answer(request["data"], predictions, self.contract.predictions, model)

    def _predict_records(self, data: Sequence[Record], context: Sequence[Record]) -> Predictions:
        """Data and context may name their columns differently (canonical names here, aliases there)."""
        if not data:
            return {column.name: np.zeros(0) for column in self.contract.predictions}
        columns: dict[str, list[object]] = {column.name: [] for column in self.contract.columns}
        for records in (context, data):
            header = header_of(records)
            found = self.contract.resolve(header) if records else {}
            for name, values in columns.items():
                key = header[found[name]] if name in found else None
                values.extend([None if key is None else record.get(key) for record in records])
        parsed = rows_from_columns(columns, self.contract, len(context) + len(data))
        return self.predict(parsed, len(context))


def _sparse(texts: Texts, where: NDArray[np.intp]) -> pa.Array:
    """The same texts as Arrow strings; all but those at `where` are empty, and are not looked at one by one."""
    told = pa.array(texts[where], pa.string())
    _, offsets, data = told.buffers()
    lengths = np.zeros(len(texts) + 1, dtype=np.int32)
    if len(told):
        lengths[where + 1] = np.diff(np.frombuffer(offsets, np.int32, len(told) + 1))
    ends = np.cumsum(lengths, dtype=np.int32)
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(ends), pa.py_buffer(b"") if data is None else data)
