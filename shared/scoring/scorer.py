"""Rows in, predictions out, in order: plans requests with context, keeps a few in flight, isolates what is refused."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

from aml.contract import DatasetContract
from shared.errors import EndpointRefusedError
from shared.scoring import wire
from shared.scoring.context import conform, context_of, tail
from shared.scoring.endpoint import EndpointClient, RequestTooLargeError, RowsRefusedError, WireRefusedError

Wire = Literal["auto", "arrow", "json"]

_HOPELESS_REFUSALS = 50
"""So many rows refused one by one, and not one accepted: the rows are not the problem."""


@dataclass(frozen=True)
class Scored:
    """The answer for one batch of rows: predictions (null where refused) and, by row number, why a row was refused."""

    predictions: pa.Table
    refused: dict[int, str]


@dataclass
class Conversation:
    """What the scoring of one table learns from the endpoint and holds on to.

    `deployment` is named by the first answer, when it was not given, and pins the rest, so that one model scores the
    whole table; `model` and `version` are what the answers say of themselves.
    """

    deployment: str | None = None
    model: str = ""
    version: str = ""
    wire: Wire = "auto"
    request_ids: list[str] = field(default_factory=list)
    requests: int = 0


class Scorer:
    """Scores the batches of one table, in order, against one endpoint."""

    def __init__(
        self, client: EndpointClient, contract: DatasetContract, conversation: Conversation, *, in_flight: int
    ) -> None:
        self._client = client
        self._contract = contract
        self._conversation = conversation
        self._in_flight = in_flight
        self._lock = threading.Lock()
        self._accepted = 0
        self._refused = 0

    def score(self, batches: Iterable[pa.Table], before: pa.Table) -> Iterator[Scored]:
        """One `Scored` per batch, in order.

        Args:
            batches: tables of the contract's columns, in time order within each series; read only a few ahead.
            before: the context of the first batch, in time order.
        """
        work = self._with_context(batches, before)
        with ThreadPoolExecutor(self._in_flight, thread_name_prefix="score") as pool:
            under_way: deque[Future[Scored]] = deque()
            try:
                for context, rows in work:
                    if self._conversation.requests == 0:
                        # alone: the first answer says which deployment and which wire the others use
                        yield self._batch(context, rows)
                        continue
                    under_way.append(pool.submit(self._batch, context, rows))
                    if len(under_way) >= self._in_flight:
                        yield under_way.popleft().result()
                while under_way:
                    yield under_way.popleft().result()
            finally:
                for future in under_way:
                    future.cancel()

    def _with_context(self, batches: Iterable[pa.Table], before: pa.Table) -> Iterator[tuple[pa.Table, pa.Table]]:
        before = conform(before, self._contract)
        for batch in batches:
            rows = conform(batch, self._contract)
            yield context_of(before, rows, self._contract), rows
            before = tail(pa.concat_tables([before, rows]), self._contract)

    def _batch(self, context: pa.Table, rows: pa.Table) -> Scored:
        if rows.num_rows == 0:
            return Scored(wire.prediction_schema(self._contract).empty_table(), {})
        try:
            predictions = self._ask(context, rows)
        except (RowsRefusedError, RequestTooLargeError) as error:
            if rows.num_rows > 1:
                return self._halves(context, rows)
            if isinstance(error, RequestTooLargeError):
                raise
            self._count(refused=1, error=error)
            nothing = [pa.nulls(1, kind.type) for kind in wire.prediction_schema(self._contract)]
            return Scored(pa.table(nothing, schema=wire.prediction_schema(self._contract)), {0: error.message})
        self._count(accepted=rows.num_rows)
        return Scored(predictions.columns, {})

    def _halves(self, context: pa.Table, rows: pa.Table) -> Scored:
        middle = rows.num_rows // 2
        left, right = rows.slice(0, middle), rows.slice(middle)
        first = self._batch(context, left)
        second = self._batch(tail(pa.concat_tables([context, left]), self._contract), right)
        refused = first.refused | {middle + row: why for row, why in second.refused.items()}
        return Scored(pa.concat_tables([first.predictions, second.predictions]), refused)

    def _count(self, *, accepted: int = 0, refused: int = 0, error: RowsRefusedError | None = None) -> None:
        with self._lock:
            self._accepted += accepted
            self._refused += refused
            hopeless = self._accepted == 0 and self._refused >= _HOPELESS_REFUSALS
        if hopeless and error is not None:
            raise EndpointRefusedError(
                "endpoint_refuses_all", f"The endpoint refused every row it was sent. {error.message}", **error.where
            ) from error

    def _ask(self, context: pa.Table, rows: pa.Table) -> wire.Predictions:
        talk = self._conversation
        if talk.wire != "auto":
            return self._exchange(talk.wire, context, rows)
        try:
            predictions = self._exchange("arrow", context, rows)
        except (WireRefusedError, RowsRefusedError) as error:
            # A script without raw bodies never sees the stream: the inference server itself says 400.
            predictions = self._exchange("json", context, rows, otherwise=error)
            talk.wire = "json"
            return predictions
        talk.wire = "arrow"
        return predictions

    def _exchange(
        self,
        kind: Literal["arrow", "json"],
        context: pa.Table,
        rows: pa.Table,
        otherwise: EndpointRefusedError | None = None,
    ) -> wire.Predictions:
        encode: Callable[[pa.Table, pa.Table], bytes] = wire.encode_arrow if kind == "arrow" else wire.encode_json
        keep = _named_columns(context, rows)
        body = encode(context.select(keep), rows.select(keep))
        talk = self._conversation
        try:
            predictions, answer = self._client.post(
                body,
                wire.ARROW if kind == "arrow" else wire.JSON,
                talk.deployment,
                lambda answer: wire.decode(answer.body, answer.content_type, self._contract, rows.num_rows),
            )
        except WireRefusedError as error:
            raise otherwise or error from error
        with self._lock:
            talk.requests += 1
            talk.deployment = talk.deployment or answer.deployment
            talk.model, talk.version = predictions.model, predictions.version
            if answer.request_id:
                talk.request_ids.append(answer.request_id)
        return predictions


def _named_columns(context: pa.Table, rows: pa.Table) -> list[str]:
    """The columns worth sending: an optional one that neither table has a value in says nothing."""
    return [
        name
        for name in rows.schema.names
        if rows.column(name).null_count < rows.num_rows or context.column(name).null_count < context.num_rows
    ]
