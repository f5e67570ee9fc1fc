"""The benchmark of a classified table compares every answer, and measures the contract that it says it measures."""

from __future__ import annotations

from pathlib import Path

import pytest

from aml.contract import load_contract, read_contract
from benchmarks.tables import differing, lighter_app

HEADER = "iucr;dtc_fbi_code_output;lda_fbi_code_output;error\n"


def _file(path: Path, *rows: str) -> Path:
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def test_a_row_is_answered_otherwise_where_either_model_says_something_else(tmp_path: Path) -> None:
    one = _file(tmp_path / "one", "0110;01A;01A;", "0820;06;06;", "0560;08A;08A;", "0486;02;03;")
    other = _file(tmp_path / "other", "0110;01A;01A;", "0820;6;06;", "0560;08A;08B;", "0486;03;02;")
    assert differing(one, one) == 0
    assert differing(one, other) == 3


def test_files_of_other_lengths_are_not_compared(tmp_path: Path) -> None:
    one, other = _file(tmp_path / "one", "0110;01A;01A;"), _file(tmp_path / "other", *["0110;01A;01A;"] * 2)
    with pytest.raises(ValueError, match="one has 1 rows, other 2"):
        differing(one, other)


def test_the_measured_app_differs_in_how_long_it_searches_alone(tmp_path: Path) -> None:
    lighter = read_contract(lighter_app(tmp_path / "app") / "aml/datasets/crimes.yml").model_dump()
    whole = load_contract("crimes").model_dump()
    searched = next(model["tuning"] for model in lighter["models"] if model["name"] == "decision_tree")
    assert (searched["trials"], searched["folds"]) == (2, 2)
    for contract in (lighter, whole):
        for model in contract["models"]:
            model.pop("tuning")
    assert lighter == whole
