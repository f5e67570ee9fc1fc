"""AutoML by the real SDK: the job of `aml/jobs`, its children and their graphs, its limits, and its failures."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from azure.ai.ml import MLClient, load_job
from azure.ai.ml.automl import ClassificationJob
from azure.ai.ml.entities import Job
from azure.ai.ml.exceptions import JobException
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient

from aml.tabular.onnx import OnnxClassifier

from .conftest import ended, until

pytest.importorskip("onnxruntime", reason="onnxruntime has no package for this machine")

AUTOML = Path(__file__).resolve().parents[3] / "aml/jobs/automl.yml"
_MLTABLE = "type: mltable\npaths:\n  - file: ./rows.parquet\ntransformations:\n  - read_parquet:\n"


def rows(count: int, width: int = 3, classes: int = 3) -> pa.Table:
    """Classes told apart by the first column, as a table for AutoML."""
    random = np.random.default_rng(1)
    kinds = np.arange(count) % classes
    matrix = random.normal(0, 0.3, (count, width)).astype(np.float32)
    matrix[:, 0] += kinds
    columns = {f"c{at}": pa.array(matrix[:, at]) for at in range(width)}
    return pa.table({**columns, "target": pa.array([f"class {kind}" for kind in kinds])})


def put(blobs: BlobServiceClient, name: str, table: pa.Table) -> str:
    """Uploads it as an MLTable; where it lies."""
    file = io.BytesIO()
    pq.write_table(table, file)
    for leaf, data in (("rows.parquet", file.getvalue()), ("MLTable", _MLTABLE.encode())):
        blobs.get_blob_client("training", f"automl/{name}/{leaf}").upload_blob(data, overwrite=True)
    return f"azureml://datastores/dropscore/paths/automl/{name}"


def job(name: str, table: str, **changes: Any) -> ClassificationJob:
    """The job of `aml/jobs`, on this table."""
    plain = {"name": name, "training_data.path": table, "limits.max_trials": 2}
    return load_job(AUTOML, params_override=[{path: value} for path, value in (plain | changes).items()])


def submitted(client: MLClient, asked: ClassificationJob) -> Job:
    """The job, once it has ended."""
    client.jobs.create_or_update(asked)
    return ended(client, asked.name)


def why(client: MLClient, name: str) -> str:
    """What the SDK says of a job that failed."""
    with pytest.raises(JobException) as caught:
        client.jobs.stream(name)
    return str(caught.value)


def test_the_best_of_what_was_tried_is_named_and_leaves_a_graph(client: MLClient, blobs: BlobServiceClient) -> None:
    table = rows(90)

    done = submitted(client, job("automl-best", put(blobs, "best", table)))

    assert done.status == "Completed"
    children = {child.name: child for child in client.jobs.list(parent_job_name="automl-best")}
    assert [(name, child.status) for name, child in children.items()] == [
        ("automl-best_0", "Completed"),
        ("automl-best_1", "Completed"),
    ]
    scores = [float(child.properties["score"]) for child in children.values()]
    best = done.tags["automl_best_child_run_id"]
    assert best == f"automl-best_{scores.index(max(scores))}"
    assert done.tags["run_algorithm_000"] == "LogisticRegression;DecisionTree"
    assert [float(score) for score in done.tags["score_000"].split(";")] == scores
    child = client.jobs.get(best)
    assert (child.type, child.properties["run_algorithm"]) == ("automl", done.tags["run_algorithm_000"].split(";")[0])
    outputs = {each: _artifact(blobs, best, each) for each in ("model.onnx", "model_onnx.json", "model.pkl")}
    named = json.loads(outputs["model_onnx.json"])["RawColumnNameToOnnxNameMap"]
    classifier = OnnxClassifier(outputs["model.onnx"], tuple(named.values()), ("class 0", "class 1", "class 2"))
    matrix = np.column_stack([table[name] for name in named])
    assert float(np.mean(classifier.predict(matrix) == np.array(table["target"].to_pylist()))) > 0.85


def _artifact(blobs: BlobServiceClient, run: str, name: str) -> bytes:
    path = f"ExperimentRun/dcid.{run}/outputs/{name}"
    found: bytes = blobs.get_blob_client("azureml", path).download_blob().readall()
    return found


def test_a_search_that_cannot_be_made_fails_and_says_why(client: MLClient, blobs: BlobServiceClient) -> None:
    nowhere = "azureml://datastores/dropscore/paths/automl/nowhere"
    words = put(blobs, "words", rows(60).append_column("c9", pa.array(["a word"] * 60)))

    for name, asked, said in (
        ("automl-nowhere", job("automl-nowhere", nowhere), "There is nothing at 'automl/nowhere'"),
        ("automl-words", job("automl-words", words), "could not convert string to float"),
    ):
        assert submitted(client, asked).status == "Failed"
        assert said in why(client, name)


def test_a_search_that_hits_its_limit_before_it_has_tried_anything_fails(
    client: MLClient, blobs: BlobServiceClient
) -> None:
    asked = job("automl-late", put(blobs, "late", rows(60)))
    asked.limits.timeout_minutes = 0.002  # the file takes whole minutes only

    assert submitted(client, asked).status == "Failed"
    assert "ran longer than its limit of PT0.12S" in why(client, "automl-late")


def test_a_search_can_be_cancelled_and_leaves_no_process(client: MLClient, blobs: BlobServiceClient) -> None:
    table = put(blobs, "long", rows(30_000, 12))
    client.jobs.create_or_update(job("automl-long", table, **{"limits.max_trials": 5}))
    until(lambda: _searching("automl-long"))

    client.jobs.begin_cancel("automl-long").result()

    assert client.jobs.get("automl-long").status == "Canceled"
    assert _searching("automl-long") is None
    assert "automl_best_child_run_id" not in client.jobs.get("automl-long").tags


def _searching(name: str) -> psutil.Process | None:
    """The search's process, by its command line."""
    for process in psutil.process_iter(["cmdline"]):
        if any(f"/automl/{name}/" in part for part in process.info["cmdline"] or ()):
            return process
    return None


def test_what_only_the_cloud_has_is_refused_in_words(client: MLClient, blobs: BlobServiceClient) -> None:
    table = put(blobs, "refused", rows(60))

    for changes, what in (
        ({"featurization.mode": "auto"}, "does not have featurization by AutoML"),
        ({"training.enable_vote_ensemble": True}, "does not have ensembles of AutoML"),
        ({"outputs": {"best_model": {"type": "mlflow_model"}}}, "does not have MLflow models of AutoML"),
        ({"compute": "azureml:gpu"}, "Unknown compute target 'gpu'"),
        ({"training_data.path": "azureml://datastores/elsewhere/paths/x"}, "not found"),
    ):
        with pytest.raises(HttpResponseError, match=what):
            client.jobs.create_or_update(job("automl-refused", table, **changes))
