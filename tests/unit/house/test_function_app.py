"""What the host reads out of function_app.py: exactly these functions, with exactly these bindings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
_INDEX = """
import json, function_app
found = {}
for function in function_app.app.get_functions():
    assert function.get_function_name() not in found
    found[function.get_function_name()] = function.get_dict_repr()["bindings"]
print(json.dumps(found, default=lambda value: value.value if isinstance(value.value, str) else value.name))
"""
_ROUTES = {
    "health": ("GET", "health", "anonymous"),
    "train": ("POST", "datasets/{dataset}/train", "function"),
    "score": ("POST", "datasets/{dataset}/score", "function"),
    "runs": ("GET", "runs", "function"),
    "run": ("GET", "runs/{id}", "function"),
    "lineage": ("GET", "lineage/{dataset}", "function"),
    "models": ("GET", "models/{dataset}", "function"),
    "activate": ("POST", "models/{dataset}/{version}/activate", "function"),
    "datasets": ("GET", "datasets", "function"),
    "dataset": ("GET", "datasets/{dataset}", "function"),
    "predict": ("POST", "datasets/{dataset}/predict", "function"),
    "predict_batch": ("POST", "datasets/{dataset}/predict/batch", "function"),
    "validate": ("POST", "datasets/{dataset}/validate", "function"),
    "model": ("GET", "datasets/{dataset}/model", "function"),
    "openapi": ("GET", "openapi.json", "function"),
    "docs": ("GET", "docs", "anonymous"),
    "docs_file": ("GET", "docs/{file}", "anonymous"),
}


def _index(**environment: str) -> dict[str, list[dict[str, Any]]]:
    """The bindings by function, of an app that is imported with nothing but these settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
    indexed = subprocess.run(
        [sys.executable, "-c", _INDEX],
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert indexed.returncode == 0, indexed.stderr
    bindings: dict[str, list[dict[str, Any]]] = json.loads(indexed.stdout)
    return bindings


@pytest.fixture(scope="module")
def bindings() -> dict[str, list[dict[str, Any]]]:
    return _index()


def test_the_functions_are_these(bindings: dict[str, list[dict[str, Any]]]) -> None:
    events = {"dataset_dropped", "file_dropped", "reconcile", "work", "workspace_changed"}
    events |= {"crashed_blob", "crashed_work"}

    assert set(bindings) == events | set(_ROUTES)


@pytest.mark.parametrize("name", _ROUTES)
def test_each_route_has_its_method_and_its_key(bindings: dict[str, list[dict[str, Any]]], name: str) -> None:
    method, route, level = _ROUTES[name]
    trigger, answer = bindings[name]

    assert (trigger["type"], trigger["methods"], trigger["route"]) == ("httpTrigger", [method], route)
    assert trigger["authLevel"].lower() == level
    assert (answer["type"], answer["direction"]) == ("http", "OUT")


@pytest.mark.parametrize("source", [None, "EventGrid", "LogsAndContainerScan"])
def test_blob_triggers_come_from_where_the_setting_says(source: str | None) -> None:
    bindings = _index() if source is None else _index(BLOB_TRIGGER_SOURCE=source)

    for name, path in {"dataset_dropped": "datasets/{name}", "file_dropped": "incoming/{name}"}.items():
        (trigger,) = bindings[name]
        assert (trigger["type"], trigger["path"], trigger["source"]) == ("blobTrigger", path, source or "EventGrid")
        assert trigger["connection"] == "AzureWebJobsStorage"


def test_the_queues_are_bound_by_name(bindings: dict[str, list[dict[str, Any]]]) -> None:
    queues = {name: bindings[name] for name in ("work", "crashed_work", "crashed_blob")}

    assert {name: [b["queueName"] for b in found] for name, found in queues.items()} == {
        "work": ["dropscore-work"],
        "crashed_work": ["dropscore-work-poison"],
        "crashed_blob": ["webjobs-blobtrigger-poison"],
    }
    assert {b["connection"] for found in queues.values() for b in found} == {"AzureWebJobsStorage"}


def test_triggers_have_the_defaults_of_the_settings(bindings: dict[str, list[dict[str, Any]]]) -> None:
    (timer,) = bindings["reconcile"]
    (another,) = _index(RECONCILE_SCHEDULE="*/2 * * * * *", BLOB_TRIGGER_SOURCE="")["reconcile"]

    assert (timer["type"], timer["schedule"]) == ("timerTrigger", Settings.model_fields["reconcile_schedule"].default)
    assert another["schedule"] == "*/2 * * * * *"
    assert bindings["file_dropped"][0]["source"] == Settings.model_fields["blob_trigger_source"].default


def test_no_binding_beside_a_blob_client_holds_an_expression(bindings: dict[str, list[dict[str, Any]]]) -> None:
    # the host would switch deferred binding off and hand over bytes
    for found in bindings.values():
        if found[0]["type"] == "blobTrigger":
            assert "{" not in json.dumps(found[1:])
