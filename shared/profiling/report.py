"""The measured levels and what follows from them, as a table for people and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from shared.profiling.capacity import Advice, Level

_COLUMNS = {
    "in flight": 9,
    "rows/req": 9,
    "requests": 9,
    "req/s": 9,
    "rows/s": 11,
    "p50 ms": 8,
    "p95 ms": 8,
    "p99 ms": 8,
}
HEADER = " ".join(f"{name:>{width}}" for name, width in _COLUMNS.items()) + "  errors"


def line(level: Level) -> str:
    """One level under `HEADER`."""
    errors = ", ".join(f"{code} {count}" for code, count in sorted(level.errors.items())) or "-"
    return (
        f"{level.in_flight:>9} {level.rows_per_request:>9,} {level.requests:>9} {level.throughput:>9.2f} "
        f"{level.rows_per_second:>11,.0f} {_ms(level.p50)} {_ms(level.p95)} {_ms(level.p99)}  {errors}"
    )


def _ms(seconds: float) -> str:
    return f"{'-':>8}" if math.isnan(seconds) else f"{seconds * 1000:>8.1f}"


def recommendation(advice: Advice | None) -> str:
    """The advice in lines; what to look at where there is none."""
    if advice is None:
        return "No recommendation: the endpoint could not bear even the first level. Look at the errors above."
    lines = [
        "",
        "Recommendation",
        f"  SCORE_ROWS_PER_REQUEST                 {advice.rows_per_request}",
        f"  SCORE_REQUESTS_IN_FLIGHT               {advice.score_requests_in_flight}",
        f"  max_concurrent_requests_per_instance   {advice.max_concurrent_requests_per_instance}",
        f"  AML_INSTANCE_COUNT                     {advice.instances}",
        f"  which then take                        {advice.rows_per_second:,.0f} rows/s",
        "",
        *(f"  {each}" for each in advice.why),
        *(f"  ! {each}" for each in advice.missed),
    ]
    return "\n".join(lines)


def as_json(about: Mapping[str, Any], sizes: Sequence[Level], levels: Sequence[Level], advice: Advice | None) -> Any:
    """Everything, for a file; what is no number is null."""
    return {
        **about,
        "sizes": [_plain(asdict(each)) for each in sizes],
        "levels": [_plain(asdict(each)) for each in levels],
        "advice": None if advice is None else _plain(asdict(advice)),
    }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in values.items()}
