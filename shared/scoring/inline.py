"""Scoring a small table at once, for the HTTP door: the same reading, the same scorer, the answer in memory."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from aml.contract import DatasetContract
from shared.scoring.history import History
from shared.scoring.results import answering_model
from shared.scoring.revisions import place_of
from shared.scoring.scorer import Conversation, Scorer
from shared.scoring.sizing import RequestSize
from shared.scoring.table import ScoredChunk, TableScoring, prediction_names
from shared.scoring.targets import Targets
from shared.scoring.univariate import Question
from shared.scoring.univariate_answer import answer
from shared.settings import Settings
from shared.tables import RecordsSource, Source, Survey, render_header, scored_header, survey

_PREVIEW_ROWS = 10
_PATIENCE_SECONDS = 20.0
"""A person waits for the answer, and HTTP must answer within 230 s: shorter than for a file."""


@dataclass(frozen=True)
class InlineAnswer:
    """A scored table: the `;`-separated file as bytes, and the JSON body of the earlier system with its additions."""

    csv: bytes
    body: dict[str, Any]


class InlineScoring:
    """The use case behind `POST /datasets/{dataset}/score` with a table in its body."""

    def __init__(self, settings: Settings, history: History, targets: Targets) -> None:
        self._settings = settings
        self._history = history
        self._targets = targets

    def score(
        self, contract: DatasetContract, source: Source, *, alone: bool = False, hopeless: bool = False
    ) -> InlineAnswer:
        """Scores the table; raises what a file's run would end with, and `NoLiveModelError` rather than wait.

        Args:
            alone: the table stands for itself: nothing that is known from before it is its context.
            hopeless: a table of which no row can be used is answered too, each row with its error.
        """
        found = survey(source, contract, hopeless=hopeless)
        target = self._targets.find(contract.name)
        conversation = Conversation(deployment=target.deployment, wire=self._settings.score_wire)
        before = pa.table({})
        place = None if alone else place_of(source.name, contract, source, found)
        if place is not None:
            before = self._history.before(contract, place)
        patience = min(_PATIENCE_SECONDS, self._settings.score_patience_seconds)
        with closing(self._targets.connect(target, patience=patience)) as client:
            size = RequestSize(self._settings.score_rows_per_request, self._settings.score_bytes_per_request)
            in_flight = self._settings.score_requests_in_flight
            scorer = Scorer(client, contract, conversation, in_flight=in_flight, size=size)
            table = TableScoring(source, found, contract, scorer, before, self._settings.score_rows_per_request)
            chunks = list(table.chunks())
        header = scored_header(found.header, prediction_names(contract))
        csv = render_header(header) + b"".join(chunk.render() for chunk in chunks)
        predictions = [row for chunk in chunks for row in _predictions(chunk)]
        warnings = [told for chunk in chunks for told in chunk.warnings or [[]] * len(chunk.cells)]
        preview = [
            {**given, **predicted} for given, predicted in zip(_given(source, found, chunks), predictions, strict=False)
        ]
        return InlineAnswer(
            csv,
            {
                "ok": True,
                "rows": len(predictions),
                "preview": preview,
                "csv_base64": base64.b64encode(csv).decode(),
                "predictions": predictions,
                "counts": table.counts.as_dict(),
                "rejected": [
                    {"line": reject.line, "reason": reject.reason} for chunk in chunks for reject in chunk.rejects
                ],
                **({"warnings": warnings} if contract.is_table else {}),
                "model": answering_model(target, conversation) | _asked(contract),
                "scored_by": conversation.scored_by,
            },
        )

    def detect(self, contract: DatasetContract, question: Question) -> dict[str, Any]:
        """Answers a request of the retired Azure Anomaly Detector; raises what `score` raises."""
        scored = self.score(contract, RecordsSource(question.records(contract)), alone=True).body
        answered = {name: scored[name] for name in ("model", "scored_by")}
        return answer(question, scored["predictions"], contract) | answered


def _asked(contract: DatasetContract) -> dict[str, str]:
    """What was asked of the model, where it has something to choose from."""
    return {} if contract.asked is None else {"choice": contract.asked}


def _given(source: Source, found: Survey, chunks: Sequence[ScoredChunk]) -> list[Mapping[str, object]]:
    """The first rows as they were given: records with their own values, rows of a file as text."""
    if isinstance(source, RecordsSource):
        return list(source.records[:_PREVIEW_ROWS])
    cells = [row for chunk in chunks for row in chunk.cells][:_PREVIEW_ROWS]
    return [dict(zip(found.header, row, strict=True)) for row in cells]


def _predictions(chunk: ScoredChunk) -> list[dict[str, Any]]:
    """Per row its prediction columns, those too that no scored file has, and `error` where there is one."""
    rows: list[dict[str, Any]] = [
        {name: None if value != value else value for name, value in row.items()}  # JSON has no NaN
        for row in chunk.predictions.to_pylist()
    ]
    for row, error in zip(rows, chunk.errors, strict=True):
        if error:
            row["error"] = error
    return rows
