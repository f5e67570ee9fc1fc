"""What requests cost: how many are made, how large they are, and what is learned from an endpoint that takes less."""

from __future__ import annotations

import math
from collections.abc import Callable

import pyarrow as pa
import pytest

from shared.errors import EndpointRefusedError
from shared.scoring.context import conform, no_rows
from shared.scoring.scorer import Conversation, Scored, Scorer
from shared.scoring.sizing import RequestSize
from shared.scoring.targets import Target
from tests.fakes.endpoint import FakeEndpoint, Received, Reply, larger_than, poisoned_by, refusal, wrapped
from tests.functional.scoring.world import FIRST, GAS, World, hourly, table

Ask = Callable[..., tuple[list[Scored], RequestSize]]


def _rows(count: int, *poison: int) -> pa.Table:
    values = [-1.0 if row in poison else float(20 + row % 24) for row in range(count)]
    times = [FIRST.replace(day=1 + row // 24 % 28, hour=row % 24, month=1 + row // 672) for row in range(count)]
    return conform(pa.table({"FechaHora": pa.array(times, pa.timestamp("us")), "VolCorrected": values}), GAS)


@pytest.fixture
def ask(world: World, endpoint: FakeEndpoint) -> Ask:
    """Scores tables over Arrow with one request in flight; gives the answers and the size that was learned."""

    def scored(*batches: pa.Table, rows: int = 10_000, nbytes: int = 10**9) -> tuple[list[Scored], RequestSize]:
        size = RequestSize(rows, nbytes)
        client = world.app.targets.connect(Target(endpoint.url, "blue"))
        scorer = Scorer(client, GAS, Conversation("blue", wire="arrow"), in_flight=1, size=size)
        try:
            return list(scorer.score(batches, no_rows(GAS))), size
        finally:
            client.close()

    return scored


@pytest.mark.parametrize("poison", [(0,), (777,), (1023,), (3, 500), (100, 101, 900)])
def test_refused_rows_cost_a_logarithm_of_requests_each(
    ask: Ask, endpoint: FakeEndpoint, poison: tuple[int, ...]
) -> None:
    endpoint.mood = poisoned_by(-1.0)

    ((scored,), _) = ask(_rows(1024, *poison))

    assert sorted(scored.refused) == list(poison)
    assert scored.predictions.column("anomaly").null_count == len(poison)
    assert len(endpoint.received) <= 1 + 2 * len(poison) * math.log2(1024)


def test_requests_that_held_a_refused_row_as_context_look_for_no_culprit_of_their_own(
    world: World, endpoint: FakeEndpoint
) -> None:
    rows = hourly(640)
    rows[100] = (rows[100][0], "-1,25")
    endpoint.mood = poisoned_by(-1.25)

    run = world.again(score_rows_per_request=64).score("gas/x.csv", table(rows))

    assert run.counts is not None
    assert (run.counts["scored"], run.counts["errors"]) == (639, 1)
    assert len(endpoint.received) <= 1 + 10 + 2 * math.log2(64) + 2 * 3


def test_a_whole_first_batch_of_refused_rows_is_given_up_soon(ask: Ask, endpoint: FakeEndpoint) -> None:
    endpoint.mood = lambda received: wrapped(400)

    with pytest.raises(EndpointRefusedError) as found:
        ask(_rows(1024), _rows(1024))

    assert found.value.code == "endpoint_refuses_all"
    assert len(endpoint.received) <= 2 * 50 + 2 * math.log2(1024)


@pytest.mark.parametrize("status", [408, 413])
def test_what_the_endpoint_takes_is_learned_once_and_shared_by_the_table(
    ask: Ask, endpoint: FakeEndpoint, status: int
) -> None:
    endpoint.mood = larger_than(300, status)

    scored, size = ask(_rows(600), _rows(600), _rows(600))

    assert [answer.predictions.num_rows for answer in scored] == [600] * 3
    assert 150 < size.rows <= 300
    assert sum(received.rows > 300 for received in endpoint.received) == 1


def test_requests_grow_again_when_the_endpoint_takes_more(ask: Ask, endpoint: FakeEndpoint) -> None:
    seen: list[int] = []

    def narrow_at_first(received: Received) -> Reply | None:
        seen.append(received.rows)
        return Reply(413, b"too much") if len(seen) < 3 else None

    endpoint.mood = narrow_at_first

    _, size = ask(_rows(2000), rows=64)

    assert seen[:4] == [64, 32, 16, 16]
    assert max(seen[4:]) > 16
    assert seen == [*seen[:2], *sorted(seen[2:-1]), seen[-1]]
    assert size.rows > 16


def test_bodies_stay_below_the_bytes_that_the_settings_allow(ask: Ask, endpoint: FakeEndpoint) -> None:
    at_most = 6_000 + 16 * GAS.context_rows  # a time and a value each

    ask(_rows(2000), nbytes=at_most)

    assert len(endpoint.received) < 20
    assert max(len(received.body) for received in endpoint.received) <= at_most


def test_an_endpoint_that_takes_too_long_over_one_row_leaves_the_file_for_later(endpoint: FakeEndpoint) -> None:
    world = World.build(endpoint)
    endpoint.mood = refusal(408)

    run = world.score("gas/x.csv", table(hourly(40)))

    assert run.state == "waiting"
    assert run.error is not None
    assert run.error.code == "endpoint_failed"
