"""The statistics of drift, pure: what was seen against what was to be expected.

Training computes the same over stretches of its own data (`aml/profile.py`); a test holds the two together.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

MONTHS, PARTS = 12, 4
STRATA = MONTHS * PARTS
"""Calendar months by quarters of the day; stratum = month (0-11) * 4 + quarter (0-3)."""

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

_CHANCE_LEVEL = 0.99


def expected_shares(cells: Counts, weights: Counts) -> tuple[Floats, int]:
    """The shares of the bins that rows of these times would have if nothing drifted, and the rows that say so.

    A stratum's reference are the training rows of its quarter of the day in its month and the two months beside it;
    where there are none, in all months; where there are none either, all rows. The strata are weighed as the rows
    looked at are distributed over them (direct standardisation), so that a day of January is compared with winter days.

    Args:
        cells: training rows by stratum and bin, shape (48, bins).
        weights: the rows looked at by stratum, shape (48,), at least one.
    """
    months = cells.reshape(MONTHS, PARTS, -1)
    season = (months + np.roll(months, 1, axis=0) + np.roll(months, -1, axis=0)).reshape(STRATA, -1)
    totals = season.sum(axis=1)
    for stratum in np.flatnonzero((totals == 0) & (weights > 0)):
        day = months[:, stratum % PARTS].sum(axis=0)
        season[stratum] = day if day.any() else cells.sum(axis=0)
        totals[stratum] = season[stratum].sum()
    used = weights > 0
    shares = (weights[used] / weights.sum()) @ (season[used] / np.maximum(totals[used], 1)[:, None])
    return shares, int(season[used].sum())


def in_season(cells: Counts, weights: Counts) -> float:
    """The share of the rows looked at whose season, a month to either side included, the training data have."""
    months = cells.sum(axis=1).reshape(MONTHS, PARTS)
    season = months + np.roll(months, 1, axis=0) + np.roll(months, -1, axis=0)
    return float(weights[season.ravel() > 0].sum() / weights.sum())


def psi(observed: Counts, expected: Floats, rows: int) -> float:
    """Population stability index: the sum over the bins of (p - e) ln(p / e); 0 where the shares are equal.

    A bin that is empty on one side counts there as half a row, one that is empty on both not at all. Formula and the
    usual limits 0.1 and 0.25: Siddiqi, "Credit Risk Scorecards", Wiley 2006.

    Args:
        observed: rows by bin, at least one.
        expected: shares by bin, of `rows` rows.
    """
    total = int(observed.sum())
    there = (observed > 0) | (expected > 0)
    p = np.maximum(observed[there] / total, 0.5 / total)
    e = np.maximum(expected[there], 0.5 / max(rows, 1))
    return float(((p - e) * np.log(p / e)).sum())


def ks(observed: Counts, expected: Floats) -> float:
    """Kolmogorov-Smirnov statistic: the largest difference of the two cumulated shares at the ends of the bins.

    It is at most the share of the fullest expected bin below the statistic of the values themselves: between two ends
    the one cumulated share cannot be above its next end, nor the other below its last one.
    """
    return float(np.abs(np.cumsum(observed) / observed.sum() - np.cumsum(expected)).max())


def psi_by_chance(bins: int, observed: int, expected: int) -> float:
    """The PSI that 99 of 100 samples of independent rows stay below where nothing drifted.

    PSI is then distributed as (1/n + 1/m) chi-square with bins - 1 degrees of freedom (Yurdakul, "Statistical
    properties of population stability index", Western Michigan University 2018); the quantile of chi-square by Wilson
    and Hilferty, "The distribution of chi-square", PNAS 17 (1931).

    Args:
        bins: bins that are not empty on both sides.
        observed, expected: rows on either side, at least one each.
    """
    freedom = max(bins - 1, 1)
    spread = 2 / (9 * freedom)
    normal = NormalDist().inv_cdf(_CHANCE_LEVEL)
    chi_square = freedom * (1 - spread + normal * spread**0.5) ** 3
    return float(chi_square * (1 / observed + 1 / max(expected, 1)))
