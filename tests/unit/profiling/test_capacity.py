"""The recommendation for endpoints of known capacity: servers of k slots and a fixed service time, in virtual time."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.profiling.capacity import Advice, Goal, Level, Sample, advise, measured, percentile, rows_per_request
from shared.profiling.load import Bounds, climb

REQUESTS = 240


def server(
    slots: int, seconds: float, *, refuses_beyond: float = math.inf, rows: int = 1000
) -> Callable[[int], list[Sample]]:
    """A closed loop against a server of that many slots: who finds none free waits in line, or is refused at once."""

    def run(in_flight: int) -> list[Sample]:
        samples: list[Sample] = []
        free = [0.0] * slots
        clients = [(0.0, n) for n in range(in_flight)]  # when each of them asks next
        while len(samples) < REQUESTS:
            asked, n = heapq.heappop(clients)
            if n >= refuses_beyond:
                samples.append(Sample(asked, asked + seconds / 10, rows, "endpoint_throttled"))
            else:
                begun = max(asked, heapq.heappop(free))
                heapq.heappush(free, begun + seconds)
                samples.append(Sample(asked, begun + seconds, rows))
            heapq.heappush(clients, (samples[-1].ended, n))
        return samples

    return run


def advice(
    run: Callable[[int], Sequence[Sample]], goal: Goal | None = None, *, most: int = 64, rows: int = 1000
) -> Advice:
    found = advise(climb(run, rows, Bounds(most_in_flight=most)), goal or Goal())
    assert found is not None
    return found


@given(slots=st.integers(1, 16), seconds=st.floats(0.001, 5))
def test_as_many_are_kept_in_flight_as_there_are_slots(slots: int, seconds: float) -> None:
    found = advice(server(slots, seconds))

    assert found.in_flight == found.max_concurrent_requests_per_instance == slots
    assert found.missed == ()


@given(slots=st.integers(1, 8), instances=st.integers(1, 4))
def test_slots_are_those_of_all_instances_together(slots: int, instances: int) -> None:
    found = advice(server(slots * instances, 0.2), Goal(instances=instances))

    assert found.max_concurrent_requests_per_instance == slots
    assert (found.instances, found.score_requests_in_flight) == (instances, min(64, slots * instances))


@given(target=st.floats(1, 1e6), utilisation=st.floats(0.1, 1))
def test_the_instances_recommended_reach_the_target_and_one_fewer_would_not(target: float, utilisation: float) -> None:
    # four slots of 1,000 rows in 0.5 s: 8,000 rows/s
    found = advice(server(4, 0.5), Goal(rows_per_second=target, utilisation=utilisation))
    each = 8000 * utilisation

    assert found.instances * each >= target * (1 - 1e-6)
    assert (found.instances - 1) * each < target
    assert found.rows_per_second == pytest.approx(found.instances * each)


def test_files_at_once_share_what_may_be_in_flight() -> None:
    assert advice(server(8, 0.1), Goal(files_at_once=4)).score_requests_in_flight == 2
    assert advice(server(2, 0.1), Goal(files_at_once=4)).score_requests_in_flight == 1


def test_a_bound_on_latency_takes_what_is_fast_enough() -> None:
    # processor sharing, say: with N in flight every request takes N times as long
    def sharing(in_flight: int) -> list[Sample]:
        seconds = 0.1 * max(1.0, in_flight / 3)
        return [Sample(n // in_flight * seconds, (n // in_flight + 1) * seconds, 1000) for n in range(16 * in_flight)]

    assert advice(sharing).in_flight == 3
    assert advice(sharing, Goal(p95=0.11)).in_flight == 2
    assert advice(sharing, Goal(p95=10)).in_flight == 3


def test_a_bound_that_not_even_one_request_keeps_is_said_to_be_missed() -> None:
    found = advice(server(4, 0.5), Goal(p95=0.2))

    assert "Not even one request in flight is answered within 200 ms" in found.missed[0]


def test_an_endpoint_that_throttles_before_it_is_busy_is_said_to() -> None:
    found = advice(server(32, 0.1, refuses_beyond=4))

    assert found.in_flight == 4
    assert "throttles from 8 in flight on" in found.missed[0]


def test_throughput_that_still_grows_is_said_to() -> None:
    found = advice(server(64, 0.1), most=8)

    assert found.in_flight == 8
    assert found.missed == ("Throughput still grew at 8 in flight: measure with a larger --most-in-flight.",)


def test_an_endpoint_that_answers_nothing_gives_no_advice() -> None:
    levels = climb(server(1, 0.1, refuses_beyond=0), 1000, Bounds())

    assert (len(levels), levels[0].error_share, levels[0].throughput) == (1, 1.0, 0.0)
    assert advise(levels, Goal()) is None


def test_throughput_that_falls_again_is_no_reason_to_ask_for_more() -> None:
    # retrograde: beyond four in flight each further one makes all of them slower
    def thrashing(in_flight: int) -> list[Sample]:
        seconds = 0.1 if in_flight <= 4 else 0.1 * (in_flight / 4) ** 2
        return [Sample(n // in_flight * seconds, (n // in_flight + 1) * seconds, 1) for n in range(8 * in_flight)]

    levels = climb(thrashing, 1, Bounds())

    assert [each.in_flight for each in levels] == [1, 2, 4, 8, 16]
    found = advise(levels, Goal())
    assert found is not None
    assert found.in_flight == 4


def test_the_climb_ends_when_its_time_is_up() -> None:
    now = [0.0]

    def slow(in_flight: int) -> list[Sample]:
        now[0] += 100
        return server(1000, 1.0)(in_flight)

    assert [each.in_flight for each in climb(slow, 1, Bounds(total_seconds=250), lambda: now[0])] == [1, 2, 4]


@given(fixed=st.floats(0.001, 1), per_row=st.floats(1e-6, 1e-3))
def test_requests_are_large_enough_for_their_overhead_to_be_a_tenth(fixed: float, per_row: float) -> None:
    sizes = [1, 1000, 5000, 20000, 10**7]
    levels = [measured(1, rows, [Sample(0.0, fixed + per_row * rows, rows)]) for rows in sizes]
    rows, a, b = rows_per_request(levels, most=10**7)

    assert a == pytest.approx(fixed, rel=1e-3, abs=1e-4)
    assert b == pytest.approx(per_row, rel=1e-3)
    assert rows == pytest.approx(min(max(9 * fixed / per_row, 1), 10**7), rel=0.051, abs=1)


def test_no_request_is_larger_than_may_be_or_than_was_tried() -> None:
    levels = [measured(1, rows, [Sample(0.0, 1.0, rows)]) for rows in (1, 1000)]

    assert rows_per_request(levels, most=500)[0] == 500
    assert rows_per_request(levels, most=10**6)[0] == 1000
    assert rows_per_request(levels[1:], most=10**6)[0] == 1000


@given(values=st.lists(st.floats(0, 1e3), min_size=1), share=st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(values: list[float], share: float) -> None:
    ordered = sorted(values)
    found = percentile(ordered, share)

    assert found in ordered
    assert sum(value <= found for value in ordered) >= share * len(ordered)
    assert sum(value < found for value in ordered) < share * len(ordered)


def test_a_level_tells_rates_latencies_and_errors() -> None:
    samples = [Sample(float(n), n + 0.5, 10) for n in range(9)] + [Sample(9.0, 10.0, 0, "endpoint_failed")]
    level = measured(1, 10, samples)

    assert level == Level(1, 10, 10, 1.0, 10.0, 0.5, 0.5, 0.5, 0.5, {"endpoint_failed": 1})
    assert (level.error_share, level.bearable) == (0.1, False)
