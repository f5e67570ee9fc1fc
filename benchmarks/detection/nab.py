"""The Numenta Anomaly Benchmark's own score (Lavin and Ahmad, ICMLA 2015), by its rules.

The first 15 % of a file (750 rows at most) are for learning and count for nothing. The first alert in a labelled window
is worth the more the earlier it comes (a scaled sigmoid from 1 down to nearly 0 at the window's end), a window without
one costs `fn_weight`; every alert outside costs up to `fp_weight`, less just after a window. One threshold holds for
all files, and the best one is taken. The sum is scaled so that a detector without an alert has 0 and a perfect one 100.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aml.rows import Floats

PROBATION = 0.15
_PROBATION_ROWS_AT_MOST = 5000
_FAR_BEHIND = 3.0


@dataclass(frozen=True)
class Profile:
    """What a true positive, a false positive and a missed window are worth."""

    tp_weight: float = 1.0
    fp_weight: float = 0.11
    fn_weight: float = 1.0


STANDARD = Profile()


@dataclass(frozen=True, eq=False)
class ScoredFile:
    """One file's scores, and its windows as first and last row (included), in order of time and apart."""

    scores: Floats
    windows: Sequence[tuple[int, int]]


@dataclass(frozen=True)
class NabScore:
    """The result: `score` is normalised (null 0, perfect 100), `threshold` is what it was reached at."""

    score: float
    threshold: float


def probation(rows: int) -> int:
    """How many of a file's first rows count for nothing."""
    return math.ceil(min(math.floor(PROBATION * rows), PROBATION * _PROBATION_ROWS_AT_MOST))


def sigmoid_weight(position: float) -> float:
    """2 / (1 + exp(5 x)) - 1: nearly 1 at the beginning of a window (-1), 0 at its end (0), -1 far behind it."""
    return -1.0 if position >= _FAR_BEHIND else 2.0 / (1.0 + math.exp(5.0 * position)) - 1.0


def row_weights(rows: int, windows: Sequence[tuple[int, int]], profile: Profile = STANDARD) -> Floats:
    """What an alert in each row is worth: in a window what it brings if it is the first, outside what it costs."""
    weights = np.full(rows, -profile.fp_weight)
    for number, (first, last) in enumerate(windows):
        width = last - first + 1
        inside = np.arange(first, last + 1)
        earliest = sigmoid_weight(-1.0)
        weights[inside] = [
            profile.tp_weight * sigmoid_weight(-(last - row + 1) / width) / earliest for row in inside.tolist()
        ]
        until = windows[number + 1][0] if number + 1 < len(windows) else rows
        behind = range(last + 1, until)
        weights[last + 1 : until] = [
            profile.fp_weight * sigmoid_weight((row - last) / max(width - 1, 1)) for row in behind
        ]
    return weights


def file_score(file: ScoredFile, threshold: float, profile: Profile = STANDARD) -> float:
    """What one file comes to, not normalised; an alert is a score at or above the threshold."""
    counts = np.arange(len(file.scores)) >= probation(len(file.scores))
    alert = counts & (file.scores >= threshold)
    weights = row_weights(len(file.scores), file.windows, profile)
    outside = np.ones(len(file.scores), dtype=bool)
    total = 0.0
    for first, last in file.windows:
        outside[first : last + 1] = False
        hits = np.flatnonzero(alert[first : last + 1])
        if counts[last]:
            total += float(weights[first + hits[0]]) if len(hits) else -profile.fn_weight
    return total + float(weights[alert & outside].sum())


def nab_score(files: Sequence[ScoredFile], profile: Profile = STANDARD) -> NabScore:
    """The normalised score at the best of all thresholds, one for all files; at least 0, as no alert at all is one."""
    scores = np.concatenate([_relevant(file) for file in files])
    change = np.concatenate([_changes(file, profile) for file in files])
    order = np.argsort(-scores, kind="stable")
    gained = np.cumsum(change[order])
    last_of_equal = np.r_[np.diff(scores[order]) != 0, True]
    best = int(np.argmax(np.where(last_of_equal, gained, -np.inf)))
    span = sum(len(_counted(file)) for file in files) * (profile.tp_weight + profile.fn_weight)
    if gained[best] <= 0 or not span:
        return NabScore(0.0, math.inf)
    return NabScore(100 * float(gained[best]) / span, float(scores[order][best]))


def _counted(file: ScoredFile) -> list[tuple[int, int]]:
    """The windows that are not over before scoring begins."""
    return [window for window in file.windows if window[1] >= probation(len(file.scores))]


def _relevant(file: ScoredFile) -> Floats:
    return file.scores[probation(len(file.scores)) :]


def _changes(file: ScoredFile, profile: Profile) -> Floats:
    """What the total gains when the threshold falls to each row's score, in whichever order the rows come.

    In a window an alert brings something only if it is earlier than all with higher scores (of equal scores the
    earliest counts, as all of them are alerts at once); the first one makes good what the missed window cost.
    """
    weights = row_weights(len(file.scores), file.windows, profile)
    change = weights.copy()
    start = probation(len(file.scores))
    for first, last in _counted(file):
        rows = np.arange(max(first, start), last + 1)
        change[rows] = 0.0
        # from the highest score down, the earliest first among equals
        best = -profile.fn_weight
        for row in rows[np.lexsort((rows, -file.scores[rows]))].tolist():
            if weights[row] > best:
                change[row] = weights[row] - best
                best = float(weights[row])
    return change[start:]


def one_alarm_per_episode(times: NDArray[np.int64], scores: Floats, hours: float = 6.0) -> Floats:
    """Scores that stay only where they are a new high: above every score of the hours before; 0 elsewhere.

    An operator is told once of what goes on; a row that says no more than one shortly before says nothing new. Causal.
    """
    kept = np.zeros(len(scores))
    reach = int(hours * 3_600_000_000)
    # rows whose scores may still be the highest of the last hours, in falling order of score
    waiting: list[int] = []
    for row, score in enumerate(scores.tolist()):
        while waiting and times[waiting[0]] < times[row] - reach:
            waiting.pop(0)
        if not waiting or score > scores[waiting[0]]:
            kept[row] = score
        while waiting and scores[waiting[-1]] <= score:
            waiting.pop()
        waiting.append(row)
    return kept


def tail_probability(scores: Floats, start: int) -> Floats:
    """Minus the decadic logarithm of the share of earlier scores that are at least as high, from row `start` on.

    Scores of all files mean the same then, whatever the detector's scale. Causal: a row is ranked among the rows before
    it, itself counted. Rows before `start` get 0.
    """
    past = sorted((-scores[:start]).tolist())
    tail = np.zeros(len(scores))
    for row in range(start, len(scores)):
        score = -float(scores[row])
        higher = bisect.bisect_right(past, score)
        tail[row] = -math.log10((higher + 1) / (len(past) + 1))
        past.insert(higher, score)
    return tail
