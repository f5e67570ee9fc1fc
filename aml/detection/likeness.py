"""How much rows look like faults: what tells faults that were put into the training rows from rows as they are.

Of each channel only what is new counts: its rarity, where that is higher than in the quarter day before. Windows of
a day stay strange for a day, whatever the reason; what has just begun tells more. A logistic regression weighs the news
of all channels, less or more beyond `_BEND`. No weight is below 0: a channel that is stranger never makes a row look
less like a fault, one of a kind that nobody put in either.

An alarm need not come in every row of a fault. So the regression is repeated, and each time the rows of a fault weigh
the more the better they show it (a soft form of multiple-instance learning: Andrews, Tsochantaridis and Hofmann,
"Support vector machines for multiple-instance learning", NIPS 15, 2002).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from aml.detection.plan import Plan
from aml.detection.series import Lines, Ordered
from aml.detection.tails import Tail
from aml.rows import Floats

_BEND, _MOST = 2.0, 8.0  # rarity: where a weight ends and the next begins, and beyond which nothing is added
_FAULTY = 0.1  # what all faults together weigh, in clean rows
_CLEAN_MOST = 20_000  # rows that the regression looks at
_REPEATED = 3
_RIDGE = 1e-3
_STEPS = 100
_RARITY_MOST = 4.0
_GOES_ON = 0.4  # of the rarity of a sum that is no higher than all before it
_ORDINARY, _WORTH = 1.0, 2.0  # rarity that adds nothing to how loud a row is, and what more of it is worth


@dataclass(frozen=True, eq=False)
class Likeness:
    """Learnt from the rarities of clean and of faulty rows.

    Attributes:
        weights: of each channel's news up to `_BEND` and of what is beyond, at least 0, shape (channels, 2).
        tail: of the weighted sums of clean rows.
        short, long: rows before a row in which a channel, and the sum, were lower where they are new; a day together.
    """

    weights: Floats
    tail: Tail
    short: int
    long: int

    @classmethod
    def fit(
        cls,
        plan: Plan,
        learnt: tuple[Ordered, Lines | Floats],
        practice: tuple[Ordered, Lines | Floats],
        faulty: NDArray[np.bool_],
    ) -> Likeness:
        """Of the training rows and of faults, each a series of its own with the rows before it.

        Args:
            learnt, practice: the rows, and of each channel the rarity of each.
            faulty: which rows of `practice` are.
        """
        short = max(1, plan.day // 4)
        clean, shown = np.flatnonzero(learnt[0].clean), np.flatnonzero(faulty)
        some = clean[:: -(-len(clean) // _CLEAN_MOST)]
        weights = _taught(_inputs(*learnt, short, some), _inputs(*practice, short, shown), practice[0].code[shown])
        found = cls(weights, Tail.fit(np.zeros(1)), short, plan.day - short)
        return cls(weights, Tail.fit(found._sum(*learnt)[clean]), short, plan.day - short)

    def of(self, rows: Ordered, channels: Lines | Floats) -> Floats:
        """How much louder rows are for what they look like, from 0 to 6: where clean rows seldom look so much like
        a fault; less of what goes on."""
        total = self._sum(rows, channels)
        rarity = np.minimum(self.tail.of(total), _RARITY_MOST)
        if self.long:
            rarity[total <= _highest_before(rows, total, self.long)] *= _GOES_ON
        louder: Floats = _WORTH * np.maximum(rarity - _ORDINARY, 0.0)
        return louder

    def alone(self, loud: float, factor: float) -> float:
        """The rarity of a single channel that, times `factor`, and as a fault that it shows, comes to this loudness."""
        return min(loud / factor, (loud + _WORTH * _ORDINARY) / (factor + _WORTH))

    def _sum(self, rows: Ordered, channels: Lines | Floats) -> Floats:
        """The weighted sum, added one by one: the same bits for any number of rows."""
        total = np.zeros(len(rows))
        for line, (below, beyond) in zip(channels, self.weights.tolist(), strict=True):
            if below or beyond:
                for part, weight in zip(_parts(_news(rows, line, self.short)), (below, beyond), strict=True):
                    part *= weight
                    total += part
        return total


def _highest_before(rows: Ordered, line: Floats, width: int) -> Floats:
    """Of the rows before each row; without end where there is none: what a series begins with is no news."""
    found: Floats = -rows.lag(rows.lowest(-line, width), 1, -np.inf)
    return found


def _news(rows: Ordered, line: Floats, width: int) -> Floats:
    """The rarities that are higher than in each of so many rows before; 0 of the others."""
    return np.where(line > _highest_before(rows, line, width), line, 0.0)


def _parts(line: Floats) -> tuple[Floats, Floats]:
    """Of rarities what is below the bend and what is beyond it."""
    return np.minimum(line, _BEND), np.clip(line - _BEND, 0.0, _MOST - _BEND)


def _inputs(rows: Ordered, channels: Lines | Floats, short: int, at: NDArray[np.intp]) -> Floats:
    """What the regression weighs, of the rows at these positions, shape (len(at), 2 x channels)."""
    return np.stack([part for line in channels for part in _parts(_news(rows, line, short)[at])], axis=1)


def _taught(clean: Floats, faulty: Floats, fault: NDArray[np.int64]) -> Floats:
    """Weights, shape (channels, 2).

    Args:
        fault: number of the fault that a faulty row is of.
    """
    inputs = np.concatenate([clean, faulty])
    scale = inputs.std(axis=0) + 1e-3
    inputs /= scale
    fault = np.unique(fault, return_inverse=True)[1]
    weight = 1.0 / np.sqrt(np.bincount(fault))[fault]
    found = _regression(inputs, len(clean), weight)
    for _ in range(_REPEATED):
        shown = inputs[len(clean) :] @ found
        best = np.full(int(fault.max()) + 1, -np.inf)
        np.maximum.at(best, fault, shown)
        share = np.exp(shown - best[fault])
        found = _regression(inputs, len(clean), share / np.bincount(fault, share)[fault])
    rounded: Floats = np.round(found / scale, 6).reshape(-1, 2)
    return rounded


def _regression(inputs: Floats, clean: int, weight: Floats) -> Floats:
    """Weights of a logistic regression, at least 0, with a small ridge.

    Args:
        inputs: in standard deviations, the clean rows first.
        weight: of each of the others against each other.
    """
    importance = np.r_[np.ones(clean), weight * (_FAULTY * clean / weight.sum())]
    sign, whole = np.where(np.arange(len(inputs)) < clean, -1.0, 1.0), importance.sum()

    def loss(at: Floats) -> tuple[float, Floats]:
        weights, margin = at[:-1], sign * (inputs @ at[:-1] + at[-1])
        wrong = importance * sign / (1.0 + np.exp(np.clip(margin, -500, 500)))
        value = (importance * np.logaddexp(0.0, -margin)).sum() / whole + _RIDGE * (weights @ weights) / 2
        return float(value), np.append(_RIDGE * weights - wrong @ inputs / whole, -wrong.sum() / whole)

    bounds = [(0.0, None)] * inputs.shape[1] + [(None, None)]
    begin = np.append(np.zeros(inputs.shape[1]), np.log(_FAULTY))
    best = minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS})
    found: Floats = best.x[:-1]
    return found
