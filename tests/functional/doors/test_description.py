"""The app's description of itself, and the page that shows it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

import function_app
from aml.contract import contract_names, load_contract
from shared import api
from shared.api.openapi.operations import OPERATIONS
from shared.version import VERSION
from tests.functional.doors.described import description, require_described
from tests.functional.doors.doors import Doors
from tests.functional.scoring.world import World

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def doors(world: World, monkeypatch: pytest.MonkeyPatch) -> Doors:
    return Doors(world, monkeypatch)


def test_it_is_what_the_specification_of_openapi_asks_for(doors: Doors) -> None:
    body = doors.call("GET", "openapi.json").json

    OpenAPIV31SpecValidator(body).validate()
    assert (body["openapi"], body["info"]["version"]) == ("3.1.0", VERSION)
    assert body == description()


def test_every_registered_route_is_in_it_and_nothing_else() -> None:
    registered = {(route.method, route.path): route for route in function_app._routes()}
    described = {
        (method.upper(), path.removeprefix("/")): operation
        for path, operations in description()["paths"].items()
        for method, operation in operations.items()
    }

    assert set(described) == set(registered) == set(OPERATIONS)
    for route, operation in described.items():
        assert operation["operationId"] == registered[route].function
        assert operation["summary"] == registered[route].summary != ""
        assert {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"} == set(
            re.findall(r"\{(\w+)\}", route[1])
        )


def test_only_health_and_the_page_need_no_key() -> None:
    operations = [operation for path in description()["paths"].values() for operation in path.values()]
    keyless = {operation["operationId"] for operation in operations if operation.get("security") == []}

    assert keyless == {"health", "docs", "docs_file"}
    assert {next(iter(option)) for option in description()["security"]} == set(
        description()["components"]["securitySchemes"]
    )
    assert all("401" in operation["responses"] for operation in operations if operation["operationId"] not in keyless)


@pytest.mark.parametrize("name", contract_names())
def test_a_datasets_rows_and_predictions_are_those_of_its_contract(name: str) -> None:
    contract, schemas = load_contract(name), description()["components"]["schemas"]
    row, prediction = schemas[f"{name.capitalize()}Row"], schemas[f"{name.capitalize()}Prediction"]

    assert list(row["properties"]) == [column.name for column in contract.columns]
    assert {column.name for column in contract.predictions} <= set(prediction["properties"])
    score = description()["paths"]["/datasets/{dataset}/score"]["post"]
    assert list(score["requestBody"]["content"]["application/json"]["examples"][name]["value"]["data"][0])
    (dataset,) = (parameter for parameter in score["parameters"] if parameter["in"] == "path")
    assert name in dataset["schema"]["enum"]


def test_a_dataset_whose_contract_cannot_be_used_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.contracts.contract_names", lambda: ("gas", "seals"))

    body = json.loads(api.openapi(function_app._routes()).body)

    score = body["paths"]["/datasets/{dataset}/score"]["post"]
    assert score["parameters"][0]["schema"]["enum"] == ["gas"]
    rows = {name for name in body["components"]["schemas"] if name.endswith("Row")}
    assert rows == {"GasRow", "LineageRow", "PredictRow"}
    OpenAPIV31SpecValidator(body).validate()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b'{"datasets": [], "more": 1}'),
        (200, b'{"datasets": [{"dataset": "gas"}]}'),
        (200, b"{}"),
        (418, b"{}"),
    ],
)
def test_an_answer_of_another_shape_would_be_noticed(status: int, body: bytes) -> None:
    require_described("GET", "datasets", 200, "application/json", b'{"datasets": []}')
    with pytest.raises(AssertionError):
        require_described("GET", "datasets", status, "application/json", body)


def test_a_code_that_nobody_expects_of_a_route_would_be_noticed() -> None:
    body = b'{"title": "x", "status": 404, "code": "%s", "detail": "words"}'
    require_described("GET", "runs/{id}", 404, "application/problem+json", body % b"run_not_found")
    with pytest.raises(AssertionError, match="nothing is said of blob_not_found"):
        require_described("GET", "runs/{id}", 404, "application/problem+json", body % b"blob_not_found")


def test_the_page_loads_nothing_but_files_of_its_own(doors: Doors) -> None:
    page = doors.call("GET", "docs")
    text = page.body.decode()
    loaded = re.findall(r'(?:src|href)="([^"]+)"', text)

    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert {"docs/page.js", "docs/swagger-ui-bundle.js", "docs/swagger-ui.css"} <= set(loaded)
    assert "://" not in text
    for file in loaded:
        answered = doors.call("GET", file)
        assert answered.status == 200
        assert len(answered.body) > 300
    assert b"SwaggerUIBundle" in doors.call("GET", "docs/swagger-ui-bundle.js").body
    assert doors.call("GET", "docs/page.js").headers["Content-Type"].startswith("text/javascript")


@pytest.mark.parametrize("name", ["index.html", "..", "swagger-ui.js", "VERSION", "page.js%00"])
def test_no_other_file_is_handed_out(doors: Doors, name: str) -> None:
    doors.call("GET", f"docs/{name}").problem(404, "file_not_found")


def test_of_the_package_that_the_page_is_from_nothing_runs() -> None:
    code = "import sys; from shared import api; api.docs_file('swagger-ui.css'); print('flask' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr
