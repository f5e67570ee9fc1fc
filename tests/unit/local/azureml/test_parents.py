"""Jobs made of other jobs, with children that sleep: cancelled, left behind by an emulator, and broken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from local.azureml.parents import Parents
from tests.unit.local.azureml.sleepers import Documents, until


class Twins(Parents):
    """Jobs with two children, which are waited for."""

    kind = "Twins"

    async def _work(self, name: str) -> None:
        for child in self._children(name):
            if not self._status(child):
                self.start_child(child, {})
        while ends := self._ends(self._children(name)):
            await asyncio.wait(ends)
        self._end(name, "Completed")

    def _children(self, name: str) -> list[str]:
        return [f"{name}_0", f"{name}_1"]


class Emulator(Documents):
    """Both over the documents of a folder, as one process has them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.twins = Twins(self.store, self.runs)
        self.twins.start_child = self.start

    def resume(self) -> None:
        self.runs.resume()
        self.twins.resume()

    async def stop(self) -> None:
        await self.twins.stop()
        await self.runs.stop()


def run(folder: Path, scenario: Callable[[Emulator], Coroutine[None, None, None]]) -> dict[str, str]:
    async def go() -> dict[str, str]:
        emulator = Emulator(folder)
        await scenario(emulator)
        await emulator.stop()
        return emulator.statuses()

    return asyncio.run(go())


async def begun(emulator: Emulator) -> None:
    emulator.put("t", "Twins", "Starting")
    emulator.twins.submit("t")
    await until(lambda: list(emulator.statuses().values()).count("Running") == 2)


def test_a_cancelled_job_has_ended_once_its_children_have(tmp_path: Path) -> None:
    ended: list[dict[str, str]] = []

    async def scenario(emulator: Emulator) -> None:
        await begun(emulator)
        emulator.twins.cancel("t", lambda: ended.append(emulator.statuses()))
        assert emulator.statuses()["t"] == "CancelRequested"
        await until(lambda: bool(ended))

    run(tmp_path, scenario)
    assert ended == [{"t": "Canceled", "t_0": "Canceled", "t_1": "Canceled"}]


def test_a_job_that_was_being_cancelled_when_the_emulator_ended_ends_with_its_children(tmp_path: Path) -> None:
    async def broken_off(emulator: Emulator) -> None:
        await begun(emulator)
        emulator.twins.cancel("t")

    async def resumed(emulator: Emulator) -> None:
        emulator.resume()
        await until(lambda: emulator.statuses()["t"] == "Canceled")

    left = run(tmp_path, broken_off)
    assert left == {"t": "CancelRequested", "t_0": "Running", "t_1": "Running"}
    assert run(tmp_path, resumed) == {"t": "Canceled", "t_0": "Canceled", "t_1": "Canceled"}


def test_a_job_that_was_running_when_the_emulator_ended_goes_on(tmp_path: Path) -> None:
    async def resumed(emulator: Emulator) -> None:
        emulator.resume()
        await until(lambda: list(emulator.statuses().values()).count("Running") == 2)
        for child in ("t_0", "t_1"):
            emulator.runs.cancel(child)
        await until(lambda: emulator.statuses()["t"] == "Completed")

    run(tmp_path, begun)
    assert run(tmp_path, resumed) == {"t": "Completed", "t_0": "Canceled", "t_1": "Canceled"}


async def failed(emulator: Emulator) -> None:
    """Submit a job that breaks, and wait until it has failed."""
    asyncio.get_running_loop().set_exception_handler(lambda loop, about: None)
    emulator.put("t", "Twins", "Starting")
    emulator.twins.submit("t")
    await until(lambda: emulator.statuses()["t"] == "Failed")


def test_a_job_that_breaks_the_emulator_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(self: Twins, name: str) -> None:
        raise OSError("the disk is full")

    async def scenario(emulator: Emulator) -> None:
        await failed(emulator)
        assert "the disk is full" in emulator.error("t")

    monkeypatch.setattr(Twins, "_work", broken)
    run(tmp_path, scenario)


def test_what_a_broken_job_has_started_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(self: Twins, name: str) -> None:
        self.start_child("t_0", {})
        await until(lambda: self._status("t_0") == "Running")
        raise OSError("the disk is full")

    monkeypatch.setattr(Twins, "_work", broken)
    assert run(tmp_path, failed) == {"t": "Failed", "t_0": "Canceled"}
