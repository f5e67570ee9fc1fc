"""The webhooks that Event Grid calls.

`POST /runtime/webhooks/blobs?functionName=Host.Functions.<name>` is that of blob triggers,
`POST /runtime/webhooks/eventgrid?functionName=<name>` that of Event Grid triggers.

What the cloud's event subscription of a blob trigger filters (event type, API, path) is filtered here, for locally
nobody else would. An Event Grid trigger gets every event, one invocation each.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from local.functions.blob_paths import quoted, split_blob_url
from local.functions.blobs import BlobFunction, BlobMessage

_log = logging.getLogger("host")

BLOB_CREATED = "Microsoft.Storage.BlobCreated"
# One upload can give several events; these are the calls that end one.
APIS = frozenset({"CopyBlob", "PutBlob", "PutBlockList", "FlushWithClose"})


@dataclass(frozen=True)
class Answer:
    """What the webhook answers: a status and, for a handshake or a refusal, a document."""

    status: int
    document: dict[str, str] | None = None


async def receive_events(
    blob: BlobFunction, kind: str | None, body: bytes, enqueue: Callable[[BlobMessage], Awaitable[None]]
) -> Answer:
    """Answer one delivery for a function; `kind` is the header `aeg-event-type`.

    Event Grid's own schema (an array) and single cloud events are taken.
    """
    answered, events = _delivered(kind, body)
    try:
        messages = [message for event in events if (message := _message(blob, event)) is not None]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return _unreadable(error)
    for message in messages:
        await enqueue(message)
    return answered


async def invoke_events(kind: str | None, body: bytes, invoke: Callable[[dict[str, Any]], Awaitable[bool]]) -> Answer:
    """Answer one delivery for an Event Grid trigger; `invoke` runs the function for one event and says if it succeeded.

    A 500 makes Event Grid deliver all of them again, as the real extension does.
    """
    answered, events = _delivered(kind, body)
    if not all(isinstance(event, dict) for event in events):
        return _unreadable(TypeError("an event is no object"))
    outcomes = await asyncio.gather(*(invoke(event) for event in events))
    return answered if all(outcomes) else Answer(500, {"error": "the function failed"})


def _delivered(kind: str | None, body: bytes) -> tuple[Answer, list[Any]]:
    """What is answered unless the events say otherwise, and the events that are to be dealt with."""
    if kind is None or kind.lower() not in ("subscriptionvalidation", "notification", "unsubscribe"):
        return _refused("the header aeg-event-type must be Notification, SubscriptionValidation or Unsubscribe"), []
    if kind.lower() == "unsubscribe":
        return Answer(202), []
    try:
        document = json.loads(body)
        events = document if isinstance(document, list) else [document]
        if kind.lower() == "subscriptionvalidation":
            return Answer(200, {"validationResponse": events[0]["data"]["validationCode"]}), []
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return _unreadable(error), []
    return Answer(202), events


def _unreadable(error: Exception) -> Answer:
    return _refused(f"the body is not a delivery of Event Grid: {type(error).__name__}: {error}")


def _message(blob: BlobFunction, event: dict[str, Any]) -> BlobMessage | None:
    data = event["data"]
    kind = event.get("eventType") or event.get("type")
    container, name = split_blob_url(data["url"]) if kind == BLOB_CREATED else ("", "")
    if kind != BLOB_CREATED or data.get("api") not in APIS or not blob.pattern.matches(container, name):
        _log.info("event %s (%s, %s) is not for %s", event.get("id"), kind, data.get("api"), blob.function.name)
        return None
    etag = quoted(str(data.get("eTag", "")))
    return BlobMessage(blob.function.id, container, name, etag, str(data.get("blobType", "BlockBlob")))


def _refused(why: str) -> Answer:
    return Answer(400, {"error": why})
