"""Which rows are left out together when something is learnt from the others, and how fine a profile they support."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aml.detection.calendar import DAY_US
from aml.detection.plan import Plan
from aml.detection.series import Integers, Ordered
from aml.detection.shape import Seen, near_of, usual_of
from aml.rows import Times

_FOLDS = 4
_STRETCH_US = 7 * DAY_US
SEASONS_US = 300 * DAY_US
_BETTER = 0.98  # a finer profile must leave this share of the residuals, or less, to be taken


def folds_of(rows: Ordered) -> Integers:
    """Which fold each row belongs to: stretches of time taken in turn, so that each fold has every season."""
    first, last = int(rows.time.min()), int(rows.time.max()) + 1
    stretches = max(2 * _FOLDS, (last - first) // _STRETCH_US // _FOLDS * _FOLDS)
    width = max(1, -(-(last - first) // stretches))
    return (rows.time - first) // width % _FOLDS


def halves_of(time: Times) -> list[NDArray[np.bool_]]:
    """Which rows are of the first half of a history of less than a year, and which of the second; none of a longer one,
    which has shown every season, or where a half is empty."""
    first, last = int(time.min()), int(time.max())
    later = time > first + (last - first) // 2
    return [] if last - first >= SEASONS_US or not later.any() else [~later, later]


def depth_of(seen: Seen, plan: Plan, fold: Integers) -> int:
    """How fine a profile these data support: the coarsest that is nearly as good as any on rows not learnt from."""
    left = []
    for depth in (0, 1, 2):
        total = 0.0
        for number in range(int(fold.max()) + 1):
            out, learnt = (fold == number) & seen.rows.clean, (fold != number) & seen.rows.clean
            if not (out.any() and learnt.any()):
                return 0
            near = near_of(seen, usual_of(seen, plan, learnt, depth), plan)
            total += float(np.minimum(np.abs(near[out]), 4.0).sum())
        left.append(total)
    if left[2] < _BETTER * min(left[:2]):
        return 2
    return 1 if left[1] < _BETTER * left[0] else 0
