"""What stands in for the endpoint of a classified table: it obeys the wire, and answers by a rule of thumb."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from aml.contract import ContractError, DatasetContract
from aml.messages import ARROW, JSON, Answer

CHOICE = b"dropscore.model_choice"
_TYPES = {"integer": pa.int64(), "number": pa.float64(), "text": pa.string()}


class Classifier:
    """Answers each row by the length of its first text and the sum of its numbers; every model of the contract by a
    rule that is a little its own, the first of them being the best.

    `asked` are the columns of each request, by name and Arrow type, `choices` which model each asks; `knows` are the
    choices that its bundle has.
    """

    def __init__(self, contract: DatasetContract, version: str = "7") -> None:
        self.contract = contract
        self.version = version
        self.knows = frozenset(contract.choices)
        self.forget()

    def forget(self) -> None:
        """Forgets what it was asked."""
        self.asked: list[dict[str, str]] = []
        self.choices: list[str | None] = []

    def answer(self, content_type: str, body: bytes) -> Answer:
        """See `aml.serving.Service.answer`."""
        if content_type == ARROW:
            table = pa.ipc.open_stream(body).read_all()
            metadata = table.schema.metadata or {}
            assert int(metadata[b"dropscore.context_rows"]) == 0
            self.asked.append({field.name: str(field.type) for field in table.schema})
            rows, choice = table.to_pylist(), metadata.get(CHOICE, b"").decode()
        else:
            request = json.loads(body)
            rows, choice = request["data"], request.get("choice", "")
        self.choices.append(choice or None)
        try:
            if choice and choice not in self.knows:
                raise ContractError("unknown_model", f"There is no model {choice!r} in the bundle.")
            contract = self.contract.answering(choice or None)
        except ContractError as error:
            return Answer(400, JSON, json.dumps({"code": error.code, "error": error.message}).encode())
        answers = [self._row(row, contract) for row in rows]
        return self._arrow(answers, contract) if content_type == ARROW else self._json(answers)

    def _row(self, row: Mapping[str, Any], contract: DatasetContract) -> dict[str, Any]:
        classes, target = contract.classes, contract.target or ""
        size = sum(value for value in row.values() if isinstance(value, int | float))
        size += sum(len(value) for value in row.values() if isinstance(value, str))
        said = {model.name: classes[int(size + at) % len(classes)] for at, model in enumerate(contract.models)}
        if contract.asked == "all":
            return {model.answer_column(target): said[model.name] for model in contract.models}
        one = said[contract.models[0].name if contract.asked == "best" else contract.asked or ""]
        sure = 0.5 + (size % 10) / 20
        shares = {f"p_{name}": sure if name == one else (1 - sure) / (len(classes) - 1) for name in classes}
        return {target: one, "confidence": sure, **shares}

    def _arrow(self, answers: Sequence[Mapping[str, Any]], contract: DatasetContract) -> Answer:
        schema = pa.schema([(column.name, _TYPES[column.type]) for column in contract.predictions])
        schema = schema.with_metadata({"dropscore.model": contract.model_name, "dropscore.version": self.version})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema) as writer:
            writer.write_table(pa.Table.from_pylist(list(answers), schema=schema))
        return Answer(200, ARROW, sink.getvalue().to_pybytes())

    def _json(self, answers: Sequence[Mapping[str, Any]]) -> Answer:
        model = {"name": self.contract.model_name, "version": self.version}
        return Answer(200, JSON, json.dumps({"ok": True, "predictions": list(answers), "model": model}).encode())
