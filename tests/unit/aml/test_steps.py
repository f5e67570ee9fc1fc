"""The steps of the pipeline job leave, byte for byte, what the single job leaves."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path

import pytest

from aml import steps, train
from local.penguins import as_csv, penguins
from local.sample_data import hourly_gas, plain_csv

COLUMNS = ("island", "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "sex", "species")


def run_all(dataset: str, data: Path, folder: Path, *options: str) -> Path:
    """Every step in its order; the model's folder."""
    places = {name: folder / name for name in ("rows", "prepared", "held", "trained", "model")}
    places["data"] = data
    for name, reads in {
        "ingest": ("data", "rows"),
        "preprocess": ("rows", "prepared"),
        "split": ("prepared", "held"),
        "train": ("held", "trained"),
        "evaluate": ("held", "trained", "model"),
    }.items():
        given = [text for each in reads for text in (f"--{each}", str(places[each]))]
        assert steps.main([name, "--dataset", dataset, *given, *(options if name == "evaluate" else ())]) == 0
    return places["model"]


def left(folder: Path) -> dict[str, bytes]:
    """Every file of a job's output, but for the seconds that its metrics say a search has taken."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return files | {"metrics.json": re.sub(rb'"seconds": [0-9.]+', b'"seconds": 0', files["metrics.json"])}


@pytest.fixture
def gas(tmp_path: Path) -> Path:
    file = tmp_path / "gas.csv"
    file.write_text(plain_csv(hourly_gas(datetime.fromisoformat("2026-01-01"), 20, 1)), encoding="utf-8")
    return file


def test_a_series_is_trained_alike(gas: Path, tmp_path: Path) -> None:
    assert train.main(["--dataset", "gas", "--data", str(gas), "--model", str(tmp_path / "one")]) == 0
    many = run_all("gas", gas, tmp_path / "many")

    assert left(many) == left(tmp_path / "one")
    assert "bundle.joblib" in left(many)


@pytest.mark.slow
def test_a_table_is_trained_alike(tmp_path: Path) -> None:
    file = tmp_path / "penguins.csv"
    file.write_text(as_csv(penguins(), COLUMNS).replace("NA", ""), encoding="utf-8")
    options = ["--dataset", "penguins", "--data", str(file), "--model", str(tmp_path / "one"), "--version", "3"]
    assert train.main(options) == 0
    many = run_all("penguins", file, tmp_path / "many", "--version", "3")

    assert left(many) == left(tmp_path / "one")
    assert [name for name in left(many) if name.endswith("_penguins_v3.joblib")]


def test_a_step_that_fails_leaves_its_reason(tmp_path: Path) -> None:
    file = tmp_path / "short.csv"
    file.write_text(plain_csv(hourly_gas(datetime.fromisoformat("2026-01-01"), 2, 1)), encoding="utf-8")
    rows, prepared = str(tmp_path / "rows"), tmp_path / "prepared"
    assert steps.main(["ingest", "--dataset", "gas", "--data", str(file), "--rows", rows]) == 0

    assert steps.main(["preprocess", "--dataset", "gas", "--rows", rows, "--prepared", str(prepared)]) == 2
    assert json.loads((prepared / "error.json").read_text(encoding="utf-8"))["code"] == "too_few_rows"
    assert steps.main(["ingest", "--dataset", "gas", "--data", str(tmp_path / "none"), "--rows", rows]) == 2
