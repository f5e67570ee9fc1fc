"""The closed loop: exactly so many in flight, bounded in number and in time."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from shared.errors import EndpointUnavailableError
from shared.profiling.capacity import measured
from shared.profiling.load import Bounds, ClosedLoop


class Ticking:
    """A clock that goes on by a second whenever it is asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = 0.0

    def __call__(self) -> float:
        with self._lock:
            self._now += 1
            return self._now


@pytest.mark.parametrize("in_flight", [1, 3, 8])
def test_so_many_are_in_flight_and_never_more(in_flight: int) -> None:
    together = threading.Barrier(in_flight)  # nobody gets through it unless that many requests are under way at once
    lock, under_way, most = threading.Lock(), [0], [0]

    def send() -> int:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        together.wait(timeout=60)
        with lock:
            under_way[0] -= 1
        return 7

    samples = ClosedLoop(send, Bounds(requests=in_flight * 5, seconds=600))(in_flight)

    assert (len(samples), most[0]) == (in_flight * 5, in_flight)
    assert {sample.rows for sample in samples} == {7}


def test_it_ends_when_the_time_is_up() -> None:
    # two looks at the clock before the loop, and three a turn: whether time is up, when it began, when it ended
    samples = ClosedLoop(lambda: 1, Bounds(requests=1000, seconds=30), Ticking())(1)

    assert len(samples) == 10


def test_errors_are_counted_by_their_code_and_nothing_is_tried_twice() -> None:
    sent = Counter[str]()

    def send() -> int:
        sent["all"] += 1
        if sent["all"] % 2:
            raise EndpointUnavailableError("endpoint_throttled", "No.")
        return 1

    level = measured(1, 1, ClosedLoop(send, Bounds(requests=10, seconds=600))(1))

    assert sent["all"] == 11  # one to make the connection, which is not counted
    assert (level.requests, level.errors) == (10, {"endpoint_throttled": 5})


def test_what_nobody_expected_ends_the_level_and_hangs_nothing() -> None:
    def send() -> int:
        raise RuntimeError("broken")

    with pytest.raises((RuntimeError, threading.BrokenBarrierError)):
        ClosedLoop(send, Bounds())(4)
