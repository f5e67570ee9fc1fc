"""Writes that go on in the background while the next rows are read and rendered, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

_AHEAD = 2
"""So many wait at most, for each holds its bytes."""


class Uploads:
    """Makes the calls that it is given in their order, one at a time; none after one that failed.

    What a call raises comes out of a later `add` or of `finish`. Leaving the context waits for the call under way, so
    that nothing is written behind the back of whoever goes on.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._waiting: deque[Future[None]] = deque()
        self._broken = False

    def add(self, call: Callable[[], object]) -> None:
        """Makes this call after those before it; waits while there are too many."""
        while len(self._waiting) >= _AHEAD:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._make, call))

    def finish(self) -> None:
        """Waits until every call was made."""
        while self._waiting:
            self._waiting.popleft().result()

    def _make(self, call: Callable[[], object]) -> None:
        if self._broken:
            return
        self._broken = True
        call()
        self._broken = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=error is not None)
