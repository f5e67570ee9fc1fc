"""The detector: channels, two isolation forests among them, calibrated one by one and together.

The second of two steps of a scikit-learn pipeline: `SeasonalSignals` (`aml.detection.seasonal`) turns `Rows` into
signals, and `CalibratedDetector` fits forests and calibration to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.ensemble import IsolationForest

from aml.detection.answers import SCORE_DIGITS, detections
from aml.detection.channels import CHANNELS, FORESTS
from aml.detection.episodes import WEEK_US, Beginnings, Frequency
from aml.detection.findings import Detections
from aml.detection.lasting import Lasting, again, around, squeezed
from aml.detection.likeness import Likeness
from aml.detection.practice import Practice
from aml.detection.seasonal import Look
from aml.detection.series import Lines
from aml.detection.tails import Tail
from aml.rows import Floats

_ALL = (*CHANNELS, *FORESTS)


class Forest(Protocol):
    """Who evaluates a fitted forest."""

    def scores(self, features: NDArray[np.float32]) -> Floats:
        """How strange each row is, 0 to 1."""
        ...


@dataclass(frozen=True, eq=False)
class Rarity:
    """How seldom rows are: of each channel, and together; each of shape (n,).

    Attributes:
        speaker: position in `channels` of the one that says what a row is; 0 of rows that are not flagged.
    """

    channels: Lines
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
        together: how much of the sum of all channels' rarities is added to the largest.
        lasting: what a row's loudness is multiplied by where it is no higher than all of the day before: what goes on
            was said when it began. 1: nothing is taken off. See `Lasting`.
    """

    threshold_: float

    def __init__(
        self,
        n_estimators: int = 300,
        max_samples: int | float | str = "auto",
        max_features: float = 1.0,
        contamination: float = 0.01,
        random_state: int | None = None,
        channels: Sequence[str] | None = None,
        together: float = 0.15,
        lasting: float = 0.75,
        alarms_per_week: float | None = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.max_features = max_features
        self.contamination = contamination
        self.random_state = random_state
        self.channels = channels
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
        self.strange_ = self._tail_of(X.strangers)
        self.without_: CalibratedDetector | None = None
        if X.without is not None:
            self.without_ = CalibratedDetector(**self.get_params()).fit(X.without)
            self.warn_above(self.threshold_)
        return self

    def warn_above(self, threshold: float) -> None:
        """Set the threshold: one for all rows, whoever judges them. Scores are stretched, so that it stands for what
        the detector's own stood for."""
        if self.threshold_ > 0:
            self.stretch_ *= threshold / self.threshold_
        self.threshold_ = threshold
        if self.without_ is not None:
            self.without_.warn_above(threshold)

    def like(self, X: Look, rarities: Lines, **others: Any) -> CalibratedDetector:
        """A detector with the forests and tails of this one and other `channels`, `together` or `lasting`: what `fit`
        would give of `X`, whose `rarities` are known, but for what it says of series that were not learnt from."""
        sibling = CalibratedDetector(**{**self.get_params(), **others})
        sibling.forests_, sibling.tails_, sibling.strange_, sibling.without_ = self.forests_, self.tails_, None, None
        sibling._calibrate(X, rarities)
        return sibling

    def _calibrate(self, X: Look, rarities: Lines) -> None:
        """What comes after forests and tails."""
        clean, rarities = X.rows.clean, self._speaking(rarities)
        self.likeness_ = self._likeness(X, rarities)
        loud = self._loud(rarities)
        self.lasting_ = Lasting.fit(X, loud, self.lasting)
        found = self._news(X, loud, rarities).found
        self.together_, self.around_ = Tail.fit(found[clean]), Tail.fit(around(X, loud)[clean])
        begin = Beginnings.of(X.rows, self.together_.of(found)).take(clean)
        self.frequency_ = Frequency.fit(begin, max(int(clean.sum()) * X.plan.interval / WEEK_US, 1e-9))
        self.stretch_, self.ahead_ = 1.0, self._tail_of(X.ahead)
        asked = self._asked(self.contamination, self.alarms_per_week)
        # at other budgets the same, so that models asked for with different ones can be compared at one
        self.under_ = max(0.0, min(asked, _USUAL) - _UNDER)
        self.told_ = max(asked, _USUAL) + _TOLD
        self.threshold_ = self.threshold_at(self.contamination, self.alarms_per_week)
        self.raised_ = self.threshold_ / asked if asked > 0 else 1.0
        self.ordinary_ = float(np.quantile(X.signals.ordinary[clean], 1 - self.contamination))

    def _likeness(self, X: Look, rarities: Lines) -> Likeness | None:
        if X.practice is None:
            return None
        practice = X.practice
        practised = self._speaking(self._rarities(practice, self._statistics(practice, self._plain_forests())))
        return Likeness.fit(X.plan, (X.rows, rarities), (practice.rows, practised), practice.faulty)

    def threshold_at(self, contamination: float, alarms_per_week: float | None = None) -> float:
        """The threshold for another budget.

        Of a short history it is what rows of one half need that the other half judges: it has not shown every season,
        and rows between what was learnt are not rows to come.
        """
        asked = self._asked(contamination, alarms_per_week)
        if self.ahead_ is not None:
            asked = max(asked, float(self.together_.of(np.array([self.ahead_.value_at(asked)]))[0]))
        return asked * self.stretch_

    def _asked(self, contamination: float, alarms_per_week: float | None) -> float:
        if alarms_per_week is None:
            return threshold_of(contamination)
        return self.frequency_.threshold_for(alarms_per_week)

    def rarities(self, X: Look, forests: Sequence[Forest]) -> Lines:
        """How seldom each channel is, whether it may speak or not."""
        return self._rarities(X, self._statistics(X, forests))

    def scores(self, X: Look, rarities: Lines) -> Floats:
        """Those of `detect`, unrounded, of rows whose `rarities` are known."""
        score = np.empty(len(X.rows))
        score[X.rows.order] = self._score(X, self._speaking(rarities))
        return score

    def rarity(self, X: Look, forests: Sequence[Forest]) -> Rarity:
        """Args:
        forests: evaluate `forests_`, in their order.
        """
        channels = self._speaking(self.rarities(X, forests))
        score = self._score(X, channels)
        speaker = np.zeros(len(score), dtype=np.intp)
        flagged = np.flatnonzero(np.round(score, SCORE_DIGITS) > self.threshold_)
        speaker[flagged] = self._speaker(np.stack([line[flagged] for line in channels]))
        return Rarity(channels, speaker, score)

    def _speaker(self, channels: Floats) -> NDArray[np.intp]:
        """Beyond what makes an alarm alone, all are sure enough: the first of them says what it is."""
        loud, factor = self.together_.value_at(self.threshold_ / self.stretch_), 1.0 + self.together
        sure = loud / factor if self.likeness_ is None else self.likeness_.alone(loud, factor)
        first = np.minimum(channels, sure).argmax(axis=0)
        speaker: NDArray[np.intp] = np.where(_ruled(channels), _RULES[channels[_RULES].argmax(axis=0)], first)
        return speaker

    def detect(self, X: Look, forests: Sequence[Forest], without: Sequence[Forest] = ()) -> Detections:
        """What is said of each row, in the order of the rows that were given.

        Args:
            without: evaluate the forests of `without_`, where there is one.
        """
        if X.against is None:
            raise ValueError("cross-fitted rows are there to be learnt from")
        other, known = self._other(X)
        blind = other.detect(X.without, without) if other is not None and X.without is not None else None
        if blind is not None and not known.any():
            return blind
        found = self.rarity(X, forests)
        seeing = detections(X.against, found.speaker, found.score, self.threshold_, self.ordinary_)
        return seeing if blind is None else seeing.where(known[np.argsort(X.rows.order)], blind)

    def score_samples(self, X: Look) -> Floats:
        """Minus the score, in the order of the rows that were given."""
        score = np.empty(len(X.rows))
        score[X.rows.order] = -np.round(self.rarity(X, self._plain_forests()).score, 6)
        other, known = self._other(X)
        if other is None or X.without is None:
            return score
        return np.where(known[np.argsort(X.rows.order)], score, other.score_samples(X.without))

    def _other(self, X: Look) -> tuple[CalibratedDetector | None, NDArray[np.bool_]]:
        """Who judges rows of which no numbers from outside are known, if there are such rows; and the other rows."""
        known = np.ones(len(X.rows), dtype=bool) if X.known is None else X.known
        return (None if X.without is None else self.without_), known

    def decision_function(self, X: Look) -> Floats:
        return self.score_samples(X) + self.threshold_

    def predict(self, X: Look) -> NDArray[np.int64]:
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _loud(self, channels: Lines) -> Floats:
        """The strongest channel and some of all."""
        loud, some = _tamed(reduce(np.maximum, channels)), np.empty(len(channels[0]))
        for channel in channels:  # one by one: the same bits for any number of rows
            np.minimum(channel, _SUMMED_MOST, out=some)
            some *= self.together
            loud += some
        return loud

    def _news(self, X: Look, loud: Floats, channels: Lines) -> _News:
        """Less of what goes on, more of what looks like a fault; above all others what rules found."""
        found, goes_on = self.lasting_.of(X, loud)
        told = goes_on
        if self.likeness_ is not None:
            louder = self.likeness_.of(X.rows, channels)
            found, told = found + louder, goes_on & (louder == 0)
        ruled = _ruled(channels)
        told = np.where(ruled, again(X, ruled), told)
        over = goes_on & self.lasting_.back(X) & (_largest(channels, _RUNS) < _RUN_LEAST) & ~ruled
        found[ruled] = np.maximum(found[ruled], _RULED)
        return _News(found, told, over)

    def _tail_of(self, looks: Sequence[Look]) -> Tail | None:
        """The last calibration, of rows unlike those that were learnt from: they are strange more often. Rows that are
        judged without numbers from outside say nothing of those that are judged by them."""
        forests, found = self._plain_forests(), []
        for look in looks:
            use = look.rows.clean if look.known is None else look.rows.clean & look.known
            channels = self._speaking(self.rarities(look, forests))
            found.append(self._news(look, self._loud(channels), channels).found[use])
        return Tail.fit(every) if len(every := np.concatenate([*found, np.zeros(0)])) else None

    def _score(self, X: Look, channels: Lines) -> Floats:
        """Just under what makes an alarm rows rank by what is around them. Those that say no more than the day before
        them did rank below what is far out and new, however far out they are; an alarm stays one."""
        loud = self._loud(channels)
        news = self._news(X, loud, channels)
        found, over, goes_on = news.found, news.over, news.goes_on
        score: Floats = self.together_.of(found)
        told = max(self.told_, self.threshold_ / self.stretch_)
        score[goes_on] = squeezed(score[goes_on], told, told + _TOLD_WIDTH)
        score[over] = np.minimum(score[over], self.under_)
        beside = squeezed(self.around_.of(around(X, loud)), self.under_ - _SQUEEZED, self.under_)
        score = self._careful(X, found, np.maximum(score, beside))
        return score if self.stretch_ == 1 else score * self.stretch_

    def _careful(self, X: Look, found: Floats, score: Floats) -> Floats:
        """Less of series that were not learnt from."""
        strange = X.strange
        if not strange.any():
            return score
        if self.strange_ is None:
            return score / np.where(strange, _MARGIN, 1.0)
        # where the threshold is raised already, the two reasons for care are not added up
        careful: Floats = np.where(strange, np.minimum(self.strange_.of(found) * self.raised_, score), score)
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

    def _statistics(self, X: Look | Practice, forests: Sequence[Forest]) -> Lines:
        return [*X.signals.statistics, forests[0].scores(X.signals.levels), forests[1].scores(X.signals.residuals)]

    def _speaking(self, rarities: Lines) -> Lines:
        """Nothing of the channels that may not speak."""
        if self.channels is None:
            return rarities
        pairs = zip(_ALL, rarities, strict=True)
        return [line if channel.name in self.channels else np.zeros(len(line)) for channel, line in pairs]

    def _rarities(self, X: Look | Practice, statistics: Lines) -> Lines:
        return [tail.of(line) for tail, line in zip(self.tails_, statistics, strict=True)]


def threshold_of(contamination: float) -> float:
    """The score beyond which this share of clean rows lies."""
    return float(-np.log10(contamination))


@dataclass(frozen=True, eq=False)
class _News:
    """How loud rows are less what was said before, and of each row whether it says no more than that, and whether it is
    no more than the rest of it: its value is back."""

    found: Floats
    goes_on: NDArray[np.bool_]
    over: NDArray[np.bool_]


@dataclass(frozen=True)
class _Plain:
    forest: Any

    def scores(self, features: NDArray[np.float32]) -> Floats:
        found: Floats = -self.forest.score_samples(features)
        return found


_RULES = np.array([number for number, channel in enumerate(_ALL) if channel.name in ("gap", "duplicate")])
_RUNS = np.array([number for number, channel in enumerate(_ALL) if channel.name in ("stuck", "zero")])
_RUN_LEAST = 1.0  # rarity of a run that is no accident
_UNDER = 0.02  # below the threshold, what is no alarm by itself
_USUAL = 2.0  # threshold: one clean row in a hundred
_SQUEEZED = 0.15
_TOLD, _TOLD_WIDTH = 0.8, 0.1  # above the threshold, where what is no news ranks at the most
_MARGIN = 1.5  # of what was learnt from one series alone, for any other
_TAME_RARITY = 4.0  # what so many rows are known for; beyond it rarities are extrapolated, and count little
_SUMMED_MOST = 3.0
_RULED_LEAST, _RULED = 2.0, 15.0


def _largest(channels: Lines | Floats, which: Iterable[int]) -> Floats:
    """Of these channels, row by row."""
    found: Floats = np.maximum.reduce([channels[number] for number in which])
    return found


def _ruled(channels: Lines | Floats) -> NDArray[np.bool_]:
    """Where a rule on the times speaks of what the training data hardly have."""
    found: NDArray[np.bool_] = _largest(channels, _RULES) > _RULED_LEAST
    return found


def _tamed(rarity: Floats) -> Floats:
    tamed: Floats = np.minimum(rarity, _TAME_RARITY)
    beyond = np.flatnonzero(rarity > _TAME_RARITY)
    tamed[beyond] += 0.5 * np.log1p(rarity[beyond] - _TAME_RARITY)
    return tamed
