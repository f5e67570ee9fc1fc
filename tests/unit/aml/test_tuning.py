"""The search for parameters: deterministic, on rows that the final measurement does not see, and written down."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from aml import train
from aml.bundle import open_bundle
from aml.columns import InputError
from aml.contract import DatasetContract
from aml.forest import SEED, build_pipeline
from aml.holdout import hold_out
from aml.rows import Rows
from aml.spaces import Tuning
from aml.tuning import TRIALS_KEPT, SweepTrial, Trial, Tuned, builder, ranked, search
from tests.unit.aml.streams import hourly

SMALL = {
    "trees": {"values": [4, 8]},
    "max_samples": {"minimum": 8, "maximum": 64, "log": True},
    "max_features": {"minimum": 0.3, "maximum": 1.0},
}
GRID = {"method": "grid", "space": {"trees": {"values": [4, 8]}, "max_features": {"values": [0.5, 1.0]}}}


@pytest.fixture(autouse=True)
def few_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured is not at issue here, and this is faster."""
    monkeypatch.setattr("aml.holdout.FAULTS_PER_KIND", 5)
    monkeypatch.setattr("aml.evaluation.FAULTS_PER_KIND", 5)


@pytest.fixture(scope="module")
def rows() -> Rows:
    return hourly(days=14)


def declared(gas: DatasetContract, **tuning: Any) -> DatasetContract:
    return gas.model_copy(update={"tuning": Tuning.model_validate(tuning), "candidates": ()})


@pytest.mark.parametrize("method", ["random", "bayesian"])
def test_a_search_finds_the_same_again(gas: DatasetContract, rows: Rows, method: str) -> None:
    contract = declared(gas, method=method, space=SMALL, trials=4)

    first, again = search(rows, contract, 0.02), search(rows, contract, 0.02)

    assert first == again
    assert [trial.number for trial in first.trials] == [0, 1, 2, 3, 4]
    assert first.trials[0].parameters == {}  # the defaults
    for trial in first.trials[1:]:
        assert trial.parameters["trees"] in (4, 8)
        assert 8 <= trial.parameters["max_samples"] <= 64
        assert isinstance(trial.parameters["max_samples"], int)
        assert 0.3 <= trial.parameters["max_features"] <= 1
    other = search(rows, declared(gas, method=method, space=SMALL, trials=4, seed=1), 0.02)
    assert other.trials[1:] != first.trials[1:]


def test_a_grid_is_tried_whole(gas: DatasetContract, rows: Rows) -> None:
    found = search(rows, declared(gas, **GRID), 0.02)

    tried = [(trial.parameters["trees"], trial.parameters["max_features"]) for trial in found.trials[1:]]
    assert tried == [(4, 0.5), (4, 1.0), (8, 0.5), (8, 1.0)]


def test_trials_see_nothing_of_what_the_final_measurement_holds_out(gas: DatasetContract, rows: Rows) -> None:
    contract = declared(gas, **GRID)
    spoilt = rows.value.copy()
    _, fit = hold_out(rows, gas.context_rows, SEED)
    spoilt[~fit] = 1e6
    other = Rows(rows.time, spoilt, rows.series)

    assert search(other, contract, 0.02) == search(rows, contract, 0.02)


def test_the_best_is_by_goal_and_of_equals_the_first() -> None:
    trials = [Trial(0, {}, 0.5), Trial(1, {"trees": 9}, 0.7), Trial(2, {"trees": 7}, 0.7), Trial(3, {"trees": 5}, 0.1)]

    assert [trial.number for trial in ranked(trials, Tuning())] == [1, 2, 0, 3]
    assert [trial.number for trial in ranked(trials, Tuning(goal="minimize"))] == [3, 0, 1, 2]


def test_the_table_of_trials_is_bounded_and_keeps_the_best() -> None:
    trials = tuple(Trial(number, {"trees": number + 1}, number / 100) for number in range(TRIALS_KEPT + 10))

    told = Tuned({}, Tuning(), trials).as_dict()

    assert told["measured"] == TRIALS_KEPT + 10
    assert [row["number"] for row in told["trials"]] == list(range(10, TRIALS_KEPT + 10))
    assert told["best"]["number"] == TRIALS_KEPT + 9


def test_an_objective_that_is_no_metric_is_named(gas: DatasetContract, rows: Rows) -> None:
    with pytest.raises(InputError, match=r"no metric 'accuracy'.*recall_leak") as caught:
        search(rows, declared(gas, **GRID, objective="accuracy"), 0.02)

    assert caught.value.code == "unknown_objective"


def test_too_few_rows_are_named(gas: DatasetContract, rows: Rows) -> None:
    with pytest.raises(InputError) as caught:
        search(rows.take(np.arange(2)), declared(gas, **GRID), 0.02)

    assert caught.value.code == "too_few_rows"


def test_the_defaults_are_the_pipelines_own(gas: DatasetContract) -> None:
    plain = build_pipeline(gas, 0.02).get_params()
    chosen = builder(
        gas, 0.02, {"trees": 7, "max_samples": 9, "max_features": 0.5, "contamination": 0.1}
    )().get_params()

    assert str(builder(gas, 0.02, {})().get_params()) == str(plain)
    assert (chosen["detector__n_estimators"], chosen["detector__max_samples"]) == (7, 9)
    assert (chosen["detector__max_features"], chosen["detector__contamination"]) == (0.5, 0.1)


def test_a_trial_logs_its_stages_and_leaves_them(gas: DatasetContract, rows: Rows, tmp_path: Path) -> None:
    contract = declared(gas, method="sweep", space={"trees": {"values": [16, 8]}})
    logged: list[tuple[dict[str, object], int]] = []

    SweepTrial("sweep_0", {"trees": 16}, tmp_path, lambda metrics, step: logged.append((dict(metrics), step))).run(
        rows, contract, 0.02
    )

    left = json.loads((tmp_path / "trial.json").read_text())
    assert (left["job"], left["parameters"], left["objective"]) == ("sweep_0", {"trees": 16}, "detection")
    assert logged == [({"search_detection": value}, step) for step, value in enumerate(left["values"])]
    grid = search(rows, declared(gas, method="grid", space={"trees": {"values": [2, 4, 8, 16]}}), 0.02)
    assert left["values"] == [trial.value for trial in grid.trials[1:]]


@pytest.fixture
def data(tmp_path: Path, rows: Rows) -> Path:
    table = pa.table({"FechaHora": pa.array(rows.time, pa.timestamp("us")), "VolCorrected": rows.value})
    pa.parquet.write_table(table, tmp_path / "data.parquet")
    return tmp_path / "data.parquet"


def trained(data: Path, *more: str) -> dict[str, Any]:
    folder = data.parent / "model"
    assert train.main(["--dataset", "gas", "--data", str(data), "--model", str(folder), *more]) == 0
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return found


def test_the_job_trains_with_what_it_found(data: Path, gas: DatasetContract, monkeypatch: pytest.MonkeyPatch) -> None:
    contract = declared(gas, **GRID, objective="rows_holdout", goal="minimize")  # all alike: the defaults stay
    monkeypatch.setattr("aml.train.load_contract", lambda name: contract)
    assert not [name for name in trained(data) if name.startswith("parameter_")]

    better = declared(gas, **GRID)
    monkeypatch.setattr("aml.train.load_contract", lambda name: better)
    monkeypatch.setattr("aml.tuning._measured", lambda *about: float(about[-1].get("trees", 0)))
    metrics = trained(data)

    best = metrics["tuning"]["best"]
    assert best["number"] > 0
    assert {f"parameter_{name}": value for name, value in best["parameters"].items()}.items() <= metrics.items()
    bundle = open_bundle(data.parent / "model" / "bundle.joblib")
    assert "tuning" not in bundle.metrics
    assert 2 * len(bundle.pipeline.named_steps["detector"].forests_[0].estimators_) == best["parameters"]["trees"]


def test_the_job_trains_with_what_it_is_given(data: Path) -> None:
    metrics = trained(data, "--trees", "6.0", "--max-samples", "default", "--max-features", "0.5", "--trial")

    left = json.loads((data.parent / "model" / "trial.json").read_text())
    assert left["parameters"] == {"trees": 6, "max_features": 0.5}
    assert (metrics["parameter_trees"], metrics["parameter_max_features"]) == (6, 0.5)
    assert "parameter_max_samples" not in metrics
    assert "tuning" not in metrics


@pytest.mark.parametrize("given", [("--trees", "0"), ("--trees", "1.5"), ("--max-features", "2"), ("--trees", "many")])
def test_parameters_out_of_range(data: Path, given: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        trained(data, *given)

    assert caught.value.code == 2
    assert given[0] in capsys.readouterr().err
