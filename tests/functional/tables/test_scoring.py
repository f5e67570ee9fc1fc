"""Files of a classified table: every row answered in its place, what was odd about it told, whatever the chunking."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from shared.tables import RecordsSource
from tests.fakes.classifier import Classifier
from tests.fakes.endpoint import FakeEndpoint, without_arrow
from tests.functional.scoring.world import World, rows_of
from tests.functional.tables.world import MEASURES, PENGUINS, penguins, serving, table, world

Served = tuple[FakeEndpoint, Classifier]
FILE = "penguins/colony.csv"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving("penguins") as both:
        yield both


@pytest.fixture
def app(served: Served) -> Iterator[World]:
    endpoint, classifier = served
    classifier.asked.clear()
    endpoint.calm()
    yield world("penguins", endpoint)
    endpoint.calm()


def test_every_row_gets_class_confidence_and_shares(app: World, served: Served) -> None:
    rows = [row[1:] for row in penguins(100)]
    run = app.score(FILE, table(rows, MEASURES))
    scored = app.result("penguins/colony_scored.csv").decode().splitlines()

    assert run.state == "completed", run.error
    assert scored[0].split(";")[len(MEASURES) :] == [
        *("species", "confidence", "p_Adelie", "p_Chinstrap", "p_Gentoo", "error"),
    ]
    answers = [line.split(";") for line in scored[1:]]
    assert [tuple(each[: len(MEASURES)]) for each in answers] == rows
    for each in answers:
        sure, *shares = map(float, each[len(MEASURES) + 1 : -1])
        assert sum(shares) == pytest.approx(1)
        assert shares[PENGUINS.classes.index(each[len(MEASURES)])] == sure
        assert each[-1] == ""
    assert set(served[1].asked[0]) == set(MEASURES)
    assert served[1].asked[0]["bill_length_mm"] == "double"


def test_the_manifest_counts_classes_and_warnings(app: World) -> None:
    run = app.score(FILE, table(penguins(100)))
    manifest = app.manifest(run)
    answered = Counter(row[len(MEASURES) + 1] for row in rows_of(app.result("penguins/colony_scored.csv")))

    assert manifest["counts"] == {"rows": 100, "scored": 100, "errors": 0, "rejected": 0, "species": dict(answered)}
    assert [(each["column"], each["kind"], each["count"]) for each in manifest["warnings"]] == [("sex", "imputed", 9)]
    assert manifest["warnings"][0]["examples"][0] == {"line": 12, "reason": "sex is empty; the model fills it in"}
    assert sum(manifest["answers"]["confidence"]) == 100
    assert "events" not in manifest
    assert manifest["input"]["first_time"] is None


def test_a_file_that_knows_the_species_keeps_its_column_and_none_of_it_is_sent(app: World, served: Served) -> None:
    strange = [("Emperor", *penguins(1)[0][1:]), ("", *penguins(2)[1][1:]), *penguins(3, start=2)]
    app.scored(FILE, table(strange))
    scored = app.result("penguins/colony_scored.csv").decode().splitlines()

    assert scored[0].startswith("species;island;")
    assert ";species_2;confidence;" in scored[0]
    assert [line.split(";")[0] for line in scored[1:3]] == ["Emperor", ""]
    assert all(line.endswith(";") for line in scored[1:])
    assert "species" not in served[1].asked[0]


def test_values_that_no_penguin_has_are_errors_and_the_rows_stay(app: World) -> None:
    rows = [list(row) for row in penguins(6)]
    rows[1][2], rows[2][1], rows[3][2], rows[4][3] = "99", "Mars", "", "many"
    run = app.score(FILE, table(rows))
    errors = [row[-1] for row in rows_of(app.result("penguins/colony_scored.csv"))]

    assert errors == [
        "",
        "bill_length_mm: '99' is above 65",
        "island: 'Mars' is none of Biscoe, Dream, Torgersen",
        "",
        "bill_depth_mm: 'many' is not a number",
        "",
    ]
    assert (run.counts or {})["errors"] == 3


def test_the_bytes_do_not_depend_on_how_a_file_is_cut(app: World) -> None:
    data = table(penguins(333))
    whole = app.scored(FILE, data)

    for changes in ({"score_rows_per_request": 7}, {"score_rows_per_request": 1000, "score_requests_in_flight": 1}):
        assert world("penguins", app.endpoint, **changes).scored(FILE, data) == whole
    parts = world("penguins", app.endpoint, score_split_bytes=3000)
    run = parts.score(FILE, data)
    parts.work()
    assert parts.record(run).state == "completed"
    assert parts.result("penguins/colony_scored.csv") == whole
    assert parts.manifest(parts.record(run))["answers"] == app.manifest(app.deliver(app.drop(FILE, data)))["answers"]


def test_json_says_the_same_as_arrow(app: World) -> None:
    data = table(penguins(40))
    arrow = app.scored(FILE, data)
    app.endpoint.mood = without_arrow(415)

    assert world("penguins", app.endpoint).scored(FILE, data) == arrow


def test_records_are_answered_at_once_with_their_warnings(app: World) -> None:
    first = dict(zip(MEASURES, ["Dream", 45.5, 18.1, 195, 3800, None], strict=True))
    records: list[dict[str, Any]] = [first, {**first, "sex": "MALE", "body_mass_g": 9000}, {**first, "sex": "Female"}]
    answer = app.app.inline.score(PENGUINS, RecordsSource(records)).body

    assert answer["warnings"] == [["sex is empty; the model fills it in"], [], []]
    assert [sorted(row) == sorted([*(c.name for c in PENGUINS.predictions)]) for row in answer["predictions"]] == [
        True,
        False,
        True,
    ]
    assert answer["predictions"][1]["error"] == "body_mass_g: '9000' is above 6500"
    assert answer["counts"]["scored"] == 2
    assert base64.b64decode(answer["csv_base64"]).decode().count("\n") == 4


def test_the_page_shows_classes_confidence_and_warnings(app: World) -> None:
    app.score(FILE, table(penguins(50)))
    page = app.result("penguins/colony_report.html").decode()

    for words in ("Adelie", "Chinstrap", "Gentoo", "Confidence", "Warnings", "empty, filled in", "line 12", "0.9 - 1"):
        assert words.lower() in page.lower(), words
    for words in ("Course", "Events", "Anomal", "In order of time"):
        assert words not in page, words
