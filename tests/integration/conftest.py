"""Fixtures for tests against real parts: the Azure ML emulator over the session's Azurite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.azureml.launch import AzureMLEmulator
from local.azurite import Azurite
from local.certificates import ensure_certificate
from local.processes import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
# the cache of `make setup` and `make up`: built once, found again by every run
ENVIRONMENTS = REPOSITORY / ".local" / "envs"


@pytest.fixture(scope="session")
def azureml(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureMLEmulator]:
    """One emulator for the whole run, on a free port; `client_environment()` is what a client needs to find it.

    Tests share its workspace, so they use names of their own for jobs, models and endpoints.
    """
    folder = tmp_path_factory.mktemp("azureml")
    with AzureMLEmulator(
        folder / "state",
        port=free_port(),
        azurite=azurite,
        environments=ENVIRONMENTS,
        certificate=ensure_certificate(folder / "tls"),
        log=folder / "azureml.log",
    ) as running:
        yield running


@pytest.fixture(scope="session")
def model_conda_file() -> Path:
    """The conda file of the model's environment, which is installed already where the app was set up."""
    return REPOSITORY / "aml" / "env" / "conda.yml"
