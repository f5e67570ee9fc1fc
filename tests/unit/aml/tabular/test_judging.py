"""The live classifier and the new one are measured on the same rows, which neither has seen."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from aml.tabular.ground import LEAST_UNSEEN, keys_of, load_ground
from aml.tabular.judging import MEASURED_NAME
from aml.tabular.reading import table_from_arrow
from aml.tabular.training import train_table
from tests.unit.aml.tabular.birds import birds, contract_of

_CONTRACT = contract_of(models=[{"name": "tree", "algorithm": "decision_tree"}])


def _trained(folder: Path, data: pa.Table, champion: Path | None = None) -> dict[str, Any]:
    return train_table(data, _CONTRACT, folder, champion)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live")
    _trained(folder, birds(300, seed=4))
    return folder


def test_without_a_champion_nothing_is_compared(tmp_path: Path) -> None:
    metrics = _trained(tmp_path, birds(120))

    assert not [name for name in metrics if name.startswith(("fresh_", "reference_")) or name == "champion"]


def test_the_same_data_again_are_judged_alike(tmp_path: Path, live: Path) -> None:
    metrics = _trained(tmp_path, birds(300, seed=4), live)

    theirs = metrics["champion"]
    assert metrics["fresh_rows"] == metrics["reference_rows"] == 60
    for name in ("accuracy", "log_loss", "f1_macro"):
        assert metrics[f"fresh_{name}"] == metrics[f"reference_{name}"] == metrics[name]
        assert theirs[name] == theirs[f"fresh_{name}"] == theirs[f"reference_{name}"] == metrics[name]


def test_of_a_dataset_that_has_grown_only_rows_that_neither_has_seen_count(tmp_path: Path, live: Path) -> None:
    grown = pa.concat_tables([birds(300, seed=4), birds(300, seed=5)])

    metrics = _trained(tmp_path, grown, live)

    assert LEAST_UNSEEN <= metrics["fresh_rows"] < metrics["rows_holdout"]
    own, theirs = load_ground(tmp_path, _CONTRACT), load_ground(live, _CONTRACT)
    unseen = own.unseen(theirs.fitted)
    assert len(unseen) == metrics["fresh_rows"]
    assert not np.isin(keys_of(own.table.take(unseen), own.classes[unseen]), theirs.fitted).any()


def test_mislabelled_data_fail_on_the_champions_ground(tmp_path: Path, live: Path) -> None:
    data = birds(300, seed=6)
    turned = {"crane": "heron", "heron": "stork", "stork": "crane", "ibis": "ibis"}
    wrong = pa.array([turned[name] for name in data.column("species").to_pylist()])

    metrics = _trained(tmp_path, data.set_column(6, "species", wrong), live)

    assert metrics["fresh_balanced_accuracy"] > 0.7 > 0.3 > metrics["champion"]["fresh_balanced_accuracy"]
    assert metrics["reference_balanced_accuracy"] < 0.3 < 0.7 < metrics["champion"]["reference_balanced_accuracy"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (MEASURED_NAME, None, "there is no measured.bundle"),
        (MEASURED_NAME, b"nothing", "not a model bundle"),
        ("holdout.parquet", None, "there is no holdout.parquet"),
        ("holdout.parquet", b"nothing", "cannot be read"),
    ],
)
def test_a_champion_that_cannot_be_measured_does_not_stop_its_successor(
    tmp_path: Path, live: Path, name: str, content: bytes | None, words: str
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in live.iterdir():
        if path.is_file() and path.name != name:
            (broken / path.name).write_bytes(path.read_bytes())
    if content is not None:
        (broken / name).write_bytes(content)

    metrics = _trained(tmp_path / "model", birds(120), broken)

    assert words in metrics["champion"]["problem"]
    assert "fresh_accuracy" not in metrics
    assert json.loads((tmp_path / "model/metrics.json").read_text())["champion"] == metrics["champion"]


def test_equal_rows_have_equal_fingerprints_and_others_others() -> None:
    data = birds(200, seed=9)
    parsed = table_from_arrow(data, _CONTRACT)
    classes = np.array(data.column("species").to_pylist())

    keys = keys_of(parsed.table, classes)

    order = np.random.default_rng(0).permutation(200)
    assert np.array_equal(keys_of(parsed.table.take(order), classes[order]), keys[order])
    assert len(np.unique(keys)) == 200
    other = classes.copy()
    other[0] = "ibis" if classes[0] != "ibis" else "crane"
    assert np.flatnonzero(keys_of(parsed.table, other) != keys).tolist() == [0]
