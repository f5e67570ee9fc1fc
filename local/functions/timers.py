"""Timers: a function that runs when its schedule says so, never beside itself."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from azure.functions.meta import Datum

from local.functions.indexing import Function
from local.functions.invocation import InvocationAbandonedError, InvocationFailedError, Invoker, Trigger
from local.functions.outages import pause_unless
from local.functions.schedules import parse_schedule

_log = logging.getLogger("host")
_LONGEST_SLEEP = 60.0  # so that a machine that was asleep, or whose clock was set, is noticed

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time, aware, in UTC."""
    return datetime.now(UTC)


class Timer:
    """One timer-triggered function."""

    def __init__(self, function: Function, invoker: Invoker, stopping: asyncio.Event, now: Clock = utc_now) -> None:
        self._function, self._invoker, self._stopping, self._now = function, invoker, stopping, now
        self._schedule = parse_schedule(function.trigger["schedule"])
        self._last: datetime | None = None
        self._alone = asyncio.Lock()

    async def run(self) -> None:
        """Fire by the schedule until the host stops; an occurrence that passes while the function runs is skipped."""
        if self._function.trigger.get("runOnStartup"):
            await self.fire()
        while not self._stopping.is_set():
            due = self._schedule(self._now())
            while not self._stopping.is_set() and (wait := (due - self._now()).total_seconds()) > 0:
                await pause_unless(self._stopping, min(wait, _LONGEST_SLEEP))
            if not self._stopping.is_set():
                await self.fire()

    async def fire(self) -> None:
        """Run the function once, after the run that may be under way."""
        async with self._alone:
            now = self._now()
            status = {
                "Last": (self._last or now).isoformat(),
                "Next": self._schedule(now).isoformat(),
                "LastUpdated": now.isoformat(),
            }
            data = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": status, "IsPastDue": False}
            self._last = now
            try:
                await self._invoker.invoke(self._function, Trigger(Datum(json.dumps(data), "json")))
            except InvocationFailedError:
                _log.debug("timer %s failed and fires again when it is due", self._function.name)
            except InvocationAbandonedError:
                _log.debug("timer %s did not begin: the host stops", self._function.name)
