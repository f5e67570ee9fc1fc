"""The profile of the small model behind the fake endpoint, in the place where its training run would leave it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from functools import cache

import numpy as np

from aml.forest import Scorer
from aml.profile import make_profile
from aml.rows import single_series
from shared.naming import TRAINING
from tests.fakes.model import small_model
from tests.functional.scoring.world import FIRST, TRAINING_RUN, Row, World

HOURS = 60 * 24
_HOUR_US = 3_600_000_000


@cache
def profile() -> bytes:
    """Of sixty days of one meter, as `world.hourly` draws them, that end where its files begin."""
    start = (FIRST - datetime(1970, 1, 1)) // timedelta(microseconds=1) - HOURS * _HOUR_US  # noqa: DTZ001
    values = np.random.default_rng(1).gamma(20, 1.0, HOURS)
    rows = single_series(start + np.arange(HOURS) * _HOUR_US, values)
    scores = Scorer(small_model()[1]).scores(rows)
    about = ("anomaly_score", scores, np.arange(HOURS))
    return json.dumps(make_profile("gas", rows.time, rows.series, {"VolCorrected": values}, about)).encode()


def leave(world: World, run: str = TRAINING_RUN, body: bytes | None = None) -> None:
    """What a training run leaves of its data."""
    world.blobs.put(TRAINING, f"gas/{run}/model/profile.json", profile() if body is None else body)


def louder(rows: list[Row], factor: float = 4.0) -> list[Row]:
    """The same hours with larger volumes."""
    return [
        (time, f"{float(value.replace(',', '.')) * factor:.4f}".replace(".", ","), *more) for time, value, *more in rows
    ]
