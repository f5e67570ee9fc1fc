"""Made-up crimes hold what the city's file holds."""

from __future__ import annotations

import csv
import io
from collections import Counter

import pytest

from local.crimes import COLUMNS, as_csv, crimes
from local.iucr import offences

Row = dict[str, str]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(csv.DictReader(io.StringIO(as_csv(crimes(20_000, seed=1)).decode())))


def test_the_same_arguments_give_the_same_bytes_and_another_seed_gives_others() -> None:
    assert as_csv(crimes(50, seed=3)) == as_csv(crimes(50, seed=3)) != as_csv(crimes(50, seed=4))


def test_every_row_has_the_citys_columns(rows: list[Row]) -> None:
    assert len(rows) == 20_000
    assert all(tuple(row) == COLUMNS and None not in row.values() for row in rows)
    assert len({row["id"] for row in rows}) == len({row["case_number"] for row in rows}) == len(rows)
    assert [row["date"] for row in rows] == sorted(row["date"] for row in rows)
    assert {row["year"] for row in rows} == {"2024"}


def test_the_iucr_code_determines_the_words_and_the_fbi_code(rows: list[Row]) -> None:
    known = {each.iucr: (each.fbi, each.type, each.description) for each in offences()}
    for row in rows:
        assert known[row["iucr"]] == (row["fbi_code"], row["primary_type"], row["description"])
    assert {len(code) for code in known} == {4}
    assert any(code.startswith("0") for code in known)


def test_a_beat_lies_in_one_district_and_both_keep_their_zeros(rows: list[Row]) -> None:
    assert all(len(row["beat"]) == 4 and len(row["district"]) == 3 for row in rows)
    assert all(int(row["beat"]) // 100 == int(row["district"]) for row in rows)


def test_some_rows_have_no_coordinates_at_all(rows: list[Row]) -> None:
    where = ("latitude", "longitude", "x_coordinate", "y_coordinate", "location")
    blank = [row for row in rows if not row["latitude"]]
    assert 0.005 < len(blank) / len(rows) < 0.02
    assert all(bool(row[name]) == bool(row["latitude"]) for row in rows for name in where)
    there = [row for row in rows if row["latitude"]]
    assert all(row["location"] == f"({row['latitude']}, {row['longitude']})" for row in there)
    assert all(41.6 < float(row["latitude"]) < 42.1 and -87.9 < float(row["longitude"]) < -87.5 for row in there)
    assert any(not row["location_description"] for row in rows)


def test_classes_are_as_unequal_as_in_the_city(rows: list[Row]) -> None:
    counts = Counter(row["fbi_code"] for row in rows)
    known = {offence.fbi for offence in offences()}
    assert counts.keys() <= known
    assert len(known) == 26
    assert counts["06"] > 4000
    assert counts["01B"] + counts["19"] + counts["22"] < 60


def test_arrests_and_domestic_cases_depend_on_the_offence(rows: list[Row]) -> None:
    narcotics = [row["arrest"] for row in rows if row["primary_type"] == "NARCOTICS"]
    thefts = [row["arrest"] for row in rows if row["primary_type"] == "THEFT"]
    assert narcotics.count("true") / len(narcotics) > 0.9 > 0.2 > thefts.count("true") / len(thefts)
    assert all(row["domestic"] == "true" for row in rows if row["iucr"] == "0486")
