"""Blob triggers by the real host's rules: scan, receipt, internal queue, invocation.

A scan offers each blob (name and ETag) to each function once: a receipt under `azure-webjobs-hosts/blobreceipts/` says
that its message is in the internal queue, and the queue gives at-least-once from there. A message whose blob has gone
is dropped; one whose blob has changed is dropped too, and the new version offered. Functions with the source Event Grid
get their messages from the webhook, without receipt and without a look at the ETag.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.functions.meta import Datum
from azure.storage.blob import BlobProperties
from azure.storage.blob.aio import BlobClient
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from local.functions.blob_paths import BlobPattern, parse_pattern, quoted
from local.functions.configuration import DEFAULT_CONNECTION
from local.functions.connections import Connections
from local.functions.indexing import Function
from local.functions.invocation import InvocationFailedError, Invoker, Trigger
from local.functions.outages import HostStoppingError, Outage, pause_unless
from local.functions.queues import decode_text, encode_text, send

_log = logging.getLogger("host")

HOSTS_CONTAINER = "azure-webjobs-hosts"
POISON_QUEUE = "webjobs-blobtrigger-poison"
_RECEIPT_LEASE_SECONDS = 30
_INCOMPLETE = "Incomplete"  # as metadata of a receipt: its message is not in the queue yet


@dataclass(frozen=True)
class BlobMessage:
    """A message of the internal queue, and of the poison queue."""

    function_id: str
    container: str
    name: str
    etag: str
    blob_type: str = "BlockBlob"

    def to_json(self) -> str:
        """The message as the real host writes it."""
        return json.dumps(
            {
                "Type": "BlobTrigger",
                "FunctionId": self.function_id,
                "BlobType": self.blob_type,
                "ContainerName": self.container,
                "BlobName": self.name,
                "ETag": self.etag,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> BlobMessage:
        """Read a message.

        Raises:
            ValueError: it is not one.
        """
        try:
            found = json.loads(text)
            return cls(found["FunctionId"], found["ContainerName"], found["BlobName"], found["ETag"], found["BlobType"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a blob trigger message: {text[:200]}") from error


@dataclass(frozen=True)
class BlobFunction:
    """A blob-triggered function; `scanned` is False where Event Grid feeds it."""

    function: Function
    pattern: BlobPattern
    scanned: bool

    @property
    def connection(self) -> str | None:
        """The connection of the blobs."""
        name: str | None = self.function.trigger.get("connection")
        return name


def blob_function(function: Function) -> BlobFunction:
    """The blob trigger of a function."""
    trigger = function.trigger
    return BlobFunction(function, parse_pattern(trigger["path"]), trigger.get("source") != "EventGrid")


class BlobTriggers:
    """Everything between a blob and the function that it triggers, but for the queue listener."""

    def __init__(
        self,
        functions: Iterable[BlobFunction],
        connections: Connections,
        invoker: Invoker,
        *,
        host_id: str,
        base64_messages: bool,
        stopping: asyncio.Event,
    ) -> None:
        self._functions = {blob.function.id: blob for blob in functions}
        self._connections = connections
        self._invoker = invoker
        self._host_id = host_id
        self._base64 = base64_messages
        self._stopping = stopping
        self._outage = Outage("blob triggers", stopping)
        self._complaints: set[str] = set()
        self._offered: frozenset[tuple[str, str, str]] = frozenset()
        self.on_enqueue: Callable[[], None] = lambda: None
        self.queue = connections.queue(DEFAULT_CONNECTION, f"azure-webjobs-blobtrigger-{host_id}")

    def find(self, function_id: str) -> BlobFunction | None:
        """The function of this id (`Host.Functions.<name>`, without regard to case)."""
        wanted = function_id.lower()
        return next((blob for key, blob in self._functions.items() if key.lower() == wanted), None)

    def poison(self, message: QueueMessage) -> QueueClient:
        """The poison queue for a message: in the account of its blobs."""
        blob = None
        try:
            blob = self.find(self._read(message).function_id)
        except ValueError as error:
            _log.warning("%s", error)
        return self._connections.queue(blob.connection if blob else DEFAULT_CONNECTION, POISON_QUEUE)

    async def scan(self, interval: float) -> None:
        """Look for new blobs every so many seconds, until the host stops."""
        groups: dict[tuple[str | None, str], list[BlobFunction]] = {}
        for blob in self._functions.values():
            if blob.scanned:
                groups.setdefault((blob.connection, blob.pattern.container), []).append(blob)
        while groups and not self._stopping.is_set():
            offered: set[tuple[str, str, str]] = set()
            for (connection, container), blobs in groups.items():
                try:
                    offered |= await self._scan_container(connection, container, blobs)
                except HttpResponseError as error:
                    self._complain(f"container {container} cannot be scanned: {str(error).splitlines()[0]}")
                except HostStoppingError:
                    return
            # Only what is there now: a blob that was deleted takes no memory, and its next version is new anyway.
            self._offered = frozenset(offered)
            await pause_unless(self._stopping, interval)

    async def enqueue(self, message: BlobMessage) -> None:
        """Put a message into the internal queue."""
        await send(self.queue, encode_text(message.to_json(), base64_encoded=self._base64))
        self.on_enqueue()

    async def handle(self, queued: QueueMessage) -> bool:
        """Deal with a message of the internal queue: invoke its function, unless there is no reason to any more."""
        try:
            message = self._read(queued)
        except ValueError as error:
            _log.error("%s", error)
            return False
        blob = self.find(message.function_id)
        if blob is None:
            _log.warning("dropped a message for %s, which this app does not have", message.function_id)
            return True
        client = self._connections.blobs(blob.connection).get_blob_client(message.container, message.name)
        try:
            properties: BlobProperties = await self._outage.patiently(lambda: client.get_blob_properties())
        except ResourceNotFoundError:
            _log.info("dropped a message for %s/%s: the blob is gone", message.container, message.name)
            return True
        if blob.scanned and quoted(properties.etag) != message.etag:
            _log.info("dropped a message for %s/%s: the blob has changed", message.container, message.name)
            await self._outage.patiently(lambda: self._offer(blob, replace(message, etag=quoted(properties.etag))))
            return True
        return await self._invoke(blob, message, client, properties)

    async def trigger(self, blob: BlobFunction, container: str, name: str) -> Trigger:
        """What an invocation for this blob gets.

        Raises:
            ResourceNotFoundError: there is no such blob.
        """
        client = self._connections.blobs(blob.connection).get_blob_client(container, name)
        return await self._trigger(blob, client, await client.get_blob_properties())

    def _complain(self, words: str) -> None:
        if words not in self._complaints:
            self._complaints.add(words)
            _log.warning("%s", words)

    def _read(self, message: QueueMessage) -> BlobMessage:
        return BlobMessage.from_json(decode_text(message.content, base64_encoded=self._base64))

    async def _invoke(
        self, blob: BlobFunction, message: BlobMessage, client: BlobClient, properties: BlobProperties
    ) -> bool:
        try:
            trigger = await self._outage.patiently(lambda: self._trigger(blob, client, properties))
            await self._invoker.invoke(blob.function, trigger)
        except ResourceNotFoundError:
            _log.info("dropped a message for %s/%s: the blob is gone", message.container, message.name)
        except InvocationFailedError:
            return False
        return True

    async def _trigger(self, blob: BlobFunction, client: BlobClient, properties: BlobProperties) -> Trigger:
        path = f"{client.container_name}/{client.blob_name}"
        metadata: dict[str, Any] = {
            "BlobTrigger": path,
            "Uri": client.url,
            "Properties": {"ContentLength": properties.size, "ETag": quoted(properties.etag)},
            "Metadata": dict(properties.metadata or {}),
        }
        if blob.function.signature.parameters[blob.function.trigger["name"]].deferred:
            return Trigger(Datum(self._reference(blob, client), "model_binding_data"), metadata, f"blob={path}")
        content = await (await client.download_blob()).readall()
        return Trigger(Datum(content, "bytes"), metadata, f"blob={path}")

    def _reference(self, blob: BlobFunction, client: BlobClient) -> SimpleNamespace:
        content = {
            "Connection": self._connections.setting(blob.connection),
            "ContainerName": client.container_name,
            "BlobName": client.blob_name,
        }
        return SimpleNamespace(
            version="1.0",
            source="AzureStorageBlobs",
            content_type="application/json",
            content=json.dumps(content).encode(),
        )

    async def _scan_container(
        self, connection: str | None, container: str, blobs: list[BlobFunction]
    ) -> set[tuple[str, str, str]]:
        client = self._connections.blobs(connection).get_container_client(container)
        prefixes = [blob.pattern.prefix for blob in blobs]
        prefix = os.path.commonprefix(prefixes)  # noqa: RUF071  # by character: a pattern's prefix is no folder

        async def new_blobs() -> list[BlobProperties]:
            return [item async for item in client.list_blobs(name_starts_with=prefix or None)]

        try:
            items = await self._outage.patiently(new_blobs)
        except ResourceNotFoundError:
            return set()  # the container may be created at any time
        offered = set()
        for item in items:
            for blob in blobs:
                if not self._stopping.is_set() and blob.pattern.matches(container, item.name):
                    key = (blob.function.id, f"{container}/{item.name}", quoted(item.etag))
                    if key in self._offered or await self._offer_found(blob, container, item):
                        offered.add(key)
        return offered

    async def _offer_found(self, blob: BlobFunction, container: str, item: BlobProperties) -> bool:
        kind = str(getattr(item.blob_type, "value", item.blob_type))
        message = BlobMessage(blob.function.id, container, item.name, quoted(item.etag), kind)
        return await self._outage.patiently(lambda: self._offer(blob, message))

    async def _offer(self, blob: BlobFunction, message: BlobMessage) -> bool:
        """Queue this version of a blob unless its receipt says that it was; False: somebody else is about to."""
        name = f"blobreceipts/{self._host_id}/{blob.function.id}/{message.etag}/{message.container}/{message.name}"
        hosts = self._connections.blobs(DEFAULT_CONNECTION)
        receipt = hosts.get_blob_client(HOSTS_CONTAINER, name)
        if await _is_complete(receipt):
            return True
        await self._create_receipt(receipt)
        try:
            lease = await receipt.acquire_lease(_RECEIPT_LEASE_SECONDS)
        except HttpResponseError as error:
            if error.status_code in (404, 409):
                return False
            raise
        try:
            if not await _is_complete(receipt):
                await self.enqueue(message)
                await receipt.set_blob_metadata({}, lease=lease)
        finally:
            await lease.release()
        return True

    async def _create_receipt(self, receipt: BlobClient) -> None:
        try:
            await _write_receipt(receipt)
        except ResourceNotFoundError:
            try:
                await self._connections.blobs(DEFAULT_CONNECTION).create_container(HOSTS_CONTAINER)
            except ResourceExistsError:
                _log.debug("container %s was created by somebody else", HOSTS_CONTAINER)
            await _write_receipt(receipt)


async def _write_receipt(receipt: BlobClient) -> None:
    try:
        await receipt.upload_blob(b"", overwrite=False, metadata={_INCOMPLETE: _INCOMPLETE})
    except ResourceExistsError:
        # Left by a host that died between receipt and message, or being filled in right now: the lease decides.
        _log.debug("receipt %s is there already", receipt.blob_name)


async def _is_complete(receipt: BlobClient) -> bool:
    try:
        properties = await receipt.get_blob_properties()
    except ResourceNotFoundError:
        return False
    return _INCOMPLETE not in (properties.metadata or {})
