"""The live model (the champion) and the new one (the challenger) on the same rows with the same faults.

There are two grounds. The challenger's own hold-out says which of the two is better on what has just come in; the rows
that the champion was judged on say whether the challenger knows what the champion knows. Data that is not what it
should be (another unit, one season of four, readings full of faults) makes a model that is good on its own hold-out, as
that is wrong in the same way; on the champion's it fails.

The challenger is the model fitted on what is not held out. The champion is the model as it serves, fitted on all of
its data, and so may have seen rows of either ground: the comparison leans towards the model in service, by what an
isolation forest gains from having seen a row among thousands.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from aml.bundle import BundleError, find_bundle, open_bundle
from aml.evaluation import Evaluation, Metrics, measure
from aml.forest import Scorer
from aml.holdout import GroundError, load_ground

_log = logging.getLogger(__name__)
REFERENCE = "reference_"
"""Prefix of what was measured on the rows that the champion was judged on."""


def compare(challenger: Evaluation, champion: Path | None) -> dict[str, Any]:
    """What is measured because there is a champion.

    Args:
        champion: the folder of its registered model; None when there is none.

    Returns:
        For `metrics.json`: the challenger's `reference_…` metrics, and under `champion` the champion's metrics on both
        grounds, with `problem` in words where some could not be measured. Empty when there is no champion.
    """
    if champion is None:
        return {}
    problems: list[str] = []
    own: dict[str, Any] = {}
    theirs: dict[str, Any] = {}
    try:
        reference = load_ground(champion)
        own = _prefixed(measure(reference, challenger.scorer))
    except GroundError as error:
        reference = None
        problems.append(str(error))
    try:
        scorer = Scorer(open_bundle(find_bundle(champion)).pipeline)
        theirs = dict(measure(challenger.ground, scorer))
        theirs |= _prefixed(measure(reference, scorer)) if reference is not None else {}
    except BundleError as error:
        problems.append(str(error))
    except Exception as error:
        # A champion that breaks, in whatever way, must not keep its successor from being judged; the record says so.
        _log.exception("the live model cannot be measured")
        problems.append(f"it cannot score: {type(error).__name__}: {error}")
    return {**own, "champion": theirs | ({"problem": "; ".join(problems)} if problems else {})}


def _prefixed(metrics: Metrics) -> Metrics:
    return {f"{REFERENCE}{name}": value for name, value in metrics.items()}
