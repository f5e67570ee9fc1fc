"""The real training script and the real inference server, in the model's own environment, as in the cloud.

The snapshot holds `aml/` alone and the server starts elsewhere, so nothing of the checkout can help them.
"""

import base64
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import requests

from aml.bundle import open_bundle
from aml.forest import Scorer
from aml.rows import Rows, single_series
from tests.integration.aml.servers import served, stream

_HOUR_US = 3_600_000_000
_ARROW = "application/vnd.apache.arrow.stream"


@dataclass(frozen=True)
class _Endpoint:
    url: str
    scorer: Scorer
    rows: Rows

    def post(self, body: bytes, content_type: str) -> requests.Response:
        return requests.post(f"{self.url}/score", data=body, headers={"Content-Type": content_type}, timeout=30)

    def post_json(self, request: object) -> requests.Response:
        return self.post(json.dumps(request).encode(), "application/json; charset=utf-8")


def _hourly(days: int) -> Rows:
    hours = np.arange(days * 24)
    values = np.random.default_rng(4).gamma(20, 1 + 0.5 * np.sin(hours / 24 * 2 * np.pi))
    return single_series(1_704_067_200_000_000 + hours * _HOUR_US, values)


def _table(rows: Rows) -> pa.Table:
    return pa.table({"FechaHora": pa.array(rows.time, pa.timestamp("us")), "VolCorrected": rows.value})


def _records(rows: Rows) -> list[dict[str, Any]]:
    times = pa.array(rows.time, pa.timestamp("us")).cast(pa.string()).to_pylist()
    return [{"FechaHora": t, "VolCorrected": v} for t, v in zip(times, rows.value.tolist(), strict=True)]


def _train(python: Path, snapshot: Path, data: Path, model: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [python, "-m", "aml.train", "--dataset", "gas", "--data", data, "--model", model]
    return subprocess.run(command, cwd=snapshot, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("endpoint")


@pytest.fixture(scope="module")
def endpoint(python: Path, snapshot: Path, folder: Path) -> Iterator[_Endpoint]:
    rows = _hourly(days=20)
    pyarrow.parquet.write_table(_table(rows), folder / "data.parquet")
    registered = folder / "model_dir" / "model"  # a registered folder keeps its name inside the model directory
    trained = _train(python, snapshot, folder / "data.parquet", registered)
    assert trained.returncode == 0, trained.stderr
    with served(python, snapshot, folder, workers=1) as url:
        yield _Endpoint(url, Scorer(open_bundle(registered / "bundle.joblib").pipeline), rows)


def test_arrow_chunks_served_with_context_join_to_the_scores_computed_here(endpoint: _Endpoint) -> None:
    answers = []
    for first, last in [(0, 100), (100, 101), (101, 480)]:
        context = min(first, 696)
        chunk = _table(endpoint.rows.take(slice(first - context, last)))
        response = endpoint.post(
            stream(chunk.replace_schema_metadata({"dropscore.context_rows": str(context)})), _ARROW
        )
        assert (response.status_code, response.headers["Content-Type"]) == (200, _ARROW)
        answers.append(pa.ipc.open_stream(response.content).read_all())

    table = pa.concat_tables(answers)

    scores = endpoint.scorer.scores(endpoint.rows)
    assert table.schema.metadata == {
        b"dropscore.model": b"iforest_gas",
        b"dropscore.version": b"3",
        b"dropscore.evaluation": endpoint.scorer.evaluation.encode(),
    }
    assert table["anomaly_score"].to_pylist() == scores.tolist()
    assert table["anomaly"].to_pylist() == endpoint.scorer.anomalies(scores).tolist()


def test_without_compiled_code_the_same_bits_are_served_and_the_answer_says_so(
    endpoint: _Endpoint, python: Path, snapshot: Path, folder: Path
) -> None:
    with served(python, snapshot, folder, workers=2, DROPSCORE_COMPILED_FOREST="off") as url:
        walked = pa.ipc.open_stream(replace(endpoint, url=url).post(stream(_table(endpoint.rows)), _ARROW).content)
        table = walked.read_all()

    compiled = pa.ipc.open_stream(endpoint.post(stream(_table(endpoint.rows)), _ARROW).content).read_all()
    assert table.schema.metadata[b"dropscore.evaluation"] == b"scikit-learn"
    assert table.equals(compiled, check_metadata=False)


def test_json_speaks_the_earlier_systems_contract_with_the_same_numbers(endpoint: _Endpoint) -> None:
    records = _records(endpoint.rows)

    response = endpoint.post_json({"data": records[30:], "context": records[:30]})

    scores = endpoint.scorer.scores(endpoint.rows)[30:].tolist()
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
    answer = response.json()
    assert (answer["ok"], answer["rows"], answer["model"]) == (True, 450, {"name": "iforest_gas", "version": "3"})
    assert [row["anomaly_score"] for row in answer["predictions"]] == scores
    assert [row["VolCorrected"] for row in answer["preview"]] == endpoint.rows.value[30:40].tolist()
    lines = base64.b64decode(answer["csv_base64"]).decode().splitlines()
    assert (lines[0], len(lines)) == (
        "FechaHora;VolCorrected;anomaly;anomaly_score;expected;lower;upper;severity;reason;kind",
        451,
    )


def test_a_request_at_fault_is_answered_in_words_and_the_worker_lives_on(endpoint: _Endpoint) -> None:
    refused = [
        endpoint.post_json({"data": [{"FechaHora": "2024-01-01", "VolCorrected": "a lot"}]}),
        endpoint.post(b"no stream", _ARROW),
        endpoint.post(b"a;b", "text/csv"),
    ]

    assert [response.status_code for response in refused] == [400, 400, 415]
    assert [response.json()["code"] for response in refused] == ["bad_row", "bad_arrow", "unsupported_content_type"]
    assert refused[0].json()["error"] == "Row 1: VolCorrected is not a number: 'a lot'."
    assert endpoint.post_json({"data": _records(endpoint.rows.take(slice(0, 1)))}).json()["rows"] == 1


def test_the_job_refuses_bad_data_with_exit_code_2_and_one_line(python: Path, snapshot: Path, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("Date;Value\n2024-01-01;1\n")

    job = _train(python, snapshot, tmp_path / "data.csv", tmp_path / "model")

    assert (job.returncode, job.stdout) == (2, "")
    assert job.stderr == "too_few_rows: 1 usable rows are too few; at least 168 are needed.\n"
