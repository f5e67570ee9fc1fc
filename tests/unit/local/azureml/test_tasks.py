"""The tasks that run jobs: one at a time for each, ended whenever somebody asks, even before the first step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from local.azureml.tasks import Tasks


class Job:
    """Work that goes on until it is ended, and what became of it."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.begun = asyncio.Event()

    async def work(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.told.append("cleared up")

    async def ended(self) -> None:
        self.told.append("ended")


def run(scenario: Callable[[Tasks, Job], Coroutine[None, None, None]]) -> Job:
    async def go() -> Job:
        tasks, job = Tasks(), Job()
        await scenario(tasks, job)
        await tasks.stop()
        assert tasks.of("one") is None
        return job

    return asyncio.run(go())


def test_what_is_ended_has_cleared_up_before_anybody_says_so() -> None:
    async def scenario(tasks: Tasks, job: Job) -> None:
        tasks.begin("one", job.work())
        await job.begun.wait()
        tasks.end("one", job.ended)
        ending = tasks.of("one")
        assert ending is not None
        await asyncio.wait([ending])
        assert tasks.of("one") is None

    assert run(scenario).told == ["cleared up", "ended"]


def test_a_job_that_is_ended_before_its_first_step_ends_all_the_same() -> None:
    async def scenario(tasks: Tasks, job: Job) -> None:
        tasks.begin("one", job.work())
        tasks.end("one", job.ended)
        ending = tasks.of("one")
        assert ending is not None
        await asyncio.wait([ending])

    assert run(scenario).told == ["ended"]


def test_a_job_that_nothing_runs_ends_too() -> None:
    async def scenario(tasks: Tasks, job: Job) -> None:
        tasks.end("one", job.ended)
        ending = tasks.of("one")
        assert ending is not None
        await asyncio.wait([ending])

    assert run(scenario).told == ["ended"]


def test_whoever_stops_in_the_middle_of_an_end_waits_for_the_clearing_up_and_does_not_say_that_it_has_ended() -> None:
    async def scenario(tasks: Tasks, job: Job) -> None:
        tasks.begin("one", job.work())
        await job.begun.wait()
        tasks.end("one", job.ended)

    assert run(scenario).told == ["cleared up"]


def test_what_is_dropped_ends_without_a_word() -> None:
    async def scenario(tasks: Tasks, job: Job) -> None:
        tasks.begin("one", job.work())
        await job.begun.wait()
        tasks.drop("one")
        tasks.drop("never begun")

    assert run(scenario).told == ["cleared up"]
