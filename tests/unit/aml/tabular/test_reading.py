"""Columns of whatever Arrow type they come in."""

from typing import Any

import pyarrow as pa
import pytest

from aml.columns import InputError
from aml.contract import DatasetContract
from aml.tabular.reading import ParsedTable, table_from_arrow, table_from_columns
from tests.unit.aml.tabular.birds import contract_of

_ROW: dict[str, Any] = {"wing": 150.5, "leg": 30.0, "ring": 1.0, "lake": "Ebro", "sex": "male", "hour": 7.0}


def _read(contract: DatasetContract, **columns: pa.Array) -> ParsedTable:
    rows = len(next(iter(columns.values())))
    others = {name: pa.array([value] * rows) for name, value in _ROW.items()}
    return table_from_arrow(pa.table({**others, **columns}), contract)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, 2, None], pa.int8()),
        pa.array([1, 2, None], pa.float32()),
        pa.array([1, 2, float("nan")]),
        pa.array(["1", " 2,0 ", ""]),
        pa.array(["1", "2", None], pa.large_string()),
        pa.array(["1", "2", "NA"]).dictionary_encode(),
    ],
    ids=lambda column: str(column.type),
)
def test_numbers_are_read_from_any_type_that_holds_them(contract: DatasetContract, column: pa.Array) -> None:
    parsed = _read(contract, leg=column)

    assert parsed.problems == {}
    assert parsed.table.numbers["leg"].tolist()[:2] == [1, 2]
    assert str(parsed.table.numbers["leg"][2]) == "nan"


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        (pa.array([True, False, None]), ["true", "false", None]),
        (pa.array([111, 7, None]), ["111", "7", None]),
        (pa.array([" a ", "a", " "]), ["a", "a", None]),
        (pa.array(["a", "b", None]).dictionary_encode(), ["a", "b", None]),
        (pa.nulls(3), [None, None, None]),
    ],
)
def test_texts_are_read_from_any_type_that_can_be_written(
    contract: DatasetContract, column: pa.Array, texts: list[str | None]
) -> None:
    assert _read(contract, lake=column).table.texts["lake"].objects().tolist() == texts


def test_categories_are_known_in_whatever_case(contract: DatasetContract) -> None:
    parsed = _read(contract, sex=pa.array(["MALE", " Female", "drake"]))

    assert parsed.table.texts["sex"].objects().tolist()[:2] == ["male", "female"]
    assert parsed.problems == {2: "sex is none of its categories"}


def test_a_value_outside_is_no_error_where_the_contract_only_warns_of_it() -> None:
    declared = contract_of().model_dump(mode="json")
    columns = [column | {"outside": "warning"} for column in declared["columns"]]
    lenient = DatasetContract.model_validate({**declared, "columns": columns})

    parsed = _read(lenient, wing=pa.array([-1.0, 301.0]), sex=pa.array(["drake", "duck"]))

    assert parsed.problems == {}
    assert parsed.table.numbers["wing"].tolist() == [-1, 301]


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"leg": pa.array([float("inf")])}, "leg is not a finite number"),
        ({"leg": pa.array(["many"])}, "leg is not a number: 'many'"),
        ({"ring": pa.nulls(1)}, "ring is empty"),
        ({"wing": pa.array([-0.5])}, "wing is below its minimum 0"),
        ({"hour": pa.array([None], pa.float64())}, "hour is empty"),
    ],
)
def test_every_row_that_cannot_be_used_is_named(
    contract: DatasetContract, columns: dict[str, pa.Array], problem: str
) -> None:
    assert _read(contract, **columns).problems == {0: problem}


def test_a_type_that_holds_no_numbers_is_refused(contract: DatasetContract) -> None:
    with pytest.raises(InputError, match="holds bool, not numbers"):
        _read(contract, leg=pa.array([True]))
    others = {name: [value] for name, value in _ROW.items() if name != "hour"}
    with pytest.raises(InputError, match="holds double, not times"):
        table_from_arrow(pa.table({**others, "seen": [1.5]}), contract)


def test_python_values_are_read_like_arrow(contract: DatasetContract) -> None:
    columns = {name: [value, str(value), None if name in ("wing", "lake") else value] for name, value in _ROW.items()}

    parsed = table_from_columns(columns, contract, 3)

    assert parsed.problems == {}
    for name, values in parsed.table.numbers.items():
        assert values[0] == values[1], name
    assert parsed.table.texts["lake"].objects().tolist() == ["Ebro", "Ebro", None]
