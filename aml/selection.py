"""Which of the contract's candidates a dataset's model is set up as: the one that finds most at the budget of alarms.

Candidates are fitted and judged within the rows that the evaluation of the final model does not hold out, as trials of
a search are: what the gate judges by, the choice has not seen. What is usual, the forests and the tails of the
channels are learnt once for all candidates with equal forests; what differs is which channels speak and how they are
put together.

Without labels, faults are injected into the held-out rows, with `SEEDS` other places and sizes. A candidate's recall
is the share of them with a row above the limit that the budget's share of the clean held-out rows lies above, so that
nothing is won by alerting more often. What counts is the mean over the seeds less their standard deviation. Of
candidates within `NEAR` of the best the one declared first is taken. Where enough held-out rows are labelled
(`aml.labelled`), the mean of the average precision and of the recall of labelled episodes at the budget counts instead.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aml.columns import InputError
from aml.contract import DatasetContract
from aml.contract.candidates import Candidate
from aml.detection.detector import CalibratedDetector, Forest
from aml.detection.episodes import WEEK_US, Beginnings, Frequency
from aml.detection.families import STEPS, steps_of
from aml.detection.seasonal import Look, SeasonalSignals
from aml.detection.series import Lines
from aml.evaluator import ForestEvaluator
from aml.forest import SEED, build_pipeline
from aml.holdout import Ground, Injected, TooFewRowsError, hold_out, remaining
from aml.intervals import commonest
from aml.labelled import Labelled, normal_rows
from aml.rows import Floats, Rows

SEEDS = (SEED, SEED + 1, SEED + 2)
PER_KIND = 10
"""Faults of each kind and seed: three seeds have more of them than the evaluation has."""
NEAR = 0.02


@dataclass(frozen=True)
class Budget:
    """How much may be said of clean rows: a share of them or, where that is given, new alarms a week."""

    contamination: float
    alarms_per_week: float | None = None

    def limit(self, look: Look, score: Floats, normal: NDArray[np.bool_]) -> float:
        """What such a part of the normal rows lies above; the rows of `look` are in order."""
        if self.alarms_per_week is None:
            return float(np.quantile(score[normal], 1 - self.contamination, method="higher"))
        weeks = max(int(normal.sum()) * look.plan.interval / WEEK_US, 1e-9)
        return Frequency.fit(Beginnings.of(look.rows, score).take(normal), weeks).threshold_for(self.alarms_per_week)

    def as_dict(self) -> dict[str, float]:
        """As it stands in metrics.json."""
        if self.alarms_per_week is None:
            return {"contamination": self.contamination}
        return {"alarms_per_week": self.alarms_per_week}


@dataclass(frozen=True)
class Tried:
    """What one candidate came to on the inner hold-out.

    Attributes:
        recalls: at the budget: of injected faults, by seed, or of labelled episodes, one number.
        average_precision: of the labelled rows; None where labels do not judge.
        alert_rate: share of clean held-out rows above the candidate's own threshold.
        worth: what it is chosen by.
        seconds: of the processor, with its part of what those with equal forests share.
    """

    candidate: Candidate
    recalls: tuple[float, ...]
    alert_rate: float
    worth: float
    seconds: float
    average_precision: float | None = None


@dataclass(frozen=True)
class Selected:
    """The candidate that was chosen, among which, and by what."""

    candidate: Candidate
    tried: tuple[Tried, ...]
    budget: Budget

    def as_dict(self) -> dict[str, Any]:
        """As it stands under `selection` in metrics.json."""
        return {
            "by": "injected faults" if self.tried[0].average_precision is None else "labels",
            "budget": self.budget.as_dict(),
            "seeds": list(SEEDS),
            "chosen": self.candidate.name,
            "candidates": [self._row(each) for each in self.tried],
        }

    def _row(self, tried: Tried) -> dict[str, Any]:
        best = max(each.worth for each in self.tried)
        chosen = tried.candidate is self.candidate
        near = tried.worth >= best - NEAR
        precision = tried.average_precision
        why = "chosen" if chosen else "as good, declared later" if near else "finds less"
        return {
            "name": tried.candidate.name,
            "parameters": tried.candidate.model_dump(mode="json", exclude={"name"}, exclude_none=True),
            "recalls": [round(recall, 4) for recall in tried.recalls],
            **({} if precision is None else {"average_precision": round(precision, 4)}),
            "worth": round(tried.worth, 4),
            "alert_rate": round(tried.alert_rate, 5),
            "seconds": round(tried.seconds, 2),
            "outcome": why,
        }


def select(rows: Rows, contract: DatasetContract, contamination: float) -> Selected:
    """Try the contract's candidates, of which there is at least one.

    Args:
        rows: in order of series and time.
        contamination: the budget, as a share of clean rows; as in `build_pipeline`, alarms may take its place.

    Raises:
        InputError: ``too_few_rows`` when nothing can be held out.
    """
    rows = commonest(rows, contract.timezone, contract.holidays)
    try:
        _, outer = hold_out(rows, contract.context_rows, SEED)
        inner = remaining(rows, outer)
        ground, fit = hold_out(inner, contract.context_rows, SEED)
    except TooFewRowsError as error:
        raise InputError("too_few_rows", f"The file cannot choose among candidates: {error}.") from error
    pipeline = build_pipeline(contract, contamination)
    detector: CalibratedDetector = pipeline.named_steps["detector"]
    signals: SeasonalSignals = pipeline.named_steps["signals"]
    learnt = replace(signals.fit_transform(remaining(inner, fit)), strangers=(), without=None)
    ground = ground.kept()
    clean = signals.transform(ground.rows)
    groups = _groups(detector, contract.candidates, learnt)
    budget = Budget(contamination, detector.alarms_per_week)
    for group in groups:
        group.see(clean, ground, budget)
    if Labelled.of(ground) is None:
        _inject(groups, ground, signals)
    tried = [contender.result() for group in groups for contender in group.contenders]
    tried.sort(key=lambda each: contract.candidates.index(each.candidate))
    return Selected(preferred(tried), tuple(tried), budget)


def _inject(groups: Sequence[_Group], ground: Ground, signals: SeasonalSignals) -> None:
    for seed in SEEDS:
        for injected in replace(ground, seed=seed, per_kind=PER_KIND).faults.values():
            look = signals.transform(injected.rows)
            for group in groups:
                group.find(look, injected, seed)


def preferred(tried: Sequence[Tried]) -> Candidate:
    """The first of those that are about as good as the best."""
    best = max(each.worth for each in tried)
    return next(each.candidate for each in tried if each.worth >= best - NEAR)


@dataclass(eq=False)
class _Contender:
    """One candidate: its detector and what it has found so far.

    Attributes:
        clean: its scores of the ground's rows.
        found: by seed the shares of faults found, one for each kind.
        by_labels: recall of labelled episodes and average precision, where labels judge.
    """

    candidate: Candidate
    detector: CalibratedDetector
    clean: Floats
    limit: float = 0.0
    alert_rate: float = 0.0
    found: dict[int, list[float]] = field(default_factory=dict)
    by_labels: tuple[float, float] | None = None
    seconds: float = 0.0

    def see(self, look: Look, rarities: Lines, ground: Ground, budget: Budget) -> None:
        """The held-out rows as they are."""
        started = time.process_time()
        self.clean, normal = self.detector.scores(look, rarities), normal_rows(ground)
        self.limit = budget.limit(look, self.clean, normal)
        self.alert_rate = float((self.clean[normal] > self.detector.threshold_).mean())
        labelled = Labelled.of(ground)
        if labelled is not None:
            self.by_labels = labelled.recall(self.clean, self.limit), labelled.average_precision(self.clean)
        self.seconds += time.process_time() - started

    def find(self, look: Look, rarities: Lines, injected: Injected, seed: int) -> None:
        """Faults of one kind: those with a score above the limit in a row whose clean score was not."""
        started = time.process_time()
        scores = self.detector.scores(look, rarities)
        raised = (injected.origin >= 0) & (scores > self.limit) & (self.clean[injected.origin] <= self.limit)
        share = len(np.unique(injected.rows.series[raised])) / PER_KIND
        self.found.setdefault(seed, []).append(share)
        self.seconds += time.process_time() - started

    def result(self) -> Tried:
        if self.by_labels is not None:
            recall, precision = self.by_labels
            worth = (recall + precision) / 2
            return Tried(self.candidate, (recall,), self.alert_rate, worth, self.seconds, precision)
        recalls = tuple(float(np.mean(self.found.get(seed, [0.0]))) for seed in SEEDS)
        worth = float(np.mean(recalls) - np.std(recalls))
        return Tried(self.candidate, recalls, self.alert_rate, worth, self.seconds)


@dataclass(eq=False)
class _Group:
    """Candidates with equal forests, who share what is costly: forests, tails, and how seldom each channel is."""

    detector: CalibratedDetector
    forests: Sequence[Forest]
    contenders: Sequence[_Contender]

    def see(self, look: Look, ground: Ground, budget: Budget) -> None:
        rarities = self._rarities(look)
        for contender in self.contenders:
            contender.see(look, rarities, ground, budget)

    def find(self, look: Look, injected: Injected, seed: int) -> None:
        rarities = self._rarities(look)
        for contender in self.contenders:
            contender.find(look, rarities, injected, seed)

    def _rarities(self, look: Look) -> Lines:
        """What they cost is shared by all."""
        started = time.process_time()
        rarities = self.detector.rarities(look, self.forests)
        for contender in self.contenders:
            contender.seconds += (time.process_time() - started) / len(self.contenders)
        return rarities


def _groups(default: CalibratedDetector, candidates: Sequence[Candidate], learnt: Look) -> list[_Group]:
    by_forest: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        by_forest.setdefault(repr(_forest_of(candidate)), []).append(candidate)
    groups = []
    for members in by_forest.values():
        started = time.process_time()
        detector = CalibratedDetector(**{**default.get_params(), **_forest_of(members[0])}).fit(learnt)
        forests = [ForestEvaluator(each) for each in detector.forests_]
        rarities = detector.rarities(learnt, forests)
        group = _Group(detector, forests, [_contender(each, detector, learnt, rarities) for each in members])
        for contender in group.contenders:
            contender.seconds += (time.process_time() - started) / len(members)
        groups.append(group)
    return groups


def _contender(candidate: Candidate, detector: CalibratedDetector, learnt: Look, rarities: Lines) -> _Contender:
    own = {name: value for name, value in steps_of(candidate).items() if name not in STEPS.values()}
    return _Contender(candidate, detector.like(learnt, rarities, **own), np.zeros(0))


def _forest_of(candidate: Candidate) -> dict[str, Any]:
    return {name: value for name, value in steps_of(candidate).items() if name in STEPS.values()}
