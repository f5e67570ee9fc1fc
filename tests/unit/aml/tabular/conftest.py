"""A contract of a small table, rows of it, and all algorithms fitted on them once."""

import pytest

from aml.contract import DatasetContract
from aml.tabular.candidates import Candidates
from aml.tabular.serving import TabularService
from tests.unit.aml.tabular.birds import birds, candidates_of, contract_of


@pytest.fixture(scope="session")
def contract() -> DatasetContract:
    return contract_of()


@pytest.fixture(scope="session")
def candidates(contract: DatasetContract) -> Candidates:
    """Every algorithm, on rows with gaps, rare classes and rare categories."""
    return candidates_of(contract, birds(240, seed=1))


@pytest.fixture(scope="session")
def service(contract: DatasetContract, candidates: Candidates) -> TabularService:
    return TabularService(contract, "classifier_birds", "7", candidates)
