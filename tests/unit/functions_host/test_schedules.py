"""NCRONTAB: seconds first, both day fields must hold, nothing that only cron knows."""

from __future__ import annotations

from datetime import datetime

import pytest

from local.functions.errors import ConfigurationError
from local.functions.schedules import parse_schedule


def at(text: str) -> datetime:
    return datetime.fromisoformat(text + "+00:00")


@pytest.mark.parametrize(
    ("expression", "now", "following"),
    [
        ("*/10 * * * * *", "2026-01-01T00:00:05", "2026-01-01T00:00:10"),
        ("0 */5 * * * *", "2026-01-01T00:00:05", "2026-01-01T00:05:00"),
        ("30 0 6 * * 1-5", "2026-01-02T06:00:30", "2026-01-05T06:00:30"),
        ("0 0 9 * Feb Mon", "2026-01-01T00:00:00", "2026-02-02T09:00:00"),
        ("*/5 * * * *", "2026-01-01T00:00:05", "2026-01-01T00:05:00"),
        # the 13th and a Friday, where cron would take either
        ("0 0 0 13 * 5", "2026-01-01T00:00:00", "2026-02-13T00:00:00"),
        ("00:30:00", "2026-01-01T00:00:05", "2026-01-01T00:30:05"),
    ],
)
def test_the_next_occurrence(expression: str, now: str, following: str) -> None:
    assert parse_schedule(expression)(at(now)) == at(following)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "every minute",
        "* * * *",
        "60 * * * * *",
        "0 0 0 31 2 *",
        "@hourly",
        "0 0 0 L * *",
        "0 0 0 ? * *",
        "0 0 0 * * 7",
        "0 0 0 * * * 2027",
        "00:00:00",
        "1:2:x",
    ],
)
def test_what_is_no_schedule_is_refused(expression: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_schedule(expression)
