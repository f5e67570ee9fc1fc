"""Calls the functions of function_app.py as the host does, around an app on fakes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import azure.functions as func
import pytest

import function_app
from tests.functional.doors.described import require_described, require_taken
from tests.functional.scoring.world import World


@dataclass(frozen=True)
class Answered:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which must say that it is JSON, and be it to the letter."""
        assert self.headers["Content-Type"] in ("application/json", "application/problem+json")
        return json.loads(self.body, parse_constant=_no_json)

    def problem(self, status: int, code: str) -> str:
        """The words of the problem, which must have this status and code."""
        assert (self.status, self.headers["Content-Type"]) == (status, "application/problem+json"), self.body
        body = self.json
        assert set(body) == {"title", "status", "code", "detail"}
        assert (body["status"], body["code"], body["title"]) == (status, code, code.replace("_", " "))
        assert ("Retry-After" in self.headers) == (status == 503)
        words: str = body["detail"]
        return words


def _no_json(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


@cache
def _functions() -> list[Any]:
    """The app's functions; it hands them out once."""
    return list(function_app.app.get_functions())


class Doors:
    """The functions by name, over the app of a world."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = world
        monkeypatch.setattr(function_app, "dropscore", lambda: world.app)
        found = _functions()
        self.functions: dict[str, Callable[..., Any]] = {
            str(f.get_function_name()): f.get_user_function() for f in found
        }
        self._routes = []
        for function in found:
            trigger = function.get_dict_repr()["bindings"][0]
            if trigger["type"] == "httpTrigger":
                pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", trigger["route"]))
                for method in trigger["methods"]:
                    self._routes.append((method.value, trigger["route"], pattern, function.get_user_function()))

    def call(self, method: str, path: str, body: Any = b"", **headers: str) -> Answered:
        """A request; a body that is not bytes is sent as JSON, and a header is spelt with `_` for `-`.

        Whatever is answered must be what the app's description says.
        """
        bare, _, query = path.partition("?")
        params = dict(pair.split("=", 1) for pair in query.split("&")) if query else {}
        if not isinstance(body, bytes):
            body, headers = json.dumps(body).encode(), {"content_type": "application/json", **headers}
        spelt = {name.replace("_", "-"): value for name, value in headers.items()}
        for known, template, pattern, door in self._routes:
            match = pattern.fullmatch(bare)
            if known == method and match:
                request = func.HttpRequest(
                    method, f"/api/{path}", headers=spelt, params=params, route_params=match.groupdict(), body=body
                )
                response = door(request)
                content_type = response.headers["Content-Type"]
                require_described(method, template, response.status_code, content_type, response.get_body())
                if body and response.status_code < 300 and spelt.get("content-type") == "application/json":
                    require_taken(method, template, json.loads(body))
                return Answered(response.status_code, dict(response.headers), response.get_body())
        raise AssertionError(f"there is no {method} {bare}")
