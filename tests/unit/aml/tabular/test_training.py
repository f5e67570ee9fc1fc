"""What a job of classification leaves, and what it refuses."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from aml.bundle import find_bundle, open_bundle
from aml.columns import InputError
from aml.contract import DatasetContract, Model
from aml.tabular.fitting import lot
from aml.tabular.reading import table_from_arrow
from aml.tabular.training import find_parameters, hold_out, prepare, train_table
from aml.train import main
from tests.unit.aml.tabular.birds import birds, contract_of

_DATE = "20261121"
_TREE = {"name": "tree", "algorithm": "decision_tree", "parameters": {"max_depth": 4}}
_LINE = {"name": "line", "algorithm": "logistic"}
_LONE = {"training": {"min_rows": 20, "max_unusable_share": 0.2, "min_per_class": 1}}


def _contract(*models: dict[str, Any], **changes: Any) -> DatasetContract:
    return contract_of(models=list(models) or [_LINE, _TREE], **changes)


def _trained(folder: Path, contract: DatasetContract, data: pa.Table, **more: Any) -> dict[str, Any]:
    return train_table(data, contract, folder, **more)


def test_a_job_leaves_a_bundle_that_serves_all_candidates(tmp_path: Path) -> None:
    contract, data = _contract(), birds(200)

    metrics = _trained(tmp_path / "model", contract, data, version=3)

    best = metrics["champion_model"]
    assert [path.name for path in (tmp_path / "model").glob("*.joblib")] == [
        f"{'lr' if best == 'line' else 'dtc'}_birds_v3.joblib"
    ]
    bundle = open_bundle(find_bundle(tmp_path))
    assert list(bundle.pipeline) == ["line", "tree"]
    assert bundle.pipeline.best == best
    assert bundle.contract == contract
    table = table_from_arrow(data, contract).table
    for name, pipeline in bundle.pipeline.items():
        together = bundle.pipeline.probabilities(table, ("line", "tree"))[name]
        assert together.tobytes() == pipeline.predict_proba(table).tobytes()
    assert json.loads((tmp_path / "model/metrics.json").read_text()) == metrics
    assert {"profile.json", "contract.json", "holdout.parquet"} <= {p.name for p in (tmp_path / "model").iterdir()}


def test_the_metrics_tell_every_candidate_and_the_best_one(tmp_path: Path) -> None:
    metrics = _trained(tmp_path, _contract(selection="f1_macro"), birds(200))

    assert (metrics["rows"], metrics["rows_fit"], metrics["rows_holdout"]) == (200, 160, 40)
    models = {model["name"]: model for model in metrics["models"]}
    best = max(models.values(), key=lambda model: model["metrics"]["f1_macro"])
    assert [model["best"] for model in models.values()].count(True) == 1
    assert best["best"]
    assert best["name"] == metrics["champion_model"]
    assert {name: metrics[name] for name in best["metrics"]} == best["metrics"]
    assert metrics["classes"] == best["classes"]
    assert sum(map(sum, metrics["confusion"]["counts"])) == 40
    assert models["tree"]["parameters"] == {"max_depth": 4}


def test_equal_data_and_seed_give_equal_bytes(tmp_path: Path) -> None:
    everything = contract_of(models=[*map(Model.model_dump, contract_of().models)])
    for name in ("one", "other"):
        _trained(tmp_path / name, everything, birds(150))

    for file in sorted(path.name for path in (tmp_path / "one").iterdir() if path.is_file()):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes(), file


def test_figures_are_named_after_topic_dataset_and_date(tmp_path: Path) -> None:
    _trained(tmp_path, _contract(), birds(120), date=_DATE)

    figures = sorted((tmp_path / "figures").iterdir())
    topics = ("calibration", "classes", "confusion", "models", "roc")
    assert [path.name for path in figures] == [f"{topic}_birds_{_DATE}.png" for topic in topics]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in figures)


def test_the_profile_has_shares_of_categories_and_of_classes(tmp_path: Path) -> None:
    data = birds(200)
    _trained(tmp_path, _contract(), data)

    profile = json.loads((tmp_path / "profile.json").read_text())
    lakes = [lake for lake in data.column("lake").to_pylist() if lake]
    assert profile["columns"]["lake"]["counts"] == {lake: lakes.count(lake) for lake in set(lakes)}
    assert profile["columns"]["lake"]["missing"] == pytest.approx(1 - len(lakes) / 200)
    wing = profile["columns"]["wing"]
    assert list(wing["counts"]) == ["0"]
    assert sum(wing["counts"]["0"]) == 200 - data.column("wing").null_count
    assert profile["score"]["name"] == "confidence"
    assert sum(profile["classes"].values()) == 40
    assert set(profile["columns"]) == {"wing", "leg", "ring", "lake", "sex", "hour"}


def test_a_class_of_one_row_is_fitted_on_and_a_fold_does_without_it(tmp_path: Path) -> None:
    data = birds(150, classes=("crane", "heron", "stork"))
    lonely = data.slice(0, 1).set_column(6, "species", pa.array(["ibis"]))
    tuned = {**_TREE, "parameters": {}, "tuning": {"method": "grid", "folds": 5, "space": {"max_depth": [2, 5]}}}
    machine = {"name": "machine", "algorithm": "svm"}

    metrics = _trained(tmp_path, _contract(_LINE, tuned, machine, **_LONE), pa.concat_tables([data, lonely]))

    bundle = open_bundle(find_bundle(tmp_path))
    assert all("ibis" in bundle.pipeline.classes(name) for name in bundle.pipeline)
    assert metrics["rows_by_class"]["ibis"] == 1
    assert metrics["rows_holdout"] == 30


def test_every_algorithm_bears_a_class_of_one_row_beside_two_others(tmp_path: Path) -> None:
    models = [
        {"name": model.name, "algorithm": model.algorithm, "parameters": model.parameters}
        for model in contract_of().models
    ]
    data = birds(61, classes=("crane", "heron"))
    lonely = data.slice(0, 1).set_column(6, "species", pa.array(["ibis"]))

    metrics = _trained(tmp_path, _contract(*models, **_LONE), pa.concat_tables([data, lonely]))

    pipelines = open_bundle(find_bundle(tmp_path)).pipeline
    assert metrics["rows_by_class"]["ibis"] == 1
    assert all(pipelines.classes(name).tolist() == ["crane", "heron", "ibis"] for name in pipelines)


def test_every_algorithm_bears_a_class_of_two_rows(tmp_path: Path) -> None:
    models = [
        {"name": model.name, "algorithm": model.algorithm, "parameters": model.parameters}
        for model in contract_of().models
    ]
    models[2]["tuning"] = {"method": "grid", "folds": 5, "space": {"C": [1, 10]}}
    data = birds(60, classes=("crane",))
    two = data.set_column(6, "species", pa.array(["heron", "heron", *["crane"] * 58]))

    metrics = _trained(tmp_path, _contract(*models), two)

    assert metrics["rows_by_class"] == {"crane": 58, "heron": 2}
    assert set(open_bundle(find_bundle(tmp_path)).pipeline) == {model["name"] for model in models}


def test_a_lone_row_of_another_class_is_no_class(tmp_path: Path) -> None:
    lone = birds(60, classes=("crane",)).set_column(6, "species", pa.array(["heron", *["crane"] * 59]))

    with pytest.raises(InputError, match="one or two, are of one class") as refused:
        _trained(tmp_path, _contract(**_LONE), lone)

    assert refused.value.code == "too_few_rows"


def test_a_draw_keeps_two_rows_of_every_class() -> None:
    classes = np.array(["a"] * 900 + ["b"] * 95 + ["c"] * 4 + ["d"])

    drawn = classes[lot(classes, 50, seed=1)]

    assert {name: int((drawn == name).sum()) for name in "abcd"} == {"a": 45, "b": 5, "c": 2, "d": 1}


def test_the_hold_out_is_what_scikit_learn_draws() -> None:
    from sklearn.model_selection import train_test_split

    contract = _contract(split={"test": 0.3, "seed": 7})
    held = hold_out(prepare(birds(200, classes=("crane", "heron")), contract), contract)

    drawn = train_test_split(np.arange(200), test_size=0.3, random_state=7, stratify=held.prepared.classes)
    assert held.fit.tolist() == sorted(drawn[0])
    assert held.held.tolist() == sorted(drawn[1])


@pytest.mark.parametrize(
    ("tuning", "measured"),
    [
        ({"method": "grid", "space": {"max_depth": [1, 4], "criterion": ["gini", "entropy"]}}, 4),
        ({"method": "random", "trials": 5, "space": {"max_depth": {"minimum": 1, "maximum": 6}}}, 5),
        (
            {
                "method": "bayesian",
                "trials": 6,
                "objective": "log_loss",
                "space": {"max_depth": {"minimum": 1, "maximum": 6}, "ccp_alpha": {"minimum": 0.001, "maximum": 0.1}},
            },
            6,
        ),
    ],
)
def test_parameters_are_searched_for_as_the_contract_says(tuning: dict[str, Any], measured: int) -> None:
    model = {"name": "tree", "algorithm": "decision_tree", "tuning": {"folds": 3, **tuning}}
    contract = _contract(model)
    held = hold_out(prepare(birds(150), contract), contract)

    found, again = find_parameters(held, contract), find_parameters(held, contract)

    about = found.searches["tree"]
    assert about["measured"] == measured == len(about["trials"])
    assert found.parameters["tree"] == about["best"]["parameters"]
    values = [trial["value"] for trial in about["trials"]]
    assert about["best"]["value"] == (min(values) if tuning.get("objective") == "log_loss" else max(values))
    assert (found.parameters, found.searches) == (again.parameters, again.searches)


def test_equals_are_won_by_the_one_named_first(tmp_path: Path) -> None:
    twins = [{**_TREE, "name": name} for name in ("second", "first")]

    assert _trained(tmp_path, _contract(*twins), birds(120))["champion_model"] == "second"


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (birds(80, classes=("crane",)), "single_class", "the class 'crane'"),
        (
            birds(40).set_column(6, "species", pa.array(["crane"] * 39 + ["heron"])),
            "too_few_of_class",
            "at least 2 usable rows of each species; there are: heron 1",
        ),
        (birds(0), "no_rows", "no rows"),
        (birds(19), "too_few_rows", "19 usable rows are too few; at least 20"),
        (birds(40).set_column(2, "ring", pa.array([None] * 20 + [1.0] * 20)), "too_many_unusable", "ring is empty"),
        (birds(40).set_column(6, "species", pa.array(["emu"] * 40)), "too_many_unusable", "none of its categories"),
    ],
)
def test_data_that_cannot_train_are_refused_in_words(data: pa.Table, code: str, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)) as refused:
        prepare(data, _contract())

    assert refused.value.code == code


def test_a_few_unusable_rows_are_left_out(tmp_path: Path) -> None:
    data = birds(100)
    spoilt = data.set_column(6, "species", pa.array([None, "emu", *data.column("species").to_pylist()[2:]]))

    assert _trained(tmp_path, _contract(), spoilt)["rows"] == 98
    assert json.loads((tmp_path / "profile.json").read_text())["unusable"] == 0.02


def test_the_command_trains_by_the_contracts_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("aml.train.load_contract", lambda name: _contract())
    pa.csv.write_csv(birds(120), tmp_path / "birds.csv")
    command = ["--dataset", "birds", "--data", str(tmp_path / "birds.csv"), "--model", str(tmp_path / "model")]

    assert main([*command, "--version", "12", "--contamination", "0.01", "--champion", "none"]) == 0

    assert "is the best of 2 models" in capsys.readouterr().out
    assert find_bundle(tmp_path / "model").name.endswith("_birds_v12.joblib")

    pa.csv.write_csv(birds(80, classes=("crane",)), tmp_path / "birds.csv")
    assert main(command) == 2
    assert json.loads((tmp_path / "model/error.json").read_text())["code"] == "single_class"


def test_a_model_that_needs_features_of_which_none_follows_from_the_others_says_so(tmp_path: Path) -> None:
    # the columns of a one_hot encoding sum to one
    lda = {"name": "lda", "algorithm": "lda", "parameters": {"solver": "eigen"}}

    with pytest.raises(InputError, match=r"with \{'solver': 'eigen'\}.*shrinkage") as caught:
        _trained(tmp_path / "model", _contract(lda), birds(60))

    assert caught.value.code == "singular_features"
    assert not (tmp_path / "model").exists()


def test_a_trial_that_cannot_be_fitted_is_the_worst_and_ends_no_search(tmp_path: Path) -> None:
    search = {"method": "grid", "folds": 2, "space": {"solver": ["eigen", "lsqr"]}}

    metrics = _trained(tmp_path, _contract({"name": "lda", "algorithm": "lda", "tuning": search}), birds(60))

    (model,) = metrics["models"]
    assert model["parameters"] == {"solver": "lsqr"}
    values = {trial["parameters"]["solver"]: trial["value"] for trial in model["tuning"]["trials"]}
    assert values["eigen"] is None
    assert values["lsqr"] > 0.5
