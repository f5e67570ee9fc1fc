"""What is enough to train on, and what the run record says about a dataset."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from aml.contract import load_contract
from shared.errors import InvalidInputError
from shared.retraining.validation import check, describe
from shared.tables import Dialect, Example, Survey

GAS = load_contract("gas")
RULES = GAS.training
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
    check(found, GAS)


@pytest.mark.parametrize(
    ("found", "code", "words"),
    [
        (
            replace(ENOUGH, rows=RULES.min_rows - 1),
            "too_few_rows",
            "The dataset has 167 usable rows; training needs at least 168.",
        ),
        (
            with_bad(40, 0, 167),
            "too_few_rows",
            "The dataset has 167 usable rows; training needs at least 168.",
        ),
        (
            replace(ENOUGH, last_time=FIRST + timedelta(days=RULES.min_days, seconds=-1)),
            "too_few_days",
            "The dataset covers 5.9 days; training needs at least 6.",
        ),
        (
            with_bad(101, 0, 400),
            "too_many_unusable",
            "101 of 501 rows cannot be used; at most 20% may be. The first is line 7: VolCorrected is 'x'.",
        ),
        (
            with_bad(0, 101, 400),
            "too_many_unusable",
            "101 of 501 rows cannot be used; at most 20% may be.",
        ),
        (with_bad(900, 0, 10), "too_many_unusable", "900 of 910 rows"),  # said before the rows that are left are few
    ],
)
def test_what_falls_short_is_refused_with_the_figures(found: Survey, code: str, words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check(found, GAS)

    assert caught.value.code == code
    assert words in caught.value.message


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
