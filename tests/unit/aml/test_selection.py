"""The choice among a contract's candidates: on rows of its own, the same again, and the first of equals."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from sklearn.base import clone

from aml import train
from aml.bundle import open_bundle
from aml.columns import InputError
from aml.contract import DatasetContract
from aml.contract.candidates import Candidate
from aml.detection.channels import CHANNELS, FORESTS
from aml.detection.detector import CalibratedDetector
from aml.detection.families import FAMILIES, steps_of
from aml.forest import SEED, build_pipeline
from aml.holdout import hold_out
from aml.rows import Rows
from aml.selection import NEAR, SEEDS, Budget, Selected, Tried, preferred, select
from aml.tuning import builder
from tests.unit.aml.streams import hourly

PLAIN = Candidate(name="plain", trees=8)
STUCK = Candidate(name="stuck", families=("stuck",), trees=8)
SUMMED = Candidate(name="summed", together=0.3, trees=6)


@pytest.fixture(autouse=True)
def few_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured is not at issue here, and this is faster."""
    for name in ("holdout.FAULTS_PER_KIND", "evaluation.FAULTS_PER_KIND", "selection.PER_KIND"):
        monkeypatch.setattr(f"aml.{name}", 4)


@pytest.fixture(scope="module")
def rows() -> Rows:
    return hourly(days=20)


def declared(gas: DatasetContract, *candidates: Candidate) -> DatasetContract:
    return gas.model_copy(update={"candidates": candidates})


def tried(name: str, worth: float) -> Tried:
    return Tried(Candidate(name=name), (worth,), 0.01, worth, 0.5)


def untimed(selected: Selected) -> Selected:
    return replace(selected, tried=tuple(replace(each, seconds=0.0) for each in selected.tried))


def test_every_channel_is_of_one_family() -> None:
    members = [name for family in FAMILIES.values() for name in family]

    assert sorted(members) == sorted(channel.name for channel in (*CHANNELS, *FORESTS))


def test_a_candidate_is_parameters_of_the_detector(gas: DatasetContract) -> None:
    candidate = Candidate(name="some", families=("times", "stuck"), trees=7, max_features=0.5, lasting=0.9)

    steps = builder(gas, 0.02, {}, candidate)().get_params()

    assert steps["detector__channels"] == ("gap", "duplicate", "stuck", "zero")
    assert (steps["detector__n_estimators"], steps["detector__max_features"]) == (7, 0.5)
    assert (steps["detector__lasting"], steps["detector__together"]) == (0.9, CalibratedDetector().together)
    assert steps_of(Candidate(name="default")) == {}


def test_what_finds_more_is_chosen_and_the_same_again(gas: DatasetContract, rows: Rows) -> None:
    contract = declared(gas, STUCK, PLAIN, SUMMED)

    found, again = select(rows, contract, 0.02), select(rows, contract, 0.02)

    assert untimed(found) == untimed(again)
    stuck, plain, summed = found.tried
    assert [each.candidate for each in found.tried] == [STUCK, PLAIN, SUMMED]
    assert found.candidate in (PLAIN, SUMMED)
    assert all(len(each.recalls) == len(SEEDS) for each in found.tried)
    assert max(stuck.recalls) < min(plain.recalls)
    for each in (plain, summed):
        assert 0 <= each.alert_rate < 0.2
        assert each.worth == pytest.approx(np.mean(each.recalls) - np.std(each.recalls))


def test_it_sees_nothing_of_what_the_final_measurement_holds_out(gas: DatasetContract, rows: Rows) -> None:
    _, fit = hold_out(rows, gas.context_rows, SEED)
    spoilt = rows.with_values(np.where(fit, rows.value, 1e6))
    contract = declared(gas, PLAIN, STUCK)

    assert untimed(select(spoilt, contract, 0.02)) == untimed(select(rows, contract, 0.02))


def test_of_near_equals_the_first_declared_is_taken() -> None:
    first, better, best = tried("first", 0.6), tried("better", 0.7), tried("best", 0.7 + NEAR / 2)

    assert preferred([first, better, best]).name == "better"
    assert preferred([best, better, first]).name == "best"
    table = Selected(better.candidate, (first, better, best), Budget(0.01)).as_dict()
    assert [row["outcome"] for row in table["candidates"]] == ["finds less", "chosen", "as good, declared later"]


def test_what_is_shared_changes_nothing(gas: DatasetContract, rows: Rows) -> None:
    pipeline = build_pipeline(gas, 0.02)
    look = pipeline.named_steps["signals"].fit_transform(rows)
    plain: CalibratedDetector = clone(pipeline.named_steps["detector"]).set_params(n_estimators=6).fit(look)
    forests = plain._plain_forests()
    rarities = plain.rarities(look, forests)

    sibling = plain.like(look, rarities, **steps_of(Candidate(name="x", families=("level", "times"), together=0.2)))
    alone = clone(sibling).fit(look)

    assert sibling.threshold_ == alone.threshold_
    np.testing.assert_array_equal(-np.round(sibling.scores(look, rarities), 6), alone.score_samples(look))
    assert (plain.scores(look, rarities) != sibling.scores(look, rarities)).any()


def test_too_few_rows_are_named(gas: DatasetContract, rows: Rows) -> None:
    with pytest.raises(InputError) as caught:
        select(rows.take(np.arange(2)), declared(gas, PLAIN, STUCK), 0.02)

    assert caught.value.code == "too_few_rows"


def test_the_job_sets_its_model_up_as_the_chosen_one(
    gas: DatasetContract, rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"FechaHora": pa.array(rows.time, pa.timestamp("us")), "VolCorrected": rows.value})
    pa.parquet.write_table(table, tmp_path / "data.parquet")
    monkeypatch.setattr("aml.train.load_contract", lambda name: declared(gas, STUCK, SUMMED))

    job = ["--dataset", "gas", "--data", str(tmp_path / "data.parquet"), "--model", str(tmp_path / "model")]
    assert train.main(job) == 0

    metrics: dict[str, Any] = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert metrics["candidate"] == metrics["selection"]["chosen"] == "summed"
    assert [row["name"] for row in metrics["selection"]["candidates"]] == ["stuck", "summed"]
    assert metrics["selection"]["candidates"][0]["parameters"] == {"families": ["stuck"], "trees": 8}
    bundle = open_bundle(tmp_path / "model" / "bundle.joblib")
    assert bundle.metrics["candidate"] == "summed"
    assert "selection" not in bundle.metrics
    detector = bundle.pipeline.named_steps["detector"]
    assert (detector.together, detector.n_estimators) == (0.3, 6)

    assert train.main([*job, "--trees", "4"]) == 0
    assert "selection" not in json.loads((tmp_path / "model" / "metrics.json").read_text())
