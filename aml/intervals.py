"""Series with intervals of their own: hourly and daily meters in one dataset have a model for each interval.

What a window of a day is, how rows are missing and how fast things change hangs on the interval; a mixture of them has
none. So series are told apart by theirs, and each group is learnt as if the others were not there. A series that was
not learnt is judged by the model whose interval is nearest to that of its own last rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from aml.detection.calendar import Calendar
from aml.detection.hours import elapsed
from aml.detection.series import Ordered
from aml.rows import Codes, Floats, Rows, Times

_APART = 1.5  # times as long, and it is another interval
_ROWS_LEAST = 100  # fewer are not learnt by themselves
_LOOKED_BACK = 7  # steps of an unknown series: within the least context that a detector has


@dataclass(frozen=True, eq=False)
class Routes:
    """Which model judges which series.

    Attributes:
        intervals: microseconds, one for each model, that of most rows first.
        model: number of the model by the series' name; those of the first one are left out.
        named: the names of all series that were learnt.
    """

    intervals: tuple[int, ...]
    model: Mapping[str, int]
    named: frozenset[str]
    calendar: Calendar

    @classmethod
    def of(cls, rows: Rows, calendar: Calendar) -> Routes:
        """Those of training data."""
        ordered = Ordered.of(rows)
        names = rows.names_of(rows.series[ordered.order[ordered.begin == ordered.at]])
        usual = _usual(ordered, calendar, len(names))
        count = np.bincount(ordered.code, minlength=len(names))
        group = _grouped(usual, count)
        sizes = np.bincount(group, count)
        ranks = np.argsort(-sizes, kind="stable")
        place = np.empty(len(ranks), dtype=np.int64)
        place[ranks] = np.arange(len(ranks))
        model = {name: int(place[each]) for name, each in zip(names, group.tolist(), strict=True) if place[each]}
        # of each group that of its longest series
        intervals = tuple(int(usual[np.where(group == each, count, -1).argmax()]) for each in ranks.tolist())
        return cls(intervals, model, frozenset(names), calendar)

    def to(self, rows: Rows) -> Codes:
        """The number of the model for each row, in the order given."""
        if len(self.intervals) == 1:
            return np.zeros(len(rows), dtype=np.int64)
        ordered = Ordered.of(rows)
        names = rows.names_of(rows.series[ordered.order[ordered.begin == ordered.at]])
        by_series = np.array([self.model.get(name, 0) for name in names], dtype=np.int64)
        strange = np.array([name not in self.named for name in names], dtype=bool)[ordered.code]
        found = by_series[ordered.code]
        if strange.any():
            found = np.where(strange, self._nearest(ordered), found)
        given = np.empty_like(found)
        given[ordered.order] = found
        return given

    def _nearest(self, rows: Ordered) -> Codes:
        """By the median step of each row's last rows; the first model where there is none."""
        step = _steps(rows, self.calendar)
        last = np.stack([rows.lag(step, back, np.inf) for back in range(_LOOKED_BACK)], axis=1)
        last = np.sort(np.where(last > 0, last, np.inf), axis=1)
        count = (last < np.inf).sum(axis=1)
        median = last[np.arange(len(rows)), np.maximum(count - 1, 0) // 2]
        known = np.where(count > 0, median, float(self.intervals[0]))
        away = np.abs(np.log(known)[:, None] - np.log(np.array(self.intervals, dtype=np.float64)))
        nearest: Codes = away.argmin(axis=1).astype(np.int64)
        return nearest


class SeriesPipeline(Pipeline):  # type: ignore[misc] # scikit-learn has no type information
    """The pipeline of the series with the commonest interval, and beside it one for each other interval.

    Attributes:
        routes_: which of them judges which row.
        others_: those for the other intervals, in the order of `routes_.intervals`.
    """

    def fit(self, X: Rows, y: None = None, **params: Any) -> Self:
        signals = self.named_steps["signals"]
        self.routes_ = Routes.of(X, Calendar.of(signals.timezone, signals.holidays))
        to = self.routes_.to(X)
        plain = [clone(Pipeline(self.steps)) for _ in self.routes_.intervals[1:]]
        self.others_ = tuple(
            each.fit(X.take(np.flatnonzero(to == number))) for number, each in enumerate(plain, start=1)
        )
        super().fit(X if not self.others_ else X.take(np.flatnonzero(to == 0)), y, **params)
        for other in self.others_:
            # one threshold for all; by a share of rows it is the same, and by alarms a week that of most rows
            other.named_steps["detector"].warn_above(self.named_steps["detector"].threshold_)
        return self

    def score_samples(self, X: Rows) -> Floats:
        if not self.others_:
            plain: Floats = super().score_samples(X)
            return plain
        score = np.empty(len(X))
        for number, (rows, here) in parts_of(self.routes_, X).items():
            pipeline = Pipeline(self.steps) if number == 0 else self.others_[number - 1]
            score[rows[here]] = pipeline.score_samples(X.take(rows))[here]
        return score

    def predict(self, X: Rows, **params: Any) -> NDArray[np.int64]:
        if not self.others_:
            plain: NDArray[np.int64] = super().predict(X, **params)
            return plain
        return np.where(self.score_samples(X) + self.named_steps["detector"].threshold_ < 0, -1, 1)


def parts_of(routes: Routes, rows: Rows) -> dict[int, tuple[NDArray[np.intp], NDArray[np.bool_]]]:
    """By number of the model the rows that it must see, which are whole series, and which of these it judges."""
    to = routes.to(rows)
    parts = {}
    for number in np.unique(to).tolist():
        seen = np.flatnonzero(np.isin(rows.series, rows.series[to == number]))
        parts[int(number)] = seen, to[seen] == number
    return parts


def commonest(rows: Rows, timezone: str | None, holidays: str | None) -> Rows:
    """The rows of the series with the commonest interval."""
    routes = Routes.of(rows, Calendar.of(timezone, holidays))
    return rows if len(routes.intervals) == 1 else rows.take(np.flatnonzero(routes.to(rows) == 0))


def _steps(rows: Ordered, calendar: Calendar) -> Floats:
    """From the row before to each row; 0 where a series begins."""
    step: Times = np.zeros(len(rows), dtype=np.int64)
    step[1:] = elapsed(calendar, rows.time[:-1], rows.time[1:])
    return np.where(rows.at > rows.begin, step, 0).astype(np.float64)


def _usual(rows: Ordered, calendar: Calendar, series: int) -> Floats:
    """The median step of each series; 0 where there is none."""
    step = _steps(rows, calendar)
    there = step > 0
    order = np.lexsort((step[there], rows.code[there]))
    count = np.bincount(rows.code[there], minlength=series)
    begin = np.cumsum(count) - count
    ordered = np.append(step[there][order], 0.0)
    return np.where(count > 0, ordered[begin + np.maximum(count - 1, 0) // 2], 0.0)


def _grouped(usual: Floats, count: NDArray[np.intp]) -> Codes:
    """A number for each series; one for those whose intervals are alike, that of most rows for groups of few rows."""
    group, begins, number = np.zeros(len(usual), dtype=np.int64), 0.0, 0
    for at in np.argsort(usual, kind="stable").tolist():
        if 0 < begins * _APART < usual[at]:
            number, begins = number + 1, usual[at]
        begins = begins or usual[at]
        group[at] = number
    sizes = np.bincount(group, count)
    most = int(sizes.argmax())
    group = np.where(sizes[group] < _ROWS_LEAST, most, group)
    numbers: Codes = np.unique(group, return_inverse=True)[1].astype(np.int64)
    return numbers
