"""Queues: leases on messages, the listener that turns messages into invocations, and output messages.

The rules are those of the real host's queue listener: a failed message comes back after `visibilityTimeout`, after
`maxDequeueCount` tries it moves to the poison queue, and while its function runs its invisibility is prolonged.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.functions.meta import Datum
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from local.functions.invocation import InvocationAbandonedError
from local.functions.outages import HostStoppingError, Outage, pause_unless

_log = logging.getLogger("host")
_SHORTEST_POLL = 0.1

Handle = Callable[[QueueMessage], Awaitable[bool]]
"""Deals with a message; True when it is done with, False when this try failed."""


@dataclass(frozen=True)
class Limits:
    """How a listener takes messages: `batch` at once, whenever no more than `refill` are being dealt with."""

    batch: int
    refill: int
    max_tries: int
    retry_after: float
    longest_poll: float
    lease: float


def encode_text(text: str | bytes, *, base64_encoded: bool) -> str:
    """A message's text as it goes into a queue."""
    if base64_encoded:
        return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()
    return text if isinstance(text, str) else text.decode()


def decode_text(content: str, *, base64_encoded: bool) -> str:
    """A message's text as it came out of a queue.

    Raises:
        ValueError: it is not base64, or not UTF-8 within.
    """
    if not base64_encoded:
        return content
    try:
        return base64.b64decode(content, validate=True).decode()
    except binascii.Error as error:
        raise ValueError(f"the message is not base64 (host.json extensions.queues.messageEncoding): {error}") from error


async def send(queue: QueueClient, content: str) -> None:
    """Send a message, creating the queue when it is missing."""
    try:
        await queue.send_message(content)
    except ResourceNotFoundError:
        try:
            await queue.create_queue()
        except ResourceExistsError:
            _log.debug("queue %s was created by somebody else", queue.queue_name)
        await queue.send_message(content)


def output_messages(data: Datum) -> list[str | bytes]:
    """The messages that the value of a queue output stands for: one, or one for each item of a list."""
    if data.type != "json":
        return [data.value]
    value = json.loads(data.value)
    items = value if isinstance(value, list) else [value]
    return [item if isinstance(item, str) else json.dumps(item) for item in items]


class Lease:
    """A received message, invisible to others for `seconds` at a time until it is deleted or released."""

    def __init__(self, queue: QueueClient, message: QueueMessage, seconds: float) -> None:
        self.message = message
        self._queue = queue
        self._seconds = seconds
        self._settled = False
        self._lock = asyncio.Lock()

    async def keep(self, outage: Outage) -> None:
        """Prolong the invisibility until cancelled, or until the message is no longer ours."""
        while not self._settled:
            await asyncio.sleep(self._seconds / 2)
            try:
                await outage.patiently(lambda: self._update(self._seconds))
            except (HttpResponseError, HostStoppingError) as error:
                _log.warning("message %s is no longer ours: %s", self.message.id, error)
                return

    async def delete(self) -> None:
        """Take the message out of the queue; without effect when somebody else has it by now."""
        async with self._lock:
            if not self._settled:
                await _ours_or_gone(self._queue.delete_message(self.message))
                self._settled = True

    async def release(self, after: float) -> None:
        """Let everybody see the message again after so many seconds."""
        await self._update(after, settle=True)

    async def _update(self, seconds: float, *, settle: bool = False) -> None:
        async with self._lock:
            if not self._settled:
                updated = await _ours_or_gone(self._queue.update_message(self.message, visibility_timeout=int(seconds)))
                if updated is not None:
                    self.message.pop_receipt = updated.pop_receipt
                self._settled = settle or updated is None


class QueueListener:
    """Takes messages off one queue and has them dealt with, several at once."""

    def __init__(
        self,
        queue: QueueClient,
        poison: Callable[[QueueMessage], QueueClient],
        handle: Handle,
        limits: Limits,
        stopping: asyncio.Event,
    ) -> None:
        self._queue, self._poison, self._handle, self._limits = queue, poison, handle, limits
        self._stopping = stopping
        self._outage = Outage(f"queue {queue.queue_name}", stopping)
        self._wake = asyncio.Event()
        self._work: dict[asyncio.Task[None], Lease] = {}
        self._polling = False
        self._refused = False

    def wake(self) -> None:
        """Look into the queue now: something was put there, or the host stops."""
        self._wake.set()

    async def run(self) -> None:
        """Take messages until the host stops. A receive under way is finished, for its messages are taken already."""
        self._polling = True
        try:
            await self._poll()
        finally:
            self._polling = False

    async def _poll(self) -> None:
        pause = _SHORTEST_POLL
        while not self._stopping.is_set():
            self._wake.clear()
            if len(self._work) > self._limits.refill:
                await pause_unless(self._wake, self._limits.longest_poll)
                continue
            messages = await self._receive()
            for message in messages:
                self._begin(message)
            if messages:
                pause = _SHORTEST_POLL
                continue
            await pause_unless(self._wake, pause)
            pause = _SHORTEST_POLL if self._wake.is_set() else min(pause * 2, self._limits.longest_poll)

    async def drained(self) -> None:
        """Wait until every message that was taken is deleted or released, after the host was told to stop."""
        while self._polling or self._work:
            await asyncio.sleep(0.02)

    async def give_back(self) -> None:
        """Make the messages of unfinished invocations visible at once."""
        leases = [lease for task, lease in self._work.items() if not task.done()]
        for lease, failure in zip(
            leases, await asyncio.gather(*(lease.release(0) for lease in leases), return_exceptions=True), strict=True
        ):
            if failure is None:
                _log.info("gave message %s back to queue %s", lease.message.id, self._queue.queue_name)
            else:
                _log.warning("message %s stays invisible for a while: %s", lease.message.id, failure)

    async def _receive(self) -> list[QueueMessage]:
        async def one_page() -> list[QueueMessage]:
            # Iterating over receive_messages() itself would ask again until a page is empty.
            pages = self._queue.receive_messages(
                messages_per_page=self._limits.batch, visibility_timeout=int(self._limits.lease)
            ).by_page()
            page = await anext(pages, None)
            return [] if page is None else [message async for message in page]

        try:
            return await self._outage.patiently(one_page)
        except ResourceNotFoundError:
            return []  # a queue that does not exist yet is an empty one
        except HttpResponseError as error:
            if not self._refused:
                _log.warning("queue %s cannot be read: %s", self._queue.queue_name, str(error).splitlines()[0])
            self._refused = True
            return []
        except HostStoppingError:
            return []

    def _begin(self, message: QueueMessage) -> None:
        lease = Lease(self._queue, message, self._limits.lease)
        task = asyncio.create_task(self._process(lease), name=f"message {message.id}")
        self._work[task] = lease

        def ended(task: asyncio.Task[None]) -> None:
            del self._work[task]
            self._wake.set()
            if not task.cancelled() and task.exception() is not None:
                _log.error("message %s could not be dealt with", message.id, exc_info=task.exception())

        task.add_done_callback(ended)

    async def _process(self, lease: Lease) -> None:
        keeper = asyncio.create_task(lease.keep(self._outage))
        message, tries = lease.message, lease.message.dequeue_count or 1
        try:
            if tries > self._limits.max_tries or not await self._handle(message):
                await self._failed(lease, tries)
            else:
                await self._outage.patiently(lease.delete)
        except (InvocationAbandonedError, HostStoppingError):
            await lease.release(0)
        finally:
            keeper.cancel()

    async def _failed(self, lease: Lease, tries: int) -> None:
        if tries < self._limits.max_tries:
            await self._outage.patiently(lambda: lease.release(self._limits.retry_after))
            return
        poison = self._poison(lease.message)
        _log.warning("message %s failed %d times and moves to queue %s", lease.message.id, tries, poison.queue_name)
        await self._outage.patiently(lambda: send(poison, lease.message.content))
        await self._outage.patiently(lease.delete)


async def _ours_or_gone(operation: Awaitable[QueueMessage | None]) -> QueueMessage | None:
    try:
        return await operation
    except HttpResponseError as error:
        # 404: the message is gone. 400 PopReceiptMismatch: its invisibility ran out and somebody else took it.
        if error.status_code in (400, 404):
            _log.debug("a message was no longer ours: %s", error)
            return None
        raise
