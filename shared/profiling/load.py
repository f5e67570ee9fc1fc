"""A closed loop: so many clients, each with one request under way, bounded in number and in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from shared.errors import DropscoreError
from shared.profiling.capacity import LITTLE_GAIN, Level, Sample, measured

_HOPELESS = 0.5


@dataclass(frozen=True)
class Bounds:
    """How much is asked at most: per level (requests and seconds), and in all (seconds)."""

    requests: int = 200
    seconds: float = 10.0
    total_seconds: float = 180.0
    most_in_flight: int = 32


Send = Callable[[], int]
"""Sends one request, waits for its answer, and returns its rows; raises `DropscoreError` where there is none."""

Run = Callable[[int], Sequence[Sample]]
"""Keeps so many requests in flight for a while, and returns what became of them."""


class ClosedLoop:
    """Runs one level: every client sends its next request when the answer to the one before is there.

    Each client's first request is not counted: it makes the connection. `clock` is in seconds.
    """

    def __init__(self, send: Send, bounds: Bounds, clock: Callable[[], float] = time.perf_counter) -> None:
        self._send = send
        self._bounds = bounds
        self._clock = clock

    def __call__(self, in_flight: int) -> list[Sample]:
        """The counted requests, by their end; fewer than one a client only where time ran out."""
        left = threading.Semaphore(max(self._bounds.requests, in_flight))
        ready = threading.Barrier(in_flight)
        samples: list[Sample] = []
        stop_at: list[float] = []

        def client() -> None:
            try:
                self._once()
            except BaseException:
                ready.abort()  # or the others would wait for ever
                raise
            ready.wait()
            stop_at.append(self._clock() + self._bounds.seconds)
            while self._clock() < stop_at[0] and left.acquire(blocking=False):
                samples.append(self._once())

        with ThreadPoolExecutor(in_flight, thread_name_prefix="profile") as pool:
            for done in [pool.submit(client) for _ in range(in_flight)]:
                done.result()
        return sorted(samples, key=lambda each: each.ended)

    def once_or_raise(self) -> None:
        """One request that is not counted; raises what it met."""
        self._send()

    def _once(self) -> Sample:
        began, error, rows = self._clock(), None, 0
        try:
            rows = self._send()
        except DropscoreError as problem:
            error = problem.code
        return Sample(began, self._clock(), rows, error)


def climb(
    run: Run,
    rows: int,
    bounds: Bounds,
    clock: Callable[[], float] = time.perf_counter,
    said: Callable[[Level], None] = lambda level: None,
) -> list[Level]:
    """Levels of 1, 2, 4, 8 … requests in flight, until more of them do not help or time is up.

    It ends after two levels in a row that brought nothing, so that a plateau is seen as one, and at once where most
    requests fail.
    """
    levels: list[Level] = []
    best, in_vain, began, in_flight = 0.0, 0, clock(), 1
    while in_flight <= bounds.most_in_flight and in_vain < 2 and clock() - began < bounds.total_seconds:
        level = measured(in_flight, rows, run(in_flight))
        levels.append(level)
        said(level)
        if level.error_share > _HOPELESS:
            break
        in_vain = 0 if level.throughput > best * LITTLE_GAIN else in_vain + 1
        best = max(best, level.throughput)
        in_flight *= 2
    return levels
