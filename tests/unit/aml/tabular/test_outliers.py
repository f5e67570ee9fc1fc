"""An isolation forest on a table without time and without classes."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aml.bundle import Bundle, find_bundle, open_bundle
from aml.columns import InputError
from aml.contract import DatasetContract
from aml.messages import ARROW, JSON
from aml.opening import AnyService, service_of
from aml.tabular.outliers import train_outliers
from aml.tabular.reading import table_from_arrow
from aml.train import main
from tests.unit.aml.tabular.birds import birds, contract_of

_FOREST: dict[str, Any] = {"name": "forest", "algorithm": "isolation_forest", "parameters": {"n_estimators": 20}}
_FEATURES = [
    {"column": "wing"},
    {"column": "leg"},
    {"column": "lake", "encode": "one_hot", "rare": 0.02},
    {"column": "sex", "encode": "ordinal"},
]


def _contract(**changes: Any) -> DatasetContract:
    declared = {
        "task": "anomaly",
        "target": None,
        "models": [_FOREST],
        "features": _FEATURES,
        "contamination": 0.05,
        "predictions": [
            {"name": "anomaly", "type": "integer"},
            {"name": "anomaly_score", "type": "number"},
            {"name": "reason", "type": "text"},
        ],
    }
    return contract_of(**declared | changes)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("outliers")
    train_outliers(birds(300), _contract(), folder, contamination=0.05, version=2)
    assert find_bundle(folder).name == "iforest_birds_v2.joblib"
    return open_bundle(find_bundle(folder))


@pytest.fixture(scope="module")
def service(bundle: Bundle) -> AnyService:
    return service_of(bundle, "iforest_birds", "2")


def _answered(service: AnyService, rows: pa.Table) -> pa.Table:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    answer = service.answer(ARROW, sink.getvalue())
    assert answer.status == 200, answer.body
    return pa.ipc.open_stream(answer.body).read_all()


def test_the_answer_is_what_the_pipeline_says(service: AnyService, bundle: Bundle) -> None:
    rows = birds(80, seed=3)

    answer = _answered(service, rows)

    table = table_from_arrow(rows, bundle.contract).table
    assert answer.column("anomaly_score").to_numpy().tobytes() == (-bundle.pipeline.score_samples(table)).tobytes()
    assert (answer.column("anomaly").to_numpy() == (bundle.pipeline.predict(table) == -1)).all()
    assert answer.column("reason").null_count == 80


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(cut=st.integers(0, 50))
def test_rows_are_answered_alike_however_they_are_cut(service: AnyService, cut: int) -> None:
    rows = birds(50, seed=4)

    parts = [_answered(service, rows.slice(0, cut)), _answered(service, rows.slice(cut))]

    assert pa.concat_tables(parts).equals(_answered(service, rows))


def test_a_strange_bird_is_flagged(service: AnyService) -> None:
    rows = birds(50, seed=5).drop(["seen", "species"]).slice(0, 20).to_pylist()
    strange = {"wing": 299, "leg": 140, "ring": 1, "lake": "Ness", "sex": "female"}

    said = json.loads(service.answer(JSON, json.dumps({"data": [*rows, strange]}).encode()).body)["predictions"]

    assert said[-1]["anomaly"] == 1
    assert sum(row["anomaly"] for row in said[:-1]) < 5
    assert said[-1]["anomaly_score"] > np.median([row["anomaly_score"] for row in said[:-1]])


def test_the_metrics_are_alerts_beside_the_champions(tmp_path: Path) -> None:
    contract = _contract()
    first = train_outliers(birds(300), contract, tmp_path / "live", contamination=0.05)

    again = train_outliers(birds(300), contract, tmp_path / "next", tmp_path / "live", contamination=0.05)

    assert (first["rows_fit"], first["rows_holdout"]) == (240, 60)
    assert 0 <= first["alert_rate"] < 0.3
    assert again["fresh_alert_rate"] == again["champion"]["alert_rate"] == first["alert_rate"]
    bundles = [find_bundle(tmp_path / name).read_bytes() for name in ("live", "next")]
    assert bundles[0] == bundles[1]
    profile = json.loads((tmp_path / "live/profile.json").read_text())
    assert profile["score"]["name"] == "anomaly_score"
    assert np.sum(profile["score"]["counts"]["0"]) == 60


def test_without_classes_there_is_nothing_to_tune_by(tmp_path: Path) -> None:
    tuned = {**_FOREST, "parameters": {}, "tuning": {"method": "grid", "space": {"n_estimators": [5, 9]}}}

    with pytest.raises(InputError, match="leave its tuning out"):
        train_outliers(birds(100), _contract(models=[tuned]), tmp_path, contamination=0.05)


def test_the_command_trains_by_the_contracts_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aml.train.load_contract", lambda name: _contract())
    pa.csv.write_csv(birds(120).drop(["species"]), tmp_path / "birds.csv")
    command = ["--dataset", "birds", "--data", str(tmp_path / "birds.csv"), "--model", str(tmp_path / "model")]

    assert main([*command, "--contamination", "0.1"]) == 0

    assert json.loads((tmp_path / "model/metrics.json").read_text())["contamination"] == 0.1
