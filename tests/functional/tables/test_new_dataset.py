"""A dataset that the project has never heard of is carried by a YAML file and two dropped files: no line of code."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aml.contract import load_contract
from shared.tables import RecordsSource
from tests.fakes.endpoint import FakeEndpoint
from tests.functional.scoring.world import rows_of
from tests.functional.tables.wines import cellar, trained, wines
from tests.functional.tables.world import table


@pytest.fixture
def declared(contracts: Path) -> None:
    """The YAML is dropped beside the others."""
    shutil.copy(Path(__file__).with_name("wine.yml"), contracts)


@pytest.mark.usefixtures("declared")
def test_it_is_trained_judged_served_and_scored(endpoint: FakeEndpoint) -> None:
    world = cellar(endpoint)
    header, rows = wines()

    run = trained(world, table(rows, header))
    assert run.state == "live", run.error
    assert (run.metrics or {})["balanced_accuracy"] >= 0.9

    unlabelled = [["", *row[1:-1]] if at == 5 else row[:-1] for at, row in enumerate(rows)]
    scored = rows_of(world.scored("wine/cellar.csv", table(unlabelled, header[:-1])))
    right = sum(answer[len(header) - 1] == row[-1] for answer, row in zip(scored, rows, strict=True))
    assert right / len(rows) >= 0.97
    manifest = world.manifest(world.deliver(world.drop("wine/cellar.csv", table(unlabelled, header[:-1]))))
    assert {(each["column"], each["kind"]): each["count"] for each in manifest["warnings"]} == {
        ("alcohol", "imputed"): 1,
        ("magnesium", "out_of_range"): 2,
    }
    assert manifest["drift"]["verdict"] == "none"

    records = [dict(zip(header[:-1], row[:-1], strict=True)) for row in rows[:3]]
    at_once = world.app.inline.score(load_contract("wine"), RecordsSource(records)).body["predictions"]
    assert [str(each["confidence"]) for each in at_once] == [row[len(header)] for row in scored[:3]]
