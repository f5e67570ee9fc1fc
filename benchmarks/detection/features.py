"""The features of the system before this one, as the detectors that are compared with see them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aml.rows import Floats, Rows

Matrix = NDArray[np.float32]

_HOUR_US, _DAY_US = 3_600_000_000, 86_400_000_000


def raw_value(rows: Rows) -> Matrix:
    """The value alone, as a column."""
    return rows.value[:, None].astype(np.float32)


def six_features(rows: Rows) -> Matrix:
    """Value, hour, day of week, lag, mean and deviation of 24 rows, the row itself the last of them."""
    return np.hstack([raw_value(rows), earlier_as_trained(rows)])


def earlier_as_trained(rows: Rows) -> Matrix:
    """What the earlier system's training computes: hour, day of week, lag, mean and deviation of 24 rows."""
    hour, weekday = rows.time // _HOUR_US % 24, (rows.time // _DAY_US + 3) % 7
    lag = np.r_[rows.value[:1], rows.value[:-1]]
    mean, deviation = _window(rows.value, 24)
    return np.stack([hour, weekday, lag, mean, deviation], axis=1).astype(np.float32)


def earlier_as_served(rows: Rows) -> Matrix:
    """What its scoring script computes in their place: nothing of the time, no lag, windows of 3 and 6 rows."""
    zeros = np.zeros(len(rows))
    return np.stack([zeros, zeros, zeros, _window(rows.value, 3)[0], _window(rows.value, 6)[1]], axis=1).astype(
        np.float32
    )


def _window(value: Floats, rows: int) -> tuple[Floats, Floats]:
    """Mean and sample deviation of the last rows, of as many as there are; one row deviates by 0."""
    padded = np.r_[np.full(rows - 1, np.nan), value]
    windows = np.lib.stride_tricks.sliding_window_view(padded, rows)
    count = np.minimum(np.arange(1, len(value) + 1), rows)
    mean: Floats = np.nansum(windows, axis=1) / count
    squares = np.nansum((windows - mean[:, None]) ** 2, axis=1)
    return mean, np.sqrt(squares / np.maximum(count - 1, 1))
