"""The declared classifications on the data that they are about."""

import io
from pathlib import Path

import pyarrow.csv

from aml.contract import DatasetContract, load_contract
from aml.tabular.training import train_table
from local.crimes import crimes
from local.penguins import as_csv, penguins


def _untuned(contract: DatasetContract) -> DatasetContract:
    models = [model.model_dump(mode="json") | {"tuning": {"method": "none"}} for model in contract.models]
    return DatasetContract.model_validate({**contract.model_dump(mode="json"), "models": models})


def test_the_penguins_champion_is_right_about_the_birds_that_are_held_out(tmp_path: Path) -> None:
    """A fifth of the Palmer Penguins, by class, drawn by the seed 42."""
    data = pyarrow.csv.read_csv(io.BytesIO(as_csv(penguins()).encode()))

    metrics = train_table(data, load_contract("penguins"), tmp_path)

    assert (metrics["rows"], metrics["rows_holdout"], metrics["seed"]) == (344, 69, 42)
    assert metrics["accuracy"] >= 0.98
    assert all(model["metrics"]["accuracy"] >= 0.95 for model in metrics["models"])


def test_both_models_of_the_crimes_tell_the_fbi_code(tmp_path: Path) -> None:
    data = crimes(4000, seed=3)

    metrics = train_table(data, _untuned(load_contract("crimes")), tmp_path)

    assert len(metrics["rows_by_class"]) > 20
    assert {model["name"]: model["metrics"]["f1_weighted"] >= 0.97 for model in metrics["models"]} == {
        "decision_tree": True,
        "lda": True,
    }
