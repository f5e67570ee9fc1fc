"""Drift of a table: no seasons, and the classes answered count as a column does."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from aml.profile import make_table_profile
from shared.api import records
from shared.drift.profile import Profile
from shared.drift.tally import Tally
from shared.naming import DATASETS, TRAINING
from tests.functional.scoring.world import TRAINING_RUN, World
from tests.functional.tables.world import MEASURES, PENGUINS, penguins, serving, table, world

FILE = "penguins/colony.csv"


@pytest.fixture
def app() -> Iterator[World]:
    with serving("penguins") as (endpoint, _):
        yield world("penguins", endpoint)


def _profile(classes: dict[str, int], rows: list[tuple[str, ...]]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for at, name in enumerate(MEASURES):
        texts = [None if row[1 + at] == "NA" else row[1 + at] for row in rows]
        numbers = PENGUINS.column(name).type == "number"
        columns[name] = np.array(texts, dtype=float) if numbers else np.array(texts, dtype=object)
    return make_table_profile("penguins", columns, ("confidence", np.linspace(0.5, 1, len(rows))), classes)


def _put(app: World, profile: dict[str, Any]) -> None:
    app.blobs.put(TRAINING, f"penguins/{TRAINING_RUN}/model/profile.json", json.dumps(profile).encode())


def _answered(app: World) -> dict[str, int]:
    counts: dict[str, int] = app.manifest(app.score(FILE, table(penguins(300))))["counts"]["species"]
    return counts


def test_what_is_as_in_training_has_not_drifted(app: World) -> None:
    usual = _answered(app)
    _put(app, _profile(usual, penguins(300)))
    drift = app.manifest(app.score("penguins/again.csv", table(penguins(300))))["drift"]

    assert drift["classes"]["species"]["verdict"] == "none"
    assert {drift["columns"][name]["verdict"] for name in MEASURES} == {"none"}
    assert drift["columns"]["sex"]["missing"] == pytest.approx(27 / 300, abs=1e-4)
    assert "in_season" not in drift
    assert drift["training_run"] == TRAINING_RUN


def test_other_classes_and_other_categories_have(app: World) -> None:
    usual = _answered(app)
    seen = max(usual, key=usual.__getitem__)
    _put(app, _profile({seen: 3, **{name: 300 for name in usual if name != seen}}, penguins(300)))
    elsewhere = [(*row[:1], "Dream", *row[2:]) for row in penguins(300)]
    drift = app.manifest(app.score("penguins/again.csv", table(elsewhere)))["drift"]

    assert drift["verdict"] == "severe"
    assert drift["classes"]["species"]["verdict"] == "severe"
    assert drift["columns"]["island"]["verdict"] == "severe"
    assert "species" in app.result("penguins/again_report.html").decode()


def test_drift_of_a_table_starts_no_training_and_the_app_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with serving("penguins") as (endpoint, _):
        app = world("penguins", endpoint, retrain_on_drift="persistent", retrain_drift_files=2)
        usual = _answered(app)
        _put(app, _profile({name: 300 * (name == min(usual)) for name in usual}, penguins(300)))
        for number in range(4):
            run = app.score(f"penguins/{number}.csv", table(penguins(300, 300 * number)))
            assert app.manifest(run)["drift"]["verdict"] == "severe"
        for _ in range(3):
            app.app.drift.look()

    assert list(app.blobs.list_blobs(DATASETS, "")) == []
    assert [each.getMessage() for each in caplog.records if "RETRAIN_ON_DRIFT" in each.getMessage()] == [
        "RETRAIN_ON_DRIFT does nothing for penguins, which is a table: when its drift persists, drop a new dataset"
    ]
    says = {name: json.loads(records.dataset(app.app, name).body)["retrains_on_drift"] for name in ("penguins", "gas")}
    assert says == {"penguins": False, "gas": True}


def test_counts_of_the_parts_of_a_file_add_up() -> None:
    empty = Tally.empty(Profile.model_validate(_profile({"Gentoo": 1}, penguins(30))))
    one = replace(empty, classes={"species": Counter({"Gentoo": 2, "Adelie": 1})})
    other = replace(empty, classes={"species": Counter({"Gentoo": 3}), "more": Counter({"x": 1})})
    both = one.merge(Tally.from_dict(json.loads(json.dumps(other.as_dict()))))

    assert both.classes == {"species": {"Gentoo": 5, "Adelie": 1}, "more": {"x": 1}}
