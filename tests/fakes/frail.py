"""A blob store at the hands of an instance that breaks down at one of its calls."""

from __future__ import annotations

import threading
from typing import Any, cast

from shared.storage import BlobStore


class KilledError(BaseException):
    """The process is gone: nobody catches this, nothing is tidied up."""


class Frail:
    """Hands every call on to `store`, but for the one numbered `at` (from 0; None for never): that one fails, before
    or after it took effect.

    Args:
        error: raised by that call; after a `KilledError` every later call fails likewise.
    """

    def __init__(self, store: BlobStore, at: int | None, *, after: bool, error: BaseException) -> None:
        self._store, self._at, self._after, self._error = store, at, after, error
        self._dead = False
        self._lock = threading.Lock()
        self.calls: list[tuple[str, ...]] = []

    @classmethod
    def over(cls, store: BlobStore, at: int | None, *, after: bool, error: BaseException) -> tuple[BlobStore, Frail]:
        """The store as the app takes it, and as a test looks at it."""
        frail = cls(store, at, after=after, error=error)
        return cast(BlobStore, frail), frail

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._store, name)

        def call(*args: Any, **options: Any) -> Any:
            with self._lock:
                if self._dead:
                    raise self._error
                now = len(self.calls) == self._at
                self.calls.append((name, *map(str, args[:2])))
                if now:
                    self._dead = isinstance(self._error, KilledError)
            if now and not self._after:
                raise self._error
            result = operation(*args, **options)
            if now:
                raise self._error
            return result

        return call
