"""A dropped table before money is spent on it: what training is given, and what is found in it."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aml.contract import DatasetContract
from shared.naming import CONTAINERS, TRAINING
from shared.retraining.findings import UnfitDatasetError
from shared.retraining.validation import TrainingData, prepare
from shared.tables import BytesSource
from tests.fakes.blobs import FakeBlobStore
from tests.functional.retraining.world import World
from tests.functional.tables.test_crimes import HEADER, ROW
from tests.functional.tables.world import CRIMES, MEASURES, PENGUINS, penguins, table

METRICS: dict[str, Any] = {
    "accuracy": 0.99,
    "balanced_accuracy": 0.985,
    "models": [{"name": "logistic", "metrics": {"accuracy": 0.99}, "confusion": [[1, 0], [0, 1]]}],
    "classes": {"Adelie": {"precision": 1.0}},
    "champion_model": "logistic",
}


def prepared(data: bytes, contract: DatasetContract = PENGUINS) -> tuple[pa.Table, TrainingData]:
    """What the job is given, and what is kept beside it."""
    blobs = FakeBlobStore()
    blobs.ensure_containers(CONTAINERS)
    found = prepare(BytesSource("x.csv", data), contract, blobs, "data.parquet", "attempt1")
    return pq.read_table(io.BytesIO(blobs.get(TRAINING, "data.parquet")[0])), found


def refused(data: bytes, contract: DatasetContract = PENGUINS) -> list[tuple[str, str]]:
    """Codes and words of the errors."""
    with pytest.raises(UnfitDatasetError) as caught:
        prepared(data, contract)
    return [(each.code, each.message) for each in caught.value.report.errors]


def test_training_is_given_what_features_need_and_the_target() -> None:
    rows, data = prepared(table(penguins(90)))

    assert rows.column_names == [*MEASURES, "species"]
    assert rows.column("sex").null_count == 8
    assert rows.schema.field("bill_length_mm").type == pa.float64()
    assert rows.schema.metadata[b"dropscore.unusable"] == b"0.0"
    assert data.found["classes"] == {"Adelie": 30, "Chinstrap": 30, "Gentoo": 30}
    assert data.latest.num_rows == 0
    assert data.sample.num_rows == 50
    assert [(each.code, each.rows and each.rows.count) for each in data.report.warnings] == [("imputed", 8)]


def test_rows_without_a_class_or_of_an_unknown_one_are_left_out_and_told() -> None:
    rows, data = prepared(table([*penguins(90), ("", *penguins(1)[0][1:]), ("Emperor", *penguins(1)[0][1:])]))

    assert rows.num_rows == 90
    assert (data.found["unusable"], data.found["usable"]) == (2, 90)
    assert {each.code: each.message for each in data.report.warnings if each.code != "imputed"} == {
        "empty": "species is empty in 1 row.",
        "unknown_category": "species is none of its categories in 1 row.",
    }


def test_one_class_alone_is_nothing_to_learn() -> None:
    assert refused(table([row for row in penguins(300) if row[0] == "Gentoo"])) == [
        ("single_class", "Every usable species is Gentoo; there is nothing to tell apart.")
    ]


def test_a_class_of_too_few_rows_is_refused_and_one_that_is_absent_is_told() -> None:
    few = [row for row in penguins(300) if row[0] != "Gentoo"]

    assert refused(table([*few, *(row for row in penguins(27) if row[0] == "Gentoo")])) == [
        ("too_few_of_class", "Training needs at least 10 usable rows of each species; there are: Gentoo 9.")
    ]
    _, data = prepared(table(few))
    assert data.report.warnings[-1].message == "No usable row has the species Gentoo; no model will answer so."


def test_without_its_target_a_table_is_no_training_data() -> None:
    ((code, words),) = refused(table([row[1:] for row in penguins(90)], MEASURES))

    assert code == "missing_column"
    assert "species" in words


def test_crimes_are_kept_with_the_parts_of_their_time() -> None:
    codes = CRIMES.classes
    lines = [(*ROW, codes[at % len(codes)]) for at in range(600)]
    rows, data = prepared(table(lines, [*HEADER, "FBI Code"]), CRIMES)

    assert rows.column_names == [*CRIMES.inputs, "fbi_code"]
    assert rows.slice(0, 1).select(["mes", "dia_mes", "dia_semana", "hora"]).to_pylist() == [
        {"mes": 5, "dia_mes": 9, "dia_semana": 3, "hora": 14}
    ]
    assert rows.column("iucr").to_pylist()[0] == "0110"
    assert "constant_column" in {each.code for each in data.report.warnings}


@pytest.mark.parametrize(("balanced", "state"), [(0.985, "live"), (0.5, "rejected")])
def test_a_classifier_goes_through_the_gate_into_service(balanced: float, state: str) -> None:
    world = World()
    world.targets.contract = PENGUINS
    world.workspace.metrics = {**METRICS, "balanced_accuracy": balanced}
    run = world.drop("penguins/all.csv", table(penguins(90)))
    run = world.settle(run)

    assert run.state == state, run.error
    assert (run.metrics or {})["models"] == METRICS["models"]
    job = next(iter(world.workspace.jobs.values())).asked
    assert (job.dataset, job.contamination, job.version) == ("penguins", None, 1)
    reasons = (run.verdict or {})["reasons"]
    assert any(f"balanced_accuracy is {balanced:.4g}" in reason for reason in reasons), reasons
    if state == "live":
        live = world.live.get("penguins")
        assert live is not None
        assert (live.model, live.version) == ("classifier_penguins", "1")
        (version,) = world.workspace.versions["classifier_penguins"]
        assert version.tags["metric.accuracy"] == "0.99"
        assert "metric.models" not in version.tags


def test_the_next_version_is_what_the_job_is_told() -> None:
    world = World()
    world.targets.contract = PENGUINS
    world.workspace.metrics = METRICS
    world.workspace.champion_metrics = METRICS
    for count in (90, 120):
        world.settle(world.drop("penguins/all.csv", table(penguins(count))))

    assert [job.asked.version for job in world.workspace.jobs.values()] == [1, 2]
