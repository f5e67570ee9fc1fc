"""A storage account in memory, held to the same contract suite as the real one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

from shared.errors import ConflictError, NotFoundError
from shared.storage import ABSENT, BlobInfo, Blocks
from tests.fakes.clock import FakeClock

PIECE_BYTES = 1 << 16
"""Small, so that a test can change a blob between two pieces."""

Interruption = Callable[[str, str, str], None]
"""Called before every operation with its name, the container and the blob; may change the store, or raise."""


@dataclass(frozen=True)
class _Blob:
    data: bytes
    info: BlobInfo
    content_type: str
    blocks: Mapping[str, bytes] = field(default_factory=dict)


class FakeBlobStore:
    """`shared.storage.BlobStore`; safe for use by several threads, like the real one.

    Args:
        clock: stamps what is written.
    """

    def __init__(self, clock: Callable[[], datetime] | None = None) -> None:
        self._clock = clock or FakeClock()
        self._lock = threading.RLock()
        self._etags = count(1)
        self._containers: dict[str, dict[str, _Blob]] = {}
        self._staged: dict[tuple[str, str], dict[str, bytes]] = {}
        self.interruption: Interruption | None = None

    def _begin(self, operation: str, container: str, name: str) -> None:
        if self.interruption is not None:
            self.interruption(operation, container, name)

    def _container(self, name: str) -> dict[str, _Blob]:
        if name not in self._containers:
            raise NotFoundError("blob_not_found", f"There is no container {name}.", blob=name)
        return self._containers[name]

    def _blob(self, container: str, name: str) -> _Blob:
        blob = self._container(container).get(name)
        if blob is None:
            raise NotFoundError("blob_not_found", f"There is no blob {container}/{name}.", blob=f"{container}/{name}")
        return blob

    def _check(self, container: str, name: str, if_match: str | None) -> None:
        blob = self._container(container).get(name)
        current = ABSENT if blob is None else blob.info.etag
        if if_match is not None and if_match != current:
            where = f"{container}/{name}"
            raise ConflictError("blob_changed", f"The blob {where} was changed by somebody else.", blob=where)

    def _write(
        self,
        container: str,
        name: str,
        data: bytes,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        blocks: Mapping[str, bytes] | None = None,
    ) -> str:
        info = BlobInfo(container, name, f"0x{next(self._etags):X}", len(data), self._clock(), dict(metadata or {}))
        self._container(container)[name] = _Blob(data, info, content_type, blocks or {})
        self._staged.pop((container, name), None)
        return info.etag

    def ensure_containers(self, names: Sequence[str]) -> None:
        """See `BlobStore.ensure_containers`."""
        with self._lock:
            for name in names:
                self._containers.setdefault(name, {})

    def info(self, container: str, name: str) -> BlobInfo:
        """See `BlobStore.info`."""
        self._begin("info", container, name)
        with self._lock:
            return self._blob(container, name).info

    def get(self, container: str, name: str) -> tuple[bytes, BlobInfo]:
        """See `BlobStore.get`."""
        self._begin("get", container, name)
        with self._lock:
            blob = self._blob(container, name)
            return blob.data, blob.info

    def pieces(self, container: str, name: str, etag: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """See `BlobStore.pieces`."""
        while True:
            self._begin("pieces", container, name)
            with self._lock:
                self._check(container, name, etag)
                piece = self._blob(container, name).data[:end][start : start + PIECE_BYTES]
            if not piece:
                return
            yield piece
            start += len(piece)

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
        """See `BlobStore.put`."""
        self._begin("put", container, name)
        with self._lock:
            self._check(container, name, if_match)
            return self._write(container, name, data, content_type, metadata)

    def stage(self, container: str, name: str, block: str, data: bytes) -> None:
        """See `BlobStore.stage`."""
        self._begin("stage", container, name)
        with self._lock:
            self._container(container)
            blocks = self._staged.setdefault((container, name), {})
            if len(block) > 48 or any(len(other) != len(block) for other in blocks):
                raise ValueError("block names are of one length, of up to 48 characters")
            blocks[block] = data

    def commit(
        self,
        container: str,
        name: str,
        blocks: Sequence[str],
        *,
        if_match: str | None = None,
        content_type: str = "application/octet-stream",
    ) -> str:
        """See `BlobStore.commit`; what is staged and not named is lost, as in the real store."""
        self._begin("commit", container, name)
        with self._lock:
            self._check(container, name, if_match)
            blob = self._container(container).get(name)
            known = {**(blob.blocks if blob else {}), **self._staged.get((container, name), {})}
            if not set(blocks) <= set(known):
                where = f"{container}/{name}"
                raise ConflictError("blob_changed", f"Blocks of {where} were discarded by another commit.", blob=where)
            content = {block: known[block] for block in blocks}
            return self._write(container, name, b"".join(known[block] for block in blocks), content_type, None, content)

    def blocks(self, container: str, name: str) -> Blocks:
        """See `BlobStore.blocks`."""
        self._begin("blocks", container, name)
        with self._lock:
            blob = self._container(container).get(name)
            staged = self._staged.get((container, name), {})
            return Blocks(tuple(blob.blocks) if blob else (), frozenset(staged))

    def delete(self, container: str, name: str, *, if_match: str | None = None) -> None:
        """See `BlobStore.delete`."""
        self._begin("delete", container, name)
        with self._lock:
            if if_match is not None:
                self._check(container, name, if_match)
            self._containers.get(container, {}).pop(name, None)

    def list_blobs(self, container: str, prefix: str = "") -> Iterator[BlobInfo]:
        """See `BlobStore.list_blobs`."""
        self._begin("list_blobs", container, prefix)
        with self._lock:
            found = [blob.info for name, blob in sorted(self._container(container).items()) if name.startswith(prefix)]
        yield from found

    def folders(self, container: str, prefix: str = "") -> list[str]:
        """See `BlobStore.folders`."""
        self._begin("folders", container, prefix)
        with self._lock:
            below = [name[len(prefix) :] for name in self._container(container) if name.startswith(prefix)]
            return sorted({name.split("/", 1)[0] for name in below if "/" in name})

    # -- for assertions ----------------------------------------------------------------------------------------

    def content_type(self, container: str, name: str) -> str:
        """The type that the blob was written with."""
        with self._lock:
            return self._blob(container, name).content_type

    def block_contents(self, container: str, name: str) -> list[bytes]:
        """What the blob's blocks hold, staged or committed."""
        with self._lock:
            blob = self._container(container).get(name)
            return list({**(blob.blocks if blob else {}), **self._staged.get((container, name), {})}.values())

    def names(self, container: str) -> list[str]:
        """The container's blobs."""
        return [info.name for info in self.list_blobs(container)]
