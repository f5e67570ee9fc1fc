"""Deliveries of Event Grid: handshake, what is taken and what is not."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from local.functions.blob_paths import parse_pattern
from local.functions.blobs import BlobFunction, BlobMessage
from local.functions.event_grid import Answer, invoke_events, receive_events
from local.functions.indexing import Function

URL = "https://account.blob.core.windows.net/incoming/gas/x%20y.csv"
FUNCTION = cast(Function, SimpleNamespace(id="Host.Functions.score", name="score"))


def created(**changes: Any) -> dict[str, Any]:
    data = {"api": "PutBlob", "url": URL, "eTag": "0x1", "blobType": "BlockBlob"}
    return {"eventType": "Microsoft.Storage.BlobCreated", "id": "1", "data": data | changes}


def deliver(body: Any, kind: str | None = "Notification") -> tuple[Answer, list[BlobMessage]]:
    messages: list[BlobMessage] = []

    async def enqueue(message: BlobMessage) -> None:
        messages.append(message)

    blob = BlobFunction(FUNCTION, parse_pattern("incoming/gas/{name}"), scanned=False)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return asyncio.run(receive_events(blob, kind, raw, enqueue)), messages


def test_the_handshake_is_answered_with_its_code() -> None:
    event = {"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "c0de"}}

    answer, messages = deliver([event], kind="SubscriptionValidation")

    assert answer == Answer(200, {"validationResponse": "c0de"})
    assert messages == []


@pytest.mark.parametrize("api", ["CopyBlob", "PutBlob", "PutBlockList", "FlushWithClose"])
def test_the_end_of_an_upload_is_queued(api: str) -> None:
    answer, messages = deliver([created(api=api)])

    assert answer == Answer(202)
    assert messages == [BlobMessage("Host.Functions.score", "incoming", "gas/x y.csv", '"0x1"')]


def test_a_cloud_event_is_taken_too() -> None:
    event = created()
    event["type"] = event.pop("eventType")

    assert len(deliver(event)[1]) == 1


@pytest.mark.parametrize(
    "event",
    [
        created(api="CreateFile"),
        created(url=URL.replace("incoming", "other")),
        created(url=URL.replace("gas", "penguins")),
        created() | {"eventType": "Microsoft.Storage.BlobDeleted"},
    ],
    ids=["api", "container", "name", "kind"],
)
def test_what_is_not_for_the_function_is_accepted_and_dropped(event: dict[str, Any]) -> None:
    assert deliver([event]) == (Answer(202), [])


@pytest.mark.parametrize(
    ("body", "kind"),
    [([created()], None), (b"{", "Notification"), ([{}], "Notification"), ([created(url="x")], "Notification")],
)
def test_a_delivery_that_cannot_be_read_is_refused(body: Any, kind: str | None) -> None:
    answer, messages = deliver(body, kind)

    assert answer.status == 400
    assert messages == []


def test_the_message_is_the_real_hosts_and_is_read_back() -> None:
    message = BlobMessage("Host.Functions.score", "incoming", "gas/x.csv", '"0x1"')

    document = json.loads(message.to_json())

    assert set(document) == {"Type", "FunctionId", "BlobType", "ContainerName", "BlobName", "ETag"}
    assert BlobMessage.from_json(message.to_json()) == message
    with pytest.raises(ValueError, match="not a blob trigger message"):
        BlobMessage.from_json("{}")


def notify(body: Any, kind: str | None = "Notification", *, succeeds: bool = True) -> tuple[Answer, list[Any]]:
    invoked: list[Any] = []

    async def invoke(event: dict[str, Any]) -> bool:
        invoked.append(event)
        return succeeds

    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return asyncio.run(invoke_events(kind, raw, invoke)), invoked


def test_an_event_grid_trigger_is_invoked_once_for_each_event_whatever_it_is() -> None:
    events = [{"id": "1", "eventType": "Microsoft.MachineLearningServices.RunCompleted"}, {"id": "2"}]

    assert notify(events) == (Answer(202), events)
    assert notify(events[0]) == (Answer(202), events[:1])
    assert notify([]) == (Answer(202), [])


def test_a_function_that_fails_has_its_events_delivered_again() -> None:
    answer, invoked = notify([{"id": "1"}, {"id": "2"}], succeeds=False)

    assert (answer.status, len(invoked)) == (500, 2)


@pytest.mark.parametrize(
    ("body", "kind"), [([{}], None), (b"{", "Notification"), ([1], "Notification"), ([{}], "SubscriptionValidation")]
)
def test_a_delivery_that_cannot_be_read_invokes_nothing(body: Any, kind: str | None) -> None:
    answer, invoked = notify(body, kind)

    assert (answer.status, invoked) == (400, [])


def test_an_event_grid_trigger_shakes_hands_too() -> None:
    event = {"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "c0de"}}

    assert notify([event], "SubscriptionValidation") == (Answer(200, {"validationResponse": "c0de"}), [])
    assert notify([], "Unsubscribe") == (Answer(202), [])
