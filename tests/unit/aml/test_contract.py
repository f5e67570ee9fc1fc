"""Column names are found as people write them, and a contract that contradicts itself does not load."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aml.contract import Column, ContractError, DatasetContract, contract_names, load_contract, normalise
from aml.detection.calendar import Calendar

_GAS = load_contract("gas")
_NAMES = [(column.name, label) for column in _GAS.columns for label in (column.name, *column.aliases)]


@st.composite
def _spellings(draw: st.DrawFn) -> tuple[str, str]:
    """A canonical name and some way to write it: other case, with spaces, `-`, `/` and `_` strewn in."""
    canonical, label = draw(st.sampled_from(_NAMES))
    parts = []
    for letter in label:
        parts.append(letter.upper() if draw(st.booleans()) else letter.lower())
        parts.append(draw(st.sampled_from(["", "", "", " ", "-", "/", "_", "\t"])))
    return canonical, "".join(parts)


@given(_spellings())
def test_every_spelling_of_every_alias_is_found(spelling: tuple[str, str]) -> None:
    canonical, written = spelling
    others = [column.name for column in _GAS.columns if column.name != canonical]

    found = _GAS.resolve(["comment", written, *others])

    assert found[canonical] == 1
    assert [found[name] for name in others] == [2, 3]


@given(st.text())
def test_normalising_twice_changes_nothing(name: str) -> None:
    assert normalise(normalise(name)) == normalise(name)


def test_canonical_name_wins_over_its_other_spellings_and_those_over_aliases() -> None:
    assert _GAS.resolve(["Date", "fecha_hora", "FechaHora", "Value"])["FechaHora"] == 2
    assert _GAS.resolve(["Date", "fecha_hora", "Value"])["FechaHora"] == 1


def test_optional_column_may_be_missing() -> None:
    assert _GAS.resolve(["Value", "Date"]) == {"FechaHora": 1, "VolCorrected": 0}


def test_missing_column_names_itself_its_aliases_and_what_was_found() -> None:
    with pytest.raises(ContractError) as caught:
        _GAS.resolve(["Date", "flow"])

    assert caught.value.code == "missing_column"
    for words in ("VolCorrected", "Caudal_m3h", "'Date', 'flow'"):
        assert words in caught.value.message


@pytest.mark.parametrize("header", [["Date", "datetime", "Value"], ["FechaHora", "FechaHora", "Value"]])
def test_two_headers_that_fit_equally_well_are_ambiguous(header: list[str]) -> None:
    with pytest.raises(ContractError, match="FechaHora") as caught:
        _GAS.resolve(header)

    assert caught.value.code == "ambiguous_column"


@pytest.mark.parametrize("name", ["nope", "", "../datasets/gas", "GAS"])
def test_unknown_dataset(name: str) -> None:
    with pytest.raises(ContractError) as caught:
        load_contract(name)

    assert caught.value.code == "unknown_dataset"
    assert "gas" in caught.value.message


def test_every_declared_contract_loads_and_survives_a_round_trip_through_json() -> None:
    assert "gas" in contract_names()
    for name in contract_names():
        contract = load_contract(name)
        assert DatasetContract.model_validate_json(contract.model_dump_json()) == contract


def test_zones_and_holidays_of_every_declared_contract_are_known() -> None:
    for name in contract_names():
        contract = load_contract(name)
        calendar = Calendar.of(contract.timezone, contract.holidays)
        assert (len(calendar.holidays) > 0) == (contract.holidays is not None)


@pytest.mark.parametrize("zone", ["Europe/Madrid", "UTC", "America/Argentina/Buenos_Aires", "Asia/Kathmandu"])
def test_a_zone_may_be_declared(zone: str) -> None:
    declared = {**_GAS.model_dump(), "timezone": zone, "holidays": "ES-MD"}

    assert DatasetContract.model_validate(declared).timezone == zone


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"value": "FechaHora"}, "type number"),
        ({"series": "Nowhere"}, "type text"),
        ({"columns": [*_GAS.model_dump()["columns"], {"name": "cups", "type": "text"}]}, "fit two columns"),
        ({"columns": [*_GAS.model_dump()["columns"], _GAS.model_dump()["columns"][0]]}, "declared twice"),
        ({"contamination": 0.6}, "contamination"),
        ({"minimum_rows": 3}, "minimum_rows"),
        ({"timezone": "Europe/Atlantis"}, "no time zone 'Europe/Atlantis'"),
        ({"timezone": "Europe"}, "no time zone 'Europe'"),
        ({"timezone": ""}, "no time zone ''"),
        ({"timezone": "../UTC"}, "no time zone"),
        ({"holidays": "Spain"}, "holidays"),
        ({"holidays": "es"}, "holidays"),
    ],
)
def test_contract_that_contradicts_itself_does_not_load(change: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        DatasetContract.model_validate({**_GAS.model_dump(), **change})


@pytest.mark.parametrize(
    "declared",
    [
        {"name": "v", "type": "number", "categories": ["a"]},
        {"name": "t", "type": "time", "categories": ["a"]},
        {"name": "s", "type": "text", "minimum": 0},
        {"name": "t", "type": "time", "maximum": 0},
    ],
)
def test_categories_are_of_texts_and_bounds_of_numbers(declared: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Column.model_validate(declared)

    assert Column(name="s", type="text", categories=("a", "b")).categories == ("a", "b")
    assert Column(name="v", type="number", minimum=0, maximum=1).maximum == 1
