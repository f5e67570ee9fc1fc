"""One request to an endpoint: what it carries, how often it is repeated, how long is waited."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from shared.errors import DropscoreError, EndpointUnavailableError
from shared.scoring.endpoint import Answer, EndpointClient, RequestTooLargeError, RowsRefusedError, WireRefusedError
from tests.fakes.clock import FakeClock
from tests.fakes.endpoint import FakeEndpoint, Mood, Reply, first, refusal

Connect = Callable[..., EndpointClient]
_OK = Reply(200, b"yes", {"azureml-model-deployment": "blue", "x-ms-request-id": "r1"}, "text/plain")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def connect(endpoint: FakeEndpoint, clock: FakeClock) -> Iterator[Connect]:
    with ExitStack() as open_clients:

        def client(patience: float = 60) -> EndpointClient:
            return open_clients.enter_context(
                closing(
                    EndpointClient(
                        endpoint.url,
                        lambda fresh: f"Bearer {fresh}",
                        timeout=10,
                        patience=patience,
                        connections=2,
                        sleep=clock.sleep,
                    )
                )
            )

        yield client


def _post(client: EndpointClient, deployment: str | None = None) -> Answer:
    return client.post(b"body", "text/plain", deployment, lambda answer: answer)[1]


def _then_well(mood: Mood, times: int) -> Mood:
    troubled = first(times, mood)
    return lambda received: troubled(received) or _OK


def test_a_request_carries_its_type_its_key_and_its_pin(endpoint: FakeEndpoint, connect: Connect) -> None:
    endpoint.mood = lambda received: _OK

    answer = _post(connect(), "green")

    assert answer == Answer(b"yes", "text/plain", "blue", "r1")
    (received,) = endpoint.received
    assert (received.body, received.content_type, received.deployment) == (b"body", "text/plain", "green")
    assert received.headers["authorization"] == "Bearer False"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_an_answer_is_asked_for_again_or_with_fewer_rows(
    endpoint: FakeEndpoint, connect: Connect, clock: FakeClock, status: int
) -> None:
    endpoint.mood = _then_well(refusal(status), 2)

    if status == 408:
        with pytest.raises(RequestTooLargeError):
            _post(connect())
        assert clock.slept == []
    else:
        assert _post(connect()).body == b"yes"
        assert len(clock.slept) == 2


def test_waits_are_as_long_as_asked_and_end_with_the_patience(
    endpoint: FakeEndpoint, connect: Connect, clock: FakeClock
) -> None:
    endpoint.mood = _then_well(refusal(429, Retry_After="11"), 2)
    _post(connect())
    assert min(clock.slept) >= 11

    endpoint.mood = refusal(429, Retry_After="3600")
    slept = len(clock.slept)
    with pytest.raises(EndpointUnavailableError) as found:
        _post(connect())

    assert (found.value.code, found.value.where["retry_after"]) == ("endpoint_throttled", 3600)
    assert len(clock.slept) == slept, "a wait that outlasts the patience is not begun"


def test_without_patience_nothing_is_repeated(endpoint: FakeEndpoint, connect: Connect) -> None:
    endpoint.mood = refusal(503)

    with pytest.raises(EndpointUnavailableError):
        _post(connect(patience=0))

    assert len(endpoint.received) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_only_a_person_can_mend_is_not_repeated(endpoint: FakeEndpoint, connect: Connect, status: int) -> None:
    endpoint.mood = refusal(status)

    with pytest.raises(EndpointUnavailableError):
        _post(connect())

    assert len(endpoint.received) == (2 if status == 401 else 1), "401 once more, with a new token"


@pytest.mark.parametrize(
    ("mood", "expected", "code"),
    [
        (refusal(400), RowsRefusedError, "rows_refused"),
        (refusal(422), RowsRefusedError, "rows_refused"),
        (refusal(424, ms_azureml_model_error_statuscode="400"), RowsRefusedError, "rows_refused"),
        (refusal(424, ms_azureml_model_error_statuscode="415"), WireRefusedError, "wire_refused"),
        (refusal(415), WireRefusedError, "wire_refused"),
        (refusal(413), RequestTooLargeError, "request_too_large"),
        (refusal(424, ms_azureml_model_error_statuscode="413"), RequestTooLargeError, "request_too_large"),
        (refusal(424, ms_azureml_model_error_statuscode="500"), EndpointUnavailableError, "endpoint_failed"),
        (refusal(424), EndpointUnavailableError, "endpoint_failed"),
    ],
)
def test_each_status_has_its_meaning(
    endpoint: FakeEndpoint, connect: Connect, mood: Mood, expected: type[DropscoreError], code: str
) -> None:
    endpoint.mood = mood

    with pytest.raises(expected) as found:
        _post(connect(patience=0))

    assert (type(found.value), found.value.code) == (expected, code)
    assert "not now" in found.value.message or code == "wire_refused"
    assert len(endpoint.received) == 1
