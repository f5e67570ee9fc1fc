"""A contract that asks for AutoML, from a dropped dataset to scored files, by the real SDK against the emulator."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure.storage.blob import BlobServiceClient

from aml.contract import load_contract, loading
from local.azureml.launch import AzureMLEmulator
from local.azurite import Azurite
from shared.naming import DATASETS, INCOMING, RESULTS, TRAINING
from shared.retraining import azureml as adapter
from shared.runs import Run
from shared.tables import RecordsSource
from tests.functional.tables.world import MEASURES, penguins, table
from tests.integration.azureml.conftest import applied
from tests.integration.retraining.loop import Loop

pytest.importorskip("onnxruntime", reason="onnxruntime has no package for this machine")

REPOSITORY = Path(__file__).resolve().parents[3]
SHARES = ("p_Adelie", "p_Chinstrap", "p_Gentoo")


@pytest.fixture
def code(tmp_path: Path) -> Iterator[Path]:
    """The code that jobs are given, with penguins that ask for AutoML."""
    folder = tmp_path / "code/aml"
    shutil.copytree(REPOSITORY / "aml", folder, ignore=shutil.ignore_patterns("__pycache__"))
    declared = yaml.safe_load((folder / "datasets/penguins.yml").read_text(encoding="utf-8"))
    declared |= {
        "model_name": "classifier_penguins_automl",
        "models": [{"name": "tree", "algorithm": "decision_tree", "parameters": {"max_depth": 1}}],
        "tuning": {"method": "automl", "trials": 2},
    }
    (folder / "datasets/penguins.yml").write_text(yaml.safe_dump(declared), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "FOLDER", folder / "datasets")
        patch.setattr(adapter, "_AML", folder)
        load_contract.cache_clear()
        yield folder
    load_contract.cache_clear()


@contextmanager
def looping(azureml: AzureMLEmulator, azurite: Azurite, folder: Path, **settings: Any) -> Iterator[Loop]:
    """The app over the emulator."""
    with (
        applied(azureml.client_environment()),
        BlobServiceClient.from_connection_string(azurite.connection_string) as service,
    ):
        yield Loop(service, f"{azureml.url}/faults", folder, **settings)


def dropped(loop: Loop, name: str, start: int) -> Run:
    """The run of a dataset of made-up birds."""
    loop.clock.advance(timedelta(seconds=2))
    loop.blobs.put(DATASETS, name, table(penguins(120, start)))
    return loop.app.retraining.receive(loop.blobs.info(DATASETS, name))[0].run


def scored(loop: Loop, name: str, rows: list[tuple[str, ...]]) -> list[list[float]]:
    """What the model of AutoML says of a file's rows."""
    loop.blobs.put(INCOMING, name, table(rows, MEASURES), metadata={"model": "automl"})
    run = loop.app.files.run(loop.app.files.receive(loop.blobs.info(INCOMING, name))[0])
    assert (run.state, run.choice) == ("completed", "automl"), run.error
    text = loop.blobs.get(RESULTS, name.replace(".csv", "_scored.csv"))[0].decode()
    return [[float(row[share]) for share in SHARES] for row in csv.DictReader(io.StringIO(text), delimiter=";")]


def by_request(loop: Loop, rows: list[tuple[str, ...]]) -> list[list[float]]:
    """The same by a request with all rows."""
    records: list[dict[str, Any]] = [
        {
            name: float(value) if name.endswith(("_mm", "_g")) else value
            for name, value in zip(MEASURES, row, strict=True)
        }
        for row in rows
    ]
    found = loop.app.inline.score(load_contract("penguins").answering("automl"), RecordsSource(records))
    return [[each[share] for share in SHARES] for each in found.body["predictions"]]


def was_found_by_automl(loop: Loop, run: Run) -> None:
    assert run.state == "live", run.error
    assert run.tuning is not None
    assert (run.tuning["method"], run.tuning["measured"]) == ("automl", 2)
    assert run.tuning["found"] == run.tuning["best"]["job"]
    metrics = run.metrics or {}
    assert [model["name"] for model in metrics["models"]] == ["tree", "automl"]
    assert metrics["champion_model"] == "automl"
    folder = f"penguins/{run.id}"
    left = {blob.name.removeprefix(f"{folder}/") for blob in loop.blobs.list_blobs(TRAINING, f"{folder}/")}
    assert f"jobs/{run.tuning['table']}/MLTable" in left
    assert [Path(name).name for name in left if name.startswith("model/automl_penguins_v")]


def test_what_automl_finds_is_judged_promoted_and_answers_like_any_other_model(
    azureml: AzureMLEmulator, azurite: Azurite, code: Path, tmp_path: Path
) -> None:
    with looping(azureml, azurite, tmp_path, score_fallback="bundle-always") as loop:
        was_found_by_automl(loop, loop.settle(dropped(loop, "penguins/first.csv", 0)))

        rows = [row[1:] for row in penguins(40, 900)]
        by_file = scored(loop, "penguins/flock.csv", rows)

        assert by_request(loop, rows) == by_file
        whole = [at for at, row in enumerate(rows) if "NA" not in row][:5]
        assert [by_request(loop, [rows[at]])[0] for at in whole] == [by_file[at] for at in whole]


@pytest.mark.slow
def test_an_endpoint_says_the_same_and_a_search_without_a_graph_leaves_it_alone(
    azureml: AzureMLEmulator, azurite: Azurite, code: Path, tmp_path: Path
) -> None:
    with looping(azureml, azurite, tmp_path, score_fallback="bundle-when-down") as loop:
        run = loop.settle(dropped(loop, "penguins/first.csv", 0))
        was_found_by_automl(loop, run)
        rows = [row[1:] for row in penguins(40, 900)]
        by_file = scored(loop, "penguins/flock.csv", rows)
        assert by_request(loop, rows) == by_file

        plain = (code / "jobs/automl.yml").read_text(encoding="utf-8")
        changed = plain.replace("enable_onnx_compatible_models: true", "enable_onnx_compatible_models: false")
        (code / "jobs/automl.yml").write_text(changed, encoding="utf-8")
        live = loop.app.live.get("penguins")
        failed = loop.settle(dropped(loop, "penguins/second.csv", 500))

        assert changed != plain
        assert failed.error is not None
        assert (failed.state, failed.error.code) == ("failed", "automl_without_onnx")
        assert "AutoML left no model.onnx" in failed.error.message
        assert loop.app.live.get("penguins") == live
        assert scored(loop, "penguins/later.csv", rows) == by_file

        loop.client.online_endpoints.begin_delete(str(run.endpoint)).result()
        assert scored(loop, "penguins/by_bundle.csv", rows) == by_file
