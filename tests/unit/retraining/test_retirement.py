"""What the policy retires, as a function of values."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.live import LiveModel
from shared.retraining.retirement import to_archive, to_delete
from shared.retraining.workspace import Deployment, Endpoint, ModelVersion
from tests.fakes.clock import START

VERSIONS = [ModelVersion("m", str(n), {"run": f"r{n}"}) for n in range(9, 0, -1)]
LIVE = LiveModel(
    dataset="gas",
    model="m",
    version="2",
    run="r2",
    endpoint="e",
    deployment="green",
    scoring_uri="https://e.test",
    since=START,
)
BLUE, GREEN = Deployment("blue", "succeeded", "r1"), Deployment("green", "succeeded", "r2")
READY = Endpoint("e", "succeeded", "https://e.test", {"green": 100})


@given(kept=st.integers(0, 12), spared=st.sets(st.sampled_from([each.version for each in VERSIONS])))
def test_what_is_spared_stays_and_of_the_others_the_newest_so_many(kept: int, spared: set[str]) -> None:
    archived = [each.version for each in to_archive(VERSIONS, kept, spared)]
    others = [each.version for each in VERSIONS if each.version not in spared]

    assert not spared & set(archived)
    assert archived == (others[kept:] if kept else [])


def test_versions_that_somebody_else_registered_are_left_alone_and_do_not_count() -> None:
    foreign = [ModelVersion("m", "10"), ModelVersion("m", "by-hand", {"owner": "somebody"})]

    assert [each.version for each in to_archive([*foreign, *VERSIONS], 8, set())] == ["1"]


def test_the_idle_colour_is_deleted_once_the_promotion_is_old_enough() -> None:
    assert to_delete(LIVE, READY, [BLUE, GREEN], set(), START) == ["blue"]
    assert to_delete(LIVE, READY, [BLUE, GREEN], set(), START - timedelta(seconds=1)) == []


@pytest.mark.parametrize(
    ("endpoint", "blue", "held"),
    [
        (Endpoint("e", "succeeded", "", {"green": 90, "blue": 10}), BLUE, set()),
        (Endpoint("e", "succeeded", "", {"blue": 100}), BLUE, set()),
        (Endpoint("e", "succeeded", "", {}), BLUE, set()),
        (Endpoint("e", "under way", "", {"green": 100}), BLUE, set()),
        (READY, Deployment("blue", "under way", "r1"), set()),
        (READY, BLUE, {"r1"}),
    ],
    ids=["canary", "traffic is elsewhere", "no traffic", "traffic is moving", "being deployed", "held by a run"],
)
def test_nothing_is_deleted_while_anything_is_unsettled(endpoint: Endpoint, blue: Deployment, held: set[str]) -> None:
    assert to_delete(LIVE, endpoint, [blue, GREEN], held, START) == []
