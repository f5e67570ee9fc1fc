"""A small real model behind the real serving code."""

from __future__ import annotations

import numpy as np
from sklearn.pipeline import Pipeline

from aml.contract import DatasetContract, load_contract
from aml.forest import Scorer, build_pipeline
from aml.rows import single_series
from aml.serving import Service

MODEL, VERSION = "iforest_gas", "7"
_HOUR_US = 3_600_000_000
_TREES = 30


def small_model(trees: int = _TREES, contract: DatasetContract | None = None) -> tuple[Service, Pipeline]:
    """A detector with forests of few trees, fitted to thirty days of one meter: in service, and the pipeline itself."""
    gas = contract or load_contract("gas")
    hours = np.arange(30 * 24)
    values = np.random.default_rng(1).gamma(20, 1.0, len(hours))
    pipeline = build_pipeline(gas, 0.05).set_params(detector__n_estimators=trees)
    pipeline.fit(single_series(hours * _HOUR_US, values))
    return Service(gas, Scorer(pipeline), MODEL, VERSION), pipeline
