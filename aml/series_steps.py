"""The steps of training the detector of a series: what `aml.train` does in one go, cut where a pipeline cuts it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from sklearn.pipeline import Pipeline

from aml.choosing import Chosen, choose
from aml.columns import InputError, rows_from_table
from aml.contract import DatasetContract
from aml.evaluation import judged
from aml.forest import SEED
from aml.holdout import Ground, Mask, TooFewRowsError, hold_out, remaining
from aml.rows import Rows
from aml.train import finish, usable_rows
from aml.tuning import builder
from aml.usable import unusable_share


@dataclass(frozen=True, eq=False)
class Prepared:
    """The usable rows, in order of series and time, and the share of the dataset's rows that are not among them."""

    rows: Rows
    unusable: float


@dataclass(frozen=True, eq=False)
class Held:
    """The rows with those of them that are held out, and those that may be fitted on."""

    ground: Ground
    fit: Mask
    unusable: float


@dataclass(frozen=True, eq=False)
class Trained:
    """The parameters, and the model that is measured, fitted on what is not held out."""

    chosen: Chosen
    measured: Pipeline


class SeriesSteps:
    """The steps under one contract; `contamination` None is the contract's."""

    def __init__(self, contract: DatasetContract, contamination: float | None = None) -> None:
        self._contract = contract
        self._contamination = contamination or contract.contamination or 0.0

    def prepare(self, table: pa.Table) -> Prepared:
        """As `aml.train.usable_rows`, with its errors."""
        parsed = rows_from_table(table, self._contract)
        return Prepared(usable_rows(parsed, self._contract), unusable_share(table, parsed.problems))

    def hold_out(self, prepared: Prepared) -> Held:
        """As `aml.holdout.hold_out`; InputError ``too_few_rows`` when nothing can be held out."""
        try:
            ground, fit = hold_out(prepared.rows, self._contract.context_rows, SEED)
        except TooFewRowsError as error:
            raise InputError("too_few_rows", f"The file cannot train a model: {error}.") from error
        return Held(ground, fit, prepared.unusable)

    def train(self, held: Held) -> Trained:
        """The contract's search or choice where it asks for one in the job, then the fit on what is not held out."""
        rows = held.ground.rows
        nothing_given = argparse.Namespace(trees=None, max_samples=None, max_features=None, trial=False)
        chosen = choose(rows, self._contract, self._contamination, nothing_given, lambda metrics, step: None)
        build = builder(self._contract, self._contamination, chosen.parameters, chosen.candidate)
        return Trained(chosen, build().fit(remaining(rows, held.fit)))

    def finish(self, held: Held, trained: Trained, folder: Path, champion: Path | None) -> dict[str, Any]:
        """As `aml.train.finish`, which fits the model that is kept."""
        measured = judged(held.ground, held.fit, trained.measured)
        return finish(
            held.ground.rows,
            self._contract,
            self._contamination,
            folder,
            champion,
            held.unusable,
            trained.chosen,
            measured,
        )
