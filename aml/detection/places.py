"""Which of some ascending numbers is the last that a value reaches, faster than by a search for each value."""

from __future__ import annotations

import numpy as np

from aml.detection.series import Integers
from aml.rows import Floats

_FINEST = 4096


class Places:
    """Where values stand among `knots`, ascending and apart.

    Equal steps from the first knot to the last, so narrow that none holds two knots: a table says which is the last
    knot before a step, and one comparison whether the next is reached too. The step of a value never falls as the
    value grows, rounded as it may be, so that nothing is lost by rounding. Knots too close for that are searched.
    """

    def __init__(self, knots: Floats) -> None:
        self._knots, self._table = knots, None
        self._next = np.append(knots[1:], np.inf)
        steps, span = 4 * len(knots), float(knots[-1]) - float(knots[0])
        while len(knots) > 1 and np.isfinite(span) and np.isfinite(_FINEST / span) and steps <= _FINEST:
            self._per = steps / span
            of_knots = self._step(knots)
            if (np.diff(of_knots) > 0).all():
                below = np.searchsorted(of_knots, np.arange(of_knots[-1] + 1), "left") - 1
                self._table = np.maximum(below, 0)  # in the first step there is the first knot alone
                break
            steps *= 2

    def of(self, values: Floats) -> Integers:
        """Position of the last knot that is no larger than each value; 0 where all are."""
        if self._table is None:
            return np.maximum(np.searchsorted(self._knots, values, "right") - 1, 0)
        at = self._table[self._step(values)]
        at += values >= self._next[at]
        return at

    def _step(self, values: Floats) -> Integers:
        step = np.clip(values, self._knots[0], self._knots[-1])
        step -= self._knots[0]
        step *= self._per
        return step.astype(np.int64)
