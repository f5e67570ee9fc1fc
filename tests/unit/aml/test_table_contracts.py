"""Contracts of tables: what may be asked for, which columns go where, and in words everything that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from aml import schema
from aml.contract import ALGORITHMS, ContractError, DatasetContract, contract_names, load_contract, read_contract
from aml.contract.loading import FOLDER

PENGUINS, CRIMES, GAS = load_contract("penguins"), load_contract("crimes"), load_contract("gas")
DECLARED: dict[str, Any] = yaml.safe_load((FOLDER / "penguins.yml").read_text(encoding="utf-8"))


def test_the_siblings_are_declared_as_their_clients_know_them() -> None:
    assert PENGUINS.classes == ("Adelie", "Chinstrap", "Gentoo")
    assert [model.name for model in PENGUINS.models] == ["logistic", "random_forest", "svm"]
    assert {model.tuning.folds for model in PENGUINS.models} == {5}
    bounds = {each.name: (each.minimum, each.maximum) for each in PENGUINS.columns if each.type == "number"}
    assert bounds == {
        "bill_length_mm": (25, 65),
        "bill_depth_mm": (10, 25),
        "flipper_length_mm": (170, 240),
        "body_mass_g": (2500, 6500),
    }
    assert set(CRIMES.inputs) == {
        *("arrest", "beat", "community_area", "description", "dia_mes", "dia_semana", "district", "domestic", "hora"),
        *("iucr", "latitude", "location_description", "longitude", "mes", "primary_type", "ward"),
    }
    assert len(CRIMES.classes) == 26
    assert [each.name for each in CRIMES.predictions] == ["dtc_fbi_code_output", "lda_fbi_code_output"]


def test_what_answers_is_chosen_by_name() -> None:
    shares = ["p_Adelie", "p_Chinstrap", "p_Gentoo"]
    for choice in (None, "best", "svm"):
        asked = PENGUINS.answering(choice)
        assert [each.name for each in asked.predictions] == ["species", "confidence", *shares]
        assert [each.type for each in asked.predictions] == ["text", *["number"] * 4]
        assert asked.asked == (choice or "best")
    every = PENGUINS.answering("all")
    assert [each.name for each in every.predictions] == ["logistic_species", "random_forest_species", "svm_species"]
    assert CRIMES.answering(None).asked == "all"
    assert [each.name for each in CRIMES.answering("lda").predictions][:2] == ["fbi_code", "confidence"]
    assert every.model_dump() != PENGUINS.model_dump()
    assert DatasetContract.model_validate_json(every.model_dump_json()) == every


def test_an_anomaly_dataset_has_one_model() -> None:
    assert GAS.answering(None) is GAS
    assert GAS.answering("best") is GAS
    assert GAS.choices == ("best",)
    for contract, choice in ((GAS, "all"), (GAS, "svm"), (PENGUINS, "lda"), (PENGUINS, "BEST")):
        with pytest.raises(ContractError, match="ask for one of: best") as caught:
            contract.answering(choice)
        assert caught.value.code == "unknown_model"


def test_the_target_is_taken_from_training_data_alone() -> None:
    assert "species" not in [column.name for column in PENGUINS.carried]
    labelled = PENGUINS.labelled()
    assert [column.name for column in labelled.carried] == [*PENGUINS.inputs, "species"]
    with pytest.raises(ContractError, match="species"):
        labelled.resolve(PENGUINS.inputs)
    assert GAS.labelled() is GAS
    assert GAS.carried == GAS.columns


def test_a_column_may_follow_from_another() -> None:
    parts = ["mes", "dia_mes", "dia_semana", "hora"]
    others = [name for name in CRIMES.inputs if name not in parts]

    assert set(CRIMES.resolve([*others, "date"])) == {*others, "date"}
    assert set(CRIMES.resolve([*others, *parts])) == {*others, *parts}
    with pytest.raises(ContractError, match="It would follow from date") as caught:
        CRIMES.resolve(others)
    assert caught.value.code == "missing_column"


def test_a_table_has_no_time_and_says_so() -> None:
    for name in ("time_column", "value_column"):
        with pytest.raises(ValueError, match="penguins is a table"):
            getattr(PENGUINS, name)
    assert (GAS.time_column, GAS.value_column) == ("FechaHora", "VolCorrected")


def _written(tmp_path: Path, declared: object, name: str = "penguins") -> Path:
    path = tmp_path / f"{name}.yml"
    path.write_text(
        declared if isinstance(declared, str) else yaml.safe_dump(declared, sort_keys=False), encoding="utf-8"
    )
    return path


def _faults(path: Path) -> list[str]:
    with pytest.raises(ContractError) as caught:
        read_contract(path)
    assert caught.value.code == "invalid_contract"
    head, *faults = caught.value.message.splitlines()
    assert head == f"The contract {path.name} has {len(faults)} fault{'s' if len(faults) > 1 else ''}."
    return faults


def test_every_fault_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    text = """\
name: penguin
task: classification
model_name: classifier
contamination: 0.1
columns:
  - {name: island, type: txt}
  - {name: mass, type: number, minimum: abc, unitt: g}
features:
  - {column: island, encode: onehot}
models:
  - {name: lr, algorithm: logistic, parameters: {depth: 3}}
training: {min_rows: 0, max_unusable_share: 0.2}
"""
    assert _faults(_written(tmp_path, text)) == [
        "penguins.yml: target: is missing; a classification needs it.",
        "penguins.yml, line 1: name: is 'penguin'; in penguins.yml it must be penguins.",
        "penguins.yml, line 4: contamination: means nothing for a classification; leave it out.",
        "penguins.yml, line 6: columns[0].type: 'txt' is none of its values; write 'time', 'number' or 'text'.",
        "penguins.yml, line 7: columns[1].minimum: 'abc' does not belong here; write a number.",
        "penguins.yml, line 7: columns[1].unitt: there is no such key; perhaps unit is meant.",
        "penguins.yml, line 9: features[0].encode: 'onehot' is none of its values; "
        "write 'one_hot', 'ordinal', 'target' or 'frequency'.",
        "penguins.yml, line 11: models[0]: logistic has no parameter 'depth'; it has C, class_weight, max_iter.",
        "penguins.yml, line 12: training.min_rows: 0 does not fit; input should be greater than or equal to 1.",
    ]


def _with(**changes: Any) -> dict[str, Any]:
    return {**DECLARED, **changes}


def _columns(*more: dict[str, Any]) -> dict[str, Any]:
    return _with(columns=[*DECLARED["columns"], *more])


def _features(*more: dict[str, Any]) -> dict[str, Any]:
    return _with(features=[*DECLARED["features"], *more])


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (_with(time="island"), "time: means nothing for a classification; leave it out"),
        (_with(context_rows=3), "context_rows: there is no order of time without a time column"),
        (_with(target="sexx"), "target: 'sexx' is none; 'sexx' must be declared as a column of type text"),
        (_with(target="body_mass_g"), "target: 'body_mass_g' is none"),
        (_with(answer="lda"), "answer: there is no model 'lda'; it is one of best, all, logistic, random_forest, svm"),
        (_with(asked="svm"), "asked: is not for files; leave it out"),
        (
            _with(
                columns=[*DECLARED["columns"][:-1], {**DECLARED["columns"][-1], "name": "confidence"}],
                target="confidence",
            ),
            "target: two columns of the answer would be called 'confidence'; rename target or classes",
        ),
        (
            _with(
                columns=[*DECLARED["columns"][:-1], {**DECLARED["columns"][-1], "name": "model"}],
                target="model",
            ),
            "target: 'model' stands beside the answer in what programs are answered; call it otherwise",
        ),
        (
            _with(models=[{**DECLARED["models"][0], "column": "error"}, *DECLARED["models"][1:]]),
            "models[0].column: 'error' stands beside the answer in what programs are answered; call it otherwise",
        ),
        (
            _with(predictions=[{"name": "x", "type": "text"}]),
            "predictions: the columns of a classification follow from",
        ),
        (_with(tuning={"method": "sweep", "space": {"trees": {"values": [9]}}}), "each of the models has its own"),
        (_columns({"name": "sex", "type": "text"}), "columns[7].name: 'sex' is declared twice; keep one of the two"),
        (_columns({"name": "culmen depth mm", "type": "text"}), "would fit two columns; call it otherwise in one"),
        (
            _with(predictions=[{"name": "x", "type": "text"}], answer="lda"),
            "answer: there is no model 'lda'; it is one of best, all, logistic, random_forest, svm",
        ),
        (_columns({"name": "m", "type": "number", "otherwise": "3"}), "'3' names no column"),
        (_columns({"name": "m", "type": "number", "otherwise": "month(day)"}), "there is no column 'day'"),
        (
            _columns({"name": "m", "type": "number", "otherwise": "month(sex)"}),
            "'sex' is a column of type text; a time is",
        ),
        (
            _columns({"name": "m", "type": "number", "otherwise": "sex * 2"}),
            "'sex' is a column of type text; a number is",
        ),
        (
            _columns(
                {"name": "m", "type": "number", "otherwise": "body_mass_g / 2"},
                {"name": "n", "type": "number", "otherwise": "m / 2"},
            ),
            "'m' follows from others itself; name the columns that it follows from",
        ),
        (_columns({"name": "s", "type": "text", "impute": "median"}), "has no median; a number has all three"),
        (_columns({"name": "s", "type": "text", "categories": ["a b", "A-B"]}), "one but for case, spaces"),
        (_columns({"name": "s", "type": "number", "length": 3}), "no text, so it has no length; leave it out"),
        (_columns({"name": "s", "type": "number", "minimum": 3, "maximum": 2}), "above its maximum; exchange them"),
        (_features({"column": "nope"}), "features[9].column: there is no column 'nope'; the columns are island, "),
        (_features({"column": "sex"}), "features[9]: a text must be encoded; add encode"),
        (_features({"column": "sex", "encode": "one_hot"}), "'sex' stands there 2 times"),
        (
            _features({"column": "species", "encode": "one_hot"}),
            "would see what they are to predict; leave the target out",
        ),
        (_features({"name": "x", "expression": "1 + 2"}), "names no column"),
        (_features({"name": "x", "expression": "bill +"}), "at character 7 a number, a column or a parenthesis was"),
        (_features({"expression": "body_mass_g"}), "a feature that is an expression needs a name; add one"),
        (_features({"name": "x"}), "a feature is either a column or an expression; give one of the two"),
        (_features({"column": "sex", "encode": "one_hot", "scale": "minmax"}), "zeros and ones, which are not scaled"),
        (
            _with(models=[{"name": "best", "algorithm": "svm"}]),
            "'best' stands for what several models answer; choose another name",
        ),
        (
            _with(models=[{"name": "f", "algorithm": "isolation_forest"}]),
            "isolation_forest finds anomalies, and the task",
        ),
        (_with(models=[{"name": "a", "algorithm": "svm"}] * 2), "2 models have the name 'a'; give each its own"),
        (
            _with(models=[{"name": "a", "algorithm": "svm", "parameters": {"C": -1}}]),
            "C must be a number from 1e-06 to 1e+06, not -1",
        ),
        (
            _with(
                models=[{"name": "a", "algorithm": "svm", "tuning": {"method": "grid", "space": {"gamma": ["odd"]}}}]
            ),
            "gamma must be a number from 1e-06 to 1000 or scale or auto, not 'odd'",
        ),
        (
            _with(
                models=[
                    {
                        "name": "a",
                        "algorithm": "lda",
                        "parameters": {"shrinkage": 0.1},
                        "tuning": {"method": "grid", "space": {"solver": ["lsqr", "svd"]}},
                    }
                ]
            ),
            "the solver svd has no shrinkage; leave one out",
        ),
        (
            _with(models=[{"name": "a", "algorithm": "svm", "tuning": {"method": "bayesian"}}]),
            "tuning by bayesian needs a space; add one",
        ),
        ("a: [", "is not YAML"),
        ("just words", "holds no keys; begin with name, task and columns"),
    ],
)
def test_what_does_not_fit_together_is_told_in_words(tmp_path: Path, declared: object, words: str) -> None:
    assert any(words in fault for fault in _faults(_written(tmp_path, declared))), _faults(_written(tmp_path, declared))


def test_a_contract_that_is_sound_loads(tmp_path: Path) -> None:
    assert read_contract(_written(tmp_path, DECLARED)) == PENGUINS
    ranged = {"method": "bayesian", "space": {"C": {"minimum": 0.1, "maximum": 10, "log": True}}}
    found = read_contract(_written(tmp_path, _with(models=[{"name": "a", "algorithm": "svm", "tuning": ranged}])))
    assert found.models[0].short_name == "svm"


def test_a_table_of_anomalies_has_one_forest(tmp_path: Path) -> None:
    declared = {key: value for key, value in DECLARED.items() if key not in ("target", "gate", "answer", "selection")}
    declared |= {
        "task": "anomaly",
        "contamination": 0.05,
        "models": [{"name": "forest", "algorithm": "isolation_forest"}],
    }
    declared["predictions"] = [{"name": "anomaly", "type": "integer"}, {"name": "anomaly_score", "type": "number"}]
    found = read_contract(_written(tmp_path, declared))

    assert found.is_table
    assert found.time is None
    assert found.answering(None) is found


def test_automl_brings_one_more_model_which_may_be_listed_and_may_be_alone(tmp_path: Path) -> None:
    asked = {"tuning": {"method": "automl"}}
    tree = {"name": "tree", "algorithm": "decision_tree"}
    listed = {"name": "found", "algorithm": "automl", "short": "az", "column": "guess"}

    beside = read_contract(_written(tmp_path, _with(models=[tree], **asked)))
    alone = read_contract(_written(tmp_path, {key: value for key, value in _with(**asked).items() if key != "models"}))
    first = read_contract(_written(tmp_path, _with(models=[listed, tree], answer="found", **asked)))

    assert beside.choices == ("best", "all", "tree", "automl")
    assert [column.name for column in beside.answering("all").predictions] == ["tree_species", "automl_species"]
    assert DatasetContract.model_validate(beside.model_dump(mode="json")) == beside
    assert (alone.choices, alone.found_by_automl) == (("best", "all", "automl"), True)
    assert [model.short_name for model in first.models] == ["az", "dtc"]
    assert [column.name for column in first.answering("all").predictions] == ["guess", "tree_species"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"models": [{"name": "a", "algorithm": "automl"}]}, "nobody asks AutoML for a model"),
        (
            {
                "models": [{"name": name, "algorithm": "automl"} for name in "ab"],
                "tuning": {"method": "automl"},
            },
            "AutoML finds one model",
        ),
        (
            {"models": [{"name": "automl", "algorithm": "svm"}], "tuning": {"method": "automl"}},
            "2 models have the name 'automl'",
        ),
        ({"tuning": {"method": "automl", "objective": "accuracy"}}, "goes by the contract's selection"),
        (
            {
                "models": [{"name": "a", "algorithm": "automl", "parameters": {"C": 1}}],
                "tuning": {"method": "automl"},
            },
            "automl has no parameter 'C'; it has none",
        ),
        ({"tuning": {"method": "automl"}, "task": "anomaly"}, "tuning by automl needs a classification dataset"),
    ],
    ids=["not asked", "twice", "its name", "objective", "parameter", "task"],
)
def test_what_a_contract_may_not_say_of_automl(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    faults = _faults(_written(tmp_path, _with(**changes)))

    assert any(words in fault for fault in faults), faults


def test_every_algorithm_has_a_short_name_of_its_own() -> None:
    shorts = [each.short for each in ALGORITHMS.values()]

    assert sorted(shorts) == ["automl", "dtc", "gb", "iforest", "lda", "lr", "rf", "svm"]


def test_the_schema_for_editors_is_that_of_the_code() -> None:
    assert schema.FILE.read_text(encoding="utf-8") == schema.text(), "run `python -m aml.schema`"
    for name in contract_names():
        first, *_ = (FOLDER / f"{name}.yml").read_text(encoding="utf-8").splitlines()
        assert first == f"# yaml-language-server: $schema={schema.FILE.name}"
    found = schema.schema()
    assert "asked" not in found["properties"]
    assert "scored as it stands" in found["$defs"]["Column"]["properties"]["outside"]["description"]
    undescribed = [name for name, each in found["properties"].items() if "description" not in each]
    assert undescribed == []


def test_the_command_checks_contracts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = _written(tmp_path, _with(answer="lda"))

    assert schema.main([str(FOLDER / "penguins.yml"), str(FOLDER / "gas.yml")]) == 0
    assert schema.main([str(bad), str(tmp_path / "none.yml")]) == 2
    told = capsys.readouterr().err
    assert "answer: there is no model 'lda'" in told
    assert "none.yml" in told
