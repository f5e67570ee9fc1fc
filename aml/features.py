"""The features of a row, computed so that they depend on the row and its window and on nothing else.

Serving sees a row with the 23 rows before it, training saw it in the middle of years. Both must come to the same bits,
or what is served is not what was trained. Libraries that keep a running sum (pandas' rolling windows among them) carry
rounding errors from wherever the sum began. Here every window is added up afresh, oldest row last, by one elementwise
addition per position in the window: IEEE 754 fixes the result of each, whatever the length of the arrays.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from aml.rows import Floats, Rows, Times

_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday; Monday is 0

# The forest compares in float32. Values beyond this are far outside any volume and are all alike; the bound leaves room
# for the deviation of a window (at most sqrt(2) times as large), so that no feature becomes infinite.
_LARGEST = 1e38


class SeriesFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no type information
    """Turn `Rows` into the matrix that the forest sees: float32, one line per row, in the rows' order.

    Columns: the value, hour of day (0-23), day of week (Monday is 0), the value one row earlier in the series, mean and
    sample standard deviation (n - 1) of the window of `window` rows that ends with the row itself.

    At the start of a series the window holds the rows there are. The first row has no earlier one: its own value stands
    in ("nothing changed"), and the deviation of a single row is 0. So the forest needs no special value.
    """

    def __init__(self, window: int = 24) -> None:
        self.window = window

    def fit(self, X: Rows, y: None = None) -> Self:
        """Nothing is learnt: a feature that depended on the training data could not be checked row by row."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """The names of the columns that `transform` returns."""
        w = self.window
        return np.array(["value", "hour", "day_of_week", "lag_1", f"mean_{w}", f"deviation_{w}"], dtype=object)

    def transform(self, X: Rows) -> NDArray[np.float32]:
        """The features of every row, shape (len(X), 6)."""
        order = X.by_series_and_time()
        series = X.series[order]
        value = np.clip(X.value[order], -_LARGEST, _LARGEST)
        position = _position_in_run(series)
        out = np.empty((len(X), 6), dtype=np.float32)
        out[order, 0] = value
        out[:, 1], out[:, 2] = _clock(X.time)
        out[order, 3], out[order, 4], out[order, 5] = _window_features(value, position, self.window)
        return out


def _clock(time: Times) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hour of day and day of week; floor division keeps them right before 1970."""
    return time // _HOUR_US % 24, (time // _DAY_US + _EPOCH_WEEKDAY) % 7


def _position_in_run(series: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many rows of the same series stand before each row, where the rows of a series stand together."""
    index = np.arange(len(series))
    starts = np.zeros(len(series), dtype=np.int64)
    starts[1:] = np.where(series[1:] != series[:-1], index[1:], 0)
    return index - np.maximum.accumulate(starts)


def _window_features(value: Floats, position: NDArray[np.int64], window: int) -> tuple[Floats, Floats, Floats]:
    """Lag, mean and deviation; `value` and `position` stand in order of series and time."""
    n = len(value)
    padded = np.concatenate([np.zeros(window), value])
    shifted = [padded[window - back : window - back + n] for back in range(window)]
    inside = [position >= back for back in range(window)]
    count = np.minimum(position + 1, window).astype(np.float64)

    total = np.zeros(n)
    for earlier, there in zip(shifted, inside, strict=True):
        np.add(total, earlier, out=total, where=there)
    mean = total / count

    squares = np.zeros(n)
    for earlier, there in zip(shifted, inside, strict=True):
        away = earlier - mean
        np.add(squares, away * away, out=squares, where=there)
    deviation = np.sqrt(squares / np.maximum(count - 1.0, 1.0))

    lag = np.where(position >= 1, padded[window - 1 : window - 1 + n], value)
    return lag, mean, deviation
