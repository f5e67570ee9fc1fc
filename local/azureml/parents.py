"""Jobs that are made of other jobs: how sweeps and pipelines are begun, gone on with, cancelled and ended."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime
from typing import ClassVar

from .errors import Json
from .runs import TERMINAL, Runs, unfinished
from .store import Store
from .tasks import Tasks


class Parents(ABC):
    """Runs the jobs of one type. `start_child` submits a command job of this name and these properties.

    What an earlier process was cancelling is cancelled: its children, which `Runs` has taken up again, end with it.
    """

    kind: ClassVar[str]

    def __init__(self, store: Store, runs: Runs) -> None:
        self._store = store
        self._runs = runs
        self._tasks = Tasks()
        self.start_child: Callable[[str, Json], Json] = lambda name, asked: {}

    @abstractmethod
    async def _work(self, name: str) -> None:
        """Start children until there are no more, and `_end` the job."""

    @abstractmethod
    def _children(self, name: str) -> list[str]:
        """Names of the children that were started, in their order."""

    def submit(self, name: str) -> None:
        """Begin to run the job."""
        self._tasks.begin(name, self._run(name))

    def resume(self) -> None:
        """Go on with jobs that an earlier process left unfinished; their children have been resumed already."""
        for name, status in unfinished(self._store, self.kind):
            if status == "CancelRequested":
                self.cancel(name)
            else:
                self.submit(name)

    def cancel(self, name: str, when_ended: Callable[[], None] = lambda: None) -> None:
        """End the job and its children; `when_ended` is called once all have ended."""

        async def afterwards() -> None:
            await self._end_children(name)
            self._end(name, "Canceled")
            when_ended()

        self._set(name, {"status": "CancelRequested"})
        self._tasks.end(name, afterwards)

    def forget(self, name: str) -> None:
        """End the job's children, and leave no word about the job itself: a fault on order."""
        self._tasks.drop(name)
        self._cancel_children(name)

    async def stop(self) -> None:
        """Leave all jobs as they are."""
        await self._tasks.stop()

    async def _run(self, name: str) -> None:
        try:
            await self._work(name)
        except Exception as error:
            try:
                await self._end_children(name)
            finally:
                self._end(name, "Failed", f"Internal error of the emulator: {error!r}")
            raise

    async def _end_children(self, name: str) -> None:
        if ends := self._ends(self._cancel_children(name)):
            await asyncio.wait(ends)

    def _cancel_children(self, name: str) -> list[str]:
        """Begin to end them; their names."""
        children = self._children(name)
        for child in children:
            if self._status(child) not in (*TERMINAL, "CancelRequested"):
                self._runs.cancel(child)
        return children

    def _ends(self, children: list[str]) -> list[asyncio.Task[None]]:
        """What to wait for of the children that have not ended."""
        return [task for child in children if (task := self._runs.task(child)) is not None]

    def _status(self, name: str) -> str:
        """Of a job; '' where there is none."""
        job = self._store.get(f"jobs/{name}")
        return "" if job is None else str(job["properties"]["status"])

    def _status_of_child(self, child: str) -> str:
        """Of one that was started. One that has not ended and that nothing runs is lost: nobody will ever say how it
        ended, and whoever waited for it would wait for ever. So it has failed."""
        status = self._status(child)
        return status if status in TERMINAL or self._runs.task(child) is not None else "Failed"

    def _error_of_child(self, child: str) -> str:
        """Why it has failed, in words."""
        if self._status(child) not in TERMINAL:
            return "Nothing runs it any more."
        return str((self._store.get(f"runs/{child}") or {}).get("error", ""))

    def _numbered(self, name: str) -> list[str]:
        """The children that there are, of a job that gives them numbers, in the order of these."""
        start = f"jobs/{name}_".lower()
        numbers = [key.removeprefix(start) for key in self._store.keys("jobs") if key.startswith(start)]
        return [f"{name}_{number}" for number in sorted(int(each) for each in numbers if each.isdecimal())]

    def _job(self, name: str) -> Json:
        job = self._store.get(f"jobs/{name}")
        assert job is not None, "only command jobs vanish"
        return job

    def _end(self, name: str, status: str, error: str | None = None) -> None:
        notes = {"endTimeUtc": datetime.now(UTC).isoformat()} | ({"error": error} if error else {})
        self._store.put(f"runs/{name}", (self._store.get(f"runs/{name}") or {}) | notes)
        self._set(name, {"status": status})

    def _set(self, name: str, changes: Json) -> None:
        job = self._job(name)
        job["properties"] |= changes
        self._store.put(f"jobs/{name}", job)
