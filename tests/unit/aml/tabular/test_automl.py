"""A table with a model of AutoML: what the search is given, what is made of what it finds, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from aml import automl, train
from aml.bundle import find_bundle, open_bundle
from aml.columns import InputError
from aml.contract import DatasetContract
from aml.opening import service_of
from aml.tabular.automl import FoundByAutoml, table_of
from aml.tabular.ground import keys_of, load_ground
from aml.tabular.reading import table_from_arrow
from aml.tabular.serving import TabularService
from aml.tabular.training import featured, hold_out, prepare, train_table
from tests.fakes.automl import leave
from tests.unit.aml.tabular.birds import birds, contract_of

pytest.importorskip("onnxruntime", reason="onnxruntime has no package for this machine")

_DATA = birds(240, seed=3)
_TREE = {"name": "tree", "algorithm": "decision_tree", "parameters": {"max_depth": 2}}


def _contract(*models: dict[str, Any], **changes: Any) -> DatasetContract:
    return contract_of(models=list(models), tuning={"method": "automl"}, **changes)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> FoundByAutoml:
    """What AutoML has left for the birds."""
    folder = tmp_path_factory.mktemp("automl")
    _write(_contract(_TREE), folder / "table")
    leave(folder / "table", folder / "outputs")
    return FoundByAutoml(folder / "outputs", folder / "table")


def _write(contract: DatasetContract, folder: Path) -> pa.Table:
    from aml.tabular.automl import write_table

    _, matrix, classes = featured(hold_out(prepare(_DATA, contract), contract), contract)
    table = table_of(matrix, classes, contract.split.seed)
    write_table(folder, table)
    return table


def test_the_search_is_given_what_the_other_candidates_are_fitted_on_and_no_row_that_is_held_out(
    tmp_path: Path,
) -> None:
    contract = _contract(_TREE)

    table = _write(contract, tmp_path)

    held = hold_out(prepare(_DATA, contract), contract)
    features, matrix, classes = featured(held, contract)
    assert table.column_names == [*(f"c{at}" for at in range(features.width_)), "target"]
    assert table["target"].to_pylist() == classes.tolist()
    assert np.array_equal(
        np.column_stack([table[f"c{at}"] for at in range(features.width_)]), matrix.toarray().astype("f")
    )
    assert table.num_rows == len(held.fit) == 192
    assert set(held.fit).isdisjoint(held.held)
    assert pa.parquet.read_table(tmp_path / "rows.parquet").equals(table)
    assert "read_parquet" in (tmp_path / "MLTable").read_text()


def test_what_it_finds_is_measured_beside_the_others_and_kept_as_it_was_measured(
    found: FoundByAutoml, tmp_path: Path
) -> None:
    metrics = train_table(_DATA, _contract(_TREE), tmp_path, automl=found, version=2)

    assert [model["name"] for model in metrics["models"]] == ["tree", "automl"]
    assert (metrics["champion_model"], metrics["champion_algorithm"]) == ("automl", "automl")
    assert metrics["accuracy"] > 0.8
    assert metrics["final_model"] == "the one that was measured, as AutoML fitted it"
    bundle = open_bundle(find_bundle(tmp_path))
    assert find_bundle(tmp_path).name == "automl_birds_v2.joblib"
    ground = load_ground(tmp_path, bundle.contract)
    (again,) = bundle.pipeline.probabilities(ground.table, ("automl",)).values()
    said = bundle.pipeline.classes("automl")[again.argmax(axis=1)]
    assert float((said == ground.classes).mean()) == metrics["accuracy"]
    assert not set(keys_of(ground.table, ground.classes)) & set(ground.fitted)
    # the tree was fitted on all rows afterwards, by features of its own
    steps = {name: pipeline.named_steps["features"] for name, pipeline in bundle.pipeline.items()}
    assert steps["tree"] is not steps["automl"]


def test_it_may_be_the_only_model(found: FoundByAutoml, tmp_path: Path) -> None:
    contract = _contract()

    metrics = train_table(_DATA, contract, tmp_path, automl=found)

    assert [model["name"] for model in metrics["models"]] == ["automl"]
    assert contract.choices == ("best", "all", "automl")


def test_the_next_dataset_is_judged_against_it(found: FoundByAutoml, tmp_path: Path) -> None:
    train_table(_DATA, _contract(), tmp_path / "live", automl=found)

    metrics = train_table(_DATA, contract_of(models=[_TREE]), tmp_path / "next", tmp_path / "live")

    assert metrics["champion"]["accuracy"] > metrics["accuracy"]
    assert "problem" not in metrics["champion"]


def test_its_answers_are_the_same_in_any_form_and_any_chunks(found: FoundByAutoml, tmp_path: Path) -> None:
    train_table(_DATA, _contract(_TREE), tmp_path, automl=found)
    bundle = open_bundle(find_bundle(tmp_path))
    service = service_of(bundle, "classifier_birds", "1")
    assert isinstance(service, TabularService)
    contract = bundle.contract.answering("automl")
    asked = birds(90, seed=8)
    table = table_from_arrow(asked, contract).table

    together = service.predict(table, contract)
    pieces = [service.predict(table.take(slice(at, at + 13)), contract) for at in range(0, 90, 13)]
    everything = service.predict(table, bundle.contract.answering("all"))
    records = json.loads(json.dumps(asked.drop_columns("species").to_pylist(), default=str))
    answer = service.answer("application/json", json.dumps({"choice": "automl", "data": records}).encode())

    for name, values in together.items():
        assert np.concatenate([np.asarray(piece[name]) for piece in pieces]).tolist() == np.asarray(values).tolist()
    assert np.asarray(everything["automl_species"]).tolist() == np.asarray(together["species"]).tolist()
    preview = json.loads(answer.body)["preview"]
    assert [row["p_crane"] for row in preview] == np.asarray(together["p_crane"])[: len(preview)].tolist()


def _refused(found: FoundByAutoml | None, folder: Path, contract: DatasetContract | None = None) -> str:
    with pytest.raises(InputError) as caught:
        train_table(_DATA, contract or _contract(_TREE), folder, automl=found)
    assert not folder.exists()
    return caught.value.code


def test_what_cannot_be_used_ends_the_job_with_a_code_of_its_own(found: FoundByAutoml, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    shutil.copytree(found.outputs, outputs)
    spoilt = FoundByAutoml(outputs, found.table)
    target = tmp_path / "model"

    assert _refused(None, target) == "automl_missing"
    other = _contract(_TREE, split={"seed": 7})
    assert _refused(found, target, other) == "automl_other_rows"
    assert _refused(FoundByAutoml(outputs, tmp_path / "nowhere"), target) == "automl_other_rows"
    (outputs / "model.onnx").write_bytes(b"no graph")
    assert _refused(spoilt, target) == "automl_unusable"
    (outputs / "model.onnx").unlink()
    assert _refused(spoilt, target) == "automl_without_onnx"


def test_the_graphs_names_of_columns_are_those_of_the_file_beside_it(found: FoundByAutoml, tmp_path: Path) -> None:
    from aml.tabular.automl import _called

    (tmp_path / "model_onnx.json").write_text(json.dumps({"RawColumnNameToOnnxNameMap": {"c0": "variable_0"}}))

    assert _called(tmp_path / "model_onnx.json", ("c0", "c1")) == ("variable_0", "c1")
    for nothing in ("[]", "{}", "not json", '{"RawColumnNameToOnnxNameMap": []}'):
        (tmp_path / "model_onnx.json").write_text(nothing)
        assert _called(tmp_path / "model_onnx.json", ("c0",)) == ("c0",)
    assert _called(tmp_path / "nowhere.json", ("c0",)) == ("c0",)


def test_the_two_commands_hand_the_table_and_what_was_found_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (automl, train):
        monkeypatch.setattr(module, "load_contract", {"birds": _contract(_TREE)}.__getitem__)
    data, table, outputs = tmp_path / "data.parquet", tmp_path / "table", tmp_path / "outputs"
    pa.parquet.write_table(_DATA, data)
    given = ["--dataset", "birds", "--data", str(data)]

    assert automl.main([*given, "--table", str(table)]) == 0
    assert "192 rows of " in capsys.readouterr().out
    leave(table, outputs, "LogisticRegression")
    asked = ["--automl", str(outputs), "--automl-table", str(table)]
    assert train.main([*given, "--model", str(tmp_path / "model"), *asked]) == 0
    assert json.loads((tmp_path / "model/metrics.json").read_text())["models"][1]["name"] == "automl"
    assert train.main([*given, "--model", str(tmp_path / "bad"), "--automl", "none", "--automl-table", "none"]) == 2
    assert json.loads((tmp_path / "bad/error.json").read_text())["code"] == "automl_missing"


def test_data_that_cannot_train_a_model_end_before_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(automl, "load_contract", {"birds": _contract(_TREE)}.__getitem__)
    pa.parquet.write_table(_DATA.slice(0, 5), tmp_path / "few.parquet")

    status = automl.main(
        ["--dataset", "birds", "--data", str(tmp_path / "few.parquet"), "--table", str(tmp_path / "t")]
    )

    assert status == 2
    assert json.loads((tmp_path / "t/error.json").read_text())["code"] == "too_few_rows"
    assert "too_few_rows" in capsys.readouterr().err
    assert not (tmp_path / "t/MLTable").exists()
