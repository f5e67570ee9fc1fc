"""host.json, local.settings.json, `%SETTING%`, host ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local.functions.configuration import (
    choose_host_id,
    load_host_config,
    load_local_settings,
    resolve_settings,
    time_span,
)
from local.functions.connections import Connections, check_connection, connection_name
from local.functions.errors import ConfigurationError


def write(file: Path, document: Any) -> None:
    file.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")


def test_host_json_options_are_read_and_the_rest_has_the_documented_defaults(tmp_path: Path) -> None:
    blobs = {"maxDegreeOfParallelism": 3, "poisonBlobThreshold": 2}
    queues = {"messageEncoding": "none", "batchSize": 4, "visibilityTimeout": "00:00:30"}
    write(
        tmp_path / "host.json",
        {"version": "2.0", "extensions": {"http": {"routePrefix": "v1/"}, "blobs": blobs, "queues": queues}},
    )

    config = load_host_config(tmp_path)

    assert config.route_prefix == "v1"
    assert (config.blobs.max_degree_of_parallelism, config.blobs.poison_threshold) == (3, 2)
    assert (config.queues.base64, config.queues.batch_size, config.queues.new_batch_threshold) == (False, 4, 2)
    assert (config.queues.visibility_timeout, config.queues.max_dequeue_count) == (30.0, 5)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("{", "not JSON"),
        ("[]", "JSON object"),
        ({"extensions": {"queues": {"batchSize": 33}}}, "1 to 32"),
        ({"extensions": {"queues": {"messageEncoding": "utf7"}}}, "base64 or none"),
        ({"extensions": {"queues": {"visibilityTimeout": "soon"}}}, "hh:mm:ss"),
        ({"extensions": {"blobs": {"poisonBlobThreshold": 0}}}, "at least 1"),
    ],
)
def test_a_wrong_host_json_is_refused_in_words(tmp_path: Path, document: Any, says: str) -> None:
    write(tmp_path / "host.json", document)

    with pytest.raises(ConfigurationError, match=says):
        load_host_config(tmp_path)


def test_a_folder_without_host_json_is_no_app(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        load_host_config(tmp_path)


def test_local_settings_fill_in_what_is_not_set(tmp_path: Path) -> None:
    write(tmp_path / "local.settings.json", {"IsEncrypted": False, "Values": {"A": "file", "B": "file"}})
    environment = {"A": "set"}

    load_local_settings(tmp_path, environment)

    assert environment == {"A": "set", "B": "file"}


@pytest.mark.parametrize(("document", "says"), [({"IsEncrypted": True}, "encrypted"), ({"Values": {"A": 1}}, "text")])
def test_local_settings_that_func_would_refuse_are_refused(tmp_path: Path, document: Any, says: str) -> None:
    write(tmp_path / "local.settings.json", document)

    with pytest.raises(ConfigurationError, match=says):
        load_local_settings(tmp_path, {})


def test_setting_expressions_are_replaced_and_a_missing_one_is_named() -> None:
    assert resolve_settings("%A%/x/%B%", {"A": "1", "B": "2"}) == "1/x/2"
    with pytest.raises(ConfigurationError, match="the setting B, which is not set"):
        resolve_settings("%A%/%B%", {"A": "1"})


@pytest.mark.parametrize(("text", "seconds"), [("00:00:30", 30), ("1.00:00:01", 86401), ("00:10:00.5", 600.5)])
def test_time_spans(text: str, seconds: float) -> None:
    assert time_span(text) == seconds


def test_a_connection_is_a_connection_string_or_addresses_and_may_lack_the_prefix() -> None:
    check_connection("Data", ("blob", "queue"), {"Data": "DefaultEndpointsProtocol=…"})
    check_connection("Data", ("blob",), {"Data__blobServiceUri": "https://x"})
    check_connection(None, ("queue",), {"AzureWebJobsStorage__accountName": "x"})
    assert connection_name("Data", {"AzureWebJobsData__accountName": "x"}) == "AzureWebJobsData"
    with pytest.raises(ConfigurationError, match="Data__queueServiceUri"):
        check_connection("Data", ("blob", "queue"), {"Data__blobServiceUri": "https://x"})


def test_a_connection_string_that_the_sdk_cannot_read_is_refused_by_name() -> None:
    connections = Connections({"Data": "nonsense"})

    for service in (connections.blobs, connections.queues):
        with pytest.raises(ConfigurationError, match=r"^Data is not a storage connection string"):
            service("Data")


def test_a_host_id_is_stable_for_a_folder_and_fit_for_a_queue(tmp_path: Path) -> None:
    assert choose_host_id(None, tmp_path, {}) == choose_host_id(None, tmp_path, {})
    assert choose_host_id("mine", tmp_path, {"AzureFunctionsWebHost__hostid": "set"}) == "mine"
    assert choose_host_id(None, tmp_path, {"AzureFunctionsWebHost__hostid": "set"}) == "set"
    with pytest.raises(ConfigurationError, match="host id"):
        choose_host_id("Not_Fit", tmp_path, {})
