"""The search of an AutoML job, as a process: `python -m local.azureml.search TABLE REQUEST FOUND`.

TABLE is a folder with an MLTable over Parquet files, REQUEST a JSON file with the job's `taskDetails`. Each algorithm
that is tried is measured by cross-validation and then fitted on all rows; its graph and what that calls the columns go
into a folder of its own below FOUND, and a line of JSON to standard output: `algorithm`, `preprocessor`, `score`.

The algorithms are those of AutoML's for which scikit-learn and skl2onnx suffice, by AutoML's names. The graph has an
input for each column and the outputs `label` and `probabilities`, as AutoML's own converter makes it.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import yaml
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, balanced_accuracy_score, make_scorer
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler, label_binarize
from sklearn.tree import DecisionTreeClassifier

_SEED = 42
_FOLDS = 5

ALGORITHMS: Mapping[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "LogisticRegression": (StandardScaler, lambda: LogisticRegression(max_iter=1000)),
    "DecisionTree": (MaxAbsScaler, lambda: DecisionTreeClassifier(random_state=_SEED)),
    "RandomForest": (MaxAbsScaler, lambda: RandomForestClassifier(50, random_state=_SEED)),
    "ExtremeRandomTrees": (MaxAbsScaler, lambda: ExtraTreesClassifier(50, random_state=_SEED)),
    "GradientBoosting": (MaxAbsScaler, lambda: GradientBoostingClassifier(n_estimators=30, random_state=_SEED)),
}
"""What is tried, in this order: what comes before the classifier, and the classifier."""

SCORES: Mapping[str, Any] = {
    "Accuracy": "accuracy",
    "AUCWeighted": "roc_auc_ovr_weighted",
    "PrecisionScoreWeighted": "precision_weighted",
    "NormMacroRecall": make_scorer(balanced_accuracy_score, adjusted=True),
    "AveragePrecisionScoreWeighted": lambda model, x, y: average_precision_score(
        label_binarize(y, classes=model.classes_), model.predict_proba(x), average="weighted"
    ),
}
"""By the names of AutoML's primary metrics; of all of them more is better."""


def chosen(training: Mapping[str, Any]) -> list[str]:
    """The algorithms that the job's settings leave."""
    allowed, blocked = training.get("allowedTrainingAlgorithms"), training.get("blockedTrainingAlgorithms") or ()
    return [name for name in ALGORITHMS if (not allowed or name in allowed) and name not in blocked]


def search(table: pa.Table, details: Mapping[str, Any], found: Path) -> Iterator[dict[str, Any]]:
    """Tries one algorithm after the other; yields what is said of each."""
    target, limits = details["targetColumnName"], details.get("limitSettings") or {}
    training = details.get("trainingSettings") or {}
    names = [name for name in table.column_names if name != target]
    matrix = np.column_stack([table[name].to_numpy().astype(np.float32) for name in names])
    classes = np.array(table[target].to_pylist(), dtype=object).astype(str)
    least = int(np.unique(classes, return_counts=True)[1].min())
    asked = (details.get("nCrossValidations") or {}).get("value") or _FOLDS
    folds = StratifiedKFold(max(2, min(int(asked), least)), shuffle=True, random_state=_SEED)
    for number, algorithm in enumerate(chosen(training)[: limits.get("maxTrials") or None]):
        before, make = ALGORITHMS[algorithm]
        model = Pipeline([("before", before()), ("model", make())])
        score = float(
            np.mean(cross_val_score(model, matrix, classes, cv=folds, scoring=SCORES[details["primaryMetric"]]))
        )
        model.fit(matrix, classes)
        _keep(model, names, found / str(number), with_graph=bool(training.get("enableOnnxCompatibleModels")))
        yield {"algorithm": algorithm, "preprocessor": type(before()).__name__, "score": score}
        if limits.get("exitScore") is not None and score >= limits["exitScore"]:
            return


def _keep(model: Pipeline, names: list[str], folder: Path, *, with_graph: bool) -> None:
    """The model, and where it is asked for the graph and the file that AutoML writes beside it."""
    folder.mkdir(parents=True)
    joblib.dump(model, folder / "model.pkl")
    if not with_graph:
        return
    inputs = [(name, FloatTensorType([None, 1])) for name in names]
    graph = convert_sklearn(model, initial_types=inputs, options={id(model.named_steps["model"]): {"zipmap": False}})
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    resource = {
        "RawColumnNameToOnnxNameMap": {name: name for name in names},
        "InputRawColumnSchema": dict.fromkeys(names, "floating"),
        "InputOnnxColumnSchema": dict.fromkeys(names, "FloatTensorType"),
        "CanEnableBatchMode": True,
    }
    (folder / "model_onnx.json").write_text(json.dumps(resource), encoding="utf-8")


def read_mltable(folder: Path) -> pa.Table:
    """The rows of an MLTable that reads Parquet files. ValueError for any other."""
    declared = yaml.safe_load((folder / "MLTable").read_text(encoding="utf-8"))
    steps = [next(iter(step)) if isinstance(step, dict) else step for step in declared.get("transformations") or []]
    if steps != ["read_parquet"]:
        raise ValueError(
            f"the emulator reads MLTables of Parquet files, and this one does: {', '.join(map(str, steps))}"
        )
    files = [folder / str(path["file"]) for path in declared["paths"]]
    return pa.concat_tables([pa.parquet.read_table(file) for file in files])


def main(arguments: list[str]) -> int:
    """The command; returns its exit code."""
    folder, request, found = map(Path, arguments)
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    details = json.loads(request.read_text(encoding="utf-8"))
    for said in search(read_mltable(folder), details, found):
        print(json.dumps(said), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
