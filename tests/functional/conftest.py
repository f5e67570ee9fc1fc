"""Fixtures of functional tests: the app on fakes, with a small real model behind its endpoint."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.endpoint import FakeEndpoint
from tests.fakes.model import small_model
from tests.functional.scoring.world import World


@pytest.fixture(scope="session")
def running_endpoint() -> Iterator[FakeEndpoint]:
    """One endpoint for the whole run, around a model with few trees."""
    with FakeEndpoint(*small_model()).running() as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(running_endpoint: FakeEndpoint) -> Iterator[FakeEndpoint]:
    """The endpoint, in a good mood; whatever mood a test puts it into ends with the test."""
    running_endpoint.calm()
    yield running_endpoint
    running_endpoint.calm()


@pytest.fixture
def world(endpoint: FakeEndpoint) -> World:
    """An app with a live model."""
    return World.build(endpoint)
