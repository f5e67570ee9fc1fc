"""What single channels see."""

import numpy as np
import pytest

from aml.contract import DatasetContract
from aml.detection.channels import CHANNELS, signals
from aml.detection.shape import Against
from aml.forest import build_pipeline
from aml.rows import Floats, Rows, single_series
from tests.unit.aml.streams import HOUR_US

_AT = [channel.name for channel in CHANNELS].index("scatter")


def hourly(value: Floats) -> Rows:
    return single_series(np.arange(len(value)) * HOUR_US, value)


@pytest.fixture(scope="module")
def values() -> Floats:
    return np.random.default_rng(1).lognormal(1, 0.3, 60 * 24)


def scatter(gas: DatasetContract, values: Floats, later: Floats) -> tuple[Floats, Floats]:
    """The channel of rows that come later, and their values as it takes them."""
    step = build_pipeline(gas, 0.01).named_steps["signals"]
    step.fit_transform(hourly(values))
    against = step.transform(hourly(later)).against
    assert isinstance(against, Against)
    return signals(against).statistics[_AT], against.seen.plain


def test_how_much_the_values_of_the_last_day_scatter(gas: DatasetContract, values: Floats) -> None:
    found, plain = scatter(gas, values, values[: 10 * 24])

    days = [plain[max(0, at - 23) : at + 1] for at in range(len(plain))]
    np.testing.assert_allclose(found, [((day - day.mean()) ** 2).sum() for day in days], atol=1e-4)


def test_a_day_that_swings_about_its_usual_level_stands_out(gas: DatasetContract, values: Floats) -> None:
    wild = np.tile([0.2, 6.0], 5 * 24)
    found, _ = scatter(gas, values, np.r_[values[: 10 * 24], wild])

    assert found[-24:].min() > 5 * found[: 10 * 24].max()


def test_values_beyond_all_measure_scatter_alike(gas: DatasetContract, values: Floats) -> None:
    far, farther = (scatter(gas, values, np.r_[values[:48], huge])[0] for huge in (1e9, 1e300))

    assert far[-1] == farther[-1] > 0
