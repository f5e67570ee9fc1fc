"""A detector over simulated meters: what it finds of injected faults, and how often it alerts on clean time.

Trained on the clean first half of a series. The clean second half sets the limits that a share of its rows lies above;
the same half with one fault of each kind in it, several times over with other places, is what is searched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.detection.detectors import Make, Where
from benchmarks.detection.injection import with_faults
from benchmarks.detection.metrics import Ranking, found, limit_at, ranking
from benchmarks.detection.running import Cost
from benchmarks.detection.simulator import COUNTRY, Simulated

RATES = (0.001, 0.01)
ROUNDS = 3
RULED = ("missing", "duplicated")
"""Kinds that rules on the times find, and scores of values cannot: not part of the mean."""


@dataclass(frozen=True, eq=False)
class SimulatedResult:
    """Of one detector on several meters.

    Attributes:
        recalls: for each kind and each of its faults, whether it was found at each of `RATES`: in a row that was not
            above the limit without it.
        lenient: the same for all faults of the mean's kinds, where any row above the limit finds one.
        alert_rates: for each meter the share of clean unseen rows above the detector's own threshold; empty for
            detectors without one.
        rankings: for each series with faults.
    """

    recalls: dict[str, list[list[bool]]] = field(default_factory=lambda: defaultdict(list))
    lenient: list[list[bool]] = field(default_factory=list)
    alert_rates: list[float] = field(default_factory=list)
    rankings: list[Ranking] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)

    @property
    def kinds(self) -> list[str]:
        """The kinds that were injected and count in the mean."""
        return sorted(kind for kind in self.recalls if kind not in RULED)

    def recall(self, kind: str) -> list[float]:
        """The share of faults of one kind that was found, at each of `RATES`; 0 of a kind that is not there."""
        return [float(share) for share in np.mean(self.recalls.get(kind) or [[False] * len(RATES)], axis=0)]

    @property
    def mean_recall(self) -> list[float]:
        """The mean over the kinds, each of which weighs the same."""
        return [float(share) for share in np.mean([self.recall(kind) for kind in self.kinds], axis=0)]

    @property
    def lenient_recall(self) -> list[float]:
        """The share of all faults of these kinds that some row above the limit lies in."""
        return [float(share) for share in np.mean(self.lenient, axis=0)]


def simulate_detector(make: Make, meters: Sequence[Simulated], *, rounds: int = ROUNDS) -> SimulatedResult:
    """Fit and search every meter, `rounds` times with faults in other places."""
    result = SimulatedResult()
    for number, meter in enumerate(meters):
        _search(make, meter, [1000 * number + turn for turn in range(rounds)], result)
    return result


def _search(make: Make, meter: Simulated, seeds: Sequence[int], result: SimulatedResult) -> None:
    first = len(meter.rows) // 2
    detector = result.cost.fit(make, meter.rows.take(slice(0, first)), Where(meter.zone, COUNTRY))
    clean = result.cost.score(detector, meter.rows, first)
    threshold = getattr(detector, "threshold", None)
    if threshold is not None:
        result.alert_rates.append(float((clean > threshold).mean()))
    limits = [limit_at(clean, rate) for rate in RATES]
    for seed in seeds:
        faulted = with_faults(meter.rows, first, seed)
        scores, event = result.cost.score(detector, faulted.rows, first), faulted.event[first:]
        before, count = clean[faulted.origin[first:] - first], len(faulted.kinds)
        strict = np.array([found(scores, event, count, limit, before) for limit in limits]).T.tolist()
        lenient = np.array([found(scores, event, count, limit) for limit in limits]).T.tolist()
        for kind, one, other in zip(faulted.kinds, strict, lenient, strict=True):
            result.recalls[kind].append(one)
            if kind not in RULED:
                result.lenient.append(other)
        area = ranking(faulted.labels[first:], scores)
        if area is not None:
            result.rankings.append(area)
