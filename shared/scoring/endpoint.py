"""The client of a managed online endpoint: one request with its retries, and what each answer means.

The statuses of a managed endpoint itself (401, 404, 408, 413, 429, 5xx) concern the way to the model; what the model's
container says comes wrapped in 424, with the real status in `ms-azureml-model-error-statuscode`
(https://learn.microsoft.com/azure/machine-learning/how-to-troubleshoot-online-endpoints#http-status-codes).
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import requests
from requests.adapters import HTTPAdapter
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from shared import telemetry
from shared.errors import DropscoreError, EndpointRefusedError, EndpointUnavailableError

_log = logging.getLogger(__name__)
_Decoded = TypeVar("_Decoded")

DEPLOYMENT = "azureml-model-deployment"
_MODEL_STATUS = "ms-azureml-model-error-statuscode"
_MODEL_REASON = "ms-azureml-model-error-reason"
_SHOWN_OF_AN_ERROR_BODY = 500
_PIECE_BYTES = 1 << 20
"""By itself requests reads a body in pieces of 10 KB, which costs as much as what is done with them."""


class RowsRefusedError(EndpointRefusedError):
    """The model refused these rows (a 4xx of the container): other rows may be fine."""


class WireRefusedError(EndpointRefusedError):
    """The endpoint does not take this content type."""


class RequestTooLargeError(EndpointRefusedError):
    """The request is too large or takes too long: fewer rows may be fine."""


@dataclass(frozen=True)
class Answer:
    """A 200: its body, and which deployment answered under which request id; or the model's bundle, in process."""

    body: bytes
    content_type: str
    deployment: str | None
    request_id: str | None
    by_bundle: bool = False


class EndpointClient:
    """Posts to one scoring URL; safe for use by several threads at once.

    Args:
        url: the endpoint's scoring URL.
        authorization: gives the value of the `Authorization` header; asked again after a 401, with ``fresh=True``.
        timeout: seconds one request may take.
        patience: seconds over which a request is repeated against an endpoint that throttles or is down; a wait that
            would end later, such as a long Retry-After, is not begun.
        connections: how many requests may be under way at once.
        sleep: waits that many seconds; handed in so that tests do not wait.
    """

    def __init__(
        self,
        url: str,
        authorization: Callable[[bool], str],
        *,
        timeout: float,
        patience: float,
        connections: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = url
        self._authorization = authorization
        self._timeout = timeout
        self._patience = patience
        self._sleep = sleep
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=connections))

    def close(self) -> None:
        """Gives the connections back."""
        self._session.close()

    def post(
        self,
        body: bytes,
        content_type: str,
        deployment: str | None,
        decode: Callable[[Answer], _Decoded],
    ) -> tuple[_Decoded, Answer]:
        """Posts `body` until the endpoint answers 200 with something that `decode` can read.

        Raises:
            RowsRefusedError: the model says 4xx to these rows.
            WireRefusedError: 415.
            RequestTooLargeError: 408 or 413.
            EndpointRefusedError: from `decode`; ``wrong_row_count`` only when repeating the request did not help.
            EndpointUnavailableError: no usable answer within the client's patience; or at once where only a person can
                help, such as 401, 403 and 404: the file is left for later.
        """
        for attempt in Retrying(
            retry=retry_if_exception(_passing),
            stop=self._out_of_patience,
            wait=_wait,
            sleep=self._sleep,
            reraise=True,
            before_sleep=_say,
        ):
            with attempt:
                answer = self._once(body, content_type, deployment)
                return decode(answer), answer
        raise AssertionError("unreachable: Retrying either returns or raises")

    def _out_of_patience(self, state: RetryCallState) -> bool:
        """Whether the next try would come too late; waiting counts by what was asked of `sleep`, as a test's does."""
        spent = max(state.seconds_since_start or 0.0, state.idle_for)
        return spent + state.upcoming_sleep >= self._patience

    def _once(self, body: bytes, content_type: str, deployment: str | None) -> Answer:
        response, answered = self._send(body, content_type, deployment, fresh=False)
        if response.status_code == 401:  # a token that expired on the way
            response, answered = self._send(body, content_type, deployment, fresh=True)
        if response.status_code != 200:
            raise _meaning(response)
        return Answer(
            body=answered,
            content_type=response.headers.get("Content-Type", ""),
            deployment=response.headers.get(DEPLOYMENT),
            request_id=response.headers.get("x-ms-request-id") or response.headers.get("x-request-id"),
        )

    def _send(
        self, body: bytes, content_type: str, deployment: str | None, *, fresh: bool
    ) -> tuple[requests.Response, bytes]:
        """The response and its body, all of which has come."""
        headers = {"Content-Type": content_type, "Accept": content_type, "Authorization": self._authorization(fresh)}
        if deployment:
            headers[DEPLOYMENT] = deployment
        try:
            with telemetry.asked(self._url, deployment) as told:
                response = self._session.post(self._url, data=body, headers=headers, timeout=self._timeout, stream=True)
                other = response.status_code != 200
                answered = response.content if other else b"".join(response.iter_content(_PIECE_BYTES))
                told["status"] = response.status_code
            return response, answered
        except requests.RequestException as error:
            raise EndpointUnavailableError(
                "endpoint_unreachable", f"The endpoint did not answer ({type(error).__name__}).", url=self._url
            ) from error


def _passing(error: BaseException) -> bool:
    """Whether repeating the request soon may help."""
    if isinstance(error, EndpointRefusedError):
        return error.code == "wrong_row_count"  # an answer that lost rows on its way; a script that loses them stays so
    return isinstance(error, EndpointUnavailableError) and error.code not in (
        "endpoint_unauthorized",
        "endpoint_missing",
    )


_backoff = wait_random_exponential(multiplier=0.5, max=30)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.where.get("retry_after") if isinstance(error, DropscoreError) else None
    return max(float(_backoff(state)), float(asked) if isinstance(asked, int | float) else 0.0)


def _say(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    telemetry.retried(error)
    _log.warning("endpoint request failed on try %s, trying again: %s", state.attempt_number, error)


def _meaning(response: requests.Response) -> DropscoreError:
    """The error that an answer other than 200 stands for."""
    status = response.status_code
    model_status = _number(response.headers.get(_MODEL_STATUS)) if status == 424 else None
    where = {
        "status": status,
        "model_status": model_status,
        "deployment": response.headers.get(DEPLOYMENT),
        "request_id": response.headers.get("x-ms-request-id"),
        "retry_after": _number(response.headers.get("Retry-After")),
    }
    said = response.headers.get(_MODEL_REASON) or response.text[:_SHOWN_OF_AN_ERROR_BODY].strip() or response.reason
    effective = model_status or status
    if effective == 415:
        return WireRefusedError("wire_refused", "The endpoint does not take this content type.", **where)
    if status in (408, 413) or model_status in (408, 413):
        return RequestTooLargeError("request_too_large", f"The endpoint cannot take so many rows: {said}", **where)
    if status in (401, 403):
        return EndpointUnavailableError("endpoint_unauthorized", f"The endpoint refused the app: {said}", **where)
    if status == 404:
        return EndpointUnavailableError("endpoint_missing", f"No deployment answers at the endpoint: {said}", **where)
    if status == 424 and model_status is not None and 400 <= model_status < 500:
        said = response.text[:_SHOWN_OF_AN_ERROR_BODY].strip() or said
        return refusal(response.content, said, **where)
    if status in (400, 422):  # an inference server without the router of a managed endpoint in front
        return refusal(response.content, said, **where)
    code = "endpoint_throttled" if status == 429 else "endpoint_failed"
    return EndpointUnavailableError(code, f"The endpoint answered {status}: {said}", **where)


def refusal(body: bytes, said: str, **where: object) -> EndpointRefusedError:
    """What it means that the model answers 400: rows that it does not take, or a choice that it does not have."""
    try:
        code = json.loads(body)["code"]
    except (ValueError, LookupError, TypeError, RecursionError):
        code = None
    if code == "unknown_model":
        return EndpointRefusedError("unknown_model", f"The model in service cannot answer so: {said}", **where)
    return RowsRefusedError("rows_refused", f"The model refused the rows: {said}", **where)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None
