"""A model with little context: so that files of a hundred rows reach further back than it looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

from tests.fakes.endpoint import FakeEndpoint
from tests.fakes.model import small_model
from tests.functional.scoring.world import GAS

NARROW = GAS.model_copy(update={"context_rows": 23})
"""A day less an hour: so that a late file reaches into the next one, and no further."""

_LOADERS = ["shared.contracts.load_contract", "shared.scoring.revisions.load_contract"]


@contextmanager
def narrow_endpoint() -> Iterator[FakeEndpoint]:
    """A model of so much context, and an app that knows it."""
    with ExitStack() as stack:
        for loader in _LOADERS:
            stack.enter_context(mock.patch(loader, return_value=NARROW))
        yield stack.enter_context(FakeEndpoint(*small_model(contract=NARROW)).running())
