"""The gate: whether a challenger may take the champion's place, as a pure function of two sets of metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aml.contract import GateRule

_ROUNDING = 1e-9
"""A difference of two shares is not exact: 0.55 - 0.35 is a little more than 0.2."""


@dataclass(frozen=True)
class Verdict:
    """What the gate says, and why: one reason per rule, whichever way it went."""

    promote: bool
    reasons: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """As it stands in the run record."""
        return {"promote": self.promote, "reasons": list(self.reasons)}


def judge(challenger: Mapping[str, Any], champion: Mapping[str, Any] | None, rules: Sequence[GateRule]) -> Verdict:
    """Applies every rule to the challenger's metrics; it passes when none objects. A bound that is met exactly is met.

    A metric of the challenger that is missing or not a finite number fails its rule. Without a champion, or where the
    champion's metric is missing or not finite, the comparing part of a rule does not apply, and says so. A rule that
    needs a champion asks for nothing where there is none, or where neither of the two could be measured.

    Args:
        champion: None when there is none; without metrics when they could not be measured.
    """
    passed, reasons = True, []
    for rule in rules:
        ok, reason = _apply(rule, _finite(challenger.get(rule.metric)), champion)
        passed = passed and ok
        reasons.append(reason)
    return Verdict(passed, tuple(reasons) or ("the contract asks for nothing",))


def recorded(verdict: Verdict, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict for the run record, as it was; with `forced` where a person said beforehand that it does not count,
    and that person's `reason` and name (`by`) as far as they are known."""
    said = verdict.as_dict()
    if verdict.promote or not parameters.get("force"):
        return said
    return said | {"forced": True} | {name: parameters[name] for name in ("reason", "by") if name in parameters}


def _apply(rule: GateRule, value: float | None, champion: Mapping[str, Any] | None) -> tuple[bool, str]:
    other = None if champion is None else _finite(champion.get(rule.metric))
    if rule.needs_champion and champion is None:
        return True, f"{rule.metric} needs a champion, and there is none"
    if rule.needs_champion and value is None and other is None:
        return True, f"{rule.metric} could not be measured, the champion's neither"
    if value is None:
        return False, f"{rule.metric} could not be measured"
    said = f"{rule.metric} is {value:.4g}"
    if rule.minimum is not None and value < rule.minimum:
        return False, f"{said}, below {rule.minimum:g}"
    if rule.maximum is not None and value > rule.maximum:
        return False, f"{said}, above {rule.maximum:g}"
    if rule.max_drop is None and rule.max_rise is None:
        return True, f"{said}, within its bounds"
    if champion is None:
        return True, f"{said}, and there is no champion to compare with"
    if other is None:
        return True, f"{said}, and the champion's is not known"
    if rule.max_drop is not None and other - value > rule.max_drop + _ROUNDING:
        return False, f"{said}, more than {rule.max_drop:g} below the champion's {other:.4g}"
    if rule.max_rise is not None and value - other > rule.max_rise + _ROUNDING:
        return False, f"{said}, more than {rule.max_rise:g} above the champion's {other:.4g}"
    return True, f"{said}, against the champion's {other:.4g}"


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
