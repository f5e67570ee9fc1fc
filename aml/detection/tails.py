"""From a statistic to how seldom it is: tail probabilities measured on the training data, extrapolated beyond them.

Up to the largest few per cent the share of training rows that reach a value is counted. Beyond, excesses are taken to
follow a generalised Pareto distribution (Pickands, "Statistical inference using extreme order statistics", Annals of
Statistics 3, 1975), fitted by probability-weighted moments (Hosking and Wallis, Technometrics 29, 1987) with a shape
between 0 and 1/2: lighter tails than the exponential are not believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from aml.detection.places import Places
from aml.rows import Floats

_KNOTS = 48
_TAIL_SHARE = 0.02
_TAIL_LEAST, _TAIL_MOST = 12, 400
_SHAPE_MOST = 0.5
_RARITY_MOST = 300.0


@dataclass(frozen=True, eq=False)
class Tail:
    """Rarity, minus the decimal logarithm of the share of clean rows that are at least so large, as a function.

    Attributes:
        knots, rarity: ascending values, and the rarity of each; linear between them.
        scale, shape: of the excess over the last knot.
    """

    knots: Floats
    rarity: Floats
    slopes: Floats
    scale: float
    shape: float

    @classmethod
    def fit(cls, values: Floats, memory: float = 1.0, unit: float = 0.0) -> Tail:
        """Of at least one value.

        Args:
            memory: for so many rows a value stays what it is; so many times fewer are the values that count.
            unit: a difference beyond all values that is worth one decade, at least.
        """
        ordered = np.sort(values)
        n = len(ordered)
        tail = int(np.clip(round(n * _TAIL_SHARE), min(_TAIL_LEAST, max(n // 4, 1)), _TAIL_MOST))
        ranks = np.unique(np.rint(np.geomspace(tail, n, _KNOTS)).astype(np.int64))[::-1]
        knots = np.unique(ordered[n - ranks])
        # of equal values the rank that counts all of them
        reach = n - np.searchsorted(ordered, knots, "left")
        rarity = np.log10((n + memory) / (reach + memory - 1.0))
        slopes = np.append(np.diff(rarity) / np.maximum(np.diff(knots), 1e-300), 0.0)
        excess = ordered[n - tail :] - knots[-1]
        scale, shape = _pareto(excess)
        least = max(0.02 * max(knots[-1] - knots[0], abs(float(knots[-1])), 1e-6), unit / np.log(10.0))
        return cls(knots, rarity, slopes, max(scale, least), shape)

    def of(self, values: Floats) -> Floats:
        """The rarity of each value, 0 to 300."""
        here = self._places.of(values)
        found = values - self.knots[here]
        np.maximum(found, 0.0, out=found)
        beyond = np.flatnonzero(values > self.knots[-1])
        away = found[beyond]
        found *= self.slopes[here]
        found += self.rarity[here]
        if self.rarity[0] > 0:
            found[values < self.knots[0]] = 0.0
        if len(beyond):
            excess = away / self.scale
            grown = np.log1p(excess * self.shape) / self.shape if self.shape > 0 else excess
            found[beyond] = np.minimum(self.rarity[-1] + grown / np.log(10.0), _RARITY_MOST)
        return found

    @cached_property
    def _places(self) -> Places:
        return Places(self.knots)

    def value_at(self, rarity: float) -> float:
        """The least value that is so seldom: the inverse of `of`."""
        if rarity < self.rarity[-1]:
            place = max(int(np.searchsorted(self.rarity, rarity, "right")) - 1, 0)
            slope = float(self.slopes[place])
            return float(self.knots[place] + (rarity - self.rarity[place]) / slope if slope > 0 else self.knots[place])
        grown = (rarity - float(self.rarity[-1])) * np.log(10.0)
        excess = np.expm1(grown * self.shape) / self.shape if self.shape > 0 else grown
        return float(self.knots[-1] + self.scale * excess)


def _pareto(excess: Floats) -> tuple[float, float]:
    """Scale and shape of ascending excesses."""
    n = len(excess)
    mean = float(excess.mean())
    if n < 5 or mean <= 0:
        return mean, 0.0
    weight = (n - 1.0 - np.arange(n)) / (n - 1.0)
    second = float((weight * excess).mean())  # of x (1 - F(x))
    if mean <= 2 * second:
        return mean, 0.0
    shape = 2.0 - mean / (mean - 2.0 * second)
    shape = float(np.clip(shape, 0.0, _SHAPE_MOST))
    return mean * (1.0 - shape), shape
