"""A contract's candidates as parameters of `CalibratedDetector`: their families are channels of it."""

from __future__ import annotations

from typing import Any

from aml.contract.candidates import Candidate, Family

FAMILIES: dict[Family, tuple[str, ...]] = {
    "level": ("high", "low", "scatter", "forest_levels"),
    "residual": ("far", "near", "plain", "surprise", "hours", "half_day", "forest_residuals"),
    "stuck": ("stuck", "zero"),
    "slow": ("leak", "step", "drift"),
    "course": ("clock", "weekday", "course", "components", "remainder"),
    "times": ("gap", "duplicate"),
}
"""Names in `channels.CHANNELS` and `channels.FORESTS`."""

STEPS = {"trees": "n_estimators", "max_samples": "max_samples", "max_features": "max_features"}
"""What a contract calls the parameters of the forests, and scikit-learn does."""


def steps_of(candidate: Candidate) -> dict[str, Any]:
    """The parameters of the detector that the candidate declares."""
    said = candidate.parameters
    families = said.pop("families", None)
    channels = {} if families is None else {"channels": tuple(name for each in families for name in FAMILIES[each])}
    return {STEPS.get(name, name): value for name, value in said.items()} | channels
