"""A bundle comes back as it was saved, or not at all."""

from pathlib import Path

import joblib
import pytest
from sklearn.pipeline import Pipeline

import aml.bundle
from aml.bundle import BundleError, find_bundle, library_versions, open_bundle, save_bundle
from aml.contract import DatasetContract
from aml.forest import build_pipeline
from aml.rows import Rows


def test_a_bundle_comes_back_as_it_was_saved(
    tmp_path: Path, pipeline: Pipeline, gas: DatasetContract, training_rows: Rows
) -> None:
    bundle = open_bundle(save_bundle(tmp_path, pipeline, gas, {"alert_rate": 0.01}))

    assert bundle.contract == gas
    assert bundle.metrics == {"alert_rate": 0.01}
    assert bundle.versions == library_versions()
    scores = bundle.pipeline.score_samples(training_rows)
    assert scores.tobytes() == pipeline.score_samples(training_rows).tobytes()


def test_the_same_training_gives_the_same_bytes(tmp_path: Path, gas: DatasetContract, training_rows: Rows) -> None:
    (tmp_path / "again").mkdir()
    once, again = (build_pipeline(gas, 0.05).fit(training_rows) for _ in range(2))

    first = save_bundle(tmp_path, once, gas, {})
    second = save_bundle(tmp_path / "again", again, gas, {})

    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("library", ["scikit-learn", "numpy"])
def test_other_library_versions_are_refused_before_the_model_is_unpickled(
    tmp_path: Path, pipeline: Pipeline, gas: DatasetContract, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    other = {**library_versions(), library: "0.1"}
    with monkeypatch.context() as patch:
        patch.setattr(aml.bundle, "library_versions", lambda: other)
        path = save_bundle(tmp_path, pipeline, gas, {})
    content = joblib.load(path)
    joblib.dump({**content, "pipeline": b"this would not unpickle"}, path)

    with pytest.raises(BundleError, match=rf"trained with {library} 0\.1 \(here {library_versions()[library]}\)"):
        open_bundle(path)


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"\x80\x04K\x01.", b"\x80\x04}."])
def test_what_is_no_bundle_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bundle.joblib"
    path.write_bytes(content)

    with pytest.raises(BundleError, match="not a model bundle"):
        open_bundle(path)


def test_a_bundle_brings_its_profile_and_one_from_before_has_none(
    tmp_path: Path, pipeline: Pipeline, gas: DatasetContract
) -> None:
    profile = {"format": 1, "columns": {"VolCorrected": {"edges": [0.1, 0.2]}}}
    path = save_bundle(tmp_path, pipeline, gas, {}, profile)
    assert open_bundle(path).profile == profile

    content = joblib.load(path)
    del content["profile"]
    joblib.dump(content, path)

    assert open_bundle(path).profile == {}


def test_the_one_bundle_is_found_wherever_the_registered_folder_puts_it(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="found 0"):
        find_bundle(tmp_path)

    inner = tmp_path / "model" / "INPUT_model"
    inner.mkdir(parents=True)
    (inner / "bundle.joblib").touch()
    assert find_bundle(tmp_path) == inner / "bundle.joblib"

    (tmp_path / "bundle.joblib").touch()
    with pytest.raises(BundleError, match="found 2"):
        find_bundle(tmp_path)
    with pytest.raises(BundleError, match="no model bundle"):
        open_bundle(tmp_path / "missing.joblib")
