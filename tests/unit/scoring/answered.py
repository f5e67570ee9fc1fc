"""Rows of several meters, and a stand-in for what a detector answers to them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from aml.contract import DatasetContract, PredictionColumn, load_contract
from shared.scoring.context import conform
from shared.scoring.scorer import Scored

_NAMES = ("anomaly", "anomaly_score", "expected", "lower", "upper", "severity", "reason")
_TYPES: dict[str, Any] = {"anomaly": "integer", "reason": "text"}
CONTRACT: DatasetContract = load_contract("gas").model_copy(
    update={
        "predictions": (
            *(PredictionColumn(name=name, type=_TYPES.get(name, "number")) for name in _NAMES),
            PredictionColumn(name="kind", type="text", in_file=False),
        )
    }
)
FIRST = datetime.fromisoformat("2026-03-02")
NAN = float("nan")


@dataclass(frozen=True)
class Reading:
    """One row and the answer to it; an anomaly of None: the endpoint refuses the row."""

    meter: str | None
    anomaly: int | None
    value: float = 1.0
    expected: float = NAN
    severity: float = 0.0
    kind: str = "high"
    hour: int = 0


def answered(readings: list[Reading]) -> tuple[pa.Table, Scored]:
    """The readings as the typed rows of a batch, and the answer to it."""
    rows = pa.table(
        {
            "FechaHora": pa.array([FIRST + timedelta(hours=each.hour) for each in readings], pa.timestamp("us")),
            "VolCorrected": pa.array([each.value for each in readings], pa.float64()),
            "Serie": pa.array([each.meter for each in readings], pa.string()),
        }
    )
    there = [each.anomaly is not None for each in readings]

    def column(values: list[Any], kind: Any) -> Any:
        return pa.array([value if known else None for value, known in zip(values, there, strict=True)], kind)

    answers = pa.table(
        {
            "anomaly": column([each.anomaly for each in readings], pa.int64()),
            "anomaly_score": column([0.5 for _ in readings], pa.float64()),
            "expected": column([each.expected for each in readings], pa.float64()),
            "lower": column([each.expected - 1 for each in readings], pa.float64()),
            "upper": column([each.expected + 1 for each in readings], pa.float64()),
            "severity": column([each.severity for each in readings], pa.float64()),
            "reason": column([f"why {each.hour}" if each.anomaly else "" for each in readings], pa.string()),
            "kind": column([each.kind if each.anomaly else "none" for each in readings], pa.string()),
        }
    )
    refused = {row: "refused" for row, known in enumerate(there) if not known}
    return conform(rows, CONTRACT), Scored(answers, refused)


def in_pieces(readings: list[Reading], cuts: list[int]) -> list[list[Reading]]:
    """The readings cut at these places."""
    places = sorted({0, len(readings), *(cut % (len(readings) + 1) for cut in cuts)})
    return [readings[start:end] for start, end in pairwise(places)]


_VALUES = st.sampled_from([0.1, 0.2, 1e17, -1e17, 3.0, 0.7]) | st.floats(-1e6, 1e6)


@st.composite
def many_readings(draw: st.DrawFn) -> list[Reading]:
    """Readings of a few meters, in time order, with stretches of flagged ones."""
    meters = draw(st.sampled_from([(None,), ("north", "south"), ("a", "b", None)]))
    return [
        Reading(
            draw(st.sampled_from(meters)),
            draw(st.sampled_from([0, 0, 1, 1, None])),
            draw(_VALUES),
            draw(_VALUES | st.just(NAN)),
            draw(st.sampled_from([0.0, 0.25, 0.5, 1.0])),
            draw(st.sampled_from(["leak", "stuck", "pattern", "none", ""])),
            hour,
        )
        for hour in range(draw(st.integers(0, 40)))
    ]
