"""What is usual for each series, and rows against it: the first step of the detector's pipeline.

What `fit_transform` returns is cross-fitted: each stretch of the training data is seen against a profile that was
learnt without it, as rows will be that are yet to come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from aml.detection.calendar import Calendar
from aml.detection.channels import Signals, signals
from aml.detection.folds import depth_of, folds_of, halves_of
from aml.detection.plan import Plan, usual_interval
from aml.detection.practice import Faulty, Practice
from aml.detection.profile import sizes
from aml.detection.response import Response, felt
from aml.detection.response import known as known_rows
from aml.detection.series import Integers, Ordered
from aml.detection.shape import Against, Seen, Shape
from aml.rows import Floats, Rows

_CONTEXT_LEAST = 8
_GROUPS = 3
_CROSSED_MOST = 150_000


@dataclass(frozen=True, eq=False)
class Look:
    """Rows as the detector sees them: in order, against a shape (which is None for cross-fitted rows), and signals.

    Attributes:
        strangers: the same meters, each as one sees it who has learnt others; of cross-fitted rows only.
        known: where numbers from outside say what to expect; None: everywhere, or there are no such numbers.
        without: the same rows as one sees them who knows no such numbers, where there are rows without.
        ahead: of a short history each half, as one sees it who has learnt the other; of cross-fitted rows only.
        practice: faults that were put into the rows; of cross-fitted rows only, and not of a short history.
    """

    rows: Ordered
    plan: Plan
    signals: Signals
    against: Against | None = None
    strangers: Sequence[Look] = ()
    known: NDArray[np.bool_] | None = None
    without: Look | None = None
    ahead: Sequence[Look] = ()
    practice: Practice | None = None

    @property
    def strange(self) -> NDArray[np.bool_]:
        """Which rows are of series that the training data do not have."""
        if self.against is None:
            return np.zeros(len(self.rows), dtype=bool)
        cells = self.against.seen.cells
        return cells.code >= cells.series


class SeasonalSignals(TransformerMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no type information
    """What is usual at each hour of the week, and rows against it.

    Args:
        outside: whether what is usual may follow `Rows.outside`. Where it does, everything is learnt once more without,
            for rows for which these numbers are missing.
    """

    def __init__(
        self,
        context_rows: int = 696,
        timezone: str | None = None,
        holidays: str | None = None,
        outside: bool = True,
    ) -> None:
        self.context_rows = context_rows
        self.timezone = timezone
        self.holidays = holidays
        self.outside = outside

    def fit(self, X: Rows, y: None = None) -> Self:
        self.fit_transform(X)
        return self

    def fit_transform(self, X: Rows, y: None = None) -> Look:
        """Learn, and the signals that rows unseen would have: `fit(X).transform(X)` sees smaller residuals.

        Of very many rows, only some series are looked at again.
        """
        look = self._learnt(X)
        if self.response_ is None:
            return look
        self.without_ = SeasonalSignals(**{**self.get_params(), "outside": False})
        return replace(look, without=self.without_.fit_transform(X))

    def _learnt(self, X: Rows) -> Look:
        seen, fold = self._fit(X)
        if len(X) <= _CROSSED_MOST or len(self.names_) == 1:
            return self._with_others(self._crossed(seen, fold, X), X)
        count = max(1, int(len(self.names_) * _CROSSED_MOST / len(X)))
        picked = np.linspace(0, len(self.names_) - 1, count).astype(np.int64)
        some = X.take(np.sort(seen.rows.order[np.isin(seen.rows.code, picked)]))
        return SeasonalSignals(**self.get_params())._crossed_alone(some)

    def _crossed_alone(self, X: Rows) -> Look:
        return self._with_others(self._crossed(*self._fit(X), X), X)

    def _with_others(self, look: Look, X: Rows) -> Look:
        code, groups = np.unique(X.series, return_inverse=True)[1], min(_GROUPS, len(self.names_))
        strangers = [code % groups == group for group in range(groups)] if groups > 1 else []
        return replace(look, strangers=self._left_out(X, strangers), ahead=self._left_out(X, halves_of(X.time)))

    def _left_out(self, X: Rows, parts: Sequence[NDArray[np.bool_]]) -> list[Look]:
        """Each part of the rows against what the others teach, of what the whole teaches something of."""
        looks, given = [], {**self.get_params(), "outside": self.response_ is not None}
        for out in parts:
            others = SeasonalSignals(**given)
            others._fit(X.take(np.flatnonzero(~out)))
            looks.append(others.transform(X.take(np.flatnonzero(out))))
        return looks

    def transform(self, X: Rows) -> Look:
        seen, known = self._given(X)
        against = Against(seen, self.shape_, self.calendar_)
        without = None if known is None or known.all() or not hasattr(self, "without_") else self.without_.transform(X)
        return Look(seen.rows, self.plan_, signals(against), against, (), known, without)

    def _given(self, X: Rows) -> tuple[Seen, NDArray[np.bool_] | None]:
        """The rows as what was learnt has them, and which of them have numbers from outside, if such were learnt."""
        rows = Ordered.of(X)
        seen = self._seen(rows, X)
        if self.response_ is None:
            return seen, None
        feels, known = self._felt(rows, X)
        return replace(seen, driven=self.response_.of(seen.cells, feels)), known

    def _felt(self, rows: Ordered, X: Rows) -> tuple[list[Floats], NDArray[np.bool_]]:
        """The numbers from outside, and for which rows they are there: for none where there are others than were
        learnt from, as in rows that were held out under another contract."""
        columns = None if self.response_ is None else len(self.response_.knots)
        if X.outside is None or columns not in (None, X.outside.shape[1]):
            outside = np.full((len(X), columns or 1), np.nan)
        else:
            outside = X.outside[rows.order]
        feels = felt(rows, outside, self.plan_)
        return feels, known_rows(rows, outside, feels, self.plan_)

    def _seen(self, rows: Ordered, X: Rows) -> Seen:
        names = X.names_of(X.series[rows.order[rows.begin == rows.at]])
        known = {name: code for code, name in enumerate(self.names_)}
        # Where the training data tell no series apart, whatever is asked about is the one that they hold.
        other = 0 if self.names_ == ("",) else len(known)
        code = np.array([known.get(name, other) for name in names], dtype=np.int64)[rows.code]
        return Seen.of(rows, code, self.sizes_, self.calendar_, self.plan_)

    def _fit(self, X: Rows) -> tuple[Seen, Integers]:
        if self.context_rows < _CONTEXT_LEAST:
            raise ValueError(f"the detector needs at least {_CONTEXT_LEAST} rows of context")
        rows = Ordered.of(X)
        self.calendar_ = Calendar.of(self.timezone, self.holidays)
        self.plan_ = Plan(usual_interval(rows.time, rows.code, self.calendar_), self.context_rows)
        self.names_ = tuple(X.names_of(X.series[rows.order[rows.begin == rows.at]]))
        self.sizes_ = sizes(rows.value, rows.code, len(self.names_))
        seen = Seen.of(rows, rows.code, self.sizes_, self.calendar_, self.plan_)
        seen = self._driven(seen, X)
        fold = folds_of(rows)
        self.depth_ = depth_of(seen, self.plan_, fold)
        self.shape_ = Shape.fit(seen, self.plan_, seen.rows.clean, self.depth_)
        return seen, fold

    def _driven(self, seen: Seen, X: Rows) -> Seen:
        """Learns how values follow numbers from outside, where most rows have them, and from these rows alone."""
        self.response_: Response | None = None
        if not self.outside or X.outside is None:
            return seen
        feels, known = self._felt(seen.rows, X)
        use = seen.rows.clean & known
        if use.sum() < max(self.plan_.week, seen.rows.clean.sum() // 2):
            return seen
        self.response_ = Response.fit(seen.bent, seen.cells, feels, use)
        return replace(seen, rows=replace(seen.rows, clean=use), driven=self.response_.of(seen.cells, feels))

    def _crossed(self, seen: Seen, fold: Integers, X: Rows) -> Look:
        parts: list[tuple[NDArray[np.bool_], Signals]] = []
        faulty, practised = Faulty.of(X.take(seen.rows.order), seen.rows, self.plan_), []
        for number in range(int(fold.max()) + 1):
            out = fold == number
            if out[seen.rows.clean].all():
                return Look(seen.rows, self.plan_, signals(Against(seen, self.shape_, self.calendar_)))
            shape = Shape.fit(seen, self.plan_, ~out & seen.rows.clean, self.depth_)
            parts.append((out, signals(Against(seen, shape, self.calendar_))))
            if faulty is not None and len(some := faulty.within(out)):
                practised.append(self._practised(some, shape))
        first = parts[0][1]
        whole = Signals(first.statistics.copy(), first.ordinary.copy(), first.levels.copy(), first.residuals.copy())
        for out, part in parts[1:]:
            whole.statistics[:, out] = part.statistics[:, out]
            whole.ordinary[out] = part.ordinary[out]
            whole.levels[out], whole.residuals[out] = part.levels[out], part.residuals[out]
        return Look(seen.rows, self.plan_, whole, practice=Practice.joined(practised) if practised else None)

    def _practised(self, faulty: Faulty, shape: Shape) -> Practice:
        """Faults against what was learnt without the rows that they were put into."""
        seen, _ = self._given(faulty.rows)
        found = signals(Against(seen, shape, self.calendar_))
        return Practice.of(seen.rows, faulty.origin[seen.rows.order] >= 0, found, self.plan_)
