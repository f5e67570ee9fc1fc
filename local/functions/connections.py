"""Storage connections: from the name in a binding to clients.

A connection is a setting with a connection string, or several with the services' addresses for the app's identity
(`<name>__blobServiceUri`, `<name>__queueServiceUri`, `<name>__serviceUri`, `<name>__accountName`). As in the real host,
`<name>` may lack the prefix `AzureWebJobs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue.aio import QueueClient, QueueServiceClient

from local.functions.configuration import DEFAULT_CONNECTION
from local.functions.errors import ConfigurationError

if TYPE_CHECKING:
    from azure.identity.aio import DefaultAzureCredential

Service = Literal["blob", "queue"]

# Listeners try again by themselves, and a developer wants to read of an outage now: no minute of retries in the client.
_CLIENT: dict[str, Any] = {
    "connection_timeout": 5,
    "read_timeout": 60,
    "retry_total": 1,
    "initial_backoff": 1,
    "increment_base": 1,
    "random_jitter_range": 0,
}


def connection_name(name: str | None, environment: Mapping[str, str]) -> str:
    """The setting (or the prefix of settings) that a binding's connection means; without one, the app's own storage."""
    if not name:
        return DEFAULT_CONNECTION
    prefixed = f"AzureWebJobs{name}"
    return prefixed if any(key == prefixed or key.startswith(prefixed + "__") for key in environment) else name


def check_connection(name: str | None, services: Iterable[Service], environment: Mapping[str, str]) -> None:
    """Make sure that a connection is set for these services.

    Raises:
        ConfigurationError: it is not; the message names the settings that would do.
    """
    setting = connection_name(name, environment)
    for service in services:
        if not environment.get(setting) and _address(setting, service, environment) is None:
            raise ConfigurationError(
                f"the connection {setting} is not set: give {setting} a connection string, "
                f"or {setting}__{service}ServiceUri the address of the {service} service"
            )


class Connections:
    """Clients of the storage accounts that an app's settings name, one per connection, closed together."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._blobs: dict[str, BlobServiceClient] = {}
        self._queues: dict[str, QueueServiceClient] = {}
        self._credential: DefaultAzureCredential | None = None

    def setting(self, name: str | None) -> str:
        """The setting (or the prefix of settings) behind a connection."""
        return connection_name(name, self._environment)

    def blobs(self, name: str | None) -> BlobServiceClient:
        """The blob service of a connection."""
        setting = self.setting(name)
        if setting not in self._blobs:
            text = self._environment.get(setting)
            if text:
                with _readable(setting):
                    self._blobs[setting] = BlobServiceClient.from_connection_string(text, **_CLIENT)
            else:
                address = self._required_address(setting, "blob")
                self._blobs[setting] = BlobServiceClient(address, self._identity(), **_CLIENT)
        return self._blobs[setting]

    def queues(self, name: str | None) -> QueueServiceClient:
        """The queue service of a connection."""
        setting = self.setting(name)
        if setting not in self._queues:
            text = self._environment.get(setting)
            if text:
                with _readable(setting):
                    self._queues[setting] = QueueServiceClient.from_connection_string(text, **_CLIENT)
            else:
                address = self._required_address(setting, "queue")
                self._queues[setting] = QueueServiceClient(address, self._identity(), **_CLIENT)
        return self._queues[setting]

    def queue(self, name: str | None, queue: str) -> QueueClient:
        """One queue; its messages are taken and sent as they are, encoding is the caller's."""
        return self.queues(name).get_queue_client(queue)

    async def close(self) -> None:
        """Close every client that was made."""
        for client in (*self._blobs.values(), *self._queues.values(), self._credential):
            if client is not None:
                await client.close()

    def _required_address(self, setting: str, service: Service) -> str:
        address = _address(setting, service, self._environment)
        if address is None:
            raise ConfigurationError(f"the connection {setting} is not set")
        return address

    def _identity(self) -> DefaultAzureCredential:
        if self._credential is None:
            # A local cloud has connection strings: the import, a good part of the start, is for the others.
            from azure.identity.aio import DefaultAzureCredential

            self._credential = DefaultAzureCredential()
        return self._credential


def _address(setting: str, service: Service, environment: Mapping[str, str]) -> str | None:
    for suffix in (f"{service}ServiceUri", "serviceUri"):
        if address := environment.get(f"{setting}__{suffix}"):
            return address
    account = environment.get(f"{setting}__accountName")
    return f"https://{account}.{service}.core.windows.net" if account else None


@contextmanager
def _readable(setting: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ConfigurationError(f"{setting} is not a storage connection string: {error}") from error
