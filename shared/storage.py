"""The app's seam to Azure Storage: a few conditional operations on blobs, and messages on a queue.

Foreign exceptions end here: what the rest of the app sees is `NotFoundError`, `ConflictError` or
`StorageUnavailableError`; only what no code can help, such as a missing role, stays the SDK's own error. The in-memory
fake of the tests holds to the same contract suite.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any, Protocol

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.storage.blob import BlobBlock, BlobServiceClient, ContentSettings, StorageErrorCode
from azure.storage.queue import QueueServiceClient, TextBase64EncodePolicy

from shared.errors import ConflictError, NotFoundError, StorageUnavailableError

ABSENT = ""
"""As an `if_match` condition: the blob must not exist yet."""

READ_PIECE_BYTES = 4 * 1024 * 1024 + 256 * 1024
"""Of a blob that is read piece by piece: one is worked on while the next arrives, which the SDK holds twice. Azurite
reads a range of up to 4 MB twice, for a digest of it."""

_BEHIND_THE_END = 416


@dataclass(frozen=True)
class BlobInfo:
    """One version of a blob: its place, ETag (quotes stripped), size in bytes, time of writing (UTC) and metadata."""

    container: str
    name: str
    etag: str
    size: int
    last_modified: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Blocks:
    """The names of a blob's blocks: those that it consists of, in order, and those that wait for a commit."""

    committed: tuple[str, ...] = ()
    staged: frozenset[str] = frozenset()


class BlobStore(Protocol):
    """What the app needs of blob storage.

    `if_match` is an ETag that the blob must still have, `ABSENT` for "must not exist", or None for no condition; a
    condition that does not hold raises `ConflictError` and changes nothing. Reading what is not there raises
    `NotFoundError`.
    """

    def ensure_containers(self, names: Sequence[str]) -> None:
        """Creates the containers that are missing."""

    def info(self, container: str, name: str) -> BlobInfo:
        """The blob's current version."""

    def get(self, container: str, name: str) -> tuple[bytes, BlobInfo]:
        """The whole blob, for small ones."""

    def pieces(self, container: str, name: str, etag: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The blob's bytes from `start` to before `end` (None: to its end), piece by piece; `ConflictError` when it is
        no longer the version `etag`, or gone."""

    def put(
        self,
        container: str,
        name: str,
        data: bytes,
        *,
        if_match: str | None = None,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Writes the blob in one go and returns its new ETag."""

    def stage(self, container: str, name: str, block: str, data: bytes) -> None:
        """Uploads one block without changing the blob (up to 48 characters a name, all of one length)."""

    def commit(
        self,
        container: str,
        name: str,
        blocks: Sequence[str],
        *,
        if_match: str | None = None,
        content_type: str = "application/octet-stream",
    ) -> str:
        """Makes the staged blocks, in this order, the blob's content and returns its new ETag."""

    def blocks(self, container: str, name: str) -> Blocks:
        """What `stage` and `commit` left of the blob; nothing where it was written in one go, or is not there.

        Staged blocks are kept for a week, or until the blob is written.
        """

    def delete(self, container: str, name: str, *, if_match: str | None = None) -> None:
        """Removes the blob; without a condition, one that is not there is fine."""

    def list_blobs(self, container: str, prefix: str = "") -> Iterator[BlobInfo]:
        """The blobs under the prefix, by name in ascending order, with their metadata."""

    def folders(self, container: str, prefix: str = "") -> list[str]:
        """The names of the folders right under the prefix (empty, or ending in a slash)."""


class Queue(Protocol):
    """Where work is put for a queue-triggered function."""

    def send(self, text: str) -> None:
        """Enqueues one message."""


@contextmanager
def _translated(container: str, name: str) -> Iterator[None]:
    where = f"{container}/{name}".rstrip("/")
    try:
        yield
    except ResourceNotFoundError as error:
        raise NotFoundError("blob_not_found", f"There is no blob {where}.", blob=where) from error
    except (ResourceModifiedError, ResourceExistsError) as error:
        raise _changed(where) from error
    except (ServiceRequestError, ServiceResponseError) as error:
        raise _unavailable(where) from error
    except HttpResponseError as error:
        if error.status_code == 429 or (error.status_code or 0) >= 500:
            raise _unavailable(where) from error
        if getattr(error, "error_code", None) == StorageErrorCode.INVALID_BLOCK_LIST:
            raise _changed(where) from error  # another writer's commit discarded what was staged here
        raise


def _changed(where: str) -> ConflictError:
    return ConflictError("blob_changed", f"The blob {where} was changed by somebody else.", blob=where)


def _unavailable(where: str) -> StorageUnavailableError:
    return StorageUnavailableError("storage_unavailable", "The storage account does not answer.", blob=where)


def _condition(if_match: str | None) -> dict[str, Any]:
    if if_match is None:
        return {}
    if if_match == ABSENT:
        return {"match_condition": MatchConditions.IfMissing}
    return {"etag": f'"{if_match}"', "match_condition": MatchConditions.IfNotModified}


def _block_id(block: str) -> str:
    return base64.urlsafe_b64encode(block.encode()).decode()


def _block_name(block_id: str) -> str:
    return base64.urlsafe_b64decode(block_id).decode(errors="replace")


def bare_etag(etag: str) -> str:
    """An ETag as the app writes it: without the quotes that some answers have and some have not."""
    return etag.strip('"')


class AzureBlobStore:
    """`BlobStore` over a real account, or Azurite."""

    def __init__(self, service: BlobServiceClient) -> None:
        self._service = service

    def ensure_containers(self, names: Sequence[str]) -> None:
        with _translated("", ""):
            present = {container.name for container in self._service.list_containers()}
        for name in names:
            if name not in present:
                with _translated(name, ""), suppress(ResourceExistsError):  # another instance was quicker
                    self._service.create_container(name)

    def info(self, container: str, name: str) -> BlobInfo:
        with _translated(container, name):
            return _info(container, self._service.get_blob_client(container, name).get_blob_properties())

    def get(self, container: str, name: str) -> tuple[bytes, BlobInfo]:
        with _translated(container, name):
            download = self._service.get_blob_client(container, name).download_blob()
            data: bytes = download.readall()
            return data, _info(container, download.properties)

    def pieces(self, container: str, name: str, etag: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        piece = self._piece(container, name, etag, start, end)
        with ThreadPoolExecutor(1, thread_name_prefix="read") as pool:
            for at in count(start + READ_PIECE_BYTES, READ_PIECE_BYTES):
                if len(piece) < READ_PIECE_BYTES:
                    break
                coming = pool.submit(self._piece, container, name, etag, at, end)  # while this one is worked on
                yield piece
                piece = coming.result()
        if piece:
            yield piece

    def _piece(self, container: str, name: str, etag: str, start: int, end: int | None) -> bytes:
        """The bytes of that version from `start` on, nothing behind `end` or its own end."""
        length = READ_PIECE_BYTES if end is None else min(READ_PIECE_BYTES, end - start)
        if length <= 0:
            return b""
        client = self._service.get_blob_client(container, name)
        try:
            with _translated(container, name):
                data: bytes = client.download_blob(start, length, **_condition(etag)).readall()
        except NotFoundError as error:
            raise _changed(f"{container}/{name}") from error
        except HttpResponseError as error:
            if error.status_code != _BEHIND_THE_END:
                raise
            return b""
        return data

    def put(
        self,
        container: str,
        name: str,
        data: bytes,
        *,
        if_match: str | None = None,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        with _translated(container, name):
            answer = self._service.get_blob_client(container, name).upload_blob(
                data,
                overwrite=if_match != ABSENT,
                content_settings=ContentSettings(content_type=content_type),
                metadata=dict(metadata or {}),
                **({} if if_match == ABSENT else _condition(if_match)),
            )
        return bare_etag(answer["etag"])

    def stage(self, container: str, name: str, block: str, data: bytes) -> None:
        with _translated(container, name):
            self._service.get_blob_client(container, name).stage_block(_block_id(block), data)

    def commit(
        self,
        container: str,
        name: str,
        blocks: Sequence[str],
        *,
        if_match: str | None = None,
        content_type: str = "application/octet-stream",
    ) -> str:
        with _translated(container, name):
            answer = self._service.get_blob_client(container, name).commit_block_list(
                [BlobBlock(_block_id(block)) for block in blocks],
                content_settings=ContentSettings(content_type=content_type),
                **_condition(if_match),
            )
        return bare_etag(str(answer["etag"]))

    def blocks(self, container: str, name: str) -> Blocks:
        with _translated(container, name):
            try:
                committed, staged = self._service.get_blob_client(container, name).get_block_list("all")
            except ResourceNotFoundError:
                return Blocks()
        return Blocks(
            tuple(_block_name(str(block.id)) for block in committed),
            frozenset(_block_name(str(block.id)) for block in staged),
        )

    def delete(self, container: str, name: str, *, if_match: str | None = None) -> None:
        with _translated(container, name), suppress(ResourceNotFoundError):
            self._service.get_blob_client(container, name).delete_blob(**_condition(if_match))

    def list_blobs(self, container: str, prefix: str = "") -> Iterator[BlobInfo]:
        client = self._service.get_container_client(container)
        with _translated(container, prefix):
            for item in client.list_blobs(name_starts_with=prefix or None, include=["metadata"]):
                yield _info(container, item)

    def folders(self, container: str, prefix: str = "") -> list[str]:
        client = self._service.get_container_client(container)
        with _translated(container, prefix):
            items = client.walk_blobs(name_starts_with=prefix or None)
            return [item.name[len(prefix) :].rstrip("/") for item in items if item.name.endswith("/")]


def _info(container: str, properties: Any) -> BlobInfo:
    return BlobInfo(
        container=container,
        name=properties.name,
        etag=bare_etag(properties.etag),
        size=properties.size,
        last_modified=properties.last_modified,
        metadata=dict(properties.metadata or {}),
    )


class AzureQueue:
    """`Queue` over a storage queue, in the encoding that the Functions host expects; created when missing."""

    def __init__(self, service: QueueServiceClient, name: str) -> None:
        self._client = service.get_queue_client(name, message_encode_policy=TextBase64EncodePolicy())

    def send(self, text: str) -> None:
        with _translated(self._client.queue_name, ""):
            try:
                self._client.send_message(text)
            except ResourceNotFoundError:
                with suppress(ResourceExistsError):  # another instance was quicker
                    self._client.create_queue()
                self._client.send_message(text)
