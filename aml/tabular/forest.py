"""What a fitted isolation forest says of a table's rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from aml.rows import Floats
from aml.tabular.table import Table


def scores_of(pipeline: Pipeline, table: Table) -> Floats:
    """How strange each row is, shape (n,)."""
    if not len(table):
        return np.zeros(0)
    scores: Floats = -pipeline.score_samples(table)
    return scores


def flags_of(pipeline: Pipeline, scores: Floats) -> NDArray[np.int64]:
    """1 where the pipeline's `predict` says -1, else 0."""
    flags: NDArray[np.int64] = (-scores < pipeline.named_steps["model"].offset_).astype(np.int64)
    return flags
