"""Command jobs that sleep until they are ended, for tests of the jobs that start them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.azureml.runs import Runs
from local.azureml.store import Store


class Sleepers(Runs):
    """Command jobs that sleep until they are ended."""

    async def _run(self, name: str) -> None:
        self._set(name, "Running")
        await asyncio.Event().wait()


class Documents:
    """What an emulator remembers in a folder, and the command jobs that it runs."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        elsewhere: Any = None
        config: Any = type("Config", (), {"state": folder})
        self.runs = Sleepers(config, self.store, elsewhere, elsewhere, elsewhere)

    def start(self, name: str, asked: dict[str, Any]) -> dict[str, Any]:
        """As `Parents.start_child` does."""
        self.put(name, "Command", "Starting", **asked)
        self.runs.submit(name)
        return asked

    def put(self, name: str, kind: str, status: str, **properties: Any) -> None:
        about = {"parentJobName": None, "properties": {}} | properties | {"jobType": kind, "status": status}
        self.store.put(f"jobs/{name}", {"name": name, "properties": about})

    def statuses(self) -> dict[str, str]:
        return {job["name"]: job["properties"]["status"] for job in self.store.under("jobs")}

    def error(self, name: str) -> str:
        """Why a job ended, in words."""
        return str((self.store.get(f"runs/{name}") or {}).get("error"))


async def until(holds: Callable[[], bool]) -> None:
    """Let other tasks go on, a bounded number of times."""
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")
