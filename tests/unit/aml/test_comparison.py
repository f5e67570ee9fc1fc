"""Champion and challenger on the same rows with the same faults, and what is said where that cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import pyarrow as pa
import pyarrow.parquet
import pytest
from sklearn.pipeline import Pipeline

from aml.bundle import FILE_NAME, open_bundle
from aml.comparison import compare
from aml.contract import DatasetContract
from aml.evaluation import Evaluation, evaluate, measure
from aml.forest import Scorer, build_pipeline
from aml.holdout import FILE_NAME as HOLDOUT
from aml.rows import Rows
from aml.train import main, train
from tests.unit.aml.streams import hourly

YEARS = hourly(days=200)
FIRST, LATER = YEARS.take(slice(0, 150 * 24)), YEARS.take(slice(50 * 24, None))


@pytest.fixture(scope="module")
def build(gas: DatasetContract) -> Callable[[], Pipeline]:
    return partial(build_pipeline, gas, 0.01)


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory, gas: DatasetContract) -> Path:
    """The folder of a registered model, which keeps its own name inside what is mounted."""
    folder = tmp_path_factory.mktemp("mounted")
    train(FIRST, gas, 0.01, folder / "model")
    return folder


@pytest.fixture(scope="module")
def challenger(build: Callable[[], Pipeline]) -> Evaluation:
    return evaluate(LATER, build, 23)


def copied(champion: Path, to: Path, *names: str) -> Path:
    for name in names:
        (to / name).write_bytes((champion / "model" / name).read_bytes())
    return to


def test_without_a_champion_there_is_nothing_to_say(challenger: Evaluation) -> None:
    assert compare(challenger, None) == {}


def test_both_are_measured_on_both_grounds(champion: Path, challenger: Evaluation) -> None:
    compared = compare(challenger, champion)
    theirs = compared.pop("champion")
    serving = Scorer(open_bundle(champion / "model" / FILE_NAME).pipeline)

    plain = measure(challenger.ground, serving)
    assert theirs.keys() == {prefix + name for prefix in ("", "fresh_", "reference_") for name in plain}
    assert compared.keys() == {prefix + name for prefix in ("fresh_", "reference_") for name in plain}
    for name, value in plain.items():
        assert theirs[name] == theirs[f"fresh_{name}"] == value
        assert compared[f"fresh_{name}"] == challenger.metrics[name]
    shares = {name: value for name, value in (compared | theirs).items() if "episodes_per_week" not in name}
    assert all(0 <= value <= 1 for value in shares.values())


@pytest.mark.parametrize("contamination", [0.002, 0.1])
def test_a_model_asked_for_with_other_alerts_is_compared_at_the_champions(
    champion: Path, challenger: Evaluation, gas: DatasetContract, contamination: float
) -> None:
    other = evaluate(LATER, partial(build_pipeline, gas, contamination), 23)

    assert other.metrics["recall"] != challenger.metrics["recall"]
    assert compare(other, champion) == compare(challenger, champion)


def test_wrong_units_look_good_on_their_own_rows_and_fail_on_the_champions(
    champion: Path, build: Callable[[], Pipeline]
) -> None:
    litres = evaluate(Rows(LATER.time, LATER.value * 1000, LATER.series), build, 23)
    compared = compare(litres, champion)

    assert float(litres.metrics["detection"]) > 0.5
    assert compared["reference_alert_rate"] > 0.03 > compared["champion"]["reference_alert_rate"]
    assert compared["reference_recall"] < compared["champion"]["reference_recall"] - 0.25
    assert compared["reference_detection"] < compared["champion"]["reference_detection"] - 0.2


def test_a_champion_whose_rows_were_not_kept_is_compared_on_the_challengers_alone(
    champion: Path, challenger: Evaluation, tmp_path: Path
) -> None:
    compared = compare(challenger, copied(champion, tmp_path, FILE_NAME))

    assert not [name for name in (*compared, *compared["champion"]) if name.startswith("reference_")]
    assert compared["champion"]["problem"] == f"there is no {HOLDOUT} beside the model"
    assert compared["champion"]["detection"] > 0


def of_other_versions(folder: Path) -> None:
    content: dict[str, Any] = joblib.load(folder / FILE_NAME)
    content["versions"]["scikit-learn"] = "0.1"
    joblib.dump(content, folder / FILE_NAME)


def that_is_none(folder: Path) -> None:
    (folder / FILE_NAME).write_bytes(b"not a model")


def that_is_gone(folder: Path) -> None:
    (folder / FILE_NAME).unlink()


def that_breaks(folder: Path) -> None:
    content: dict[str, Any] = joblib.load(folder / FILE_NAME)
    content["pipeline"] = b"broken"
    joblib.dump(content, folder / FILE_NAME)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (of_other_versions, "was trained with scikit-learn 0.1"),
        (that_is_none, "is not a model bundle"),
        (that_is_gone, "There must be one bundle"),
        (that_breaks, "it cannot score"),
    ],
)
def test_a_champion_that_cannot_be_measured_says_why_and_the_challenger_still_is(
    champion: Path, challenger: Evaluation, tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    folder = copied(champion, tmp_path, FILE_NAME, HOLDOUT)
    spoil(folder)
    compared = compare(challenger, folder)

    assert compared["champion"].keys() == {"problem"}
    assert words in compared["champion"]["problem"]
    assert not [name for name in compared if name.startswith("fresh_")]
    assert compared["reference_detection"] == compare(challenger, champion)["reference_detection"]


def test_the_job_measures_the_champion_and_makes_the_model_that_it_makes_without(
    champion: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data.parquet"
    columns = {"FechaHora": pa.array(LATER.time, pa.timestamp("us")), "VolCorrected": LATER.value}
    pa.parquet.write_table(pa.table(columns), data)
    job = ["--dataset", "gas", "--data", str(data)]
    for name, beside in (("alone", "none"), ("compared", str(champion))):
        assert main([*job, "--model", str(tmp_path / name), "--champion", beside]) == 0
    metrics = {name: json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("alone", "compared")}

    for name in (FILE_NAME, HOLDOUT, "contract.json"):
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "compared" / name).read_bytes()
    for each in metrics.values():
        for row in each["selection"]["candidates"]:
            assert row.pop("seconds") > 0  # the only figure that is not the same each time
    assert metrics["alone"].items() <= metrics["compared"].items()
    assert metrics["compared"]["champion"]["detection"] > 0
    assert metrics["compared"]["reference_detection"] > 0
