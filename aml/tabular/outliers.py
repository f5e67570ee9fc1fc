"""Training of an isolation forest on a table whose rows stand for themselves and have no classes.

A row's score is the forest's own (Liu, Ting and Zhou, "Isolation Forest", ICDM 2008): above 0 and at most 1, higher is
stranger. Beyond the threshold lies the share `contamination` of the rows that were fitted on. There is nothing to say
of such a model but how many rows it flags that it has not seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import Pipeline

from aml.bundle import save_bundle
from aml.columns import InputError
from aml.contract import DatasetContract
from aml.metrics_file import write_metrics
from aml.profile import make_table_profile, write_profile
from aml.tabular.candidates import features_of
from aml.tabular.features import TableFeatures
from aml.tabular.fitting import one_core
from aml.tabular.forest import flags_of, scores_of
from aml.tabular.ground import Ground, keys_of
from aml.tabular.judging import MEASURED_NAME, Judged, compare
from aml.tabular.metrics import Classes, Metrics
from aml.tabular.table import Table
from aml.tabular.training import columns_of, hold_out, prepare

SCORE = "anomaly_score"


def train_outliers(
    data: pa.Table,
    contract: DatasetContract,
    folder: Path,
    champion: Path | None = None,
    *,
    contamination: float,
    version: int = 1,
) -> dict[str, Any]:
    """Measure on a hold-out, fit on all rows, and write what `aml.tabular.training.train_table` writes but figures.

    Args:
        contamination: share of the rows, above 0 and at most 0.5, beyond the threshold.

    Returns:
        What `metrics.json` holds.

    Raises:
        ContractError, InputError: the data cannot train a model; ``unknown_objective`` where parameters are to be
            searched for, since without classes no choice is better than another.
    """
    model = contract.models[0]
    if model.tuning.method != "none":
        raise InputError("unknown_objective", f"Without classes {model.name} cannot be tuned; leave its tuning out.")
    held = hold_out(prepare(data, contract), contract)
    prepared = held.prepared
    rows, rest = prepared.table.take(held.fit), prepared.table.take(held.held)
    with one_core():
        measured = _fitted(rows, contract, contamination)
        final = _fitted(prepared.table, contract, contamination)
    fitted = np.unique(keys_of(rows, prepared.classes[held.fit]))
    ground = Ground(rest, prepared.classes[held.held], fitted)
    metrics = {
        **by_alerts(measured, rest, ground.classes),
        "rows": len(prepared.table),
        "rows_fit": len(held.fit),
        "rows_holdout": len(held.held),
        "seed": contract.split.seed,
        "contamination": contamination,
        "score_threshold": -float(final.named_steps["model"].offset_),
        "champion_model": model.name,
        "champion_algorithm": model.algorithm,
        "measured_on": f"{contract.split.test:.0%} of the rows, by a model fitted on the rest",
        "final_model": "fitted on all rows after measuring",
    }
    compared = {**metrics, **compare(Judged(measured, ground), champion, contract, by_alerts)}
    score = (SCORE, scores_of(measured, rest))
    profile = make_table_profile(contract.name, columns_of(prepared.table), score, {}, prepared.unusable)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "contract.json").write_text(contract.model_dump_json(indent=1), encoding="utf-8")
    write_metrics(folder, compared)
    write_profile(folder, profile)
    ground.save(folder, None)
    save_bundle(folder, final, contract, metrics, profile, name=f"{model.short_name}_{contract.name}_v{version}.joblib")
    save_bundle(folder, measured, contract, {}, name=MEASURED_NAME)
    return compared


def by_alerts(pipeline: Pipeline, table: Table, classes: Classes) -> Metrics:
    """The share of rows that are flagged."""
    return {"alert_rate": float(flags_of(pipeline, scores_of(pipeline, table)).mean())}


def _fitted(table: Table, contract: DatasetContract, contamination: float) -> Pipeline:
    seed, settings = contract.split.seed, contract.models[0].parameters
    features = TableFeatures(features_of(contract), seed)
    forest = IsolationForest(contamination=contamination, random_state=seed, **settings)
    return Pipeline([("features", features), ("model", forest)]).fit(table, np.full(len(table), ""))
