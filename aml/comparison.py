"""The live model (the champion) and the new one (the challenger) on the same rows with the same faults.

There are two grounds. The challenger's own hold-out says which of the two is better on what has just come in; the rows
that the champion was judged on say whether the challenger knows what the champion knows. Data that is not what it
should be (another unit, one season of four, readings full of faults) makes a model that is good on its own hold-out, as
that is wrong in the same way; on the champion's it fails.

The challenger is the model fitted on what is not held out. The champion is the model as it serves, fitted on all of
its data, and so may have seen rows of either ground: the comparison leans towards the model in service by what an
isolation forest gains from having seen a row among thousands (docs/decisions/the-gate.md).

Alerts are counted at the champion's contamination, or budget of alarms: a model that was asked for with fewer alerts is
not worse for it.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from aml.bundle import Bundle, BundleError, find_bundle, open_bundle
from aml.evaluation import Evaluation, Metrics, measure
from aml.forest import Scorer
from aml.holdout import Ground, GroundError, load_ground

_log = logging.getLogger(__name__)
FRESH = "fresh_"
"""Prefix of what was measured on the challenger's hold-out, at the champion's contamination."""
REFERENCE = "reference_"
"""Prefix of what was measured on the rows that the champion was judged on, at its contamination."""


def compare(challenger: Evaluation, champion: Path | None) -> dict[str, Any]:
    """What is measured because there is a champion.

    Args:
        champion: the folder of its registered model; None when there is none.

    Returns:
        For `metrics.json`: the challenger's `fresh_…` and `reference_…` metrics, and under `champion` those of the
        champion, which also has them under their plain names on the challenger's hold-out; with `problem` in words
        where something could not be measured. Empty when there is no champion.
    """
    if champion is None:
        return {}
    problems: list[str] = []
    reference, bundle = _reference(champion, problems), _bundle(champion, problems)
    theirs = _of_champion(bundle, challenger.ground, reference, problems) if bundle is not None else {}
    own: Metrics = {}
    threshold = _threshold(challenger, bundle)
    if theirs:
        own |= _prefixed(FRESH, measure(challenger.ground, challenger.scorer, threshold))
    if reference is not None:
        own |= _prefixed(REFERENCE, measure(reference, challenger.scorer, threshold))
    return {**own, "champion": theirs | ({"problem": "; ".join(problems)} if problems else {})}


def _reference(champion: Path, problems: list[str]) -> Ground | None:
    try:
        return load_ground(champion)
    except GroundError as error:
        problems.append(str(error))
        return None


def _bundle(champion: Path, problems: list[str]) -> Bundle | None:
    try:
        return open_bundle(find_bundle(champion))
    except BundleError as error:
        problems.append(str(error))
    except Exception as error:
        problems.append(_broken(error))
    return None


def _of_champion(bundle: Bundle, fresh: Ground, reference: Ground | None, problems: list[str]) -> dict[str, Any]:
    try:
        scorer = Scorer(bundle.pipeline)
        plain = measure(fresh, scorer)
        known = _prefixed(REFERENCE, measure(reference, scorer)) if reference is not None else {}
    except Exception as error:
        problems.append(_broken(error))
        return {}
    return {**plain, **_prefixed(FRESH, plain), **known}


def _broken(error: Exception) -> str:
    """A champion that breaks, in whatever way, must not keep its successor from being judged; the record says so."""
    _log.error("the live model cannot be measured", exc_info=error)
    return f"it cannot score: {type(error).__name__}: {error}"


def _threshold(challenger: Evaluation, champion: Bundle | None) -> float:
    metrics = champion.metrics if champion is not None else {}
    share, alarms = metrics.get("contamination"), metrics.get("alarms_per_week")
    if not isinstance(share, float):
        return challenger.scorer.threshold
    return challenger.threshold_at(share, float(alarms) if isinstance(alarms, int | float) else None)


def _prefixed(prefix: str, metrics: Metrics) -> Metrics:
    return {f"{prefix}{name}": value for name, value in metrics.items()}
