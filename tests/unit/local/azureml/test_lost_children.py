"""Sweeps and pipelines of which a child is lost: nothing runs it any more, and nobody has said how it ended.

A fault on order makes a child vanish (`Runs.forget`); a child whose record could not be written is left without an end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from local.azureml.metrics import Metrics
from local.azureml.pipelines import Pipelines
from local.azureml.sweeps import Sweeps
from tests.unit.local.azureml.sleepers import Documents, until

SWEEP: dict[str, Any] = {
    "objective": {"primaryMetric": "quality", "goal": "Maximize"},
    "limits": {"maxTotalTrials": 3, "maxConcurrentTrials": 2},
    "searchSpace": {"value": ["choice", [[1, 2, 3]]]},
    "samplingAlgorithm": {"samplingAlgorithmType": "Grid"},
    "trial": {"command": "true"},
}


class NoComponents:
    """References to a component without inputs or outputs."""

    def asset(self, kind: str, reference: str) -> tuple[str, str, dict[str, Any]]:
        return "step", "1", {"properties": {"componentSpec": {"command": "true"}}}


class Emulator(Documents):
    """Sweeps and pipelines of jobs that sleep."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        references: Any = NoComponents()
        self.sweeps = Sweeps(self.store, self.runs, Metrics(self.store))
        self.pipelines = Pipelines(self.store, self.runs, references)
        self.sweeps.start_child = self.pipelines.start_child = self.start

    def complete(self, name: str) -> None:
        """The job ends well."""
        self.put(name, "Command", "Completed", parentJobName=name.rpartition("_")[0])
        self.runs.forget(name)

    def vanish(self, name: str) -> None:
        """As a fault on order makes it."""
        self.runs.forget(name)
        self.store.delete(f"jobs/{name}")

    def lose(self, name: str) -> None:
        """Nothing runs the job any more."""
        self.runs.forget(name)

    async def running(self, *names: str) -> None:
        await until(lambda: all(self.statuses().get(name) == "Running" for name in names))


def run(folder: Path, scenario: Callable[[Emulator], Coroutine[None, None, None]]) -> dict[str, str]:
    async def go() -> dict[str, str]:
        emulator = Emulator(folder)
        await scenario(emulator)
        await emulator.sweeps.stop()
        await emulator.pipelines.stop()
        await emulator.runs.stop()
        return emulator.statuses()

    return asyncio.run(go())


def sweep(emulator: Emulator) -> None:
    emulator.store.put("sweeps/s", {"seed": 1, "outputs": {}})
    emulator.put("s", "Sweep", "Running", **SWEEP)
    emulator.sweeps.submit("s")


@pytest.mark.parametrize("how", [Emulator.vanish, Emulator.lose])
def test_a_sweep_goes_on_without_a_trial_that_is_lost(tmp_path: Path, how: Callable[[Emulator, str], None]) -> None:
    async def scenario(emulator: Emulator) -> None:
        sweep(emulator)
        await emulator.running("s_0", "s_1")
        how(emulator, "s_0")
        await emulator.running("s_1", "s_2")
        emulator.complete("s_1")
        emulator.complete("s_2")
        await until(lambda: emulator.statuses()["s"] == "Completed")

    statuses = run(tmp_path, scenario)
    assert (statuses["s"], statuses["s_1"], statuses["s_2"]) == ("Completed", "Completed", "Completed")
    assert "s_3" not in statuses


@pytest.mark.parametrize("how", [Emulator.vanish, Emulator.lose])
def test_a_sweep_whose_trials_are_all_lost_has_failed(tmp_path: Path, how: Callable[[Emulator, str], None]) -> None:
    async def scenario(emulator: Emulator) -> None:
        sweep(emulator)
        for trial in ("s_0", "s_1", "s_2"):
            await emulator.running(trial)
            how(emulator, trial)
        await until(lambda: emulator.statuses()["s"] == "Failed")
        assert "No trial of the sweep completed" in emulator.error("s")

    run(tmp_path, scenario)


def test_the_trials_of_a_sweep_that_vanishes_end(tmp_path: Path) -> None:
    async def scenario(emulator: Emulator) -> None:
        sweep(emulator)
        await emulator.running("s_0", "s_1")
        emulator.sweeps.forget("s")
        emulator.store.delete("jobs/s")
        await until(lambda: emulator.statuses() == {"s_0": "Canceled", "s_1": "Canceled"})

    assert run(tmp_path, scenario) == {"s_0": "Canceled", "s_1": "Canceled"}


@pytest.mark.parametrize("how", [Emulator.vanish, Emulator.lose])
def test_a_pipeline_fails_with_a_job_that_is_lost(tmp_path: Path, how: Callable[[Emulator, str], None]) -> None:
    async def scenario(emulator: Emulator) -> None:
        jobs = {node: {"componentId": "step:1"} for node in ("one", "two")}
        emulator.put("p", "Pipeline", "NotStarted", jobs=jobs)
        emulator.pipelines.submit("p")
        await emulator.running("p_one", "p_two")
        how(emulator, "p_one")
        emulator.complete("p_two")
        await until(lambda: emulator.statuses()["p"] == "Failed")
        assert emulator.error("p") == "The job one of the pipeline failed. Nothing runs it any more."

    run(tmp_path, scenario)
