"""What a request about a table asks and is answered: which of the models answers is chosen by the request.

An Arrow stream names its choice in the schema's metadata (`dropscore.model_choice`), JSON under `choice` beside `data`;
without one the contract's `answer` holds. The answer has the prediction columns of that choice, as
`DatasetContract.answering` says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from sklearn.pipeline import Pipeline

from aml.columns import InputError
from aml.contract import DatasetContract
from aml.messages import (
    ARROW,
    JSON,
    Answer,
    Predictions,
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
from aml.rows import Floats
from aml.tabular.candidates import Candidates
from aml.tabular.forest import flags_of, scores_of
from aml.tabular.metrics import aligned
from aml.tabular.reading import ParsedTable, needed_of, table_from_arrow, table_from_columns
from aml.tabular.table import Table

CHOICE = b"dropscore.model_choice"


@dataclass(frozen=True, eq=False)
class TableService(ABC):
    """What the services of tables have in common: requests and answers.

    `name` and `version` are what the deployment calls the model, empty when it does not say.
    """

    contract: DatasetContract
    name: str
    version: str

    def answer(self, content_type: str, body: bytes) -> Answer:
        """Answer one request; see `aml.messages.answered`. An unknown choice is refused with `unknown_model`."""
        return answered(content_type, body, {JSON: self._json, ARROW: self._arrow})

    @abstractmethod
    def predict(self, table: Table, contract: DatasetContract) -> Predictions:
        """The prediction columns of the contract, for every row.

        Args:
            contract: with the choice made, as `DatasetContract.answering` returns it.
        """

    @abstractmethod
    def candidate(self, contract: DatasetContract) -> str:
        """Which of the bundle's models answers this choice, or `all`."""

    def _arrow(self, body: bytes) -> bytes:
        table = read_stream(body)
        contract = self.contract.answering(_choice((table.schema.metadata or {}).get(CHOICE)))
        # rows stand for themselves: those that are sent as context are stepped over
        parsed = table_from_arrow(table.slice(context_rows(table)), contract)
        metadata = {f"dropscore.{key}": value for key, value in self._about(contract).items()}
        return arrow_answer(self.predict(_usable(parsed), contract), contract.predictions, metadata)

    def _json(self, body: bytes) -> bytes:
        request = read_json(body)
        contract = self.contract.answering(_choice(request.get("choice")))
        data: Sequence[Record] = request["data"]
        header = header_of(data)
        found = needed_of(contract).resolve(header) if data else {}
        columns = {name: [record.get(header[place]) for record in data] for name, place in found.items()}
        predictions = self.predict(_usable(table_from_columns(columns, contract, len(data))), contract)
        about = self._about(contract)
        model = {"name": about["model"], "version": about["version"], "candidate": about["candidate"]}
        return json_answer(data, predictions, contract.predictions, model)

    def _about(self, contract: DatasetContract) -> dict[str, str]:
        candidate = self.candidate(contract)
        return {"model": self.name, "version": self.version, "evaluation": "scikit-learn", "candidate": candidate}


@dataclass(frozen=True, eq=False)
class TabularService(TableService):
    """The classifiers of a table in service."""

    candidates: Candidates

    def predict(self, table: Table, contract: DatasetContract) -> Predictions:
        """See `TableService.predict`."""
        chosen = self._chosen(contract)
        found = self.candidates.probabilities(table, chosen)
        if _asked(contract) == "all":
            names = (column.name for column in contract.predictions)
            return {column: self._said(model, found[model]) for column, model in zip(names, chosen, strict=True)}
        return self._one(chosen[0], found[chosen[0]], contract)

    def _chosen(self, contract: DatasetContract) -> tuple[str, ...]:
        asked = _asked(contract)
        if asked == "all":
            return tuple(model.name for model in contract.models)
        return (self.candidates.best if asked == "best" else asked,)

    def _said(self, model: str, probabilities: Floats) -> pa.Array:
        names = pa.array([str(name) for name in self.candidates.classes(model)], pa.string())
        indices = pa.array(probabilities.argmax(axis=1).astype(np.int32))
        return pa.DictionaryArray.from_arrays(indices, names).cast(pa.string())

    def _one(self, model: str, probabilities: Floats, contract: DatasetContract) -> Predictions:
        classes = np.array(contract.classes)
        spread = aligned(probabilities, self.candidates.classes(model), classes)
        target, confidence, *shares = (column.name for column in contract.predictions)
        return {
            target: self._said(model, probabilities),
            confidence: probabilities.max(axis=1),
            **{name: spread[:, at] for at, name in enumerate(shares)},
        }

    def candidate(self, contract: DatasetContract) -> str:
        """See `TableService.candidate`."""
        asked = _asked(contract)
        return asked if asked == "all" else self._chosen(contract)[0]


@dataclass(frozen=True, eq=False)
class OutlierService(TableService):
    """The isolation forest of a table in service. It answers `anomaly` and `anomaly_score`; any other column that its
    contract declares is not known to it, and null."""

    pipeline: Pipeline

    def predict(self, table: Table, contract: DatasetContract) -> Predictions:
        """See `TableService.predict`."""
        scores = scores_of(self.pipeline, table)
        known: Predictions = {"anomaly": flags_of(self.pipeline, scores), "anomaly_score": scores}
        return {
            column.name: known[column.name] if column.name in known else pa.nulls(len(table))
            for column in contract.predictions
        }

    def candidate(self, contract: DatasetContract) -> str:
        """See `TableService.candidate`."""
        return contract.models[0].name


def _usable(parsed: ParsedTable) -> Table:
    if parsed.problems:
        position, why = min(parsed.problems.items())
        raise bad_row(position, 0, why)
    return parsed.table


def _asked(contract: DatasetContract) -> str:
    return contract.asked or contract.answer


def _choice(value: object) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if value is None or isinstance(value, str):
        return value or None
    raise InputError("bad_request", '"choice" must be the name of a model.')
