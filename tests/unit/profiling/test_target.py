"""Which endpoint is measured, and which one only when told twice."""

from __future__ import annotations

import pytest

from shared.errors import InvalidInputError
from shared.live import LiveModel
from shared.profiling.target import Asked, choose
from shared.scoring.targets import Target
from tests.fakes.clock import START

OURS = "https://dropscore-gas.region.inference.ml.azure.com/score"
THEIRS = "https://elsewhere.test/score"
LIVE = LiveModel(
    dataset="gas",
    model="m",
    version="2",
    run="r",
    endpoint="dropscore-gas",
    deployment="green",
    scoring_uri=OURS,
    since=START,
)


@pytest.mark.parametrize(
    ("asked", "live", "setting"),
    [
        (Asked(None, None, False), LIVE, None),
        (Asked(None, "green", False), LIVE, None),
        (Asked(OURS, None, False), LIVE, None),
        (Asked(THEIRS, None, False), LIVE, None),
        (Asked(THEIRS, "blue", False), LIVE, None),
        (Asked(None, None, False), None, THEIRS),
        (Asked("https://localhost.elsewhere.test/score", None, False), None, None),
    ],
)
def test_what_may_take_production_traffic_needs_a_yes(
    asked: Asked, live: LiveModel | None, setting: str | None
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        choose(asked, live, setting)
    assert refused.value.code == "takes_traffic"

    assert choose(Asked(asked.url, asked.deployment, True), live, setting).url == (asked.url or setting or OURS)


@pytest.mark.parametrize("url", ["http://127.0.0.1:31311/score", "https://localhost:8443/x", "http://[::1]:9/score"])
def test_on_loopback_nothing_is_production(url: str) -> None:
    assert choose(Asked(url, None, False), LIVE, None) == Target(url, None)


def test_the_idle_deployment_of_the_live_endpoint_may_be_loaded() -> None:
    assert choose(Asked(None, "blue", False), LIVE, None) == Target(OURS, "blue")


def test_the_live_model_is_measured_at_its_deployment() -> None:
    assert choose(Asked(None, None, True), LIVE, None) == Target(OURS, "green")


def test_without_an_endpoint_there_is_nothing_to_measure() -> None:
    with pytest.raises(InvalidInputError, match="no_target"):
        choose(Asked(None, None, True), None, None)
