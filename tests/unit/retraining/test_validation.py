"""What is enough to train on, and what the run record says about a dataset."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from aml.contract import load_contract
from shared.retraining.findings import Finding, Live, UnfitDatasetError, examine
from shared.retraining.validation import describe
from shared.tables import Dialect, Example, Range, Survey, Tally

GAS = load_contract("gas")
RULES = GAS.training
NONE = Tally()
FIRST = datetime.fromisoformat("2026-01-01")  # times in data carry no zone
ENOUGH = Survey(
    name="gas/a.csv",
    sha256="ab" * 32,
    size=12_345,
    dialect=Dialect("csv", "utf-8", ";", decimal=","),
    header=("Fecha", "Valor"),
    columns={"FechaHora": 0, "VolCorrected": 1},
    rows=RULES.min_rows,
    rejected=0,
    unusable=0,
    examples=(),
    first_time=FIRST,
    last_time=FIRST + timedelta(days=RULES.min_days),
    ordered=True,
    duplicate_times=0,
    ranges={},
)


def with_bad(unusable: int, rejected: int, usable: int) -> Survey:
    examples = (Example(7, "VolCorrected is 'x'"), Example(9, "FechaHora is empty"))
    return replace(
        ENOUGH, rows=usable + unusable, unusable=unusable, rejected=rejected, examples=examples if unusable else ()
    )


def codes(findings: Iterable[Finding]) -> list[str]:
    return [finding.code for finding in findings]


@pytest.mark.parametrize(
    "found",
    [
        ENOUGH,
        with_bad(100, 0, 400),  # exactly a fifth
        with_bad(60, 40, 400),
        replace(ENOUGH, first_time=None, last_time=None),  # a dataset without a time column
    ],
)
def test_what_meets_the_rules_exactly_is_enough(found: Survey) -> None:
    assert examine(found, GAS, NONE).errors == ()


@pytest.mark.parametrize(
    ("found", "expected", "words"),
    [
        (
            replace(ENOUGH, rows=RULES.min_rows - 1),
            ["too_few_rows"],
            "The dataset has 167 usable rows; training needs at least 168.",
        ),
        (
            with_bad(40, 0, 167),
            ["too_few_rows"],
            "The dataset has 167 usable rows; training needs at least 168.",
        ),
        (
            replace(ENOUGH, last_time=FIRST + timedelta(days=RULES.min_days, seconds=-1)),
            ["too_few_days"],
            "The dataset covers 5.9 days; training needs at least 6.",
        ),
        (
            with_bad(101, 0, 400),
            ["too_many_unusable"],
            "101 of 501 rows cannot be used; at most 20% may be. The first is line 7: VolCorrected is 'x'.",
        ),
        (
            with_bad(0, 101, 400),
            ["too_many_unusable"],
            "101 of 501 rows cannot be used; at most 20% may be.",
        ),
        # the rows that are left are few because of it
        (with_bad(900, 0, 10), ["too_many_unusable", "too_few_rows"], "900 of 910 rows"),
        (
            replace(ENOUGH, constant=("VolCorrected",), ranges={"VolCorrected": Range(3.5, 3.5)}),
            ["constant_value"],
            "Every usable VolCorrected is 3.5; there is nothing to learn from it.",
        ),
    ],
)
def test_what_falls_short_is_refused_with_the_figures(found: Survey, expected: list[str], words: str) -> None:
    report = examine(found, GAS, NONE)
    error = UnfitDatasetError(report)

    assert codes(report.errors) == expected
    assert error.code == expected[0]
    assert words in error.message


def test_times_that_occur_twice_are_warned_of_until_they_are_too_many() -> None:
    usable = ENOUGH.rows
    most = int(usable * RULES.max_duplicate_share)
    few, many = (Tally(count, (Example(9, "twice"),)) for count in (most, most + 1))

    assert codes(examine(ENOUGH, GAS, few).errors) == []
    assert codes(examine(ENOUGH, GAS, few).warnings) == ["duplicate_times"]
    assert codes(examine(ENOUGH, GAS, many).errors) == ["too_many_duplicate_times"]
    assert codes(examine(ENOUGH, GAS, many).warnings) == []
    assert f"{most + 1} of {usable} usable rows" in examine(ENOUGH, GAS, many).errors[0].message


@pytest.mark.parametrize(
    ("ends", "overruled", "errors", "warnings"),
    [
        (timedelta(0), False, [], []),  # the same data again, with other parameters
        (timedelta(seconds=-1), False, [], []),
        (timedelta(seconds=1), False, ["older_than_live"], []),
        (timedelta(seconds=1), True, [], ["older_than_live"]),
    ],
)
def test_a_dataset_that_ends_before_the_live_models_is_refused_unless_somebody_insists(
    ends: timedelta, overruled: bool, errors: list[str], warnings: list[str]
) -> None:
    assert ENOUGH.last_time is not None
    report = examine(ENOUGH, GAS, NONE, Live("7", ENOUGH.last_time + ends, overruled))

    assert (codes(report.errors), codes(report.warnings)) == (errors, warnings)
    for finding in (*report.errors, *report.warnings):
        assert "version 7" in finding.message
        assert "ends at 2026-01-07 00:00:00" in finding.message


def test_everything_odd_is_told_with_its_rows() -> None:
    odd = replace(
        with_bad(2, 1, 400),
        flaws={
            "VolCorrected": {"not_a_number": Tally(2, (Example(7, "VolCorrected is 'x'"),))},
            "FechaHora": {"empty": Tally(3, (Example(9, "FechaHora is empty"),))},
        },
        rejects=Tally(1, (Example(20, "3 fields, the header has 2"),)),
        backwards=Tally(1, (Example(30, "2026-01-01 00:00:00 is earlier than the row before it"),)),
        constant=("Serie", "Presion"),
    )
    report = examine(odd, GAS, NONE)

    assert report.as_dict() == {
        "valid": True,
        "errors": [],
        "warnings": [
            {
                "code": "empty",
                "message": "FechaHora is empty in 3 rows.",
                "count": 3,
                "examples": [{"line": 9, "reason": "FechaHora is empty"}],
            },
            {
                "code": "not_a_number",
                "message": "VolCorrected is no number in 2 rows.",
                "count": 2,
                "examples": [{"line": 7, "reason": "VolCorrected is 'x'"}],
            },
            {
                "code": "rejected_lines",
                "message": "1 line cannot be split into the header's columns.",
                "count": 1,
                "examples": [{"line": 20, "reason": "3 fields, the header has 2"}],
            },
            {
                "code": "not_in_time_order",
                "message": "FechaHora goes back in 1 row; training puts them in order.",
                "count": 1,
                "examples": [{"line": 30, "reason": "2026-01-01 00:00:00 is earlier than the row before it"}],
            },
            {"code": "constant_column", "message": "Presion has the same value in every row that has one."},
        ],
    }


def test_a_report_stays_small_whatever_is_found() -> None:
    long = Tally(10**9, tuple(Example(line, "x" * 5_000) for line in range(5)))
    flaws = {f"column {n}": {"empty": long} for n in range(500)}
    report = examine(replace(ENOUGH, flaws=flaws), GAS, NONE).as_dict()

    assert len(report["warnings"]) == 20
    assert report["more_warnings"] == 480
    assert len(json.dumps(report)) < 30_000


def test_the_record_says_what_was_found_in_plain_json() -> None:
    found = describe(with_bad(2, 3, 400))

    assert json.loads(json.dumps(found)) == found
    assert found == {
        "sha256": "ab" * 32,
        "bytes": 12_345,
        "rows": 405,
        "usable": 400,
        "unusable": 2,
        "rejected": 3,
        "examples": [
            {"line": 7, "reason": "VolCorrected is 'x'"},
            {"line": 9, "reason": "FechaHora is empty"},
        ],
        "first_time": "2026-01-01 00:00:00",
        "last_time": "2026-01-07 00:00:00",
        "in_time_order": True,
        "dialect": ENOUGH.dialect.as_dict(),
    }


def test_a_dataset_without_times_has_none_in_the_record() -> None:
    found = describe(replace(ENOUGH, first_time=None, last_time=None))

    assert (found["first_time"], found["last_time"]) == (None, None)
