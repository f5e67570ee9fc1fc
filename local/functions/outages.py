"""Storage that does not answer: waited for, said once, never fatal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from azure.core.exceptions import AzureError, HttpResponseError

_log = logging.getLogger("host")
_LONGEST_PAUSE = 15.0

T = TypeVar("T")


class HostStoppingError(Exception):
    """The host stops, so nobody waits for storage any longer."""


class Outage:
    """One caller's view of storage: `patiently` repeats an operation until storage answers or the host stops."""

    def __init__(self, what: str, stopping: asyncio.Event, *, first_pause: float = 0.5) -> None:
        self._what = what
        self._stopping = stopping
        self._first_pause = first_pause

    async def patiently(self, operation: Callable[[], Awaitable[T]]) -> T:
        """The operation's answer; errors of the caller (4xx, such as a missing blob) are raised as they are.

        Raises:
            HostStoppingError: the host stops and storage does not answer.
        """
        pause = self._first_pause
        while True:
            try:
                answer = await operation()
            except AzureError as error:
                if not _unavailable(error):
                    raise
                if self._stopping.is_set():
                    raise HostStoppingError from error
                if pause == self._first_pause:
                    _log.warning("%s: storage does not answer, trying again (%s)", self._what, _first_line(error))
            else:
                if pause > self._first_pause:
                    _log.info("%s: storage answers again", self._what)
                return answer
            await pause_unless(self._stopping, pause)
            pause = min(pause * 2, _LONGEST_PAUSE)


async def pause_unless(event: asyncio.Event, seconds: float) -> None:
    """Sleep, but no longer than until the event is set."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), max(seconds, 0))


def _unavailable(error: AzureError) -> bool:
    # No status: the request never got an answer. 429 and 5xx: the service says itself that it is busy or broken.
    if not isinstance(error, HttpResponseError) or error.status_code is None:
        return True
    return error.status_code >= 500 or error.status_code == 429


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
