"""host.json, local.settings.json, `%SETTING%` expressions and connections: what an app is told from outside.

The options and their defaults are those of the host.json reference for Functions 2.x and later.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.functions.errors import ConfigurationError

_log = logging.getLogger("host")
_HOST_ID = "AzureFunctionsWebHost__hostid"
DEFAULT_CONNECTION = "AzureWebJobsStorage"
_SETTING = re.compile(r"%([^%\s]+)%")
_TIME_SPAN = re.compile(r"(?:(?P<days>\d+)\.)?(?P<hours>\d{1,2}):(?P<minutes>\d{1,2}):(?P<seconds>\d{1,2}(?:\.\d+)?)")
# A developer's host looks into its queues at least this often (Core Tools does the same); in the cloud it is a minute.
_LOCAL_POLLING_SECONDS = 2.0


@dataclass(frozen=True)
class QueueOptions:
    """`extensions.queues` of host.json; times in seconds."""

    batch_size: int = 16
    new_batch_threshold: int = 8
    max_dequeue_count: int = 5
    visibility_timeout: float = 0.0
    max_polling_interval: float = _LOCAL_POLLING_SECONDS
    base64: bool = True


@dataclass(frozen=True)
class BlobOptions:
    """`extensions.blobs` of host.json: invocations at once over all blob-triggered functions, tries before poison."""

    max_degree_of_parallelism: int = field(default_factory=lambda: 8 * (os.cpu_count() or 1))
    poison_threshold: int = 5


@dataclass(frozen=True)
class HostConfig:
    """What the host takes from host.json."""

    route_prefix: str = "api"
    queues: QueueOptions = field(default_factory=QueueOptions)
    blobs: BlobOptions = field(default_factory=BlobOptions)


def time_span(text: str) -> float:
    """Seconds of a .NET TimeSpan such as `00:00:30` or `1.00:00:00`.

    Raises:
        ConfigurationError: it is not one.
    """
    found = _TIME_SPAN.fullmatch(text.strip())
    if found is None:
        raise ConfigurationError(f"{text!r} is not a time span; expected hh:mm:ss")
    parts = {name: float(value or 0) for name, value in found.groupdict().items()}
    return ((parts["days"] * 24 + parts["hours"]) * 60 + parts["minutes"]) * 60 + parts["seconds"]


def load_host_config(app: Path) -> HostConfig:
    """Read `host.json` of an app folder.

    Raises:
        ConfigurationError: the file is missing (it is what makes a folder an app) or says something impossible.
    """
    file = app / "host.json"
    if not file.is_file():
        raise ConfigurationError(
            f"{file} does not exist; --app must name the folder with host.json and function_app.py"
        )
    document = _read_object(file)
    extensions = _section(document, "extensions", file)
    try:
        return HostConfig(
            route_prefix=str(_section(extensions, "http", file).get("routePrefix", "api")).strip("/"),
            queues=_queue_options(_section(extensions, "queues", file)),
            blobs=_blob_options(_section(extensions, "blobs", file)),
        )
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{file}: {error}") from error


def load_local_settings(app: Path, environment: MutableMapping[str, str]) -> None:
    """Add the `Values` of `local.settings.json`, where there is one, to settings that are not set already.

    Raises:
        ConfigurationError: the file is encrypted, not JSON, or holds a value that is not text.
    """
    file = app / "local.settings.json"
    if not file.is_file():
        return
    document = _read_object(file)
    if document.get("IsEncrypted"):
        raise ConfigurationError(f"{file} is encrypted; `func settings decrypt` makes it readable")
    for name, value in _section(document, "Values", file).items():
        if not isinstance(value, str):
            raise ConfigurationError(f"{file}: the value of {name} is {value!r}; every value must be text")
        if environment.setdefault(name, value) != value:
            # func says so too; a proxy's REQUESTS_CA_BUNDLE in the shell is what it most often is
            _log.warning("%s of %s is not used: the environment has another one", name, file.name)


def resolve_settings(text: str, environment: Mapping[str, str]) -> str:
    """Replace each `%SETTING%` by its value.

    Raises:
        ConfigurationError: a setting is not set.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name not in environment:
            raise ConfigurationError(f"{found[0]} names the setting {name}, which is not set")
        return environment[name]

    return _SETTING.sub(value, text)


def choose_host_id(wanted: str | None, app: Path, environment: Mapping[str, str]) -> str:
    """The id that receipts and the internal queue are named by: as asked for, else as set, else one of this folder.

    Raises:
        ConfigurationError: it cannot be part of a queue's name.
    """
    folder = "local-" + hashlib.sha256(str(app.resolve()).encode()).hexdigest()[:12]
    host_id = wanted or environment.get(_HOST_ID) or folder
    if not re.fullmatch(r"[a-z0-9](?:-?[a-z0-9]){0,31}", host_id):
        raise ConfigurationError(f"the host id {host_id!r} must be 1 to 32 of a-z, 0-9 and single dashes between them")
    return host_id


def _queue_options(section: Mapping[str, Any]) -> QueueOptions:
    batch = int(section.get("batchSize", 16))
    tries = int(section.get("maxDequeueCount", 5))
    if not 1 <= batch <= 32:
        raise ValueError(f"extensions.queues.batchSize is {batch}; it must be 1 to 32")
    if tries < 1:
        raise ValueError(f"extensions.queues.maxDequeueCount is {tries}; it must be at least 1")
    encoding = str(section.get("messageEncoding", "base64")).lower()
    if encoding not in ("base64", "none"):
        raise ValueError(f"extensions.queues.messageEncoding is {encoding!r}; it must be base64 or none")
    longest = time_span(str(section.get("maxPollingInterval", "00:01:00")))
    return QueueOptions(
        batch_size=batch,
        new_batch_threshold=int(section.get("newBatchThreshold", batch // 2)),
        max_dequeue_count=tries,
        visibility_timeout=time_span(str(section.get("visibilityTimeout", "00:00:00"))),
        max_polling_interval=min(longest, _LOCAL_POLLING_SECONDS),
        base64=encoding == "base64",
    )


def _blob_options(section: Mapping[str, Any]) -> BlobOptions:
    default = BlobOptions()
    degree = int(section.get("maxDegreeOfParallelism", default.max_degree_of_parallelism))
    threshold = int(section.get("poisonBlobThreshold", default.poison_threshold))
    if degree < 1 or threshold < 1:
        raise ValueError("extensions.blobs.maxDegreeOfParallelism and poisonBlobThreshold must be at least 1")
    return BlobOptions(degree, threshold)


def _read_object(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ConfigurationError(f"{file} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"{file} must hold a JSON object")
    return document


def _section(document: Mapping[str, Any], name: str, file: Path) -> Mapping[str, Any]:
    section = document.get(name) or {}
    if not isinstance(section, dict):
        raise ConfigurationError(f"{file}: {name} must be a JSON object")
    return section
