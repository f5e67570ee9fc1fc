"""A table with two answers a row, one column for each model, and parts of a time that follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pyarrow as pa
import pytest

from shared.tables import RecordsSource
from tests.fakes.classifier import Classifier
from tests.fakes.endpoint import FakeEndpoint
from tests.functional.scoring.world import World, rows_of
from tests.functional.tables.world import CRIMES, serving, table, world
from tests.unit.tables.samples import parquet, workbook

HEADER = (
    *("Date", "IUCR", "Primary Type", "Description", "Location Description", "Arrest", "Domestic"),
    *("Beat", "District", "Ward", "Community Area", "Latitude", "Longitude"),
)
ROW = (
    *("2024-05-09T14:30:00.000", "0110", "HOMICIDE", "FIRST DEGREE MURDER", "STREET", "true", "FALSE"),
    *("0412", "004", "8", "45", "41.75", "-87.6"),
)
Served = tuple[FakeEndpoint, Classifier]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving("crimes") as both:
        yield both


@pytest.fixture
def app(served: Served) -> World:
    served[0].calm()
    served[1].asked.clear()
    return world("crimes", served[0])


def _changed(**fields: str) -> tuple[str, ...]:
    names = [name.lower().replace(" ", "_") for name in HEADER]
    return tuple(fields.get(name, field) for name, field in zip(names, ROW, strict=True))


def test_both_models_answer_and_the_parts_of_the_time_are_worked_out(app: World, served: Served) -> None:
    scored = app.scored("crimes/may.csv", table([ROW, ROW], HEADER)).decode().splitlines()

    assert scored[0].endswith(";dtc_fbi_code_output;lda_fbi_code_output;error")
    assert scored[1].startswith(";".join(ROW))
    assert set(served[1].asked[0]) == set(CRIMES.inputs)
    assert "date" not in served[1].asked[0]
    assert served[1].asked[0]["hora"] == "double"
    assert "agreement" in app.manifest(app.deliver(app.drop("crimes/may.csv", table([ROW], HEADER))))["answers"]


def test_a_client_sends_the_parts_itself(app: World) -> None:
    time = {"mes": 5, "dia_mes": 9, "dia_semana": 3, "hora": 14}
    fields = {name.lower().replace(" ", "_"): field for name, field in zip(HEADER[1:], ROW[1:], strict=True)}
    by_parts = app.app.inline.score(CRIMES, RecordsSource([{**fields, **time}])).body["predictions"]
    by_file = rows_of(app.scored("crimes/may.csv", table([ROW], HEADER)))

    assert list(by_parts[0].values()) == by_file[0][len(HEADER) : len(HEADER) + 2]


def test_what_is_wrong_and_what_is_only_odd(app: World) -> None:
    rows = [
        _changed(iucr="110"),
        _changed(date="yesterday"),
        _changed(date=""),
        _changed(latitude="", longitude="", location_description=""),
        _changed(latitude="12.5"),
        _changed(arrest="perhaps"),
    ]
    run = app.score("crimes/may.csv", table(rows, HEADER))
    errors = [row[-1] for row in rows_of(app.result("crimes/may_scored.csv"))]
    odd = {(each["column"], each["kind"]): each["count"] for each in app.manifest(run)["warnings"]}

    assert errors == [
        "iucr: '110' has 3 characters, not 4",
        "date: 'yesterday' is not a time",
        "mes cannot be worked out from date",
        "",
        "",
        "arrest: 'perhaps' is none of false, true",
    ]
    assert odd == {
        ("location_description", "imputed"): 1,
        ("latitude", "imputed"): 1,
        ("longitude", "imputed"): 1,
        ("latitude", "out_of_range"): 1,
    }


def test_a_file_with_neither_the_parts_nor_the_date_says_what_would_do(app: World) -> None:
    run = app.score("crimes/may.csv", table([ROW[1:]], HEADER[1:]))

    assert run.state == "failed"
    assert run.error is not None
    assert run.error.code == "missing_column"
    assert "mes" in run.error.message
    assert "follow from date" in run.error.message


def test_workbooks_and_parquet_files_have_true_and_false(app: World) -> None:
    fields = dict(zip((name.lower().replace(" ", "_") for name in HEADER), ROW, strict=True))
    typed = {**fields, "arrest": True, "domestic": False, "beat": 412.0, "date": datetime.fromisoformat(ROW[0])}
    for name, data in (
        ("may.parquet", parquet(pa.Table.from_pylist([typed]))),
        ("may.xlsx", workbook([list(typed), list(typed.values())])),
    ):
        run = app.score(f"crimes/{name}", data)
        (row,) = rows_of(app.result(f"crimes/{name}_scored.csv"))
        assert run.state == "completed", run.error
        assert row[5:7] == ["true", "false"]
        assert row[-1] == ""
