"""A classification, trained and served in the model's own environment: the same bits from HTTP and in process."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import requests

from aml.bundle import open_bundle
from aml.contract import load_contract
from aml.tabular.candidates import Candidates
from aml.tabular.reading import table_from_arrow
from tests.integration.aml.servers import served, stream

_ARROW = "application/vnd.apache.arrow.stream"
_CONTRACT = load_contract("penguins")


@dataclass(frozen=True)
class _Endpoint:
    url: str
    candidates: Candidates
    rows: pa.Table

    def post(self, body: bytes, content_type: str) -> requests.Response:
        return requests.post(f"{self.url}/score", data=body, headers={"Content-Type": content_type}, timeout=30)


def _penguins(count: int) -> pa.Table:
    """Measures drawn around those of the three species, some of them missing."""
    random = np.random.default_rng(8)
    kinds = random.integers(0, 3, count)
    centres = np.array([[38.8, 18.3, 190, 3700], [48.8, 18.4, 196, 3730], [47.5, 15.0, 217, 5080]])
    measures = np.clip(
        centres[kinds] + random.normal(0, 1, (count, 4)) * [2, 0.8, 5, 300], [25, 10, 170, 2500], [65, 25, 240, 6500]
    )
    names = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
    gaps = random.random((6, count)) < 0.03
    columns = {name: pa.array(measures[:, at], mask=gaps[at]) for at, name in enumerate(names)}
    islands, sexes = random.choice(["Biscoe", "Dream", "Torgersen"], count), random.choice(["female", "male"], count)
    columns["island"] = pa.array(islands.tolist(), pa.string(), mask=gaps[4])
    columns["sex"] = pa.array(sexes.tolist(), pa.string(), mask=gaps[5])
    columns["species"] = pa.array([_CONTRACT.classes[kind] for kind in kinds])
    return pa.table(columns)


@pytest.fixture(scope="module")
def endpoint(python: Path, snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Endpoint]:
    folder, data = tmp_path_factory.mktemp("endpoint"), _penguins(120)
    pyarrow.parquet.write_table(data, folder / "data.parquet")
    registered = folder / "model_dir" / "model"
    command: list[str | Path] = [python, "-m", "aml.train", "--dataset", "penguins", "--data", folder / "data.parquet"]
    command += ["--model", registered, "--contamination", "0.01", "--champion", "none", "--version", "4"]
    trained = subprocess.run(command, cwd=snapshot, capture_output=True, text=True, timeout=240, check=False)
    assert trained.returncode == 0, trained.stderr
    (path,) = registered.glob("*_penguins_v4.joblib")
    with served(python, snapshot, folder, workers=1) as url:
        yield _Endpoint(url, open_bundle(path).pipeline, data.drop(["species"]))


def test_every_model_answers_as_its_pipeline_does_here(endpoint: _Endpoint) -> None:
    table = table_from_arrow(endpoint.rows, _CONTRACT).table
    for name, pipeline in endpoint.candidates.items():
        asked = endpoint.rows.replace_schema_metadata({"dropscore.model_choice": name})

        response = endpoint.post(stream(asked), _ARROW)

        assert response.status_code == 200, response.text
        answer = pa.ipc.open_stream(response.content).read_all()
        expected = pipeline.predict_proba(table)
        for place, species in enumerate(pipeline.classes_):
            assert answer.column(f"p_{species}").to_numpy().tobytes() == expected[:, place].tobytes()


def test_the_champion_answers_json_and_an_unknown_model_is_refused(endpoint: _Endpoint) -> None:
    row = endpoint.rows.slice(0, 1).to_pylist()

    plain = endpoint.post(json.dumps({"data": row}).encode(), "application/json").json()
    refused = endpoint.post(json.dumps({"data": row, "choice": "oracle"}).encode(), "application/json")

    assert plain["model"]["candidate"] == endpoint.candidates.best
    assert plain["predictions"][0]["species"] in _CONTRACT.classes
    assert (refused.status_code, refused.json()["code"]) == (400, "unknown_model")
