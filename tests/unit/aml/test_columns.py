"""Texts, numbers and Arrow columns become the same rows, and every row that cannot be used is named."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.columns import InputError, parse_number, parse_time, rows_from_columns, rows_from_table
from aml.contract import DatasetContract

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the clock of the series, without a zone


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(".,"), st.sampled_from(["", " ", "\t"]))
def test_a_number_is_read_back_from_its_text(number: float, mark: str, space: str) -> None:
    assert parse_number(space + repr(number).replace(".", mark) + space) == number
    assert parse_number(number) == number


@given(st.datetimes(), st.sampled_from([" ", "T"]), st.sampled_from(["", "Z", "+02:00"]))
def test_a_time_is_read_back_from_its_text_by_the_local_clock(time: datetime, between: str, zone: str) -> None:
    assert _EPOCH + timedelta(microseconds=parse_time(time.isoformat(between) + zone)) == time


@pytest.mark.parametrize(
    "value", [None, "", "abc", "1.234,5", "1 000", "0x1", "\u0661", True, [], "nan", "1e999", 10**400]
)
def test_what_is_no_finite_number_is_refused_in_words(value: object) -> None:
    with pytest.raises(ValueError, match=r"^is (empty|not a number|not a finite number)"):
        parse_number(value)


@pytest.mark.parametrize("value", [None, "", "soon", "31/01/2024", "2024-02-30", 20240101, 1.5, True])
def test_what_is_no_time_is_refused_in_words(value: object) -> None:
    with pytest.raises(ValueError, match=r"^is (empty|not a time)"):
        parse_time(value)


def test_every_form_of_a_column_gives_the_same_rows(gas: DatasetContract) -> None:
    texts = ["2024-01-01 00:00:00", "2024-01-01 01:00:00.5", "2024-01-02"]
    times = [datetime.fromisoformat(text) for text in texts]
    python = rows_from_columns(
        {"FechaHora": texts, "VolCorrected": ["1,5", 2, "3e0"], "Serie": ["a", None, "a"]}, gas, 3
    )
    tables = [
        pa.table({"Date": texts, "Value": ["1.5", "2", "3,0"], "cups": ["a", None, "a"]}),
        pa.table(
            {"x": [9, 9, 9], "Date": pa.array(times, pa.timestamp("ns")), "Value": [1.5, 2, 3], "cups": [1, 2, 1]}
        ),
        pa.table(
            {
                "Date": pa.array(times, pa.timestamp("us")).dictionary_encode().cast(pa.timestamp("us")),
                "Value": pa.array([1.5, 2, 3], pa.float32()),
                "cups": pa.array(["a", "", "a"]).dictionary_encode(),
            }
        ),
    ]

    for table in tables:
        parsed = rows_from_table(table, gas)
        assert parsed.problems == python.problems == {}
        assert parsed.rows.time.tolist() == python.rows.time.tolist()
        assert parsed.rows.value.tolist() == [1.5, 2, 3]
        assert parsed.rows.series.tolist() == python.rows.series.tolist() == [0, 1, 0]


def test_zoned_times_go_by_their_own_clock(gas: DatasetContract) -> None:
    zoned = pa.array([datetime(2024, 1, 1)], pa.timestamp("ms", "UTC")).cast(pa.timestamp("ms", "Etc/GMT-3"))  # noqa: DTZ001

    parsed = rows_from_table(pa.table({"Date": zoned, "Value": [1.0]}), gas)

    assert parsed.rows.time.tolist() == [parse_time("2024-01-01 03:00")]


def test_rows_that_cannot_be_used_are_named_and_the_others_kept(gas: DatasetContract) -> None:
    table = pa.table(
        {
            "Date": ["2024-01-01", "never", None, "2024-01-01 03:00"],
            "Value": [float("nan"), 1.0, 2.0, 3.0],
        }
    )

    parsed = rows_from_table(table, gas)

    assert parsed.problems == {
        0: "VolCorrected is not a finite number",
        1: "FechaHora is not a time: 'never'; write it like 2024-01-31 13:00:00",
        2: "FechaHora is empty",
    }
    assert parsed.usable().value.tolist() == [3.0]


def test_bounds_of_the_contract_hold(gas: DatasetContract) -> None:
    columns = [
        column.model_copy(update={"minimum": 0.0, "maximum": 9.0}) if column.name == gas.value else column
        for column in gas.columns
    ]
    bounded = gas.model_copy(update={"columns": tuple(columns)})

    parsed = rows_from_table(pa.table({"Date": ["2024-01-01"] * 4, "Value": [-0.1, 0.0, 9.0, 9.1]}), bounded)

    assert parsed.problems == {
        0: "VolCorrected is below its minimum 0",
        3: "VolCorrected is above its maximum 9",
    }


def test_what_the_contract_only_warns_of_is_used(gas: DatasetContract) -> None:
    told: dict[str | None, dict[str, Any]] = {gas.value: {"maximum": 9.0}, gas.series: {"categories": ("north",)}}
    columns = [column.model_copy(update={"outside": "warning", **told.get(column.name, {})}) for column in gas.columns]
    warned = gas.model_copy(update={"columns": tuple(columns)})

    parsed = rows_from_table(pa.table({"Date": ["2024-01-01"], "Value": [9.1], "Serie": ["east"]}), warned)

    assert parsed.problems == {}
    assert parsed.rows.value.tolist() == [9.1]


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"Date": [1, 2], "Value": [1.0, 2.0]}),
        pa.table({"Date": ["2024-01-01"], "Value": [True]}),
        pa.table({"Date": ["2024-01-01"], "Value": [1.0], "cups": [[1]]}),
        pa.table({"Date": pa.array([2**62], pa.int64()).cast(pa.timestamp("s")), "Value": [1.0]}),
    ],
)
def test_a_type_that_cannot_hold_the_column_is_refused(table: pa.Table, gas: DatasetContract) -> None:
    with pytest.raises(InputError) as caught:
        rows_from_table(table, gas)

    assert caught.value.code == "wrong_type"


def test_a_table_without_rows(gas: DatasetContract) -> None:
    schema = pa.schema({"Date": pa.timestamp("us"), "Value": pa.float64(), "cups": pa.string()})

    parsed = rows_from_table(schema.empty_table(), gas)

    assert (len(parsed.rows), parsed.problems) == (0, {})
    assert np.array_equal(parsed.usable().value, [])


def test_a_series_that_is_none_of_its_categories_is_named_as_in_a_file(gas: DatasetContract) -> None:
    zones = gas.model_copy(
        update={
            "columns": tuple(
                column.model_copy(update={"categories": ("north", "south")}) if column.name == gas.series else column
                for column in gas.columns
            )
        }
    )
    columns: dict[str, list[object]] = {
        "FechaHora": ["2026-01-01"] * 5,
        "VolCorrected": [1.0] * 5,
        "Serie": ["north", " south ", "east", None, ""],
    }

    for parsed in (rows_from_columns(columns, zones, 5), rows_from_table(pa.table(columns), zones)):
        assert dict(parsed.problems) == {2: "Serie is none of its categories"}
    assert rows_from_columns(columns, gas, 5).problems == {}
