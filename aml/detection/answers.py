"""From rarities to `Detections`: flags, kinds, and the numbers that words are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aml.detection.channels import CHANNELS, FORESTS, missing, run_begin, same_as_before
from aml.detection.findings import Detections, Kind
from aml.detection.hours import HOUR_US, elapsed
from aml.detection.profile import expanded
from aml.detection.shape import Against
from aml.rows import Floats

_ABOVE = np.array([channel.above for channel in (*CHANNELS, *FORESTS)], dtype=np.int8)
_BELOW = np.array([channel.below for channel in (*CHANNELS, *FORESTS)], dtype=np.int8)
_DIGITS = 6
SCORE_DIGITS = 6
_CHANGE_MOST = 1000.0


def detections(against: Against, speaker: NDArray[np.intp], score: Floats, threshold: float, band: float) -> Detections:
    """What is said of rows, in the order in which they were given.

    Args:
        speaker: which channel says what each flagged row is; in order of series and time, as `against`.
        score: minus the decimal logarithm of the tail probability.
        threshold: a score above it is an anomaly.
        band: half the width of the range that is nothing strange, in standard deviations.
    """
    seen, rows = against.seen, against.seen.rows
    score = np.round(score, SCORE_DIGITS)
    flagged = score > threshold
    centre, width = against.usual + against.week_level, band * against.unit
    known = (seen.cells.code < seen.cells.series) | (rows.at > rows.begin)
    value = {
        name: np.where(known, significant(_in_unit(bent, seen.size)), np.nan)
        for name, bent in (("expected", centre), ("lower", centre - width), ("upper", centre + width))
    }
    positive = ~against.at(against.shape.negative).astype(bool)
    for name in ("expected", "lower"):
        value[name] = np.where(positive, np.maximum(value[name], 0.0), value[name])
    kind = np.where(seen.bent >= centre, _ABOVE[speaker], _BELOW[speaker])
    sized = (kind == Kind.HIGH) | (kind == Kind.LOW)
    kind = np.where(sized & (rows.value < 0) & positive, Kind.NEGATIVE, kind)
    kind = np.where(flagged, kind, Kind.NONE).astype(np.int8)
    severity = np.where(flagged, np.clip(np.round(1 - threshold / np.maximum(score, 1e-9), 3), 0.001, 1.0), 0.0)
    found = Detections(
        flagged,
        score,
        value["expected"],
        value["lower"],
        value["upper"],
        severity,
        kind,
        _hours(against, kind),
        _change(against, kind),
    )
    return _as_given(found, rows.order)


def significant(value: Floats) -> Floats:
    """Rounded to six significant digits."""
    with np.errstate(divide="ignore"):
        magnitude = np.floor(np.log10(np.abs(value)))
    power = np.where(np.isfinite(magnitude), _DIGITS - 1 - magnitude, 0.0)
    power = np.clip(power, -280, 280)
    grown = 10.0 ** np.abs(power)
    with np.errstate(over="ignore"):  # in the half that is not taken
        return np.where(power >= 0, np.round(value * grown) / grown, np.round(value / grown) * grown)


def _in_unit(bent: Floats, size: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return np.clip(expanded(bent) * size, -1.7e308, 1.7e308)


def _hours(against: Against, kind: NDArray[np.int8]) -> Floats:
    """How long a run has lasted, or how long is missing; 0 for other kinds."""
    rows, plan = against.seen.rows, against.plan
    hours: Floats = np.zeros(len(rows))
    for which, inside, first in (
        (Kind.STUCK, same_as_before(rows) & (rows.value != 0), 1),
        (Kind.ZERO, rows.value == 0, 0),
    ):
        if (kind == which).any():
            begin = np.maximum(np.maximum(run_begin(rows, inside, plan.run) - first, rows.begin), rows.at - plan.run)
            begin = np.minimum(begin, rows.at)
            lasted = elapsed(against.calendar, rows.time[begin], rows.time) + plan.interval
            hours = np.where(kind == which, lasted.astype(np.float64) / HOUR_US, hours)
    if (kind == Kind.GAP).any():
        hours = np.where(kind == Kind.GAP, missing(against) * plan.interval / HOUR_US, hours)
    return np.round(hours, 2)


def _change(against: Against, kind: NDArray[np.int8]) -> Floats:
    """The relative change of the quietest hours, or of the level; 0 for other kinds."""
    change = np.zeros(len(kind))
    if (kind == Kind.LEAK).any():
        now, before = expanded(against.lowest), expanded(against.lowest_before)
        change = np.where(kind == Kind.LEAK, (now - before) / np.maximum(np.abs(before), 1e-3), change)
    moved = (kind == Kind.LEVEL) | (kind == Kind.DRIFT)
    if moved.any():
        change = np.where(moved, np.expm1(np.clip(against.moved, -20, 20)), change)
    return np.round(np.clip(change, -_CHANGE_MOST, _CHANGE_MOST), 3).astype(np.float64)


def _as_given(found: Detections, order: NDArray[np.intp]) -> Detections:
    columns = []
    for name in found.__dataclass_fields__:
        column = getattr(found, name)
        given = np.empty_like(column)
        given[order] = column
        columns.append(given)
    return Detections(*columns)
