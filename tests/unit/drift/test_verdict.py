"""What is said of a file: nothing where chance explains it, and the worst of what it does not."""

from __future__ import annotations

from collections import Counter
from functools import reduce

import numpy as np
import pytest

from aml.contract import Column, DriftRules
from shared.drift.profile import Profile, Reference
from shared.drift.tally import Tally
from shared.drift.verdict import Verdict, judge, of_values, worst
from shared.tables import Flaws
from tests.unit.drift.streams import (
    GAS,
    HOUR_US,
    START,
    YEAR,
    drift_of,
    profile_of,
    simulated,
    tally_of,
    year_profile,
)


def _verdicts(days: int, factor: float = 1.0, seed: int = 1) -> Counter[str]:
    """Of the files of so many days that the two years after the training year are cut into."""
    profile, values = year_profile(seed), simulated(seed) * factor
    starts = range(YEAR, len(values) - days * 24 + 1, days * 24)
    return Counter(drift_of(profile, tally_of(profile, at, values[at : at + days * 24]))["verdict"] for at in starts)


@pytest.mark.parametrize("days", [1, 7, 30])
@pytest.mark.parametrize("seed", [1, 2])
def test_years_like_the_training_year_hardly_ever_raise_an_alarm(days: int, seed: int) -> None:
    found = _verdicts(days, seed=seed)

    assert found["severe"] <= 0.03 * found.total()
    assert found["moderate"] + found["severe"] <= 0.06 * found.total()
    assert found["unknown"] == 0


def test_doubled_volumes_are_seen_in_nearly_every_file() -> None:
    assert _verdicts(1, 2.0)["severe"] > 0.9 * 730
    assert _verdicts(7, 2.0)["severe"] == 104
    assert _verdicts(30, 2.0)["severe"] == 24


def test_independent_rows_raise_an_alarm_once_in_a_hundred() -> None:
    random = np.random.default_rng(5)
    profile = profile_of(START + np.arange(2000) * HOUR_US, random.gamma(20, 10, 2000))

    found = Counter(
        drift_of(profile, tally_of(profile, 0, random.gamma(20, 10, rows)))["verdict"]
        for rows in (20, 24, 168, 2000)
        for _ in range(100)
    )

    assert found["none"] >= 392


def test_the_training_data_themselves_have_not_drifted() -> None:
    found = drift_of(year_profile(), tally_of(year_profile(), 0, simulated()[:YEAR]))

    assert found["verdict"] == "none"
    assert found["columns"]["VolCorrected"]["psi"] < 0.02
    assert found["columns"]["VolCorrected"]["ks"] < 0.02
    assert found["score"]["psi"] < 0.02
    assert found["in_season"] == 1


def test_everything_is_said_of_every_column() -> None:
    flaws = {"VolCorrected": Flaws(empty=12, invalid=6, outside=3)}
    high = np.full(24, 1e6)

    found = drift_of(year_profile(), tally_of(year_profile(), YEAR, high, rows=48, flaws=flaws))

    value = found["columns"]["VolCorrected"]
    assert found["verdict"] == value["verdict"] == "severe"
    assert (value["missing"], value["invalid"]) == (0.25, 0.125)
    assert value["out_of_range"] == {"contract": 0.0625, "training": 1.0}
    assert value["psi"] > value["psi_by_chance"] + 0.25
    assert value["ks"] > value["ks_by_chance"]
    assert found["score"]["name"] == "anomaly_score"
    assert found["unusable"] == {"verdict": "severe", "share": 0.5, "training": 0.0}
    assert (found["rows"], found["training_run"]) == (24, "20260101T000000Z-train-00000000")


def test_flaws_of_a_column_that_is_not_compared_are_said_too() -> None:
    tally = tally_of(
        year_profile(), YEAR, simulated()[YEAR : YEAR + 24], rows=25, flaws={"FechaHora": Flaws(invalid=1)}
    )

    assert drift_of(year_profile(), tally)["columns"]["FechaHora"] == {
        "verdict": "none",
        "missing": 0.0,
        "invalid": 0.04,
    }


def test_unusable_rows_count_by_what_training_had_of_them() -> None:
    values = simulated()[:YEAR]
    profile = profile_of(START + np.arange(YEAR) * HOUR_US, values, unusable=0.2)
    week = simulated()[YEAR : YEAR + 168]

    found = [drift_of(profile, tally_of(profile, YEAR, week, rows=rows))["unusable"] for rows in (168, 220, 245, 400)]

    assert [each["verdict"] for each in found] == ["none", "none", "moderate", "severe"]


def test_what_training_could_mend_is_told_from_what_it_could_not() -> None:
    week, profile = simulated()[YEAR : YEAR + 168], year_profile()

    assert of_values(drift_of(profile, tally_of(profile, YEAR, week, rows=500))) == "none"
    assert of_values(drift_of(profile, tally_of(profile, YEAR, week * 3))) == "severe"
    assert of_values(drift_of(profile, tally_of(profile, YEAR, week[:5]))) == "unknown"


def test_a_file_of_few_rows_is_not_judged_alone_but_with_others() -> None:
    profile, values = year_profile(), simulated() * 3
    parts = [tally_of(profile, at, values[at : at + 6]) for at in range(YEAR, YEAR + 24 * 7, 6)]

    alone, together = drift_of(profile, parts[0]), drift_of(profile, reduce(Tally.merge, parts))

    assert alone["verdict"] == "unknown"
    assert "6 usable rows are too few" in alone["reason"]
    assert together["verdict"] == "severe"


def test_without_a_profile_it_says_why() -> None:
    assert judge(Reference(None, "", "nobody knows"), None, GAS) == {"verdict": "unknown", "reason": "nobody knows"}
    assert judge(Reference(None, "run", "it left none"), None, GAS)["training_run"] == "run"


def test_a_season_that_training_had_not_is_compared_with_all_it_had() -> None:
    profile = profile_of(START + np.arange(31 * 24) * HOUR_US, simulated()[: 31 * 24])

    found = drift_of(profile, tally_of(profile, 182 * 24, simulated()[182 * 24 : 189 * 24]))

    assert found["in_season"] == 0
    assert found["verdict"] == "severe"


def test_a_winter_that_comes_in_summer_is_seen() -> None:
    january = simulated()[YEAR : YEAR + 7 * 24]

    assert drift_of(year_profile(), tally_of(year_profile(), YEAR, january))["verdict"] == "none"
    assert drift_of(year_profile(), tally_of(year_profile(), YEAR + 182 * 24, january))["verdict"] == "severe"


def _two_meters() -> Profile:
    time = np.repeat(START + np.arange(YEAR) * HOUR_US, 2)
    values = np.column_stack([simulated(1)[:YEAR], simulated(2)[:YEAR] * 10]).ravel()
    return profile_of(time, values, series=np.tile([0, 1], YEAR))


def test_one_of_several_meters_is_not_drift_by_itself() -> None:
    profile = _two_meters()
    week = slice(YEAR, YEAR + 7 * 24)
    one = tally_of(profile, YEAR, simulated(1)[week], series=["a"] * 168)
    other = tally_of(profile, YEAR, simulated(2)[week] * 10, series=["b"] * 168)

    assert drift_of(profile, one)["verdict"] == drift_of(profile, other)["verdict"] == "none"
    both = drift_of(profile, one.merge(other))["columns"]["VolCorrected"]
    assert both["verdict"] == "none"
    assert both["psi_by_chance"] < 1 < drift_of(profile, one)["columns"]["VolCorrected"]["psi_by_chance"]


def test_the_limits_are_the_contracts() -> None:
    profile, week = year_profile(), simulated()[YEAR : YEAR + 7 * 24] * 1.5
    lax = GAS.model_copy(update={"drift": DriftRules(psi_moderate=50, psi_severe=60, share_moderate=1, share_severe=1)})
    reference, tally = Reference(profile, "run"), tally_of(profile, YEAR, week)

    assert judge(reference, tally, GAS)["verdict"] == "severe"
    assert judge(reference, tally, lax)["verdict"] == "none"


@pytest.mark.parametrize(
    ("verdicts", "is_worst"),
    [
        (["none", "moderate", "severe"], "severe"),
        (["none", "unknown"], "none"),
        (["unknown"], "unknown"),
        (["moderate", "unknown", "none"], "moderate"),
        ([], "unknown"),
    ],
)
def test_the_worst_counts_and_what_is_unknown_does_not(verdicts: list[Verdict], is_worst: str) -> None:
    assert worst(verdicts) == is_worst


def test_text_columns_are_compared_by_category() -> None:
    zones = np.array(["north", "south"])[np.arange(YEAR) % 2]
    profile = profile_of(START + np.arange(YEAR) * HOUR_US, simulated()[:YEAR], zone=zones)
    contract = GAS.model_copy(update={"columns": (*GAS.columns, Column(name="zone", type="text", required=False))})

    def said(*names: str) -> dict[str, object]:
        tally = tally_of(profile, YEAR, simulated()[YEAR : YEAR + 168])
        for at in range(168):
            tally.texts["zone"][names[at % len(names)]] += 1
        found: dict[str, object] = judge(Reference(profile, "run"), tally, contract)["columns"]["zone"]
        return found

    assert (said("north", "south")["verdict"], said("north", "south")["psi"]) == ("none", 0.0)
    assert said("north")["verdict"] == "severe"
    assert said("\0others")["verdict"] == "severe"
