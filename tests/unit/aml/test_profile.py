"""The profile of training data: what it counts, and how far the data lie from themselves."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.profile import STRATA, Profile, make_profile, stratum_of
from aml.rows import Rows, concatenate
from tests.unit.aml.streams import HOUR_US, hourly

_START = 1_704_067_200_000_000


def _made(rows: Rows, **columns: object) -> Profile:
    scores = np.random.default_rng(3).beta(20, 22, len(rows))
    about = ("anomaly_score", scores, np.arange(len(rows)))
    values = {"VolCorrected": rows.value, **{name: np.asarray(each) for name, each in columns.items()}}
    return make_profile("gas", rows.time, rows.series, values, about, 0.125)


@pytest.fixture(scope="module")
def year() -> Rows:
    return hourly(days=365)


def test_it_says_what_it_was_made_of_and_is_json(year: Rows) -> None:
    profile = _made(year)

    assert json.loads(json.dumps(profile, allow_nan=False)) == profile
    assert (profile["rows"], profile["series"], profile["unusable"]) == (8760, 1, 0.125)
    assert (profile["first_time"], profile["last_time"]) == ("2024-01-01T00:00:00", "2024-12-30T23:00:00")
    value = profile["columns"]["VolCorrected"]
    assert (value["minimum"], value["maximum"]) == (year.value.min(), year.value.max())
    assert value["missing"] == 0
    assert len(json.dumps(profile)) < 100_000


def test_its_bins_have_about_equal_shares_and_its_deciles_a_tenth_each(year: Rows) -> None:
    value = _made(year)["columns"]["VolCorrected"]

    counts = np.sum([each for each in value["counts"].values()], axis=0)

    assert counts.sum() == 8760
    assert len(counts) == 200
    assert np.abs(counts / 8760 - 1 / 200).max() < 1e-3
    assert np.abs(np.add.reduceat(counts, value["deciles"]) / 8760 - 0.1).max() < 1e-3


def test_it_counts_by_month_and_quarter_of_the_day(year: Rows) -> None:
    value = _made(year)["columns"]["VolCorrected"]

    january_nights = (year.time < _START + 31 * 24 * HOUR_US) & (year.time // HOUR_US % 24 < 6)

    assert len(value["counts"]) == STRATA
    assert sum(value["counts"]["0"]) == january_nights.sum() == 31 * 6
    below = np.searchsorted(value["edges"], year.value[january_nights])
    assert value["counts"]["0"] == np.bincount(below, minlength=200).tolist()


def test_months_begin_where_the_calendar_says_so() -> None:
    times = np.array(["1969-12-31T23:59:59", "1970-01-01", "2024-02-29T06:00", "2100-12-31T18:00"], "datetime64[us]")

    assert stratum_of(times.astype(np.int64)).tolist() == [11 * 4 + 3, 0, 1 * 4 + 1, 11 * 4 + 3]


@given(st.lists(st.sampled_from([0.0, 1.0, 1.5, -3.0, 1e300]), min_size=1, max_size=60))
def test_every_value_falls_into_one_bin_whatever_repeats(values: list[float]) -> None:
    rows = Rows(_START + np.arange(len(values)) * HOUR_US, np.array(values), np.zeros(len(values), np.int64))

    value = _made(rows)["columns"]["VolCorrected"]

    counts = np.sum([each for each in value["counts"].values()], axis=0)
    assert counts.sum() == len(values)
    assert len(counts) == len(value["edges"]) + 1
    assert value["deciles"][0] == 0
    assert np.add.reduceat(counts, value["deciles"]).sum() == len(values)
    assert value["deciles"] == sorted(set(value["deciles"]))
    assert np.isin(value["edges"], values).all()


def test_missing_numbers_and_texts_are_counted(year: Rows) -> None:
    numbers = np.where(np.arange(8760) < 876, np.nan, year.value)
    texts = np.array(["", "a", "b", "b"])[np.arange(8760) % 4]
    many = np.array([f"c{at}" for at in range(8760)])

    columns = _made(year, other=numbers, zone=texts, many=many)["columns"]

    assert columns["other"]["missing"] == pytest.approx(0.1)
    assert sum(sum(each) for each in columns["other"]["counts"].values()) == 8760 - 876
    assert columns["zone"] == {"kind": "text", "missing": 0.25, "counts": {"b": 4380, "a": 2190}, "others": 0}
    assert len(columns["many"]["counts"]) == 50
    assert columns["many"]["others"] == 8760 - 50


def test_a_column_without_a_number_has_no_bins(year: Rows) -> None:
    assert _made(year, empty=np.full(8760, np.nan))["columns"]["empty"] == {"kind": "number", "missing": 1.0}


def test_stretches_of_the_data_are_as_long_as_the_data_allow(year: Rows) -> None:
    short = _made(year.take(slice(0, 20 * 24)))["columns"]["VolCorrected"]["chance"]
    long = _made(year)["columns"]["VolCorrected"]["chance"]

    assert [(each["series"], each["days"], each["rows"]) for each in short] == [("all", 1, 24)]
    assert [(each["days"], each["rows"]) for each in long] == [(1, 24), (7, 168), (30, 720)]
    assert all(each["windows"] >= 5 and each["psi"] > 0 and 0 < each["ks"] < 1 for each in long)
    assert long[0]["psi"] > long[1]["psi"] > long[2]["psi"], "chance does less in longer stretches"


def test_of_several_series_stretches_of_one_lie_further_away(year: Rows) -> None:
    large = Rows(year.time, year.value * 10, np.ones(len(year), np.int64))
    both = concatenate([year, large])

    chance = {(each["series"], each["days"]): each for each in _made(both)["columns"]["VolCorrected"]["chance"]}

    assert set(chance) == {(kind, days) for kind in ("all", "one") for days in (1, 7, 30)}
    assert chance[("one", 7)]["psi"] > 1 > chance[("all", 7)]["psi"]
