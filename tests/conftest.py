"""Fixtures for every distance of test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from local.azurite import Azurite
from local.processes import free_ports

# An example may take long because the machine is busy; that must not fail a test.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

_FARTHEST_FIRST = ("e2e", "integration", "functional", "unit")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long modules first, so that several workers end together; within a distance the order stays random."""

    def distance(item: pytest.Item) -> int:
        return _FARTHEST_FIRST.index(item.path.relative_to(config.rootpath / "tests").parts[0])

    items.sort(key=distance)


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """One Azurite for the whole run, on free ports; tests share it, so they use container names of their own."""
    folder = tmp_path_factory.mktemp("azurite")
    blob, queue, table = free_ports(3)
    with Azurite(
        folder / "data", blob_port=blob, queue_port=queue, table_port=table, log=folder / "azurite.log"
    ) as running:
        yield running
