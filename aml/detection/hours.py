"""The hours of a week, each of which has a profile of its own; public holidays have the hours of a Sunday."""

from __future__ import annotations

import numpy as np

from aml.detection.calendar import DAY_US, Calendar
from aml.rows import Codes, Times

HOUR_US = DAY_US // 24
SLOTS = 168
_SUNDAY = 6  # and `calendar.HOLIDAY` is 7


def hour_of_week(calendar: Calendar, time: Times) -> Codes:
    """0 for a Monday's first hour to 167 for a Sunday's last; shape of `time`."""
    return np.minimum(calendar.day_type(time), _SUNDAY) * 24 + time // HOUR_US % 24


def elapsed(calendar: Calendar, earlier: Times, later: Times) -> Times:
    """Microseconds from one local time to a later one, without those that the clock leaves out."""
    return later - earlier - calendar.never_between(earlier, later)
