"""Counting: parts in any order are the whole, and what the app counts is what training counted."""

import json
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aml.profile import stratum_of
from shared.drift.tally import Tally
from shared.tables import Flaws
from tests.unit.drift.streams import GAS, HOUR_US, START, YEAR, add, profile_of, simulated, tally_of, year_profile

_odd = st.sampled_from([0.0, -1.0, 1e308, 150.0, 400.0, 400.5, 5e-324])


@settings(max_examples=40)
@given(
    values=st.lists(_odd | st.floats(0, 1200), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    order=st.randoms(use_true_random=False),
    start=st.integers(-(10**6), 10**6),
)
def test_parts_in_any_order_are_the_whole(values: list[float], cuts: list[int], order: object, start: int) -> None:
    profile = year_profile()
    whole = tally_of(profile, start, np.array(values), flaws={"VolCorrected": Flaws(len(values), 2, 1)})
    bounds = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    parts = [
        tally_of(profile, start + a, np.array(values[a:b]), flaws={"VolCorrected": Flaws(b - a)})
        for a, b in pairwise(bounds)
        if b > a
    ]
    parts.append(tally_of(profile, 0, np.array([]), flaws={"VolCorrected": Flaws(0, 2, 1)}))
    order.shuffle(parts)  # type: ignore[attr-defined]

    merged = Tally.empty(profile)
    for part in parts:
        merged = merged.merge(Tally.from_dict(json.loads(json.dumps(part.as_dict()))))

    assert merged.as_dict() == whole.as_dict()


def test_the_training_rows_are_counted_as_training_counted_them() -> None:
    profile, values = year_profile(), simulated()[:YEAR]

    tally = tally_of(profile, 0, values)

    for name, each in profile.numbers.items():
        assert tally.numbers[name].bins.tolist() == each.cells.sum(axis=0).tolist()
        assert tally.numbers[name].strata.tolist() == each.cells.sum(axis=1).tolist()
        assert tally.numbers[name].beyond == 0
    assert (tally.rows, tally.usable) == (YEAR, YEAR)
    assert (tally.first, tally.last) == (START, START + (YEAR - 1) * HOUR_US)


@given(st.lists(st.integers(-(10**16), 10**17), min_size=1, max_size=30))
def test_times_belong_where_training_puts_them(times: list[int]) -> None:
    profile = year_profile()
    tally = Tally.empty(profile)

    add(tally, profile, np.array(times), np.ones(len(times)))

    known = np.bincount(stratum_of(np.array(times)), minlength=48)
    assert tally.numbers["VolCorrected"].strata.tolist() == known.tolist()


def test_values_beyond_those_of_training_are_counted() -> None:
    profile = year_profile()
    low, high = profile.numbers["VolCorrected"].minimum, profile.numbers["VolCorrected"].maximum

    tally = tally_of(profile, 0, np.array([low, high, np.nextafter(low, -1), np.nextafter(high, 1e9), -1e300, 1e300]))

    assert tally.numbers["VolCorrected"].beyond == 4


def test_rows_without_a_value_or_an_answer_are_not_counted_in_bins() -> None:
    values = simulated()[:48]
    profile = profile_of(START + np.arange(48) * HOUR_US, values, other=np.where(np.arange(48) < 8, np.nan, values))
    batch = pa.RecordBatch.from_pydict(
        {
            "FechaHora": pa.array(START + np.arange(3) * HOUR_US, pa.timestamp("us")),
            "VolCorrected": pa.array([1.0, 2.0, 3.0]),
            "other": pa.array([None, 2.0, None], pa.float64()),
        }
    )
    tally = Tally.empty(profile)

    tally.add(profile, GAS, 5, {}, batch, pa.table({"anomaly_score": pa.array([0.5, None, 0.6])}))

    assert {name: int(each.bins.sum()) for name, each in tally.numbers.items()} == {
        "VolCorrected": 3,
        "other": 1,
        "anomaly_score": 2,
    }
    assert (tally.rows, tally.usable) == (5, 3)


def test_texts_are_counted_by_the_categories_of_training() -> None:
    zones = np.array(["north", "south"])[np.arange(48) % 2]
    profile = profile_of(START + np.arange(48) * HOUR_US, simulated()[:48], zone=zones)
    tally = Tally.empty(profile)
    batch = pa.RecordBatch.from_pydict(
        {
            "FechaHora": pa.array(START + np.arange(4) * HOUR_US, pa.timestamp("us")),
            "zone": pa.array(["north", "west", None, "east"]),
        }
    )

    tally.add(profile, GAS, 4, {}, batch, pa.table({}))

    assert dict(tally.texts["zone"]) == {"north": 1, "\0others": 2}


def test_series_are_remembered_only_as_far_as_is_needed() -> None:
    profile = profile_of(START + np.arange(48) * HOUR_US, simulated()[:48], series=np.arange(48) % 3)

    tally = tally_of(profile, 0, simulated()[:5], series=["a", "b", "a", "c", "d"])
    add(tally, profile, START + np.arange(2) * HOUR_US, simulated()[:2], series=["e", "f"])

    assert tally.series == {"a", "b", "c", "d"}


@pytest.mark.parametrize("rows", [24, 20_000])
def test_its_size_does_not_depend_on_the_rows(rows: int) -> None:
    tally = tally_of(year_profile(), 0, simulated()[:rows])

    assert len(json.dumps(tally.as_dict())) < 6_000
