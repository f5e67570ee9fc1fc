"""Fixtures of functional tests: the app on fakes, with a small real model behind its endpoint."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from aml.contract import load_contract
from aml.forest import Scorer, build_pipeline
from aml.rows import single_series
from aml.serving import Service
from tests.fakes.endpoint import FakeEndpoint
from tests.functional.scoring.world import MODEL, VERSION, World

_HOUR_US = 3_600_000_000
_TREES = 30


@pytest.fixture(scope="session")
def running_endpoint() -> Iterator[FakeEndpoint]:
    """One endpoint for the whole run, around a model with few trees."""
    gas = load_contract("gas")
    hours = np.arange(30 * 24)
    values = np.random.default_rng(1).gamma(20, 1.0, len(hours))
    pipeline = build_pipeline(gas, 0.05).set_params(forest__n_estimators=_TREES)
    pipeline.fit(single_series(hours * _HOUR_US, values))
    with FakeEndpoint(Service(gas, Scorer(pipeline), MODEL, VERSION), pipeline).running() as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(running_endpoint: FakeEndpoint) -> FakeEndpoint:
    """The endpoint, in a good mood."""
    running_endpoint.calm()
    return running_endpoint


@pytest.fixture
def world(endpoint: FakeEndpoint) -> World:
    """An app with a live model."""
    return World.build(endpoint)
