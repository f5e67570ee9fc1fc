"""A table without classes is carried by a YAML file too: its odd rows are flagged, by an isolation forest."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from aml.contract import load_contract
from shared.tables import RecordsSource
from tests.fakes.endpoint import FakeEndpoint
from tests.functional.scoring.world import rows_of
from tests.functional.tables.wines import cellar, trained, wines
from tests.functional.tables.world import table


@pytest.fixture
def declared(contracts: Path) -> None:
    """Wines without their cultivar."""
    said = yaml.safe_load(Path(__file__).with_name("wine.yml").read_text(encoding="utf-8"))
    said = {key: value for key, value in said.items() if key in ("columns", "features", "training")}
    said["columns"] = [each for each in said["columns"] if each["name"] != "cultivar"]
    said["training"].pop("min_per_class", None)
    said |= {
        "name": "wine",
        "task": "anomaly",
        "model_name": "iforest_wine",
        "contamination": 0.05,
        "models": [{"name": "forest", "algorithm": "isolation_forest", "parameters": {"n_estimators": 20}}],
        "predictions": [
            {"name": "anomaly", "type": "integer"},
            {"name": "anomaly_score", "type": "number"},
            {"name": "reason", "type": "text"},
        ],
    }
    (contracts / "wine.yml").write_text(yaml.safe_dump(said), encoding="utf-8")


@pytest.mark.usefixtures("declared")
def test_it_is_trained_served_and_scored(endpoint: FakeEndpoint) -> None:
    world = cellar(endpoint)
    header, rows = wines()
    header, rows = header[:-1], [row[:-1] for row in rows]

    run = trained(world, table(rows, header))
    assert run.state == "live", run.error

    run = world.score("wine/cellar.csv", table(rows, header))
    assert run.state == "completed", run.error
    scored = rows_of(world.result("wine/cellar_scored.csv"))
    flags = [row[len(header)] for row in scored]
    assert (len(scored), set(flags), {row[-1] for row in scored}) == (len(rows), {"0", "1"}, {""})
    manifest = world.manifest(run)
    assert manifest["counts"]["anomalies"] == flags.count("1") == round(0.05 * len(rows))
    assert manifest["answers"] == {}  # nothing answers beside the forest, and it is not sure of anything
    page = world.result("wine/cellar_report.html").decode()
    assert "Anomalies" in page
    assert not {word for word in ("Answers", "Events", "All models") if word in page}

    records = [dict(zip(header, row, strict=True)) for row in rows[:3]]
    at_once = world.app.inline.score(load_contract("wine"), RecordsSource(records)).body["predictions"]
    assert [[str(each["anomaly"]), str(each["anomaly_score"])] for each in at_once] == [
        row[len(header) : len(header) + 2] for row in scored[:3]
    ]
