"""A small model, fitted once, and the rows it was fitted on."""

import pytest
from sklearn.pipeline import Pipeline

from aml.contract import DatasetContract, load_contract
from aml.forest import Scorer, build_pipeline
from aml.rows import Rows
from aml.serving import Service
from tests.unit.aml.streams import CONTEXT_ROWS, hourly


@pytest.fixture(scope="session")
def gas() -> DatasetContract:
    return load_contract("gas")


@pytest.fixture(scope="session")
def training_rows() -> Rows:
    return hourly(days=30)


@pytest.fixture(scope="session")
def pipeline(gas: DatasetContract, training_rows: Rows) -> Pipeline:
    """With so little context that short streams have more than it."""
    return build_pipeline(gas.model_copy(update={"context_rows": CONTEXT_ROWS}), 0.05).fit(training_rows)


@pytest.fixture(scope="session")
def service(gas: DatasetContract, pipeline: Pipeline) -> Service:
    return Service(gas, Scorer(pipeline), "iforest_gas", "7")
