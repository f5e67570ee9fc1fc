"""The contract with Microsoft's own worker library: it and this host find the same functions in an app.

The library is published for Python 3.13 and later alone; elsewhere there is nothing to compare with.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.azurite import Azurite
from local.functions.launch import FunctionsHost
from local.processes import free_port, free_ports

if sys.version_info < (3, 13):
    pytest.skip("azure-functions-runtime, Microsoft's worker library, needs Python 3.13", allow_module_level=True)

WriteApp = Callable[..., Path]

ROOT = Path(__file__).parents[3]
SAMPLE = """
import json, typing

@app.route(route="health", methods=["GET"], auth_level="anonymous")
def health(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps({"url": req.url}), status_code=203)

@app.blob_trigger(arg_name="client", path="incoming/{name}", connection="AzureWebJobsStorage", source="EventGrid")
@app.queue_output(arg_name="out", queue_name="done", connection="AzureWebJobsStorage")
def score(client: blob.BlobClient, out: func.Out[typing.List[str]], context: func.Context) -> None: ...

@app.timer_trigger(arg_name="timer", schedule="%RECONCILE_SCHEDULE%", run_on_startup=False)
def reconcile(timer: func.TimerRequest) -> None: ...

@app.queue_trigger(arg_name="message", queue_name="done", connection="AzureWebJobsStorage")
async def done(message: str) -> None: ...

@app.event_grid_trigger(arg_name="event")
def noticed(event: func.EventGridEvent) -> None: ...
"""


@pytest.fixture
def settings(environment: dict[str, str]) -> dict[str, str]:
    # a schedule that does not come up while the test runs, and the source that leaves storage alone
    return environment | {"RECONCILE_SCHEDULE": "0 0 0 1 1 *", "BLOB_TRIGGER_SOURCE": "EventGrid"}


def drive_worker(app: Path, url: str, settings: dict[str, str]) -> dict[str, Any]:
    driver = Path(__file__).with_name("worker_driver.py")
    driven = subprocess.run(
        [sys.executable, driver, app, "GET", url, "health"],
        env=settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert driven.returncode == 0, driven.stderr
    found: dict[str, Any] = json.loads(driven.stdout.splitlines()[-1])
    return found


def drive_host(app: Path, port: int, settings: dict[str, str], log: Path) -> dict[str, Any]:
    with FunctionsHost(app, port=port, environment=settings, log=log) as host:
        with urllib.request.urlopen(f"{host.url}/admin/functions", timeout=10) as answer:
            functions = [function["config"] for function in json.load(answer)]
        try:
            with urllib.request.urlopen(f"{host.url}/api/health", timeout=60) as answer:
                status, body = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read().decode()
    return {"functions": functions, "answer": {"status": status, "body": body}}


def by_name(found: dict[str, Any]) -> dict[str, Any]:
    return {function["name"]: function["bindings"] for function in found["functions"]}


def test_a_sample_app_is_the_same_to_the_worker_and_to_this_host(
    write_app: WriteApp, settings: dict[str, str], tmp_path: Path
) -> None:
    app, port = write_app(SAMPLE), free_port()

    of_host = drive_host(app, port, settings, tmp_path / "host.log")
    of_worker = drive_worker(app, f"http://localhost:{port}/api/health", settings)

    assert set(by_name(of_worker)) == {"health", "score", "reconcile", "done", "noticed"}
    assert by_name(of_host) == by_name(of_worker)
    assert of_host["answer"] == of_worker["answer"]
    assert of_host["answer"]["status"] == 203


def test_this_app_is_the_same_to_the_worker_and_to_this_host(settings: dict[str, str], tmp_path: Path) -> None:
    blob, queue, table, port = free_ports(4)
    # a storage of its own, for health looks at it and the app makes its containers there
    with Azurite(
        tmp_path / "data", blob_port=blob, queue_port=queue, table_port=table, log=tmp_path / "azurite.log"
    ) as azurite:
        settings |= {"AzureWebJobsStorage": azurite.connection_string}
        of_host = drive_host(ROOT, port, settings, tmp_path / "host.log")
        of_worker = drive_worker(ROOT, f"http://localhost:{port}/api/health", settings)

    assert by_name(of_host) == by_name(of_worker)
    assert of_host["answer"]["status"] == of_worker["answer"]["status"] == 200
    assert json.loads(of_host["answer"]["body"]).keys() == json.loads(of_worker["answer"]["body"]).keys()
