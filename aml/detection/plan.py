"""How the windows of a detector fit into the rows of context that it is given, whatever the interval between rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aml.detection.calendar import DAY_US, Calendar
from aml.detection.hours import HOUR_US, elapsed
from aml.rows import Codes, Times


@dataclass(frozen=True)
class Plan:
    """Widths of windows, in rows.

    What a row is told depends on the row and on at most `context` rows before it. Each kind of window looks back from
    rows that themselves look back; the properties below add these depths up.

    Attributes:
        interval: microseconds from one row to the next, as a rule.
        context: rows before a row that may matter.
    """

    interval: int
    context: int

    @property
    def day(self) -> int:
        """Rows of a day, or as many as there is room for; of a week where a row is a day or longer."""
        rows = 7 if self.interval * 2 > DAY_US else round(DAY_US / self.interval)
        return max(1, min(rows, self.context // 7))

    @property
    def week(self) -> int:
        return min(7 * self.day, self.context // 4)

    @property
    def own(self) -> int:
        """Rows from which the size of a series is taken that the training data did not have."""
        return self.day

    @property
    def news(self) -> int:
        """Rows before a row that tell whether it says something new."""
        return self.day

    @property
    def weeks(self) -> int:
        """Rows that the quietest hours and the level of the last day are compared with; they end a day before."""
        return max(1, self.context - self.own - 4 * self.day - self.week - self.news)

    @property
    def run(self) -> int:
        """The longest run of equal values that is told from longer ones."""
        return max(1, self.context - self.news - 1)

    @property
    def lags(self) -> tuple[int, ...]:
        """Rows back at which a value helps to foresee the next one."""
        wanted = (1, 2, 3, self.day - 1, self.day, self.day + 1, self.week)
        return tuple(sorted({lag for lag in wanted if 0 < lag <= self.week}))

    @property
    def days(self) -> tuple[int, ...]:
        """Rows back at which it was the same time of day, for as many days as a week has."""
        return tuple(range(self.day, self.week + 1, self.day))

    @property
    def shift(self) -> int:
        """Slots by which a clock may be off; 0 where rows are too far apart to tell."""
        return 1 if self.interval <= HOUR_US else 0


def usual_interval(time: Times, code: Codes, calendar: Calendar) -> int:
    """The median distance of the rows of a series, over all series; an hour where there are no two rows.

    Args:
        time, code: in order of series and time.
    """
    apart = elapsed(calendar, time[:-1], time[1:])[code[1:] == code[:-1]]
    apart = np.sort(apart[apart > 0])
    return int(apart[(len(apart) - 1) // 2]) if len(apart) else HOUR_US
