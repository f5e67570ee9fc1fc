"""The tasks that jobs are run and ended by: one for each job at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

Work = Coroutine[Any, Any, None]


class Tasks:
    """By the name of the job. A task whose work fails ends; who waits for it learns no more than that."""

    def __init__(self) -> None:
        self._current: dict[str, asyncio.Task[None]] = {}
        self._all: set[asyncio.Task[None]] = set()

    def begin(self, name: str, work: Work) -> None:
        """Do this for the job, in the place of what was done before."""
        task = asyncio.create_task(work, name=name)
        self._current[name] = task
        self._all.add(task)
        task.add_done_callback(lambda ended: self._forget(name, ended))

    def end(self, name: str, afterwards: Callable[[], Work]) -> None:
        """Cancel what is done for the job, and once that is gone, begun or not, do what comes afterwards."""
        earlier = self._current.get(name)
        if earlier is not None:
            earlier.cancel()
        self.begin(name, _after(earlier, afterwards))

    def drop(self, name: str) -> None:
        """Cancel what is done for the job, and do nothing more."""
        if task := self._current.get(name):
            task.cancel()

    def of(self, name: str) -> asyncio.Task[None] | None:
        """What is done for the job; None when nothing is. Not to be awaited by itself: it may be cancelled."""
        return self._current.get(name)

    async def stop(self) -> None:
        """Cancel everything, and wait until it is gone."""
        while self._all:
            for task in self._all:
                task.cancel()
            await asyncio.wait(self._all)

    def _forget(self, name: str, ended: asyncio.Task[None]) -> None:
        self._all.discard(ended)
        if self._current.get(name) is ended:
            del self._current[name]


async def _after(earlier: asyncio.Task[None] | None, afterwards: Callable[[], Work]) -> None:
    if earlier is not None:
        await asyncio.wait([earlier])
    await afterwards()
