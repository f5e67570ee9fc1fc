"""Columns beside the value: labels as people write them, and numbers that the value may follow."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from aml.columns import rows_from_columns, rows_from_table
from aml.contract import DatasetContract
from aml.contract.labels import UNLABELLED, UNREADABLE, label_of
from aml.labels import labels_of
from aml.rows import Rows, apart, concatenate, single_series

MORE = [
    {"name": "Temperatura", "type": "number", "required": False, "minimum": -40.0, "aliases": ["temp"]},
    {"name": "Etiqueta", "type": "text", "required": False},
]
VALUE = {"name": "VolCorrected", "type": "number"}


@pytest.fixture(scope="module")
def contract(gas: DatasetContract) -> DatasetContract:
    return declared(gas)


def declared(gas: DatasetContract, **changes: Any) -> DatasetContract:
    said = gas.model_dump()
    said |= {"columns": [*said["columns"], *MORE], "exogenous": ["Temperatura"], "label": "Etiqueta", **changes}
    return DatasetContract.model_validate(said)


def test_labels_are_read_as_people_write_them() -> None:
    written = ["1", " TRUE ", "true", "0", "False", "", None, "1.0", "maybe", "2"]
    expected = [1, 1, 1, 0, 0, UNLABELLED, UNLABELLED, 1, UNREADABLE, UNREADABLE]

    assert [label_of(each) for each in written] == expected
    assert labels_of(pa.chunked_array([written[:3], written[3:]])).tolist() == expected
    assert labels_of(pa.chunked_array([pa.array([True, None, False])])).tolist() == [1, UNLABELLED, 0]
    assert labels_of(pa.chunked_array([pa.array([1, 0, None])])).tolist() == [1, 0, UNLABELLED]
    assert labels_of(pa.chunked_array([pa.array([1.0, 0.0])])).tolist() == [1, 0]


TIMES = ["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 02:00"]


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [(["3,5", "", "-1.25"], [3.5, np.nan, -1.25]), ([3.5, None, -1.25], [3.5, np.nan, -1.25])],
)
def test_a_request_and_a_file_say_the_same(
    contract: DatasetContract, temperature: list[Any], expected: list[float]
) -> None:
    columns: dict[str, Sequence[object]] = {
        "FechaHora": TIMES,
        "VolCorrected": [1.0, 2.0, 3.0],
        "Etiqueta": ["1", "what?", "false"],
    }

    for parsed in (
        rows_from_columns({**columns, "Temperatura": temperature}, contract, 3),
        rows_from_table(pa.table({**columns, "temp": temperature}), contract),
    ):
        assert parsed.problems == {}
        assert parsed.rows.outside is not None
        assert parsed.rows.label is not None
        np.testing.assert_array_equal(parsed.rows.outside, np.array(expected)[:, None])
        assert parsed.rows.label.tolist() == [1, UNLABELLED, 0]


def test_without_these_columns_there_is_nothing_beside_the_value(
    contract: DatasetContract, gas: DatasetContract
) -> None:
    table = pa.table({"FechaHora": TIMES, "VolCorrected": [1.0, 2.0, 3.0]})
    columns: dict[str, Sequence[object]] = {"FechaHora": TIMES, "VolCorrected": [1.0, 2.0, 3.0]}

    for parsed in (rows_from_table(table, contract), rows_from_columns(columns, contract, 3)):
        assert parsed.rows.outside is not None
        assert np.isnan(parsed.rows.outside).all()
        assert parsed.rows.label is None
    assert rows_from_table(table, gas).rows.outside is None


def test_a_number_beside_the_value_that_cannot_be_used_is_named(contract: DatasetContract) -> None:
    columns: dict[str, Sequence[object]] = {
        "FechaHora": TIMES,
        "VolCorrected": [1.0, 2.0, 3.0],
        "Temperatura": ["warm", -41.0, float("inf")],
    }
    table = pa.table({"FechaHora": TIMES, "VolCorrected": [1.0, 2.0, 3.0], "temp": [5.0, -41.0, float("inf")]})

    assert rows_from_columns(columns, contract, 3).problems == {
        0: "Temperatura is not a number: 'warm'",
        1: "Temperatura is below its minimum -40",
        2: "Temperatura is not a finite number: inf",
    }
    assert rows_from_table(table, contract).problems == {
        1: "Temperatura is below its minimum -40",
        2: "Temperatura is not a finite number",
    }


def test_what_stands_beside_the_value_goes_with_its_rows() -> None:
    plain = single_series(np.arange(2), np.ones(2))
    full = Rows(
        np.arange(3),
        np.ones(3),
        np.zeros(3, np.int64),
        None,
        np.array([[1.0], [2.0], [3.0]]),
        np.array([0, 1, -1], np.int8),
    )

    some = full.take(np.array([2, 1])).with_values(np.zeros(2))
    assert some.outside is not None
    assert some.label is not None
    assert (some.outside.tolist(), some.label.tolist()) == ([[3.0], [2.0]], [-1, 1])
    for joined in (concatenate([plain, full]), apart([plain, full])):
        assert joined.outside is not None
        assert joined.label is not None
        np.testing.assert_array_equal(joined.outside[:, 0], [np.nan, np.nan, 1.0, 2.0, 3.0])
        assert joined.label.tolist() == [UNLABELLED, UNLABELLED, 0, 1, -1]
    both = concatenate([plain, plain])
    assert both.outside is None
    assert both.label is None
    with pytest.raises(ValueError, match="differ in length"):
        Rows(np.arange(3), np.ones(3), np.zeros(3, np.int64), None, np.ones((2, 1)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": "Temperatura"}, "label: 'Temperatura' is none"),
        ({"label": "Serie"}, "another role|one of the roles"),
        ({"label": "Nothing"}, "label: 'Nothing' is none"),
        ({"exogenous": ["VolCorrected"]}, "'VolCorrected' must be declared"),
        ({"exogenous": ["Temperatura", "Temperatura"]}, "another role already"),
        ({"candidates": [{"name": "a"}, {"name": "a", "trees": 3}]}, "stands there twice"),
        ({"candidates": [{"name": "a"}, {"name": "b"}]}, "says what another one says"),
        (
            {"candidates": [{"name": "a"}], "tuning": {"method": "grid", "space": {"trees": {"values": [3]}}}},
            "a search of their own",
        ),
        ({"alarms": {"per_week": 0}}, "per_week"),
        (
            {"columns": [{"name": "FechaHora", "type": "time"}, {**VALUE, "impute": "median"}, *MORE]},
            r"columns\[1\].impute: means nothing for an anomaly series",
        ),
        (
            {"columns": [{"name": "FechaHora", "type": "time"}, {**VALUE, "required": False}, *MORE]},
            r"columns\[1\].required: each row needs its VolCorrected",
        ),
    ],
)
def test_a_contract_that_contradicts_itself_is_refused(
    gas: DatasetContract, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        declared(gas, **changes)
