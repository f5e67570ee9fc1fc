"""A profile of simulated rows, and rows as the scoring path has them."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from aml.contract import load_contract
from aml.profile import make_profile
from local.sample_data import hourly_gas
from shared.drift.profile import Profile, Reference
from shared.drift.statistics import Floats
from shared.drift.tally import Tally
from shared.drift.verdict import judge
from shared.tables import Flaws

GAS = load_contract("gas")
HOUR_US = 3_600_000_000
START = 1_704_067_200_000_000  # 2024-01-01
YEAR = 365 * 24


@cache
def simulated(seed: int = 1) -> Floats:
    """Three years of hourly gas."""
    return np.array([each.volume for each in hourly_gas(datetime(2024, 1, 1), 3 * 365, seed)])  # noqa: DTZ001


def scores_of(values: Floats) -> Floats:
    """Scores that follow from the values, as a model's do: how far a value is from the mean."""
    return 0.4 + 0.3 * np.tanh(np.abs(values - 400.0) / 400.0)


@cache
def year_profile(seed: int = 1) -> Profile:
    """Of the first of the simulated years."""
    return profile_of(START + np.arange(YEAR) * HOUR_US, simulated(seed)[:YEAR])


def profile_of(time: Any, value: Floats, series: Any = None, unusable: float = 0.0, **columns: Any) -> Profile:
    """The profile of these rows, as the app reads it."""
    codes = np.zeros(len(time), np.int64) if series is None else series
    about = ("anomaly_score", scores_of(value), np.arange(len(time)))
    made = make_profile("gas", time, codes, {"VolCorrected": value, **columns}, about, unusable)
    return Profile.model_validate(json.loads(json.dumps(made)))


def tally_of(
    profile: Profile,
    start: int,
    value: Floats,
    *,
    rows: int | None = None,
    flaws: dict[str, Flaws] | None = None,
    series: list[str] | None = None,
) -> Tally:
    """What is counted of hourly rows from the hour `start` on."""
    tally = Tally.empty(profile)
    add(tally, profile, START + (start + np.arange(len(value))) * HOUR_US, value, rows=rows, flaws=flaws, series=series)
    return tally


def add(
    tally: Tally,
    profile: Profile,
    time: Any,
    value: Floats,
    *,
    rows: int | None = None,
    flaws: dict[str, Flaws] | None = None,
    series: list[str] | None = None,
) -> None:
    """Counts these rows."""
    columns = {"FechaHora": pa.array(time, pa.timestamp("us")), "VolCorrected": pa.array(value)}
    if series is not None:
        columns["Serie"] = pa.array(series, pa.string())
    batch = pa.RecordBatch.from_pydict(columns)
    answers = pa.table({"anomaly": np.zeros(len(value), np.int64), "anomaly_score": scores_of(value)})
    tally.add(profile, GAS, len(value) if rows is None else rows, flaws or {}, batch, answers)


def drift_of(profile: Profile, tally: Tally) -> dict[str, Any]:
    """The manifest's words."""
    return judge(Reference(profile, "20260101T000000Z-train-00000000"), tally, GAS)
