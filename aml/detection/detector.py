"""The detector: channels, two isolation forests among them, calibrated one by one and together.

Two steps of a scikit-learn pipeline. `SeasonalSignals` turns `Rows` into `Signals`; what its `fit_transform` returns
is cross-fitted: each stretch of the training data is seen against a profile that was learnt without it, as rows will
be that are yet to come. `CalibratedDetector` fits forests and calibration to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin, TransformerMixin
from sklearn.ensemble import IsolationForest

from aml.detection.answers import detections
from aml.detection.calendar import Calendar
from aml.detection.channels import CHANNELS, FORESTS, Signals, signals
from aml.detection.episodes import WEEK_US, Beginnings, Frequency
from aml.detection.findings import Detections
from aml.detection.folds import depth_of, folds_of
from aml.detection.plan import Plan, usual_interval
from aml.detection.profile import sizes
from aml.detection.series import Integers, Ordered, fixed
from aml.detection.shape import Against, Seen, Shape
from aml.detection.tails import Tail
from aml.rows import Floats, Rows

_CONTEXT_LEAST = 8
_GROUPS = 3
_CROSSED_MOST = 150_000
_ALL = (*CHANNELS, *FORESTS)


@dataclass(frozen=True, eq=False)
class Look:
    """Rows as the detector sees them: in order, against a shape (which is None for cross-fitted rows), and signals.

    Attributes:
        strangers: the same meters, each as one sees it who has learnt others; of cross-fitted rows only.
    """

    rows: Ordered
    plan: Plan
    signals: Signals
    against: Against | None = None
    strangers: Sequence[Look] = ()

    @property
    def strange(self) -> NDArray[np.bool_]:
        """Which rows are of series that the training data do not have."""
        if self.against is None:
            return np.zeros(len(self.rows), dtype=bool)
        cells = self.against.seen.cells
        return cells.code >= cells.series


class SeasonalSignals(TransformerMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no type information
    """What is usual at each hour of the week, and rows against it."""

    def __init__(self, context_rows: int = 696, timezone: str | None = None, holidays: str | None = None) -> None:
        self.context_rows = context_rows
        self.timezone = timezone
        self.holidays = holidays

    def fit(self, X: Rows, y: None = None) -> Self:
        self._fit(X)
        return self

    def fit_transform(self, X: Rows, y: None = None) -> Look:
        """Learn, and the signals that rows unseen would have: `fit(X).transform(X)` sees smaller residuals.

        Of very many rows, only some series are looked at again.
        """
        seen, fold = self._fit(X)
        if len(X) <= _CROSSED_MOST or len(self.names_) == 1:
            return replace(self._crossed(seen, fold), strangers=self._strangers(X))
        count = max(1, int(len(self.names_) * _CROSSED_MOST / len(X)))
        picked = np.linspace(0, len(self.names_) - 1, count).astype(np.int64)
        some = X.take(np.sort(seen.rows.order[np.isin(seen.rows.code, picked)]))
        return SeasonalSignals(**self.get_params())._crossed_alone(some)

    def _crossed_alone(self, X: Rows) -> Look:
        return replace(self._crossed(*self._fit(X)), strangers=self._strangers(X))

    def _strangers(self, X: Rows) -> list[Look]:
        """Each series against what the others teach; nothing where there is but one."""
        if len(self.names_) == 1:
            return []
        looks = []
        code = np.unique(X.series, return_inverse=True)[1]
        groups = min(_GROUPS, len(self.names_))
        for group in range(groups):
            out = code % groups == group
            others = SeasonalSignals(**self.get_params())
            others._fit(X.take(np.flatnonzero(~out)))
            looks.append(others.transform(X.take(np.flatnonzero(out))))
        return looks

    def transform(self, X: Rows) -> Look:
        rows = Ordered.of(X)
        against = Against(self._seen(rows, X), self.shape_, self.calendar_)
        return Look(rows, self.plan_, signals(against), against)

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
        fold = folds_of(rows)
        self.depth_ = depth_of(seen, self.plan_, fold)
        self.shape_ = Shape.fit(seen, self.plan_, rows.clean, self.depth_)
        return seen, fold

    def _crossed(self, seen: Seen, fold: Integers) -> Look:
        parts: list[tuple[NDArray[np.bool_], Signals]] = []
        for number in range(int(fold.max()) + 1):
            out = fold == number
            if out[seen.rows.clean].all():
                return Look(seen.rows, self.plan_, signals(Against(seen, self.shape_, self.calendar_)))
            shape = Shape.fit(seen, self.plan_, ~out & seen.rows.clean, self.depth_)
            parts.append((out, signals(Against(seen, shape, self.calendar_))))
        first = parts[0][1]
        whole = Signals(first.statistics.copy(), first.ordinary.copy(), first.levels.copy(), first.residuals.copy())
        for out, part in parts[1:]:
            whole.statistics[:, out] = part.statistics[:, out]
            whole.ordinary[out] = part.ordinary[out]
            whole.levels[out], whole.residuals[out] = part.levels[out], part.residuals[out]
        return Look(seen.rows, self.plan_, whole)


class Forest(Protocol):
    """Who evaluates a fitted forest."""

    def scores(self, features: NDArray[np.float32]) -> Floats:
        """How strange each row is, 0 to 1."""
        ...


@dataclass(frozen=True, eq=False)
class Rarity:
    """How seldom rows are: of each channel, recalibrated, shape (channels, n), and together."""

    channels: Floats
    speaker: NDArray[np.intp]
    score: Floats


class CalibratedDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no type information
    """Channels to one score: minus the decimal logarithm of the share of clean rows that are as strange.

    Args:
        n_estimators: trees of both forests together.
        max_samples, max_features, random_state: of each forest, as `IsolationForest` has them.
        contamination: share of clean rows beyond the threshold.
        alarms_per_week: how many episodes of a series shall begin in a week of clean rows; sets the threshold in the
            place of `contamination` where it is given.
        channels: names of those that may speak; None: all.
        recalibrate: whether fast channels are measured against the rows of the weeks before.
        together: how much of the sum of all channels' rarities is added to the largest.
        lasting: what a row's score is multiplied by where it is no higher than all of the day before: what goes on
            was said when it began. 1: nothing is taken off.
    """

    def __init__(
        self,
        n_estimators: int = 300,
        max_samples: int | float | str = "auto",
        max_features: float = 1.0,
        contamination: float = 0.01,
        random_state: int | None = None,
        channels: Sequence[str] | None = None,
        recalibrate: bool = True,
        together: float = 0.1,
        lasting: float = 0.6,
        alarms_per_week: float | None = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.max_features = max_features
        self.contamination = contamination
        self.random_state = random_state
        self.channels = channels
        self.recalibrate = recalibrate
        self.together = together
        self.lasting = lasting
        self.alarms_per_week = alarms_per_week

    def fit(self, X: Look, y: None = None) -> Self:
        clean = X.rows.clean
        self.forests_ = [self._forest().fit(inputs[clean]) for inputs in (X.signals.levels, X.signals.residuals)]
        statistics = self._statistics(X, self._plain_forests())
        self.tails_ = [
            Tail.fit(line[clean], max(1.0, channel.memory * X.plan.day), channel.unit)
            for channel, line in zip(_ALL, statistics, strict=True)
        ]
        self._calibrate(X, self._rarities(X, statistics))
        self.strange_ = self._strange_tail(X.strangers)
        return self

    def like(self, X: Look, rarities: Floats, **others: Any) -> CalibratedDetector:
        """A detector with the forests and tails of this one and other `channels`, `together` or `lasting`: what `fit`
        would give of `X`, whose `rarities` are known, but for what it says of series that were not learnt from."""
        sibling = CalibratedDetector(**{**self.get_params(), **others})
        sibling.forests_, sibling.tails_, sibling.strange_ = self.forests_, self.tails_, None
        sibling._calibrate(X, rarities)
        return sibling

    def _calibrate(self, X: Look, rarities: Floats) -> None:
        """What comes after forests and tails."""
        clean, found = X.rows.clean, self._news(X, self._speaking(rarities))
        self.together_ = Tail.fit(found[clean])
        begin = Beginnings.of(X.rows, self.together_.of(found)).take(clean)
        self.frequency_ = Frequency.fit(begin, max(int(clean.sum()) * X.plan.interval / WEEK_US, 1e-9))
        self.threshold_ = self.threshold_at(self.contamination, self.alarms_per_week)
        self.ordinary_ = float(np.quantile(X.signals.ordinary[clean], 1 - self.contamination))

    def threshold_at(self, contamination: float, alarms_per_week: float | None = None) -> float:
        """The threshold for another budget."""
        if alarms_per_week is None:
            return threshold_of(contamination)
        return self.frequency_.threshold_for(alarms_per_week)

    def rarities(self, X: Look, forests: Sequence[Forest]) -> Floats:
        """How seldom each channel is, whether it may speak or not, shape (channels, n)."""
        return self._rarities(X, self._statistics(X, forests))

    def scores(self, X: Look, rarities: Floats) -> Floats:
        """Those of `detect`, unrounded, of rows whose `rarities` are known."""
        score = np.empty(len(X.rows))
        score[X.rows.order] = self._score(X, self._news(X, self._speaking(rarities)))
        return score

    def rarity(self, X: Look, forests: Sequence[Forest]) -> Rarity:
        """Args:
        forests: evaluate `forests_`, in their order.
        """
        channels = self._speaking(self.rarities(X, forests))
        # Beyond what makes an alarm alone, all are sure enough: the first of them says what it is.
        sure = self.together_.value_at(self.threshold_) / (1.0 + self.together)
        first = np.minimum(channels, sure).argmax(axis=0)
        speaker = np.where(_ruled(channels), _RULES[channels[_RULES].argmax(axis=0)], first)
        return Rarity(channels, speaker, self._score(X, self._news(X, channels)))

    def detect(self, X: Look, forests: Sequence[Forest]) -> Detections:
        """What is said of each row, in the order of the rows that were given."""
        if X.against is None:
            raise ValueError("cross-fitted rows are there to be learnt from")
        found = self.rarity(X, forests)
        return detections(X.against, found.speaker, found.score, self.threshold_, self.ordinary_)

    def score_samples(self, X: Look) -> Floats:
        """Minus the score, in the order of the rows that were given."""
        score = np.empty(len(X.rows))
        score[X.rows.order] = -np.round(self.rarity(X, self._plain_forests()).score, 6)
        return score

    def decision_function(self, X: Look) -> Floats:
        return self.score_samples(X) + self.threshold_

    def predict(self, X: Look) -> NDArray[np.int64]:
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _news(self, X: Look, channels: Floats) -> Floats:
        """The strongest channel and some of all, less where nothing new is said; above all others what rules found."""
        found = _tamed(channels).max(axis=0)
        for channel in channels:  # one by one: the same bits for any number of rows
            found = found + self.together * np.minimum(channel, _SUMMED_MOST)
        highest = -X.rows.lag(X.rows.lowest(-found, X.plan.news), 1, np.inf)
        found = np.where(found > highest, found, self.lasting * found)
        ruled: Floats = np.where(_ruled(channels), np.maximum(found, _RULED), found)
        return ruled

    def _strange_tail(self, looks: Sequence[Look]) -> Tail | None:
        """The last calibration, of series that were not learnt from: they are strange more often."""
        forests = self._plain_forests()
        found = [self._news(look, self._speaking(self.rarities(look, forests)))[look.rows.clean] for look in looks]
        return Tail.fit(np.concatenate(found)) if found else None

    def _score(self, X: Look, found: Floats) -> Floats:
        score: Floats = self.together_.of(found)
        strange = X.strange
        if not strange.any():
            return score
        if self.strange_ is None:
            return score / np.where(strange, _MARGIN, 1.0)
        careful: Floats = np.where(strange, np.minimum(self.strange_.of(found), score), score)
        return careful

    def _forest(self) -> IsolationForest:
        return IsolationForest(
            n_estimators=max(1, -(-self.n_estimators // 2)),
            max_samples=self.max_samples,
            max_features=self.max_features,
            random_state=self.random_state,
        )

    def _plain_forests(self) -> list[Forest]:
        return [_Plain(forest) for forest in self.forests_]

    def _statistics(self, X: Look, forests: Sequence[Forest]) -> Floats:
        by_forest = [forests[0].scores(X.signals.levels), forests[1].scores(X.signals.residuals)]
        return np.vstack([X.signals.statistics, *by_forest])

    def _speaking(self, rarities: Floats) -> Floats:
        """Nothing of the channels that may not speak."""
        if self.channels is None:
            return rarities
        speaks = np.array([channel.name in self.channels for channel in _ALL])
        return np.where(speaks[:, None], rarities, 0.0)

    def _rarities(self, X: Look, statistics: Floats) -> Floats:
        out = np.zeros(statistics.shape)
        for number, (channel, tail) in enumerate(zip(_ALL, self.tails_, strict=True)):
            found = tail.of(statistics[number])
            if channel.fast and self.recalibrate:
                found = found / _heat(X.rows, found, X.plan)
            out[number] = found
        return out


def threshold_of(contamination: float) -> float:
    """The score beyond which this share of clean rows lies."""
    return float(-np.log10(contamination))


@dataclass(frozen=True)
class _Plain:
    forest: Any

    def scores(self, features: NDArray[np.float32]) -> Floats:
        found: Floats = -self.forest.score_samples(features)
        return found


_RULES = np.array([number for number, channel in enumerate(_ALL) if channel.name in ("gap", "duplicate")])
_MARGIN = 1.5  # of what was learnt from one series alone, for any other
_TAME_RARITY = 4.0  # what so many rows are known for; beyond it rarities are extrapolated, and count little
_SUMMED_MOST = 3.0
_RULED_LEAST, _RULED = 2.0, 6.0


def _ruled(channels: Floats) -> NDArray[np.bool_]:
    """Where a rule on the times speaks of what the training data hardly have."""
    found: NDArray[np.bool_] = channels[_RULES].max(axis=0) > _RULED_LEAST
    return found


def _tamed(rarity: Floats) -> Floats:
    beyond = np.maximum(rarity - _TAME_RARITY, 0.0)
    tamed: Floats = np.minimum(rarity, _TAME_RARITY) + 0.5 * np.log1p(beyond)
    return tamed


_MEAN = 0.4339  # of min(rarity, 3) where rarity is calibrated: (1 - 10^-3) / ln 10
_IMAGINED = 48.0


def _heat(rows: Ordered, rarity: Floats, plan: Plan) -> Floats:
    """How many times as rare as they should be the rows before seem: the scale of the exponential distribution that
    calibrated rarities have, estimated from recent ones; at least 1."""
    if not plan.recent:
        return np.ones(len(rows))
    sums = fixed(np.minimum(rarity, 3.0))
    count = rows.count(plan.recent, plan.day)
    total = rows.total(sums, plan.recent, plan.day)
    heat: Floats = np.maximum((total / _MEAN + _IMAGINED) / (count + _IMAGINED), 1.0)
    return heat
