"""The endpoint as a part of a file asks it: one model for all parts, and no bisection because of others' bad rows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import pyarrow as pa

from aml.contract import DatasetContract
from shared.errors import EndpointUnavailableError
from shared.scoring import wire
from shared.scoring.context import no_rows
from shared.scoring.endpoint import Answer, RequestTooLargeError, RowsRefusedError
from shared.scoring.parts import PartStore, Pin
from shared.scoring.scorer import Client, Conversation

_Decoded = TypeVar("_Decoded")

_PROBED = 1000
"""Rows of the context in one probe."""


class ContextInDoubtError(Exception):
    """Rows of another part, taken on trust as context, are refused by the endpoint: it is to be scored after that."""


class OtherDeploymentError(Exception):
    """Another part's first answer came from another deployment, and came first: it answers for the whole file."""


class GuardedClient:
    """Hands requests on, see `shared.scoring.scorer.Client`.

    Args:
        trusted: rows that are context on trust. Once rows are refused, it is these that are asked about first: with a
            bad row among them every request would be refused, and halved down to each of its rows.
        conversation: of the part; where the file's deployment is settled, it is pinned to that.
    """

    def __init__(
        self, client: Client, store: PartStore, contract: DatasetContract, trusted: pa.Table, conversation: Conversation
    ) -> None:
        self._client, self._store, self._contract = client, store, contract
        self._trusted, self._conversation = trusted, conversation
        self._lock = threading.Lock()
        self._doubt: ContextInDoubtError | None = None
        self._pin = store.pin()
        if self._pin is not None:
            conversation.deployment = self._pin.deployment or conversation.deployment

    def post(
        self, body: bytes, content_type: str, deployment: str | None, decode: Callable[[Answer], _Decoded]
    ) -> tuple[_Decoded, Answer]:
        """See `EndpointClient.post`.

        Raises:
            ContextInDoubtError, OtherDeploymentError: see there.
        """
        if self._doubt is not None:
            raise self._doubt
        try:
            decoded, answer = self._client.post(body, content_type, deployment, decode)
        except RowsRefusedError as error:
            self._probe(content_type, deployment, error)
            raise
        if isinstance(decoded, wire.Predictions):
            self._agree(Pin(answer.deployment, decoded.model, decoded.version), deployment)
        return decoded, answer

    def close(self) -> None:
        """Closes what it hands on to."""
        self._client.close()

    def _agree(self, said: Pin, asked: str | None) -> None:
        with self._lock:
            pin = self._pin = self._pin or self._store.agree(said)
        if asked is None and None not in (pin.deployment, said.deployment) and pin.deployment != said.deployment:
            raise OtherDeploymentError(f"{pin.deployment} answers for the file")
        if (pin.model, pin.version) != (said.model, said.version):
            raise EndpointUnavailableError(
                "model_changed",
                f"The endpoint answered with {said.model} version {said.version} after it had answered another part of "
                f"the file with {pin.model} version {pin.version}; one model scores a whole file.",
            )

    def _probe(self, content_type: str, deployment: str | None, error: RowsRefusedError) -> None:
        """Whether the endpoint takes the rows that are context on trust; asked once."""
        if content_type == wire.ARROW and self._conversation.wire == "auto":
            return  # it may not take Arrow at all; the same rows are asked about in JSON next
        with self._lock:  # whoever is refused meanwhile waits for the verdict
            if self._doubt is None and self._distrusted(content_type, deployment):
                self._doubt = ContextInDoubtError("rows before the part are refused")
            if self._doubt is not None:
                raise self._doubt from error

    def _distrusted(self, content_type: str, deployment: str | None) -> bool:
        rows, self._trusted = self._trusted, no_rows(self._contract)
        encode = wire.encode_arrow if content_type == wire.ARROW else wire.encode_json
        for start in range(0, rows.num_rows, _PROBED):
            piece = rows.slice(start, _PROBED)
            told = piece.select(wire.telling(self._contract, piece))
            try:
                self._client.post(
                    encode(told.slice(0, 0), told, self._contract.asked), content_type, deployment, lambda answer: None
                )
            except RowsRefusedError:
                return True
            except RequestTooLargeError:
                return False  # then the long way finds out
        return False
