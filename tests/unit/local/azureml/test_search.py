"""The search of an AutoML job: what is tried, by which measure, until when, and what is left of it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from local.azureml.automl import AutoML
from local.azureml.search import ALGORITHMS, SCORES, chosen, read_mltable, search
from local.azureml.store import Store


def _rows(count: int = 60) -> pa.Table:
    random = np.random.default_rng(1)
    kinds = np.arange(count) % 3
    first = (kinds + random.normal(0, 0.2, count)).astype(np.float32)
    second = random.normal(0, 1, count).astype(np.float32)
    return pa.table({"c0": first, "c1": second, "target": [f"class {kind}" for kind in kinds]})


def _tried(folder: Path, limits: dict[str, Any] | None = None, **more: Any) -> list[dict[str, Any]]:
    details = {"targetColumnName": "target", "primaryMetric": "Accuracy", "nCrossValidations": {"value": 2}, **more}
    return list(search(_rows(), {**details, "limitSettings": limits or {}}, folder))


def test_the_settings_leave_some_algorithms() -> None:
    every = list(ALGORITHMS)

    assert chosen({}) == every
    assert chosen({"allowedTrainingAlgorithms": ["LightGBM", "RandomForest"]}) == ["RandomForest"]
    assert chosen({"blockedTrainingAlgorithms": every[1:]}) == every[:1]
    assert chosen({"allowedTrainingAlgorithms": ["LightGBM"]}) == []


@pytest.mark.parametrize("metric", SCORES)
def test_every_measure_is_better_the_more_it_is(metric: str, tmp_path: Path) -> None:
    (said,) = _tried(tmp_path, {"maxTrials": 1}, primaryMetric=metric)

    assert (said["algorithm"], said["preprocessor"]) == ("LogisticRegression", "StandardScaler")
    assert 0.7 < said["score"] <= 1


def test_a_score_that_is_enough_ends_it(tmp_path: Path) -> None:
    assert len(_tried(tmp_path, {"maxTrials": 3, "exitScore": 0.5})) == 1


def test_a_graph_is_left_where_it_is_asked_for(tmp_path: Path) -> None:
    training = {"allowedTrainingAlgorithms": ["DecisionTree"]}

    _tried(tmp_path / "without", trainingSettings=training)
    _tried(tmp_path / "with", trainingSettings={**training, "enableOnnxCompatibleModels": True})

    assert [path.name for path in (tmp_path / "without/0").iterdir()] == ["model.pkl"]
    assert {path.name for path in (tmp_path / "with/0").iterdir()} == {"model.onnx", "model.pkl", "model_onnx.json"}
    told = json.loads((tmp_path / "with/0/model_onnx.json").read_text())
    assert told["RawColumnNameToOnnxNameMap"] == {"c0": "c0", "c1": "c1"}


def test_tables_are_of_parquet_files_alone(tmp_path: Path) -> None:
    (tmp_path / "MLTable").write_text("paths: [{file: ./x.csv}]\ntransformations: [{read_delimited: {}}]\n")

    with pytest.raises(ValueError, match="reads MLTables of Parquet files, and this one does: read_delimited"):
        read_mltable(tmp_path)


@pytest.mark.parametrize(
    ("tried", "status", "best"),
    [
        ([0.5, 0.9, 0.9], "Completed", "job_1"),
        ([], "Failed", None),
    ],
    ids=["cut short", "nothing tried"],
)
def test_a_search_that_is_cut_short_ends_with_the_best_so_far(
    tried: list[float], status: str, best: str | None, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    store.put("jobs/job", {"name": "job", "properties": {"status": "Running", "tags": {"run": "r"}}})
    unused: Any = None
    said = [{"algorithm": "DecisionTree", "preprocessor": "", "score": score} for score in tried]

    config: Any = SimpleNamespace(state=tmp_path)

    AutoML(config, store, unused, unused, unused)._conclude(
        "job", said, "The search ran longer than its limit of PT1S."
    )

    job = store.get("jobs/job")
    assert job is not None
    assert (job["properties"]["status"], job["properties"]["tags"].get("automl_best_child_run_id")) == (status, best)
    assert job["properties"]["tags"]["run"] == "r"
    assert ("error" in (store.get("runs/job") or {})) == (best is None)
