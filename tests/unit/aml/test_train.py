"""The training job, as the command line that Azure ML runs."""

import json
import re
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from aml.bundle import open_bundle
from aml.contract import DatasetContract
from aml.rows import Rows
from aml.train import main

_NAMES = ("bundle.joblib", "metrics.json", "contract.json", "profile.json", "holdout.parquet")


def _table(rows: Rows) -> pa.Table:
    return pa.table({"FechaHora": pa.array(rows.time, pa.timestamp("us")), "VolCorrected": rows.value})


def _train(data: Path, model: Path, *more: str) -> int:
    return main(["--dataset", "gas", "--data", str(data), "--model", str(model), *more])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, training_rows: Rows) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    pa.parquet.write_table(_table(training_rows), folder / "data.parquet")
    assert _train(folder / "data.parquet", folder / "out" / "model") == 0
    return folder / "out" / "model"


def test_the_job_leaves_a_bundle_its_metrics_and_its_contract(
    trained: Path, gas: DatasetContract, training_rows: Rows
) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    bundle = open_bundle(trained / "bundle.joblib")

    assert DatasetContract.model_validate_json((trained / "contract.json").read_text()) == bundle.contract == gas
    selection = metrics.pop("selection")
    assert [row["name"] for row in selection["candidates"]] == [candidate.name for candidate in gas.candidates]
    assert bundle.metrics == metrics
    assert all(isinstance(value, int | float | str) for value in metrics.values())
    assert (metrics["rows"], metrics["series"], metrics["contamination"]) == (720, 1, 0.01)
    assert (metrics["first_time"], metrics["last_time"]) == ("2024-01-01T00:00:00", "2024-01-30T23:00:00")
    assert {rule.metric for rule in gas.gate if not rule.needs_champion} <= metrics.keys()
    assert "champion" not in metrics
    # the model that is kept is fitted on all rows: of those at most a hundredth lies beyond its threshold
    scores = -bundle.pipeline.score_samples(training_rows)
    assert (scores > metrics["score_threshold"]).sum() <= 8
    assert [len(forest.estimators_) for forest in bundle.pipeline.named_steps["detector"].forests_] == [100, 100]


def test_the_job_leaves_a_profile_of_its_data_beside_the_bundle_and_in_it(trained: Path, training_rows: Rows) -> None:
    profile = json.loads((trained / "profile.json").read_text())
    bundle = open_bundle(trained / "bundle.joblib")

    assert bundle.profile == profile
    assert (profile["rows"], profile["unusable"]) == (720, 0)
    scores = -bundle.pipeline.score_samples(training_rows)
    assert (profile["score"]["name"], profile["score"]["minimum"]) == ("anomaly_score", scores.min())
    assert profile["columns"]["VolCorrected"]["maximum"] == training_rows.value.max()
    for about in (profile["score"], profile["columns"]["VolCorrected"]):
        assert sum(sum(counts) for counts in about["counts"].values()) == 720


@pytest.mark.parametrize(("said", "expected"), [(None, 0.2), (b"0.05", 0.05)])
def test_the_profile_says_how_many_rows_could_not_be_used(
    tmp_path: Path, training_rows: Rows, said: bytes | None, expected: float
) -> None:
    value = np.where(np.arange(720) < 144, np.nan, training_rows.value)
    table = _table(training_rows).set_column(1, "VolCorrected", pa.array(value))
    if said is not None:  # by the app, which leaves such rows out of what it hands over
        table = table.replace_schema_metadata({"dropscore.unusable": said})
    pa.parquet.write_table(table, tmp_path / "data.parquet")

    assert _train(tmp_path / "data.parquet", tmp_path) == 0

    assert json.loads((tmp_path / "profile.json").read_text())["unusable"] == expected


def test_of_very_many_rows_some_are_drawn_for_the_scores(
    tmp_path: Path, training_rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aml.train._SCORES_PROFILED", 300)
    pa.parquet.write_table(_table(training_rows), tmp_path / "data.parquet")

    assert _train(tmp_path / "data.parquet", tmp_path) == 0

    profile = json.loads((tmp_path / "profile.json").read_text())
    assert sum(sum(counts) for counts in profile["score"]["counts"].values()) == 300
    assert sum(sum(counts) for counts in profile["columns"]["VolCorrected"]["counts"].values()) == 720


@pytest.mark.parametrize("delimiter", [";", ","])
def test_a_csv_in_any_order_trains_the_same_model(
    trained: Path, tmp_path: Path, training_rows: Rows, delimiter: str
) -> None:
    shuffled = training_rows.take(np.random.default_rng(5).permutation(len(training_rows)))
    start = datetime(1970, 1, 1)  # noqa: DTZ001 - the clock of the series, without a zone
    mark = "," if delimiter == ";" else "."
    lines = [delimiter.join(["note", "Caudal m3/h", "Hourly-Date"])]
    for time, value in zip(shuffled.time.tolist(), shuffled.value.tolist(), strict=True):
        text = repr(value).replace(".", mark)
        lines.append(delimiter.join(["x", text, (start + timedelta(microseconds=time)).isoformat(" ")]))
    (tmp_path / "data.csv").write_text("\n".join(lines), encoding="utf-8-sig")

    assert _train(tmp_path / "data.csv", tmp_path) == 0

    for name in _NAMES:
        assert _untimed(tmp_path / name) == _untimed(trained / name)


def _untimed(file: Path) -> bytes:
    """What a file holds, but for how long the candidates took."""
    return re.sub(rb'"seconds": [0-9.]+', b"", file.read_bytes())


def test_contamination_of_the_command_line_goes_before_the_contracts(tmp_path: Path, training_rows: Rows) -> None:
    pa.parquet.write_table(_table(training_rows), tmp_path / "data.parquet")

    assert _train(tmp_path / "data.parquet", tmp_path, "--contamination", "0.1") == 0

    bundle = open_bundle(tmp_path / "bundle.joblib")
    assert bundle.metrics["contamination"] == 0.1
    assert bundle.metrics["score_threshold"] == 1.0  # one in ten
    assert 0.02 < (bundle.pipeline.predict(training_rows) == -1).mean() < 0.15


def _spoilt(rows: Rows, code: str) -> pa.Table:
    table = _table(rows)
    if code == "missing_column":
        return table.rename_columns(["FechaHora", "flow"])
    if code == "no_rows":
        return table.slice(0, 0)
    if code == "too_few_rows":
        return table.slice(0, 167)
    if code == "too_few_days":
        return table.set_column(0, "Date", pa.array(np.arange(720) * 1_000_000, pa.timestamp("us")))
    if code == "too_many_unusable":
        broken = [float("nan")] * 145 + rows.value[145:].tolist()
        return table.set_column(1, "Value", pa.array(broken))
    return table.set_column(1, "Value", pa.array([[1.0]] * 720))


@pytest.mark.parametrize(
    "code", ["missing_column", "no_rows", "too_few_rows", "too_few_days", "too_many_unusable", "wrong_type"]
)
def test_bad_data_is_one_line_with_a_stable_code(
    tmp_path: Path, training_rows: Rows, capsys: pytest.CaptureFixture[str], code: str
) -> None:
    pa.parquet.write_table(_spoilt(training_rows, code), tmp_path / "data.parquet")

    assert _train(tmp_path / "data.parquet", tmp_path / "model") == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{code}: ")
    (left,) = (tmp_path / "model").iterdir()
    why = json.loads(left.read_text())
    assert left.name == "error.json"
    assert f"{why['code']}: {why['message']}" == line


def test_a_crash_leaves_its_reason_too(tmp_path: Path, training_rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    pa.parquet.write_table(_table(training_rows), tmp_path / "data.parquet")

    def crash(*arguments: object) -> None:
        raise MemoryError("no room for 300 trees")

    monkeypatch.setattr("aml.train.evaluate", crash)

    with pytest.raises(MemoryError):
        _train(tmp_path / "data.parquet", tmp_path / "model")

    why = json.loads((tmp_path / "model" / "error.json").read_text())
    assert why == {"code": "training_crashed", "message": "MemoryError: no room for 300 trees"}


@pytest.mark.parametrize("content", [b"", b"PAR1 but nothing else", b"\x00\xff\xfe\x80", b"Date,Value\n1,2,3\n4\n"])
def test_a_file_that_is_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    (tmp_path / "data").write_bytes(content)

    assert _train(tmp_path / "data", tmp_path / "model") == 2
    assert _train(tmp_path / "nowhere", tmp_path / "model") == 2

    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["unreadable_file", "unreadable_file"]


def test_an_unknown_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dataset", "oil", "--data", str(tmp_path), "--model", str(tmp_path)]) == 2

    assert capsys.readouterr().err.startswith("unknown_dataset: ")


@pytest.mark.parametrize("share", ["0", "0.6", "-1", "nan", "much"])
def test_a_contamination_out_of_range(tmp_path: Path, capsys: pytest.CaptureFixture[str], share: str) -> None:
    with pytest.raises(SystemExit) as caught:
        _train(tmp_path / "data", tmp_path, "--contamination", share)

    assert caught.value.code == 2
    assert "--contamination" in capsys.readouterr().err
