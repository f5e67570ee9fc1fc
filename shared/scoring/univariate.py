"""What clients of the retired Azure Anomaly Detector (univariate, v1.0 and v1.1) ask for, as the score route takes it.

Field names, limits and error codes are the service's own; docs/migration.md says field by field what becomes of them.
Nothing here asks a model: a body becomes a `Question`, or an error with the code that the service had for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from statistics import median_low
from typing import Any, TypeGuard

from aml.contract import DatasetContract
from shared.errors import InvalidInputError

LEAST_POINTS, MOST_POINTS = 12, 8640
DEFAULT_SENSITIVITY = 99

_LARGEST = 1e100
_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)
_STEPS = {
    "yearly": None,
    "monthly": None,
    "weekly": None,
    "daily": _DAY,
    "hourly": timedelta(hours=1),
    "minutely": _MINUTE,
    "secondly": timedelta(seconds=1),
    "microsecond": timedelta(microseconds=1),
}
_STABLE_TREND_WINDOWS = {"daily": 5, "hourly": 24, "minutely": 72, "secondly": 72, "microsecond": 100}
_IMPUTE_MODES = ("auto", "previous", "linear", "fixed", "zero", "notFill")


class Mode(StrEnum):
    """Which of the service's three operations is asked for."""

    ENTIRE = "entire"
    LAST = "last"
    CHANGEPOINT = "changepoint"


_HONOURED = {
    Mode.ENTIRE: {"sensitivity", "maxAnomalyRatio"},
    Mode.LAST: {"sensitivity", "maxAnomalyRatio"},
    Mode.CHANGEPOINT: {"stableTrendWindow", "threshold"},
}


class UnivariateError(InvalidInputError):
    """A request that the service would have refused, under its own code, or that cannot be answered here."""


@dataclass(frozen=True)
class Question:
    """A request that is in order.

    Attributes:
        clocks: the points' times as their clock reads, offsets read over as in every table.
        values: finite, one for each time.
        interval: time from point to point: as the granularity says, or else the series' own median; above zero.
        sensitivity: 0 to 99.
        ratio: share of the points that may be flagged, above 0 and below a half; None: any.
        window: so many points apart, two changes are two.
        threshold: 0.01 to 0.99; None where the client gave none.
        ignored: names of the fields given that change nothing in the answer, in the body's order.
    """

    mode: Mode
    clocks: tuple[datetime, ...]
    values: tuple[float, ...]
    interval: timedelta
    sensitivity: int = DEFAULT_SENSITIVITY
    ratio: float | None = None
    window: int = _STABLE_TREND_WINDOWS["hourly"]
    threshold: float | None = None
    ignored: tuple[str, ...] = field(default=())

    def records(self, contract: DatasetContract) -> list[dict[str, object]]:
        """The points as rows of the dataset, of no named series."""
        return [
            {contract.time_column: clock.isoformat(), contract.value_column: value}
            for clock, value in zip(self.clocks, self.values, strict=True)
        ]


def mode_of(asked: str | None, body: Mapping[str, Any]) -> Mode | None:
    """Which operation a request means by `mode` in its URL or its body, or by its `series` (then the whole series).

    None: it is none of the service's requests.

    Raises:
        UnivariateError: ``BadArgument``, there is no such operation, or URL and body name two.
    """
    named = [name for name in (asked or None, body.get("mode")) if name is not None]
    if not named:
        return Mode.ENTIRE if "series" in body else None
    if any(name != named[0] for name in named):
        raise UnivariateError("BadArgument", "The 'mode' of the URL and that of the body are not the same.")
    if named[0] not in list(Mode):
        raise UnivariateError("BadArgument", f"The 'mode' is one of {', '.join(Mode)}, not {named[0]!r}.")
    return Mode(named[0])


def question(mode: Mode, body: Mapping[str, Any]) -> Question:
    """Reads a body of the service's shape; a field that is null counts as not given.

    Raises:
        UnivariateError: under the service's own codes, for what the service refused, and for what cannot be answered
            here: points without a time, and intervals below a minute or above a day.
    """
    given = {name: value for name, value in body.items() if value is not None and name != "mode"}
    granularity, step = _granularity(mode, given)
    arguments = _arguments(given)
    _require_imputation(given)
    clocks, values = _points(given, step)
    window = given.get("stableTrendWindow", _STABLE_TREND_WINDOWS.get(granularity, _STABLE_TREND_WINDOWS["hourly"]))
    if not _is_integer(window) or ("stableTrendWindow" in given and not 3 <= window < len(values) / 2):
        raise UnivariateError(
            "InvalidModelArgument",
            "The 'stableTrendWindow' is an integer of at least 3 and below half of the points' number.",
        )
    used = {"series", *_HONOURED[mode], "granularity"} | ({"customInterval"} if step else set())
    ignored = tuple(name for name in given if name not in used)
    return Question(mode, clocks, values, step or _median_step(clocks), window=window, ignored=ignored, **arguments)


def _granularity(mode: Mode, given: Mapping[str, Any]) -> tuple[str, timedelta | None]:
    """The granularity, and the interval that it and `customInterval` say; None where it is `none`."""
    name = given.get("granularity", "none")
    if mode is Mode.CHANGEPOINT and "granularity" not in given:
        raise UnivariateError("RequiredGranularity", "Change points need the field 'granularity'.")
    if not isinstance(name, str) or name not in (*_STEPS, "none") or (mode is Mode.CHANGEPOINT and name == "none"):
        raise UnivariateError("InvalidGranularity", f"The 'granularity' is one of {', '.join(_STEPS)}, not {name!r}.")
    every = given.get("customInterval", 1)
    if not _is_integer(every) or every <= 0:
        raise UnivariateError("InvalidCustomInterval", f"The 'customInterval' is an integer above 0, not {every!r}.")
    if name == "none":
        return name, None
    unit = _STEPS[name]
    if unit is None or every > _DAY // unit or unit * every < _MINUTE:
        raise UnivariateError(
            "InvalidGranularity", f"Series of a minute to a day are scored here, not {name} ones every {every}."
        )
    return name, unit * every


def _arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """The service's model arguments, by the names that they have in a `Question`."""
    period = given.get("period", 0)
    if not _is_integer(period) or period < 0:
        raise UnivariateError("InvalidPeriod", f"The 'period' is an integer of at least 0, not {period!r}.")
    found: dict[str, Any] = {}
    if "maxAnomalyRatio" in given:
        found["ratio"] = ratio = given["maxAnomalyRatio"]
        if not _is_number(ratio) or not 0 < ratio < 0.5:
            raise UnivariateError("InvalidModelArgument", "The 'maxAnomalyRatio' is a number above 0 and below 0.5.")
    if "sensitivity" in given:
        sensitivity = given["sensitivity"]
        if not _is_integer(sensitivity) or not 0 <= sensitivity <= 100:
            raise UnivariateError("InvalidModelArgument", "The 'sensitivity' is an integer from 0 to 99.")
        found["sensitivity"] = min(
            sensitivity, DEFAULT_SENSITIVITY
        )  # the service took 100 as well, as its words do not
    if "threshold" in given:
        found["threshold"] = threshold = given["threshold"]
        if not _is_number(threshold) or not 0.01 <= threshold <= 0.99:
            raise UnivariateError("InvalidModelArgument", "The 'threshold' is a number from 0.01 to 0.99.")
    return found


def _require_imputation(given: Mapping[str, Any]) -> None:
    mode = given.get("imputeMode", "auto")
    if mode not in _IMPUTE_MODES:
        raise UnivariateError("InvalidImputeMode", f"The 'imputeMode' is one of {', '.join(_IMPUTE_MODES)}.")
    if mode == "fixed" and not _is_number(given.get("imputeFixedValue")):
        raise UnivariateError("InvalidImputeFixedValue", "The 'imputeFixedValue' is a number.")


def _points(given: Mapping[str, Any], step: timedelta | None) -> tuple[tuple[datetime, ...], tuple[float, ...]]:
    if "series" not in given:
        raise UnivariateError("RequiredSeries", "The field 'series' is missing.")
    series = given["series"]
    if not isinstance(series, list):
        raise UnivariateError("BadArgument", "The 'series' is a list of points.")
    if not LEAST_POINTS <= len(series) <= MOST_POINTS:
        raise UnivariateError(
            "InvalidSeries", f"The 'series' has {LEAST_POINTS} to {MOST_POINTS} points, not {len(series)}."
        )
    values = tuple(_value(index, point) for index, point in enumerate(series))
    times = [_time(index, point) for index, point in enumerate(series)]
    clocks = tuple(time.replace(tzinfo=None) for time in times)
    _require_order(times)
    for index, clock in enumerate(clocks):
        if step and (clock - clocks[0]) % step:
            raise UnivariateError(
                "InvalidSeries", f"The 'timestamp' at index {index} is no whole number of intervals after the first."
            )
    return clocks, values


def _value(index: int, point: object) -> float:
    value = point.get("value") if isinstance(point, dict) else None
    if not _is_number(value) or math.isnan(value):
        raise UnivariateError("BadArgument", f"The point at index {index} has no number as its 'value'.")
    if abs(value) > _LARGEST:
        raise UnivariateError("InvalidSeries", f"The 'value' at index {index} is beyond {_LARGEST:g}.")
    return float(value)


def _time(index: int, point: Mapping[str, Any]) -> datetime:
    text = point.get("timestamp")
    if text is None:
        raise UnivariateError(
            "BadArgument",
            f"The point at index {index} has no 'timestamp': what is usual depends on the hour and on the day.",
        )
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise UnivariateError(
            "BadArgument", f"The 'timestamp' at index {index} is no ISO 8601 time: {text!r}."
        ) from error


def _require_order(times: Sequence[datetime]) -> None:
    """Strictly ascending: as moments where they have offsets, so that the hour that clocks repeat may come twice."""
    if len({time.tzinfo is None for time in times}) > 1:
        raise UnivariateError("BadArgument", "Some times of the 'series' have an offset, and others have none.")
    for index, (before, time) in enumerate(pairwise(times), start=1):
        if time == before:
            raise UnivariateError("InvalidSeries", f"The 'timestamp' at index {index} is that of the point before.")
        if time < before:
            raise UnivariateError("InvalidSeries", f"The 'series' is not in order of time at index {index}.")


def _median_step(clocks: Sequence[datetime]) -> timedelta:
    steps = [later - earlier for earlier, later in pairwise(clocks)]
    return max(median_low(steps), timedelta.resolution)


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
