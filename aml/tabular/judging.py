"""The live classifier (the champion) and the new one (the challenger) on the same held-out rows.

There are two grounds, as for the detector (`aml.comparison`): the challenger's hold-out, and the one that the champion
was judged on. Each model is the one that was fitted on what its own job did not hold out, kept for this beside the one
that serves: a model that serves was fitted on all rows, and would know the answers. A new dataset that has the old
one's rows holds out others, so of each ground only the rows that the other model was not fitted on count, where they
are enough.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline

from aml.bundle import BundleError, open_bundle
from aml.comparison import FRESH, REFERENCE
from aml.contract import DatasetContract
from aml.holdout import GroundError
from aml.tabular.ground import Ground, load_ground
from aml.tabular.metrics import Classes, Metrics, measure
from aml.tabular.table import Table

MEASURED_NAME = "measured.bundle"
"""The best candidate as it was measured: fitted on what was not held out."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Judged:
    """A measured model and its ground."""

    pipeline: Pipeline
    ground: Ground


Measuring = Callable[[Pipeline, Table, Classes], Metrics]
"""The metrics of a fitted pipeline on rows with these classes."""


def by_classes(pipeline: Pipeline, table: Table, classes: Classes) -> Metrics:
    """The metrics of a classifier."""
    return measure(classes, pipeline.predict_proba(table), pipeline.classes_)


def compare(
    challenger: Judged, champion: Path | None, contract: DatasetContract, measuring: Measuring = by_classes
) -> dict[str, Any]:
    """What is measured because there is a champion.

    Args:
        champion: the folder of its registered model; None when there is none.
        measuring: what is measured of either.

    Returns:
        For `metrics.json`: the challenger's `fresh_…` and `reference_…` metrics, how many rows they are of
        (`fresh_rows`, `reference_rows`), and under `champion` those of the champion, which also has them under their
        plain names on the challenger's ground; with `problem` in words where something could not be measured.
        Empty when there is no champion.
    """
    if champion is None:
        return {}
    try:
        live = Judged(_measured(champion), load_ground(champion, contract))
        own, theirs = _both(challenger, live, measuring)
    except (BundleError, GroundError) as error:
        return {"champion": {"problem": str(error)}}
    except Exception as error:
        # a champion that breaks, in whatever way, must not keep its successor from being judged; the record says so
        _log.error("the live model cannot be measured", exc_info=error)
        return {"champion": {"problem": f"it cannot score: {type(error).__name__}: {error}"}}
    return {**own, "champion": theirs}


def _both(challenger: Judged, champion: Judged, measuring: Measuring) -> tuple[dict[str, Any], dict[str, Any]]:
    own: dict[str, Any] = {}
    theirs: dict[str, Any] = {}
    for prefix, ground, other in (
        (FRESH, challenger.ground, champion.ground),
        (REFERENCE, champion.ground, challenger.ground),
    ):
        rows = ground.unseen(other.fitted)
        table, classes = ground.table.take(rows), ground.classes[rows]
        for model, found in ((challenger, own), (champion, theirs)):
            metrics = measuring(model.pipeline, table, classes)
            found |= {f"{prefix}{name}": value for name, value in metrics.items()}
        own[f"{prefix}rows"] = len(rows)
    plain = {name.removeprefix(FRESH): value for name, value in theirs.items() if name.startswith(FRESH)}
    return own, {**plain, **theirs}


def _measured(folder: Path) -> Pipeline:
    found = sorted(folder.rglob(MEASURED_NAME))
    if len(found) != 1:
        raise BundleError(f"there is no {MEASURED_NAME} beside the model")
    return open_bundle(found[0]).pipeline
