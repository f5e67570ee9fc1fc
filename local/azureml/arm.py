"""Calls of Azure Resource Manager's REST plane: what a handler gets, what it answers, and which handler it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .config import PROVIDER, Config
from .errors import ArmError, Json, not_emulated, user_error

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:~-]{0,254}")


@dataclass(frozen=True)
class Call:
    """One request to the workspace: the names in its path, its query and its body."""

    names: tuple[str, ...]
    query: Mapping[str, str]
    body: Json

    @property
    def properties(self) -> Json:
        """The body's `properties`; a request without them is refused."""
        value = self.body.get("properties")
        if not isinstance(value, dict):
            raise user_error("Request is invalid and/or missing fields.")
        return value


@dataclass(frozen=True)
class Answer:
    """Status, JSON body (None: an empty body) and headers."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Coroutine[Any, Any, Answer]]


class Routes:
    """Which handler answers a method and a path below the workspace; `{}` stands for a name."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, tuple[str, ...], Handler]] = []

    def add(self, method: str, path: str, handler: Handler) -> None:
        """Register a handler, e.g. `add("GET", "models/{}/versions/{}", …)`."""
        self._routes.append((method, tuple(path.lower().split("/")) if path else (), handler))

    def find(self, method: str, segments: tuple[str, ...]) -> tuple[Handler, tuple[str, ...]]:
        """The handler and the names in the path. ArmError 405 or 501 when nobody answers this."""
        known = False
        for candidate, pattern, handler in self._routes:
            names = _match(pattern, segments)
            if names is None:
                continue
            known = True
            if candidate == method:
                return handler, names
        path = "/".join(segments)
        if known:
            raise ArmError(405, "MethodNotAllowed", f"'{path}' cannot be asked with {method}.")
        raise not_emulated(f"'{method} {path}'")


def _match(pattern: tuple[str, ...], segments: tuple[str, ...]) -> tuple[str, ...] | None:
    if len(pattern) != len(segments):
        return None
    names = []
    for expected, actual in zip(pattern, segments, strict=True):
        if expected == "{}":
            names.append(actual)
        elif expected != actual.lower():
            return None
    for name in names:
        if not _NAME.fullmatch(name):
            raise user_error(f"'{name}' is not a valid name.")
    return tuple(names)


def workspace_segments(config: Config, path: str) -> tuple[str, ...]:
    """What follows the workspace in an ARM path, ArmError 404 when the path leads to another place."""
    parts = [part for part in path.split("/") if part]
    own = [part for part in config.workspace_id.split("/") if part]
    codes = {1: "SubscriptionNotFound", 3: "ResourceGroupNotFound"}
    for position, expected in enumerate(own):
        actual = parts[position] if position < len(parts) else ""
        if actual.lower() != expected.lower():
            code = codes.get(position, "ResourceNotFound")
            raise ArmError(404, code, f"The resource '{path}' was not found; this emulator is {config.workspace_id}.")
    return tuple(parts[len(own) :])


def resource(config: Config, path: str, properties: Json, previous: Json | None = None) -> Json:
    """The envelope of a workspace's resource; `previous` keeps its creation."""
    segments = path.split("/")
    kind = "/".join(segments[::2])
    stamp = datetime.now(UTC).isoformat()
    created = previous["systemData"]["createdAt"] if previous else stamp
    return {
        "id": f"{config.workspace_id}/{path}",
        "name": segments[-1],
        "type": f"{PROVIDER}/workspaces/{kind}",
        "properties": properties,
        "systemData": {
            "createdAt": created,
            "createdBy": "emulator",
            "createdByType": "Application",
            "lastModifiedAt": stamp,
            "lastModifiedBy": "emulator",
            "lastModifiedByType": "Application",
        },
    }
