"""Queue-triggered functions: from a message to an invocation."""

from __future__ import annotations

import logging
from datetime import datetime

from azure.functions.meta import Datum
from azure.storage.queue import QueueMessage

from local.functions.indexing import Function
from local.functions.invocation import InvocationFailedError, Invoker, Trigger
from local.functions.queues import decode_text

_log = logging.getLogger("host")


class QueueFunction:
    """One queue-triggered function."""

    def __init__(self, function: Function, invoker: Invoker, *, base64_messages: bool) -> None:
        self.function = function
        self._invoker = invoker
        self._base64 = base64_messages

    async def handle(self, message: QueueMessage) -> bool:
        """Invoke the function for a message; False when this try failed."""
        try:
            text = decode_text(message.content, base64_encoded=self._base64)
        except ValueError as error:
            _log.error("message %s for %s: %s", message.id, self.function.name, error)
            return False
        try:
            await self._invoker.invoke(self.function, self.trigger(message, text))
        except InvocationFailedError:
            return False
        return True

    def trigger(self, message: QueueMessage, text: str) -> Trigger:
        """What an invocation for this message gets; `text` is its decoded content."""
        metadata = {
            "Id": message.id,
            "DequeueCount": str(message.dequeue_count or 1),
            "PopReceipt": message.pop_receipt or "",
            "InsertionTime": _iso(message.inserted_on),
            "ExpirationTime": _iso(message.expires_on),
            "NextVisibleTime": _iso(message.next_visible_on),
        }
        about = f"queue={self.function.trigger['queueName']}, message={message.id}"
        return Trigger(Datum(text, "string"), metadata, about)


def _iso(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S+00:00") if moment else ""
