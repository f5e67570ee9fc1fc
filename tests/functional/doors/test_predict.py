"""Rows classified one by one, tables by a chosen model, and what is said of both: the siblings' clients' routes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from sklearn.pipeline import Pipeline

from aml.contract import contract_names, load_contract
from aml.contract.checks import BESIDE_AN_ANSWER
from shared.naming import INCOMING, RUNS
from tests.fakes.endpoint import FakeEndpoint, without_arrow
from tests.fakes.penguins import Penguins
from tests.functional.doors.described import description
from tests.functional.doors.doors import Doors
from tests.functional.tables.world import MEASURES, penguins, serving, table
from tests.functional.tables.world import world as classified

ROW: dict[str, Any] = {
    **{"island": "Biscoe", "bill_length_mm": 40.1, "bill_depth_mm": 14.2},
    **{"flipper_length_mm": 215, "body_mass_g": 4875, "sex": "female"},
}
ADELIE = {**ROW, "flipper_length_mm": 181}
MODEL, VERSION = "classifier_penguins", "7"
_FILE = table([row[1:] for row in penguins(5)], MEASURES)
CLASSES = ["Adelie", "Chinstrap", "Gentoo"]
ABOUT = {"input_features", "model", "model_version", "prediction_timestamp", "warnings"}


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Penguins, FakeEndpoint]]:
    classifier = Penguins()
    with FakeEndpoint(classifier, Pipeline([("nothing", "passthrough")])).running() as endpoint:
        yield classifier, endpoint


@pytest.fixture
def classifier(running: tuple[Penguins, FakeEndpoint]) -> Penguins:
    classifier, endpoint = running
    classifier.forget()
    classifier.knows = frozenset(classifier.contract.choices)
    endpoint.calm()
    return classifier


@pytest.fixture
def doors(classifier: Penguins, running: tuple[Penguins, FakeEndpoint], monkeypatch: pytest.MonkeyPatch) -> Doors:
    return _doors(running[1], monkeypatch)


def _doors(endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Doors:
    return Doors(classified("penguins", endpoint, **changes), monkeypatch)


# -- one row -------------------------------------------------------------------------------------------------------


def test_a_row_is_classified_in_the_siblings_shape(doors: Doors) -> None:
    body = doors.call("POST", "datasets/penguins/predict", {"features": ROW}).json

    assert set(body) == {"species", "confidence", "probabilities"} | ABOUT
    assert {"probabilities", "error"} | ABOUT == BESIDE_AN_ANSWER, "no contract may call its answer so"
    assert (body["species"], body["confidence"]) == ("Gentoo", 0.75)
    assert body["probabilities"] == {"Adelie": 0.125, "Chinstrap": 0.125, "Gentoo": 0.75}
    assert body["input_features"] == ROW
    assert body["model"] == {"name": MODEL, "version": VERSION, "deployment": "blue", "choice": "best"}
    assert body["model_version"] == VERSION
    assert datetime.fromisoformat(body["prediction_timestamp"]) == doors.world.clock()
    assert body["warnings"] == []


def test_a_bare_row_is_the_same(doors: Doors) -> None:
    assert (
        doors.call("POST", "datasets/penguins/predict", ROW).json
        == doors.call("POST", "datasets/penguins/predict", {"features": ROW}).json
    )


@pytest.mark.parametrize("choice", ["best", "logistic", "random_forest", "svm"])
def test_the_model_that_is_asked_for_answers(doors: Doors, classifier: Penguins, choice: str) -> None:
    by_url = doors.call("POST", f"datasets/penguins/predict?model={choice}", ROW).json
    by_body = doors.call("POST", "datasets/penguins/predict", {"features": ROW, "model": choice}).json

    expected = {"best": "Gentoo", "logistic": "Adelie", "random_forest": "Gentoo", "svm": "Chinstrap"}
    assert by_url == by_body
    assert (by_url["species"], by_url["model"]["choice"]) == (expected[choice], choice)
    assert classifier.choices == [choice, choice]


def test_all_models_answer_where_all_are_asked(doors: Doors) -> None:
    body = doors.call("POST", "datasets/penguins/predict?model=all", ROW).json

    columns = {f"{name}_species" for name in ("logistic", "random_forest", "svm")}
    assert set(body) == columns | ABOUT
    assert [body[f"{name}_species"] for name in ("logistic", "random_forest", "svm")] == [
        *("Adelie", "Gentoo", "Chinstrap")
    ]


def test_an_empty_field_is_filled_in_and_said(doors: Doors) -> None:
    row = {**ROW, "bill_length_mm": None}

    body = doors.call("POST", "datasets/penguins/predict", row).json

    assert body["species"] == "Gentoo"
    assert body["input_features"] == row
    (warning,) = body["warnings"]
    assert "bill_length_mm" in warning


@pytest.mark.parametrize("route", ["predict", "predict/batch", "score"])
def test_what_json_cannot_say_is_answered_in_json(doors: Doors, route: str) -> None:
    row = json.dumps({**ROW, "bill_length_mm": float("nan"), "sex": None})[:-1] + r', "note": "a\ud800b"}'
    body = {"predict": row, "predict/batch": f"[{row}]", "score": f'{{"data": [{row}]}}'}[route]

    answer = doors.call("POST", f"datasets/penguins/{route}", body.encode())

    assert answer.status == 200
    (given,) = {"predict/batch": answer.json.get("predictions"), "score": answer.json.get("preview")}.get(
        route, [answer.json]
    )
    given = given.get("input_features", given)
    assert (given["bill_length_mm"], given["note"]) == (None, "a\ufffdb")


def test_an_endpoint_that_takes_json_alone_is_told_the_choice_as_well(
    doors: Doors, classifier: Penguins, running: tuple[Penguins, FakeEndpoint]
) -> None:
    running[1].mood = without_arrow(415)

    body = doors.call("POST", "datasets/penguins/predict?model=logistic", ROW).json

    assert (body["species"], classifier.choices) == ("Adelie", ["logistic"])


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("penguins/predict", b"", 400, "bad_json"),
        ("penguins/predict", [ROW], 400, "bad_json"),
        ("penguins/predict", {"features": [ROW]}, 400, "bad_json"),
        ("penguins/predict", {}, 400, "missing_column"),
        ("penguins/predict", {"features": {**ROW, "island": "Elba"}}, 400, "no_usable_row"),
        ("penguins/predict", {"features": {**ROW, "body_mass_g": 9000}}, 400, "no_usable_row"),
        ("penguins/predict", {"island": "Biscoe"}, 400, "missing_column"),
        ("penguins/predict?model=xgboost", ROW, 400, "unknown_model"),
        ("penguins/predict?model=svm", {"features": ROW, "model": "all"}, 400, "bad_model"),
        ("penguins/predict", {"features": ROW, "model": 3}, 400, "bad_model"),
        ("penguins/predict/batch", {"rows": ROW}, 400, "bad_json"),
        ("penguins/predict/batch", {"features": ROW}, 400, "bad_json"),
        ("penguins/predict/batch", [], 400, "empty_file"),
        ("penguins/predict/batch", [1], 400, "bad_json"),
        ("penguins/predict/batch", [ROW] * 101, 413, "batch_too_large"),
        ("penguins/predict/batch?model=xgboost", [ROW], 400, "unknown_model"),
        ("gas/predict", {"FechaHora": "2026-01-01", "VolCorrected": 1}, 400, "not_a_classification"),
        ("gas/predict/batch", [], 400, "not_a_classification"),
        ("seals/predict", ROW, 404, "unknown_dataset"),
        ("penguins/score", {"series": []}, 400, "not_a_series"),
        ("penguins/score?model=xgboost", {"data": [ROW]}, 400, "unknown_model"),
        ("gas/score?model=svm", {"data": [{"FechaHora": "2026-01-01", "VolCorrected": 1}]}, 400, "unknown_model"),
    ],
)
def test_what_makes_no_sense_is_a_problem(
    doors: Doors, classifier: Penguins, path: str, body: Any, status: int, code: str
) -> None:
    headers = {"content_type": "application/json"} if body == b"" else {}

    words = doors.call("POST", f"datasets/{path}", body, **headers).problem(status, code)

    assert len(words) > 20
    assert classifier.choices == []


def test_a_wrong_name_of_a_model_is_answered_with_the_right_ones(doors: Doors) -> None:
    words = doors.call("POST", "datasets/penguins/predict?model=rf", ROW).problem(400, "unknown_model")

    assert all(name in words for name in ("best", "all", "logistic", "random_forest", "svm"))


def test_a_model_that_the_bundle_has_not_is_no_fault_of_the_rows(doors: Doors, classifier: Penguins) -> None:
    classifier.knows = frozenset({"best"})

    doors.call("POST", "datasets/penguins/predict?model=svm", ROW).problem(502, "unknown_model")

    assert classifier.choices == ["svm"]


def test_a_client_of_the_crimes_system_gets_its_two_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    features = {
        **{"arrest": False, "beat": 412, "community_area": 45, "description": "$500 AND UNDER", "dia_mes": 9},
        **{"dia_semana": 3, "district": 4, "domestic": True, "hora": 14, "iucr": "0820", "latitude": 41.74},
        **{"location_description": "STREET", "longitude": -87.59, "mes": 5, "primary_type": "THEFT", "ward": 8},
    }
    with serving("crimes") as (endpoint, asked):
        doors = Doors(classified("crimes", endpoint), monkeypatch)
        body = doors.call("POST", "datasets/crimes/predict", {"features": features}).json
        outside = doors.call("POST", "datasets/crimes/predict", {**features, "latitude": 36.6}).json
        doors.call("POST", "datasets/crimes/predict", {**features, "iucr": "820"}).problem(400, "no_usable_row")

    answers = {"dtc_fbi_code_output", "lda_fbi_code_output"}
    assert set(body) == answers | ABOUT
    assert {body[name] for name in answers} <= set(load_contract("crimes").classes)
    assert body["warnings"] == []
    (warning,) = outside["warnings"]
    assert "latitude" in warning
    assert set(outside) == set(body)
    assert asked.choices == ["all", "all"]


# -- some rows -----------------------------------------------------------------------------------------------------


def test_bad_rows_alone_keep_their_places_too(doors: Doors, classifier: Penguins) -> None:
    rows = [{**ROW, "body_mass_g": "heavy"}, {**ROW, "island": "Elba"}]

    body = doors.call("POST", "datasets/penguins/predict/batch", rows).json

    assert body["count"] == 2
    assert [set(each) for each in body["predictions"]] == [{"error"} | ABOUT] * 2
    assert ["heavy" in body["predictions"][0]["error"], "Elba" in body["predictions"][1]["error"]] == [True, True]
    assert classifier.asked == []


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_batch_is_answered_in_its_order_and_a_bad_row_keeps_its_place(doors: Doors, wrapped: bool) -> None:
    rows = [ADELIE, {**ROW, "body_mass_g": "heavy"}, ROW]

    body = doors.call("POST", "datasets/penguins/predict/batch", {"rows": rows} if wrapped else rows).json

    assert body["count"] == 3
    assert [each.get("species") for each in body["predictions"]] == ["Adelie", None, "Gentoo"]
    assert [each["input_features"] for each in body["predictions"]] == rows
    assert "heavy" in body["predictions"][1]["error"]
    assert set(body["predictions"][1]) == {"error"} | ABOUT
    assert body["predictions"][2] == doors.call("POST", "datasets/penguins/predict", ROW).json


def test_as_many_rows_as_the_setting_says_make_a_batch(
    running: tuple[Penguins, FakeEndpoint], classifier: Penguins, monkeypatch: pytest.MonkeyPatch
) -> None:
    doors = _doors(running[1], monkeypatch, predict_batch_rows=2)

    assert doors.call("POST", "datasets/penguins/predict/batch", [ROW, ROW]).json["count"] == 2
    doors.call("POST", "datasets/penguins/predict/batch", [ROW] * 3).problem(413, "batch_too_large")


# -- tables --------------------------------------------------------------------------------------------------------


def test_rows_scored_as_a_table_say_the_same(doors: Doors) -> None:
    predicted = doors.call("POST", "datasets/penguins/predict?model=logistic", ROW).json
    scored = doors.call("POST", "datasets/penguins/score?model=logistic", {"data": [ROW]}).json

    (row,) = scored["predictions"]
    assert row == {
        "species": predicted["species"],
        "confidence": predicted["confidence"],
        **{f"p_{name}": share for name, share in predicted["probabilities"].items()},
    }
    assert scored["model"]["choice"] == "logistic"
    assert scored["counts"]["species"] == {"Adelie": 1}


def test_a_csv_has_a_column_for_each_model_where_all_are_asked(doors: Doors) -> None:
    text = ",".join(ROW) + "\n" + ",".join(str(value) for value in ROW.values()) + "\n"

    answered = doors.call(
        "POST", "datasets/penguins/score?model=all", text.encode(), content_type="text/csv", accept="text/csv"
    )

    header, row = (line.split(";") for line in answered.body.decode().splitlines())
    assert header[6:] == ["logistic_species", "random_forest_species", "svm_species", "error"]
    assert row[6:] == ["Adelie", "Gentoo", "Chinstrap", ""]


@pytest.mark.parametrize("how", ["url", "body", "metadata"])
def test_a_blob_is_scored_by_the_model_that_is_asked_for(doors: Doors, classifier: Penguins, how: str) -> None:
    metadata = {"model": "logistic"} if how == "metadata" else {"model": "svm"}
    doors.world.blobs.put(INCOMING, "penguins/x.csv", _FILE, metadata=metadata)
    path = "datasets/penguins/score" + ("?model=logistic" if how == "url" else "")
    body = {"blob": "x.csv"} | ({"model": "logistic"} if how == "body" else {})

    answered = doors.call("POST", path, body)
    doors.world.work()

    assert (answered.status, answered.json["choice"]) == (202, "logistic")
    assert doors.call("GET", f"runs/{answered.json['id']}").json["state"] == "completed"
    assert classifier.choices == ["logistic"]


def test_a_blob_is_not_scored_by_a_model_that_there_is_not(doors: Doors) -> None:
    doors.world.blobs.put(INCOMING, "penguins/x.csv", _FILE)

    doors.call("POST", "datasets/penguins/score", {"blob": "x.csv", "model": "rf"}).problem(400, "unknown_model")
    doors.call("POST", "datasets/penguins/score?model=rf", {"blob": "x.csv"}).problem(400, "unknown_model")
    doors.call("POST", "datasets/penguins/score", {"blob": "x.csv", "model": ["svm"]}).problem(400, "bad_model")

    assert doors.world.blobs.names(RUNS) == []


def test_a_blob_that_is_being_scored_is_not_asked_of_another_model(doors: Doors) -> None:
    doors.world.blobs.put(INCOMING, "penguins/x.csv", _FILE)
    first = doors.call("POST", "datasets/penguins/score", {"blob": "x.csv", "model": "svm"}).json

    doors.call("POST", "datasets/penguins/score", {"blob": "x.csv", "model": "all"}).problem(409, "run_under_way")
    assert doors.call("POST", "datasets/penguins/score", {"blob": "x.csv", "model": "svm"}).json["id"] == first["id"]

    doors.world.work()
    again = doors.call("POST", "datasets/penguins/score", {"blob": "x.csv", "model": "all"}).json
    assert (again["id"], again["choice"]) == (first["id"], "all")


# -- without prediction --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [ROW, {"features": ROW}, [ROW], {"rows": [ROW]}, {"data": [ROW]}])
def test_good_rows_are_valid_and_nothing_is_predicted(doors: Doors, classifier: Penguins, body: Any) -> None:
    told = doors.call("POST", "datasets/penguins/validate", body).json

    assert told == {
        **{"valid": True, "rows": 1, "usable": 1, "faults": [], "warnings": [], "rejected": []},
        "error": None,
    }
    assert classifier.choices == []
    assert doors.world.blobs.names(RUNS) == []


@pytest.mark.parametrize("name", contract_names())
def test_the_rows_that_the_description_shows_are_valid(doors: Doors, name: str) -> None:
    score = description()["paths"]["/datasets/{dataset}/score"]["post"]["requestBody"]["content"]["application/json"]

    told = doors.call("POST", f"datasets/{name}/validate", score["examples"][name]["value"]).json

    assert (told["valid"], told["rows"], told["warnings"]) == (True, 1, [])


def test_what_is_wrong_is_said_of_each_row(doors: Doors) -> None:
    rows = [{**ROW, "island": "Elba"}, ROW, {**ROW, "bill_depth_mm": 3}, {**ROW, "sex": ""}]

    told = doors.call("POST", "datasets/penguins/validate", rows).json

    assert (told["valid"], told["rows"], told["usable"]) == (False, 4, 2)
    assert [fault["row"] for fault in told["faults"]] == [1, 3]
    assert "Elba" in told["faults"][0]["error"]
    assert "bill_depth_mm" in told["faults"][1]["error"]
    assert [(each["row"], "sex" in each["warning"]) for each in told["warnings"]] == [(4, True)]


def test_rows_of_which_none_can_be_used_are_told_of_one_by_one(doors: Doors) -> None:
    rows = [{**ROW, "island": "Elba"}, {**ROW, "body_mass_g": -1}]

    told = doors.call("POST", "datasets/penguins/validate", rows).json

    assert (told["valid"], told["usable"], told["error"]) == (False, 0, None)
    assert [fault["row"] for fault in told["faults"]] == [1, 2]


def test_a_table_that_is_none_of_the_datasets_is_told_of_whole(doors: Doors) -> None:
    told = doors.call("POST", "datasets/penguins/validate", b"a;b\n1;2\n", content_type="text/csv").json

    assert (told["valid"], told["rows"], told["error"]["code"]) == (False, 0, "missing_column")


def test_a_csv_of_gas_is_validated_with_its_lines(doors: Doors) -> None:
    body = b"FechaHora;VolCorrected\n2024-01-01;1,5\n2024-01-02;mucho\none;two;three\n"

    told = doors.call("POST", "datasets/gas/validate", body, content_type="text/csv").json

    assert (told["valid"], told["rows"], told["usable"]) == (False, 2, 1)
    assert [fault["row"] for fault in told["faults"]] == [2]
    assert [each["line"] for each in told["rejected"]] == [4]


def test_a_body_that_cannot_be_validated_is_a_problem(doors: Doors) -> None:
    doors.call("POST", "datasets/penguins/validate", b"[", content_type="application/json").problem(400, "bad_json")
    doors.call("POST", "datasets/penguins/validate", [1]).problem(400, "bad_json")
    doors.call("POST", "datasets/penguins/validate?model=rf", ROW).problem(400, "unknown_model")
    answered = doors.call("POST", "datasets/penguins/validate", b"<x/>", content_type="application/xml")
    answered.problem(415, "unsupported_media_type")


# -- the model -----------------------------------------------------------------------------------------------------


def test_the_model_is_told_of(doors: Doors) -> None:
    body = doors.call("GET", "datasets/penguins/model").json

    assert (body["dataset"], body["task"], body["target"]) == ("penguins", "classification", "species")
    assert (body["classes"], body["answer"]) == (CLASSES, "best")
    assert body["choices"] == ["best", "all", "logistic", "random_forest", "svm"]
    assert body["live"]["version"] == VERSION
    features = {each["name"]: each for each in body["features"]}
    assert list(features) == list(load_contract("penguins").inputs)
    assert {name: features["body_mass_g"][name] for name in ("unit", "minimum", "maximum")} == {
        **{"unit": "g", "minimum": 2500, "maximum": 6500}
    }
    assert features["sex"]["categories"] == ["female", "male"]
    assert {"name": "bill_ratio", "expression": "bill_length_mm / bill_depth_mm"} in body["derived"]
    assert [each["column"] for each in body["models"]] == [
        *("logistic_species", "random_forest_species", "svm_species")
    ]
    assert body["metrics"] is None


def test_the_metrics_are_those_of_the_live_models_training(doors: Doors) -> None:
    run = doors.world.app.files.receive(doors.world.drop("penguins/x.csv", b""))[0]
    metrics = {"accuracy": 0.99, "models": [{"name": "svm", "metrics": {"accuracy": 0.98}}]}
    doors.world.app.runs.save(run, run.run.model_copy(update={"metrics": metrics}))
    live, etag = doors.world.app.live.held("penguins")
    assert live is not None
    doors.world.app.live.put(live.model_copy(update={"run": run.run.id}), etag)

    assert doors.call("GET", "datasets/penguins/model").json["metrics"] == metrics


def test_the_model_of_a_series_is_told_of_too(doors: Doors) -> None:
    body = doors.call("GET", "datasets/gas/model").json

    assert (body["task"], body["classes"], body["choices"], body["live"]) == ("anomaly", [], ["best"], None)
    assert [each["name"] for each in body["features"]] == ["FechaHora", "VolCorrected", "Serie"]
    assert [each["name"] for each in body["predictions"]][:2] == ["anomaly", "anomaly_score"]
