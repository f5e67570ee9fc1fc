"""The app's description and its page, through a host: neither needs storage, and nothing is lost on the way."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from local.functions.launch import FunctionsHost
from local.processes import free_port

ROOT = Path(__file__).parents[3]


class Answer(NamedTuple):
    body: bytes
    headers: Mapping[str, str]


@pytest.fixture(scope="module")
def host(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionsHost]:
    # a schedule that does not come up while the test runs, and the source that leaves storage alone
    settings = {"RECONCILE_SCHEDULE": "0 0 0 1 1 *", "BLOB_TRIGGER_SOURCE": "EventGrid"}
    log = tmp_path_factory.mktemp("host") / "host.log"
    with FunctionsHost(ROOT, port=free_port(), environment=environment | settings, log=log) as running:
        yield running


def _get(host: FunctionsHost, path: str) -> Answer:
    with urllib.request.urlopen(f"{host.url}/api/{path}", timeout=60) as answer:
        return Answer(answer.read(), dict(answer.headers))


def test_the_description_is_that_of_the_app_that_the_host_runs(host: FunctionsHost) -> None:
    described = json.loads(_get(host, "openapi.json").body)["paths"]
    with urllib.request.urlopen(f"{host.url}/admin/functions", timeout=60) as answer:
        triggers = [function["config"]["bindings"][0] for function in json.load(answer)]

    routes = {(f"/{each['route']}", method) for each in triggers if "route" in each for method in each["methods"]}
    assert {(path, method.upper()) for path, methods in described.items() for method in methods} == {
        (path, method.upper()) for path, method in routes
    }


def test_the_page_and_all_that_it_loads_arrive(host: FunctionsHost) -> None:
    page = _get(host, "docs")
    files = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())

    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert {path: _get(host, path).headers["Content-Type"].partition(";")[0] for path in files} == {
        "docs/favicon-32x32.png": "image/png",
        "docs/swagger-ui.css": "text/css",
        "docs/swagger-ui-bundle.js": "text/javascript",
        "docs/page.js": "text/javascript",
    }
    assert len(_get(host, "docs/swagger-ui-bundle.js").body) > 1_000_000
