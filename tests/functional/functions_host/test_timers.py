"""Timers over a sample function: fired by the schedule, never beside themselves, alive after a failure."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.functions.meta import Datum

from local.functions.indexing import Function, index_app
from local.functions.invocation import Invoker
from local.functions.timers import Timer

WriteApp = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("fresh_import")

APP = """
runs, at_once, most = [], 0, 0
lock = threading.Lock()
go_on = threading.Event()

@app.timer_trigger(arg_name="timer", schedule="0 */5 * * * *")
def tick(timer: func.TimerRequest) -> None:
    global at_once, most
    with lock:
        at_once += 1
        most = max(most, at_once)
    runs.append((timer.past_due, timer.schedule_status["Last"]))
    if len(runs) == 2:
        go_on.wait(20)
    with lock:
        at_once -= 1
    if len(runs) == 1:
        raise ValueError("the first one fails")
"""


class LeapingClock:
    """Tells a time that is past whatever is due next, so that nobody waits for it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=6)
        return self.now


async def no_output(binding: Any, data: Datum) -> None:
    raise AssertionError("this app has no outputs")


def index(app: Path) -> tuple[Function, Any]:
    (function,) = index_app(app, {})
    return function, function.call.__globals__


def test_a_timer_goes_on_after_a_failure_and_waits_for_itself(write_app: WriteApp) -> None:
    app = write_app(APP)
    function, module = index(app)
    go_on: threading.Event = module["go_on"]

    async def scenario() -> None:
        stopping = asyncio.Event()
        invoker = Invoker(app, no_output)
        timer = Timer(function, invoker, stopping, LeapingClock())
        by_schedule = asyncio.create_task(timer.run())
        async with asyncio.timeout(20):
            while len(module["runs"]) < 2:
                await asyncio.sleep(0.005)
            by_hand = asyncio.create_task(timer.fire())  # while the second run is held up
            await asyncio.sleep(0)
            assert len(module["runs"]) == 2
            go_on.set()
            await by_hand
            stopping.set()
            await by_schedule
        invoker.stop()

    asyncio.run(scenario())

    assert len(module["runs"]) >= 3
    assert module["most"] == 1
    assert not any(past_due for past_due, _ in module["runs"])
