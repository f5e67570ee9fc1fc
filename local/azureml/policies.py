"""Early termination of a sweep's trials, as Azure ML documents its policies: pure functions of what the trials logged.

A trial's history is its primary metric, value by value; an interval is one value. A policy looks at a trial when it has
logged a multiple of `evaluationInterval` values, `delayEvaluation` of them at least, and compares with what the other
trials had after as many.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from .errors import Json, not_emulated

Histories = Mapping[str, Sequence[float]]


def require_known(policy: Json | None) -> None:
    """ArmError for a policy that is not emulated."""
    kind = (policy or {}).get("policyType")
    if policy and kind not in ("Bandit", "MedianStopping", "TruncationSelection"):
        raise not_emulated(f"early termination of type {kind}")


def laggards(policy: Json | None, histories: Histories, goal: str) -> set[str]:
    """The trials that the policy ends now.

    Args:
        histories: every trial that has logged something, ended ones among them, by name.
        goal: `maximize` or `minimize`, in any case.
    """
    if not policy:
        return set()
    sign = 1.0 if goal.lower() == "maximize" else -1.0
    upwards = {name: [sign * value for value in values] for name, values in histories.items()}
    return {name for name, values in upwards.items() if _is_due(policy, len(values)) and _lags(policy, name, upwards)}


def _is_due(policy: Json, intervals: int) -> bool:
    every = max(1, int(policy.get("evaluationInterval") or 1))
    return intervals >= max(1, int(policy.get("delayEvaluation") or 0)) and intervals % every == 0


def _lags(policy: Json, name: str, histories: Histories) -> bool:
    """Whether the trial is behind; higher is better here."""
    own = histories[name]
    now = len(own)
    others = {other: values[:now] for other, values in histories.items() if other != name and len(values) >= now}
    if not others:
        return False
    if policy["policyType"] == "Bandit":
        return max(own) < _slack(policy, max(max(values) for values in others.values()))
    if policy["policyType"] == "MedianStopping":
        averages = [statistics.fmean(values) for values in (*others.values(), own)]
        return max(own) < statistics.median(averages)
    worse_first = sorted([own[-1], *(values[-1] for values in others.values())])
    cut = len(worse_first) * int(policy.get("truncationPercentage") or 0) // 100
    return cut > 0 and own[-1] <= worse_first[cut - 1] and own[-1] < worse_first[-1]


def _slack(policy: Json, best: float) -> float:
    """The least that a trial must have; a ratio of a negative metric (one to be minimised) widens it too."""
    if amount := float(policy.get("slackAmount") or 0):
        return best - amount
    factor = 1 + float(policy.get("slackFactor") or 0)
    return best / factor if best >= 0 else best * factor
