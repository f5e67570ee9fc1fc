"""Rows in, predictions out, in order: plans requests with context, keeps a few in flight, isolates what is refused."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

import pyarrow as pa

from aml.contract import DatasetContract
from shared.errors import DropscoreError, EndpointRefusedError, EndpointUnavailableError
from shared.scoring import wire
from shared.scoring.context import conform, context_of, no_rows, tail
from shared.scoring.endpoint import Answer, RequestTooLargeError, RowsRefusedError, WireRefusedError
from shared.scoring.preceding import Preceding
from shared.scoring.sizing import RequestSize
from shared.telemetry import carried

Wire = Literal["auto", "arrow", "json"]
_Decoded = TypeVar("_Decoded")

BYTES_PER_REQUEST = 1_500_000
"""What managed endpoints are known to take; see the setting `SCORE_BYTES_PER_REQUEST`."""

REQUEST_IDS_KEPT = 100
"""Of one table, the first ones: a large file takes thousands of requests."""

HOPELESS_REFUSALS = 50
"""So many rows refused one by one and not one accepted, nor the batch's last one: the rows are not the problem."""


@dataclass(frozen=True)
class Scored:
    """The answer for one batch of rows: predictions (null where refused) and, by row number, why a row was refused."""

    predictions: pa.Table
    refused: dict[int, str]

    def accepted(self, rows: pa.Table) -> pa.Table:
        """Those of the batch's rows that were not refused: the others are no context of anything."""
        if not self.refused:
            return rows
        return rows.filter(pa.array([row not in self.refused for row in range(rows.num_rows)]))


@dataclass
class _Asked:
    """A batch under way, with what came before it as far as that is known."""

    before: Preceding
    rows: pa.Table
    answer: Future[Scored]


class Client(Protocol):
    """Whatever answers requests: an endpoint, or a bundle in process (see `EndpointClient` for the errors)."""

    def post(
        self, body: bytes, content_type: str, deployment: str | None, decode: Callable[[Answer], _Decoded]
    ) -> tuple[_Decoded, Answer]:
        """The decoded answer to `body`, and the answer itself."""
        ...

    def close(self) -> None:
        """Gives back what it holds."""
        ...


@dataclass
class Conversation:
    """What the scoring of one table learns from the endpoint and holds on to.

    `deployment` is named by the first answer, when it was not given, and pins the rest, so that one model scores the
    whole table; `model` and `version` are what the answers say of themselves; `by_bundle` counts the requests among
    `requests` that the model's bundle answered in process.
    """

    deployment: str | None = None
    model: str = ""
    version: str = ""
    wire: Wire = "auto"
    request_ids: list[str] = field(default_factory=list)
    requests: int = 0
    by_bundle: int = 0

    @property
    def scored_by(self) -> Literal["endpoint", "bundle", "both"]:
        """Who answered: the endpoint, the model's bundle in process, or first the one and then the other."""
        if not self.by_bundle:
            return "endpoint"
        return "bundle" if self.by_bundle == self.requests else "both"


class _OverBytesError(Exception):
    """A body is larger than the settings allow; it was not sent."""


class _StaleError(Exception):
    """The rows were asked about with a context that turned out to hold refused rows; they are asked about anew."""


class Scorer:
    """Scores the batches of one table, in order, against one endpoint.

    Args:
        in_flight: requests under way at once.
        size: how large a request may be; without one as large as a batch and `BYTES_PER_REQUEST` allow.
        accepted_before: rows of the same file were accepted already: those that are refused are the problem.
    """

    def __init__(
        self,
        client: Client,
        contract: DatasetContract,
        conversation: Conversation,
        *,
        in_flight: int,
        size: RequestSize | None = None,
        accepted_before: bool = False,
    ) -> None:
        self._client = client
        self._contract = contract
        self._conversation = conversation
        self._in_flight = in_flight
        self._size = size or RequestSize(sys.maxsize, BYTES_PER_REQUEST)
        self._lock = threading.Lock()
        self._last = no_rows(contract)
        self._accepted = int(accepted_before)
        self._refused = 0

    def score(
        self,
        batches: Iterable[pa.Table],
        history: pa.Table | Preceding,
        full: Callable[[], bool] = lambda: False,
    ) -> Iterator[Scored]:
        """One `Scored` per batch, in order.

        Args:
            batches: tables of the contract's columns, in time order within each series; read only a few ahead.
            history: rows of the same series from elsewhere, in time order within each series; or, where the first
                batches of the table are scored already, what comes before the next one.
            full: whether no further batch is to be taken before one that is under way is answered.
        """
        before = history if isinstance(history, Preceding) else Preceding.first(history, self._contract)
        with ThreadPoolExecutor(self._in_flight, thread_name_prefix="score") as pool:
            under_way: deque[_Asked] = deque()
            try:
                for batch in batches:
                    rows = conform(batch, self._contract)
                    if self._conversation.requests == 0:
                        # alone: the first answer says which deployment and which wire the others use
                        self._last = rows.slice(max(rows.num_rows - 1, 0))
                        scored = self._batch(before.context(rows), rows)
                        before = before.then(scored.accepted(rows))
                        yield scored
                        continue
                    under_way.append(self._submit(pool, before, rows, under_way[-1].answer if under_way else None))
                    before = before.then(rows)
                    while under_way and (len(under_way) >= self._in_flight or full()):
                        scored, before = self._next(pool, under_way, before)
                        yield scored
                while under_way:
                    scored, before = self._next(pool, under_way, before)
                    yield scored
            finally:
                for asked in under_way:
                    asked.answer.cancel()

    def _submit(
        self, pool: ThreadPoolExecutor, before: Preceding, rows: pa.Table, ahead: Future[Scored] | None
    ) -> _Asked:
        return _Asked(before, rows, pool.submit(carried(self._batch), before.context(rows), rows, ahead))

    def _next(self, pool: ThreadPoolExecutor, under_way: deque[_Asked], before: Preceding) -> tuple[Scored, Preceding]:
        """The oldest batch's answer. Where rows of it were refused, the batches behind it had them as context, and are
        asked about again."""
        asked = under_way.popleft()
        scored = asked.answer.result()
        if not scored.refused:
            return scored, before
        before = asked.before.then(scored.accepted(asked.rows))
        ahead = None
        for position, stale in enumerate(under_way):
            stale.answer.cancel()
            under_way[position] = self._submit(pool, before, stale.rows, ahead)
            ahead = under_way[position].answer
            before = before.then(stale.rows)
        return scored, before

    def _batch(self, context: pa.Table, rows: pa.Table, ahead: Future[Scored] | None = None) -> Scored:
        """The rows of one batch, cut into requests of the size that is taken at the moment, one after the other.

        `ahead` is the batch before it while that one is under way itself: where it has refused rows, this one's context
        was wrong, and it ends with `_StaleError` rather than look for a culprit among its own rows.
        """
        parts = [Scored(wire.prediction_schema(self._contract).empty_table(), {})]
        done, take = 0, self._size.rows
        while done < rows.num_rows:
            piece, before = self._cut(rows.slice(done, take), context)
            try:
                part = self._isolated(before, piece, ahead)
            except _OverBytesError:
                take = self._size.smaller(piece.num_rows, before.num_rows)
                continue
            except RequestTooLargeError as error:
                if piece.num_rows == 1:
                    raise _alone_too_large(error) from error
                self._size.refused(piece.num_rows)
                take = min(self._size.rows, piece.num_rows // 2)
                continue
            parts.append(Scored(part.predictions, {done + row: why for row, why in part.refused.items()}))
            done += piece.num_rows
            if done < rows.num_rows:
                context = tail(pa.concat_tables([context, part.accepted(piece)]), self._contract)
            take = self._size.rows
        refused = {row: why for part in parts for row, why in part.refused.items()}
        return Scored(pa.concat_tables([part.predictions for part in parts[1:] or parts]), refused)

    def _cut(self, piece: pa.Table, context: pa.Table) -> tuple[pa.Table, pa.Table]:
        """As many of these rows as have room in a request beside their context, and that context: fewer rows may be
        of fewer series, and have less of it."""
        while True:
            before = context_of(context, piece, self._contract)
            room = self._size.room(before.num_rows)
            if piece.num_rows <= room:
                return piece, before
            piece = piece.slice(0, max(room, piece.num_rows // 2))

    def _isolated(self, context: pa.Table, rows: pa.Table, ahead: Future[Scored] | None) -> Scored:
        """The rows of one request; where the model refuses them, its halves, down to the rows that it means.

        One refused row among n costs at most 2 log2(n) + 1 requests, k of them at most k times that.
        """
        try:
            predictions = self._ask(context, rows)
        except RowsRefusedError as error:
            if ahead is not None and _refused_some(ahead):
                raise _StaleError from error
            if rows.num_rows > 1:
                return self._halves(context, rows)
            self._count(refused=1, error=error)
            nothing = [pa.nulls(1, kind.type) for kind in wire.prediction_schema(self._contract)]
            return Scored(pa.table(nothing, schema=wire.prediction_schema(self._contract)), {0: error.message})
        self._size.taken(rows.num_rows)
        self._count(accepted=rows.num_rows)
        return Scored(predictions.columns, {})

    def _halves(self, context: pa.Table, rows: pa.Table) -> Scored:
        middle = rows.num_rows // 2
        left, right = rows.slice(0, middle), rows.slice(middle)
        first = self._batch(context, left)
        second = self._batch(tail(pa.concat_tables([context, first.accepted(left)]), self._contract), right)
        refused = first.refused | {middle + row: why for row, why in second.refused.items()}
        return Scored(pa.concat_tables([first.predictions, second.predictions]), refused)

    def _count(self, *, accepted: int = 0, refused: int = 0, error: RowsRefusedError | None = None) -> None:
        with self._lock:
            self._accepted += accepted
            self._refused += refused
            hopeless = self._accepted == 0 and self._refused >= HOPELESS_REFUSALS
        if hopeless and error is not None and not self._accepts_last():
            raise EndpointRefusedError(
                "endpoint_refuses_all", f"The endpoint refused every row it was sent. {error.message}", **error.where
            ) from error

    def _accepts_last(self) -> bool:
        """Whether the endpoint takes at least the last row of the batch: then it is the first rows that are bad."""
        try:
            self._ask(no_rows(self._contract), self._last)
        except RowsRefusedError:
            return False
        self._count(accepted=1)
        return True

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
        encode = wire.encode_arrow if kind == "arrow" else wire.encode_json
        keep = wire.telling(self._contract, context, rows)
        body = encode(context.select(keep), rows.select(keep), self._contract.asked)
        if not self._size.fits(rows.num_rows, len(body), context.num_rows):
            raise _OverBytesError
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
            if talk.requests and (predictions.model, predictions.version) != (talk.model, talk.version):
                raise EndpointUnavailableError(
                    "model_changed",
                    f"The endpoint answered with {predictions.model} version {predictions.version} after it had "
                    f"answered with {talk.model} version {talk.version}; one model scores a whole file.",
                )
            talk.requests += 1
            talk.by_bundle += answer.by_bundle
            talk.deployment = talk.deployment or answer.deployment
            talk.model, talk.version = predictions.model, predictions.version
            if answer.request_id and len(talk.request_ids) < REQUEST_IDS_KEPT:
                talk.request_ids.append(answer.request_id)
        return predictions


def _refused_some(ahead: Future[Scored]) -> bool:
    """Waits for the batch ahead; whether rows of it were refused, or it came to nothing."""
    try:
        return bool(ahead.result().refused)
    except (CancelledError, _StaleError, DropscoreError):
        return True


def _alone_too_large(error: RequestTooLargeError) -> DropscoreError:
    """What it means when a single row is too much: the endpoint takes nothing, or is too slow at the moment."""
    if error.where.get("status") == 408:
        return EndpointUnavailableError("endpoint_failed", f"One row alone takes it too long. {error.message}")
    return error
