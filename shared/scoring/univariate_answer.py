"""A model's prediction columns in the shape in which the retired Azure Anomaly Detector answered.

Everything is computed from the rows' prediction columns, as the contract names them; what a model does not answer
is null, and `unanswered` names it. docs/migration.md has the table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from aml.contract import DatasetContract
from shared.scoring.univariate import DEFAULT_SENSITIVITY, Mode, Question

Row = Mapping[str, Any]

_CHANGES = frozenset({"level", "drift", "leak"})
_OF_THE_VALUE = frozenset({None, "high", "low"})
"""Kinds that are nothing but a value outside its margins (None: a model that tells no kinds)."""
_UPWARD, _DOWNWARD = frozenset({"high", "leak"}), frozenset({"low", "negative", "zero"})
_WEEK = timedelta(weeks=1)
_ROUNDING = 1e-9  # 0.29 of 100 points are 29, which is more than the product of the two
_NEEDED = {
    Mode.ENTIRE: ("anomaly", "expected", "lower", "upper", "severity"),
    Mode.LAST: ("anomaly", "expected", "lower", "upper", "severity"),
    Mode.CHANGEPOINT: ("anomaly", "kind", "severity"),
}


@dataclass(frozen=True)
class _Point:
    """What the model says of one point, and its margins at the sensitivity asked for; None for what it does not say."""

    value: float
    flagged: bool | None
    expected: float | None
    upper_margin: float | None
    lower_margin: float | None
    severity: float | None
    score: float
    kind: str | None
    reason: str | None


def answer(question: Question, rows: Sequence[Row], contract: DatasetContract) -> dict[str, Any]:
    """The service's answer to a question.

    Args:
        rows: the prediction columns of each point, in the order of the points, with `error` where there is none.

    Returns:
        The fields of the service's answer to this operation, and `unanswered`, `ignored` and `errors` besides.
    """
    points = [_point(value, row, question) for value, row in zip(question.values, rows, strict=True)]
    body: dict[str, Any] = {"period": _period(question.interval)}
    if question.mode is Mode.CHANGEPOINT:
        body |= _changes(question, points, rows)
    else:
        points = _at_most(points, question.ratio)
        if question.mode is Mode.LAST:
            body |= {"suggestedWindow": contract.context_rows + 1} | _last(points[-1])
        else:
            body |= _entire(points)
    return body | {
        "unanswered": [name for name in _NEEDED[question.mode] if not _answered(name, rows)],
        "ignored": list(question.ignored),
        "errors": [{"index": index, "error": row["error"]} for index, row in enumerate(rows) if row.get("error")],
    }


def _point(value: float, row: Row, question: Question) -> _Point:
    expected, lower, upper = (_number(row.get(name)) for name in ("expected", "lower", "upper"))
    upper_margin = lower_margin = None
    flagged = None if row.get("anomaly") is None else bool(row["anomaly"])
    kind = _kind(row)
    if expected is not None and lower is not None and upper is not None:
        # a point of sensitivity is one per cent of the expected value, as it was in the service
        widened = abs(expected) * (DEFAULT_SENSITIVITY - question.sensitivity) / 100
        upper_margin, lower_margin = max(upper - expected, 0.0) + widened, max(expected - lower, 0.0) + widened
        outside = value < lower or value > upper
        if widened and outside and kind in _OF_THE_VALUE:
            flagged = flagged and not expected - lower_margin <= value <= expected + upper_margin
    return _Point(
        value,
        flagged,
        expected,
        upper_margin,
        lower_margin,
        _number(row.get("severity")),
        _number(row.get("anomaly_score")) or 0.0,
        kind,
        row.get("reason") or None,
    )


def _at_most(points: Sequence[_Point], ratio: float | None) -> list[_Point]:
    """No more flags than the share allows: the strangest points keep theirs, of equally strange ones the first."""
    if ratio is None:
        return list(points)
    flagged = [index for index, point in enumerate(points) if point.flagged]
    allowed = math.floor(ratio * len(points) + _ROUNDING)
    kept = set(sorted(flagged, key=lambda index: (-points[index].score, index))[:allowed])
    return [
        replace(point, flagged=False) if point.flagged and index not in kept else point
        for index, point in enumerate(points)
    ]


def _entire(points: Sequence[_Point]) -> dict[str, Any]:
    directions = [_direction(point) for point in points]
    return {
        "expectedValues": _or_null([point.expected for point in points]),
        "upperMargins": _or_null([point.upper_margin for point in points]),
        "lowerMargins": _or_null([point.lower_margin for point in points]),
        "isAnomaly": _or_null([point.flagged for point in points]),
        "isNegativeAnomaly": _or_null([negative for negative, _ in directions]),
        "isPositiveAnomaly": _or_null([positive for _, positive in directions]),
        "severity": _or_null([_severity(point) for point in points], [point.severity for point in points]),
        "kinds": [point.kind if point.flagged else None for point in points],
        "reasons": [point.reason if point.flagged else None for point in points],
    }


def _last(point: _Point) -> dict[str, Any]:
    negative, positive = _direction(point)
    return {
        "expectedValue": point.expected,
        "upperMargin": point.upper_margin,
        "lowerMargin": point.lower_margin,
        "isAnomaly": point.flagged,
        "isNegativeAnomaly": negative,
        "isPositiveAnomaly": positive,
        "severity": _severity(point) if point.severity is not None else None,
        "kind": point.kind if point.flagged else None,
        "reason": point.reason if point.flagged else None,
    }


def _changes(question: Question, points: Sequence[_Point], rows: Sequence[Row]) -> dict[str, Any]:
    """Each change is one point, where it begins; a confidence is the severity of a row that belongs to a change."""
    if not _answered("kind", rows):
        return {"isChangePoint": None, "confidenceScores": None, "kinds": None, "reasons": None}
    changing = [bool(point.flagged) and point.kind in _CHANGES for point in points]
    scored = _answered("severity", rows)
    confidences = [(point.severity or 0.0) if part else 0.0 for point, part in zip(points, changing, strict=True)]
    if scored and question.threshold is not None:
        least = 1 - question.threshold
        changing = [part and has >= least for part, has in zip(changing, confidences, strict=True)]
    begins, latest = [False] * len(points), None
    for index in (index for index, part in enumerate(changing) if part):
        begins[index] = latest is None or index - latest > question.window
        latest = index
    return {
        "isChangePoint": begins,
        "confidenceScores": confidences if scored else None,
        "kinds": [point.kind if begin else None for point, begin in zip(points, begins, strict=True)],
        "reasons": [point.reason if begin else None for point, begin in zip(points, begins, strict=True)],
    }


def _direction(point: _Point) -> tuple[bool | None, bool | None]:
    """Whether a flagged point is too low, and whether too high; where nothing is expected, as its kind says."""
    if point.flagged is None:
        return None, None
    if not point.flagged:
        return False, False
    if point.expected is not None and point.value != point.expected:
        return point.value < point.expected, point.value > point.expected
    return point.kind in _DOWNWARD, point.kind in _UPWARD


def _severity(point: _Point) -> float | None:
    """Zero for a point that is none, as in the service."""
    return None if point.flagged is None else point.severity if point.flagged else 0.0


def _answered(name: str, rows: Sequence[Row]) -> bool:
    """Whether a model answers a column: it does so somewhere. Kinds are of flagged rows alone: without any of them, it
    is one that tells what is expected."""
    if name == "kind":
        told = any(_kind(row) for row in rows)
        return told or (not any(row.get("anomaly") for row in rows) and _answered("expected", rows))
    return any(_number(row.get(name)) is not None for row in rows)


def _or_null(shown: list[Any], known: list[Any] | None = None) -> list[Any] | None:
    return shown if any(entry is not None for entry in (shown if known is None else known)) else None


def _number(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _kind(row: Row) -> str | None:
    kind = row.get("kind")
    return kind if kind and kind != "none" else None


def _period(interval: timedelta) -> int:
    """Points in the model's season, a week; 0 where that is no whole number of them."""
    return 0 if _WEEK % interval else _WEEK // interval
