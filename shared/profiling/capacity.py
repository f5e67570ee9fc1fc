"""From measured levels of load to a recommendation: pure arithmetic.

The knee is where the two asymptotes of a closed system cross (P. Denning and J. Buzen, The Operational Analysis of
Queueing Network Models, ACM Computing Surveys 10(3), 1978; E. Lazowska et al., Quantitative System Performance, 1984,
chapter 5). With N requests in flight, throughput X(N) and time per request R(N):

    X(N) = N / R(N)                          Little's law, for a client that does not think
    X(N) <= N / R(1)   and   X(N) <= X_max   nobody waits; the bottleneck is busy all the time
    N* = X_max R(1)                          where the two meet: fewer leave it idle, more only wait

For a server of k slots with a fixed service time S that is X_max = k / S, R(1) = S, N* = k.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

BEARABLE_ERRORS = 0.01
"""Share of failed requests up to which a level counts as one that the endpoint can take."""

LITTLE_GAIN = 1.05
"""A level whose throughput is not larger than another's by this factor did not help."""

_OVERHEAD = 0.1
"""Share of a request's time that may be spent on what does not depend on its rows."""

_MOST_IN_FLIGHT = 64
"""Upper bound of the setting `SCORE_REQUESTS_IN_FLIGHT`."""


@dataclass(frozen=True)
class Sample:
    """One request: when it began and ended (seconds on one clock), its rows, and the code of its error, if any."""

    began: float
    ended: float
    rows: int
    error: str | None = None

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


@dataclass(frozen=True)
class Level:
    """What was measured with so many requests in flight: requests and rows a second, seconds by percentile, errors."""

    in_flight: int
    rows_per_request: int
    requests: int
    throughput: float
    rows_per_second: float
    mean: float
    p50: float
    p95: float
    p99: float
    errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def error_share(self) -> float:
        """Failed requests among all of them."""
        return sum(self.errors.values()) / self.requests if self.requests else 1.0

    @property
    def bearable(self) -> bool:
        """Whether the endpoint answered as good as everything."""
        return self.requests > 0 and self.error_share <= BEARABLE_ERRORS


def measured(in_flight: int, rows_per_request: int, samples: Sequence[Sample]) -> Level:
    """The level that these requests were; rates over the time in which every client was busy, up to the last start."""
    good = sorted(each.seconds for each in samples if each.error is None)
    rate = _rate(samples)
    return Level(
        in_flight=in_flight,
        rows_per_request=rows_per_request,
        requests=len(samples),
        throughput=rate,
        rows_per_second=rate * rows_per_request,
        mean=sum(good) / len(good) if good else math.nan,
        p50=percentile(good, 0.50),
        p95=percentile(good, 0.95),
        p99=percentile(good, 0.99),
        errors=dict(Counter(each.error for each in samples if each.error is not None)),
    )


def _rate(samples: Sequence[Sample]) -> float:
    """Requests a second that were answered well. At the end the load ebbs away: what began last tells no rate."""
    good = [each for each in samples if each.error is None]
    if not good:
        return 0.0
    start, stop = min(each.began for each in samples), max(each.began for each in samples)
    answered = sum(each.ended <= stop for each in good)
    if answered and stop > start:
        return answered / (stop - start)
    lasted = max(each.ended for each in samples) - start
    return len(good) / lasted if lasted > 0 else 0.0


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the ordered values does not exceed (nearest rank); NaN of none."""
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else math.nan


def rows_per_request(levels: Sequence[Level], most: int) -> tuple[int, float, float]:
    """Rows that make a request worth its overhead, from levels of one request in flight and several sizes.

    Least squares of ``seconds = a + b rows``; the fixed part `a` is at most a tenth of the whole from
    ``rows = 9 a / b`` on.

    Args:
        most: as many rows as a request may have.

    Returns:
        The rows, `a` in seconds and `b` in seconds a row; all that may be where rows cost nothing measurable.
    """
    points = [(float(each.rows_per_request), each.p50) for each in levels if each.bearable]
    if len(points) < 2:
        return (int(points[0][0]) if points else most), math.nan, math.nan
    mean_rows = sum(rows for rows, _ in points) / len(points)
    mean_seconds = sum(seconds for _, seconds in points) / len(points)
    spread = sum((rows - mean_rows) ** 2 for rows, _ in points)
    slope = max(sum((rows - mean_rows) * (seconds - mean_seconds) for rows, seconds in points) / spread, 0.0)
    fixed = max(mean_seconds - slope * mean_rows, 0.0)
    largest = int(max(rows for rows, _ in points))  # beyond it nobody has looked
    if slope == 0.0:
        return min(most, largest), fixed, slope
    wanted = math.ceil(fixed * (1 - _OVERHEAD) / _OVERHEAD / slope)
    wanted = round(wanted, 2 - len(str(wanted)))  # two digits are more than such a measurement is worth
    return min(max(wanted, 1), most, largest), fixed, slope


@dataclass(frozen=True)
class Goal:
    """What is asked of the endpoint. None: nothing.

    Attributes:
        rows_per_second: to be taken by all instances together.
        p95: seconds within which 95 of 100 requests are to be answered.
        instances: machines that the measured deployment has.
        utilisation: share of what an instance can take that is to be used: the rest is for peaks.
        files_at_once: files that are scored at the same time.
    """

    rows_per_second: float | None = None
    p95: float | None = None
    instances: int = 1
    utilisation: float = 0.7
    files_at_once: int = 1


@dataclass(frozen=True)
class Advice:
    """What follows, and in `why` the arithmetic, a line each; `missed` says which goal cannot be met, and why."""

    rows_per_request: int
    in_flight: int
    max_concurrent_requests_per_instance: int
    instances: int
    score_requests_in_flight: int
    rows_per_second: float
    why: tuple[str, ...]
    missed: tuple[str, ...] = ()


def advise(levels: Sequence[Level], goal: Goal) -> Advice | None:
    """What follows from levels of one size and growing load; None when the endpoint could not bear even the first."""
    ordered = sorted(levels, key=lambda each: each.in_flight)
    good = [each for each in ordered if each.bearable]
    if not good:
        return None
    why, missed = list[str](), list[str]()
    in_flight = _knee(good, why)
    chosen = _level_at(good, in_flight)
    if goal.p95 is not None:
        chosen = _within(good, chosen, goal.p95, why, missed)
        in_flight = min(in_flight, chosen.in_flight)
    each = max(1, math.ceil(in_flight / goal.instances))
    why.append(
        f"max_concurrent_requests_per_instance: {in_flight} in flight / {goal.instances} instances, rounded up = {each}"
    )
    instances, per_instance = _instances(chosen, goal, why)
    asked = max(1, min(_MOST_IN_FLIGHT, each * instances // goal.files_at_once))
    why.append(
        f"SCORE_REQUESTS_IN_FLIGHT: {each} x {instances} instances / {goal.files_at_once} files at once = {asked}; "
        f"the endpoint refuses (429) what is beyond 2 x {each} x {instances} = {2 * each * instances}"
    )
    missed += _doubts(ordered, good, in_flight)
    return Advice(
        rows_per_request=chosen.rows_per_request,
        in_flight=in_flight,
        max_concurrent_requests_per_instance=each,
        instances=instances,
        score_requests_in_flight=asked,
        rows_per_second=per_instance * instances * goal.utilisation,
        why=tuple(why),
        missed=tuple(missed),
    )


def _knee(good: Sequence[Level], why: list[str]) -> int:
    """Where the asymptotes cross; never more than were in flight when throughput was best, which would be noise."""
    alone, best = good[0].mean, max(good, key=lambda each: each.throughput)
    crossing = best.throughput * alone
    knee = min(max(1, round(crossing)), best.in_flight)
    why.append(
        f"knee: N* = X_max x R(1) = {best.throughput:.2f} requests/s x {alone * 1000:.0f} ms = {crossing:.2f}, "
        f"so {knee} in flight"
    )
    return knee


def _instances(chosen: Level, goal: Goal, why: list[str]) -> tuple[int, float]:
    """How many instances the goal needs, and the rows a second that one takes at the chosen level."""
    per_instance = chosen.rows_per_second / goal.instances
    why.append(
        f"Little's law at {chosen.in_flight} in flight: X R = {chosen.throughput:.2f} x {chosen.mean * 1000:.0f} ms = "
        f"{chosen.throughput * chosen.mean:.2f}"
    )
    if goal.rows_per_second is None:
        return goal.instances, per_instance
    instances = max(1, math.ceil(goal.rows_per_second / (per_instance * goal.utilisation)))
    why.append(
        f"instances: {goal.rows_per_second:,.0f} rows/s / ({per_instance:,.0f} rows/s an instance x "
        f"{goal.utilisation:g} used), rounded up = {instances}"
    )
    return instances, per_instance


def _doubts(ordered: Sequence[Level], good: Sequence[Level], in_flight: int) -> list[str]:
    """What the measurement could not see."""
    throttled = [level for level in ordered if any("throttled" in code for code in level.errors)]
    if throttled and throttled[0].in_flight <= 2 * in_flight:
        return [
            f"It throttles from {throttled[0].in_flight} in flight on: the deployment's own "
            "max_concurrent_requests_per_instance, or the endpoint's rate limit, may hide what the machine can take."
        ]
    best = max(good, key=lambda each: each.throughput)
    if best is ordered[-1] and all(best.throughput > LITTLE_GAIN * each.throughput for each in ordered[:-1]):
        return [f"Throughput still grew at {best.in_flight} in flight: measure with a larger --most-in-flight."]
    return []


def _level_at(levels: Sequence[Level], in_flight: int) -> Level:
    """The lowest measured level that reaches so many in flight, or the highest there is."""
    return next((each for each in levels if each.in_flight >= in_flight), levels[-1])


def _within(levels: Sequence[Level], chosen: Level, p95: float, why: list[str], missed: list[str]) -> Level:
    """The highest level up to the chosen one that answers within `p95`; the lowest where none does."""
    fine = [each for each in levels if each.in_flight <= chosen.in_flight and each.p95 <= p95]
    if fine:
        why.append(f"p95: {fine[-1].p95 * 1000:.0f} ms at {fine[-1].in_flight} in flight, within {p95 * 1000:.0f} ms")
        return fine[-1]
    missed.append(
        f"Not even one request in flight is answered within {p95 * 1000:.0f} ms (p95 {levels[0].p95 * 1000:.0f} ms): "
        "fewer rows a request, or a faster machine."
    )
    return levels[0]
