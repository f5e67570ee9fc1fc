"""When a timer fires: NCRONTAB expressions and time spans, in UTC as in the cloud."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta

from croniter import CroniterError, croniter

from local.functions.configuration import time_span
from local.functions.errors import ConfigurationError

Schedule = Callable[[datetime], datetime]
"""From a moment (aware) to the first occurrence after it."""

# croniter knows more than NCRONTAB (aliases as @hourly, L, #, ?, hashes, a field of years); the cloud does not.
_FIELD = re.compile(r"[\d*,/\-A-Za-z]+")
_FOREIGN = re.compile(r"(?<![A-Za-z])[LWHRlwhr](?![A-Za-z])")


def parse_schedule(expression: str) -> Schedule:
    """Read a timer's schedule: six NCRONTAB fields (seconds first), five without seconds, or a span as `00:05:00`.

    Raises:
        ConfigurationError: it is none of these, or never comes true.
    """
    text = expression.strip()
    if ":" in text:
        return _every(expression)
    fields = text.split()
    if len(fields) not in (5, 6):
        raise ConfigurationError(
            f"{expression!r} is not a timer schedule: it has {len(fields)} fields, and NCRONTAB has six "
            "(second minute hour day month day-of-week)"
        )
    if any(not _FIELD.fullmatch(f) or _FOREIGN.search(f) for f in fields) or re.search(r"(?<!/)\b[7-9]\b", fields[-1]):
        raise ConfigurationError(
            f"{expression!r} is not a timer schedule: NCRONTAB knows numbers, names and * , - / only"
        )

    def following(moment: datetime) -> datetime:
        # In NCRONTAB a day must satisfy both day fields; in cron, and by default in croniter, one of them is enough.
        iterator = croniter(text, moment, second_at_beginning=len(fields) == 6, day_or=False)
        occurrence: datetime = iterator.get_next(datetime)
        return occurrence

    try:
        following(datetime.fromisoformat("2026-01-01T00:00:00+00:00"))
    except (CroniterError, ValueError) as error:
        raise ConfigurationError(f"{expression!r} is not a timer schedule: {error}") from error
    return following


def _every(expression: str) -> Schedule:
    seconds = time_span(expression)
    if seconds <= 0:
        raise ConfigurationError(f"{expression!r} is not a timer schedule: the span must be longer than nothing")
    return lambda moment: moment + timedelta(seconds=seconds)
