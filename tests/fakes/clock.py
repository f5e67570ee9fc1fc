"""A clock that stands still until a test moves it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


class FakeClock:
    """Called, it says the time (UTC); `slept` is every wait that was asked of `sleep`, in seconds."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now
        self._lock = threading.Lock()
        self.slept: list[float] = []

    def __call__(self) -> datetime:
        with self._lock:
            return self._now

    def advance(self, by: timedelta) -> None:
        """Moves the time on."""
        with self._lock:
            self._now += by

    def sleep(self, seconds: float) -> None:
        """What is handed in for `time.sleep`: moves the time on and returns at once."""
        with self._lock:
            self.slept.append(seconds)
            self._now += timedelta(seconds=seconds)
