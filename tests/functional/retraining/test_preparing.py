"""A dropped file as training reads it: the same rows, whatever its dialect and the size of the pieces."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aml.contract import DatasetContract
from local.sample_data import Reading, hourly_gas, plain_csv, spanish_csv
from shared.naming import CONTAINERS, TRAINING
from shared.retraining.findings import UnfitDatasetError
from shared.retraining.validation import TrainingData, prepare
from shared.tables import BytesSource
from tests.fakes.blobs import FakeBlobStore
from tests.functional.retraining.world import FIRST, GAS

READINGS = hourly_gas(FIRST, 20, 1)
WITHOUT_CONTEXT = GAS.model_copy(update={"context_rows": 0})


def prepared(text: str, contract: DatasetContract = GAS) -> tuple[pa.Table, TrainingData]:
    """What the job is given, and what is kept beside it."""
    blobs = FakeBlobStore()
    blobs.ensure_containers(CONTAINERS)
    data = prepare(BytesSource("x.csv", text.encode()), contract, blobs, "gas/run/data.parquet", "attempt1")
    return pq.read_table(io.BytesIO(blobs.get(TRAINING, "gas/run/data.parquet")[0])), data


def two_meters(readings: list[Reading]) -> str:
    lines = [f"{each.time},{each.volume},{meter}" for each in readings for meter in ("b", "a")]
    return "\n".join(["datetime,Caudal,meter", *lines, ""])


def test_the_dialect_of_the_file_is_gone() -> None:
    rows, data = prepared(plain_csv(READINGS))
    again, spanish = prepared(spanish_csv(READINGS))

    assert rows.equals(again)
    assert rows.column("FechaHora").to_pylist() == [each.time for each in READINGS]
    assert rows.column("VolCorrected").to_pylist() == [each.volume for each in READINGS]
    assert rows.column("Serie").null_count == rows.num_rows == 480
    assert data.latest.equals(spanish.latest)
    assert (data.found["dialect"]["decimal"], spanish.found["dialect"]["decimal"]) == (".", ",")


@pytest.mark.parametrize("rows_per_group", [1, 7, 480, 1_000])
def test_times_that_occur_twice_in_a_shuffled_file_are_found_with_their_lines(
    monkeypatch: pytest.MonkeyPatch, rows_per_group: int
) -> None:
    lines = two_meters(READINGS[::-1]).splitlines()
    lines[30:30] = ["", "not;a;row"]  # neither is a row, and both are lines
    lines += [lines[5], lines[900], f"{FIRST},?,a"]
    monkeypatch.setattr("shared.retraining.validation._ROWS_PER_GROUP", rows_per_group)
    _, data = prepared("\n".join(lines))
    found = {finding.code: finding for finding in data.report.warnings}
    repeated = found["duplicate_times"].rows

    assert repeated is not None
    assert repeated.count == 2
    assert [example.line for example in repeated.examples] == [len(lines) - 2, len(lines) - 1]
    assert lines[5].split(",")[0] in repeated.examples[0].reason
    assert found["not_in_time_order"].rows is not None
    # all but the first row of each of the two meters, and the last two
    assert found["not_in_time_order"].rows.count >= len(READINGS) * 2 - 2


LABELLED = DatasetContract.model_validate(
    GAS.model_dump()
    | {"columns": [*GAS.columns, {"name": "Etiqueta", "type": "text", "required": False}], "label": "Etiqueta"}
)


def with_labels(*labels: str) -> str:
    first, *rows = plain_csv(READINGS).splitlines()
    told = [*labels, *[""] * (len(rows) - len(labels))]
    return "\n".join([f"{first},Etiqueta", *(f"{row},{label}" for row, label in zip(rows, told, strict=True)), ""])


@pytest.mark.parametrize("rows_per_group", [1, 7, 1_000])
def test_labels_are_counted_and_those_that_cannot_be_read_are_told(
    monkeypatch: pytest.MonkeyPatch, rows_per_group: int
) -> None:
    monkeypatch.setattr("shared.retraining.validation._ROWS_PER_GROUP", rows_per_group)

    rows, data = prepared(with_labels("1", "0", "", "perhaps", "FALSE", "true", "2"), LABELLED)

    assert data.found["labels"] == {"anomalies": 2, "normal": 2, "unreadable": 2}
    assert rows.column("Etiqueta").to_pylist()[:4] == ["1", "0", None, "perhaps"]
    (finding,) = [each for each in data.report.warnings if each.code == "unreadable_label"]
    assert finding.rows is not None
    assert [(each.line, each.reason) for each in finding.rows.examples] == [
        (5, "Etiqueta: 'perhaps' is no label"),
        (8, "Etiqueta: '2' is no label"),
    ]


def test_labels_of_which_none_can_be_read_are_refused_and_missing_ones_are_not() -> None:
    with pytest.raises(UnfitDatasetError) as caught:
        prepared(with_labels("ok", "bad"), LABELLED)

    assert caught.value.code == "no_readable_label"
    for text in (plain_csv(READINGS), with_labels()):
        _, data = prepared(text, LABELLED)
        assert "labels" not in data.found
        assert not [each for each in data.report.warnings if each.code == "unreadable_label"]


@pytest.mark.parametrize("rows_per_group", [1, 7, 49, 50, 51, 480, 1_000])
def test_what_is_kept_does_not_depend_on_how_the_file_is_cut(
    monkeypatch: pytest.MonkeyPatch, rows_per_group: int
) -> None:
    text = two_meters(READINGS)
    expected_rows, expected = prepared(text)
    monkeypatch.setattr("shared.retraining.validation._ROWS_PER_GROUP", rows_per_group)
    monkeypatch.setattr("shared.retraining.validation._BLOCK_BYTES", 1_000)
    rows, data = prepared(text)

    assert rows.equals(expected_rows)
    assert data.latest.equals(expected.latest)
    assert data.sample.equals(expected.sample)


def test_training_is_told_how_many_rows_it_is_not_given() -> None:
    rows, _ = prepared(spanish_csv(READINGS, unreadable=range(48)) + "one;field;too many\n" * 20)

    assert rows.num_rows == 432
    assert float(rows.schema.metadata[b"dropscore.unusable"]) == pytest.approx(68 / 500)


def test_the_tail_of_every_series_and_a_sample_are_kept_in_order_of_time() -> None:
    _, data = prepared(two_meters(READINGS[::-1]))
    times = [each.time for each in READINGS]

    for meter in ("a", "b"):
        tail = data.latest.filter(pa.compute.equal(data.latest.column("Serie"), meter))
        assert tail.column("FechaHora").to_pylist() == times[-GAS.context_rows :]
        sample = data.sample.filter(pa.compute.equal(data.sample.column("Serie"), meter))
        assert sample.column("FechaHora").to_pylist() == times[:25]  # the last rows of the file as it lay there


def test_a_dataset_without_context_has_rows_to_try_a_model_with_too() -> None:
    _, data = prepared(plain_csv(READINGS), WITHOUT_CONTEXT)

    assert (data.latest.num_rows, data.sample.num_rows) == (0, 50)
