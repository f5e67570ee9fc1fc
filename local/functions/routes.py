"""HTTP routes: templates as ASP.NET writes them, and which of them answers a request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import unquote

from local.functions.errors import ConfigurationError

T = TypeVar("T")

_PARAMETER = re.compile(r"\{(?P<rest>\*{0,2})(?P<name>\w+)(?::(?P<constraint>[^{}?]+))?(?P<optional>\?)?\}")
_CONSTRAINTS = {
    "int": r"-?\d+",
    "long": r"-?\d+",
    "float": r"-?\d+(?:\.\d+)?",
    "double": r"-?\d+(?:\.\d+)?",
    "decimal": r"-?\d+(?:\.\d+)?",
    "bool": r"(?:true|false)",
    "alpha": r"[a-z]+",
    "guid": r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}",
}


@dataclass(frozen=True)
class Route(Generic[T]):
    """One template and what it leads to; `rank` orders templates that fit the same path (lower wins)."""

    template: str
    regex: re.Pattern[str]
    rank: tuple[int, ...]
    methods: frozenset[str] | None
    target: T


class RouteTable(Generic[T]):
    """All routes of an app. Paths are compared without regard to case, as the real host does."""

    def __init__(self, routes: Iterable[Route[T]]) -> None:
        self._routes = sorted(routes, key=lambda route: route.rank)

    def find(self, method: str, path: str) -> tuple[T, dict[str, str]] | None:
        """The target for a request and the route's parameters.

        A path that exists for other methods only is not found, for methods are constraints of a route there too.
        """
        for route in self._routes:
            found = route.regex.fullmatch(path.strip("/"))
            if found and (route.methods is None or method in route.methods):
                return route.target, {k: unquote(v) for k, v in found.groupdict().items() if v is not None}
        return None


def make_route(template: str, methods: Iterable[str] | None, target: T) -> Route[T]:
    """Compile one template: literals, `{name}`, `{name:int}`, `{name?}`, `{*rest}`.

    Raises:
        ConfigurationError: a constraint this host does not know, braces that make no parameter, `{*rest}` not last.
    """
    segments = [segment for segment in template.strip("/").split("/") if segment]
    expression, rank = "", []
    for position, segment in enumerate(segments):
        part, weight = _segment(template, segment, last=position == len(segments) - 1)
        separator = "/" if position else ""
        optional = segment.endswith("?}") or segment.startswith("{*")
        expression += f"(?:{separator}{part})?" if optional else separator + part
        rank.append(weight)
    allowed = frozenset(method.upper() for method in methods) if methods else None
    return Route(template, re.compile(expression, re.IGNORECASE), tuple(rank), allowed, target)


def _segment(template: str, segment: str, *, last: bool) -> tuple[str, int]:
    expression, end, weight = "", 0, 0
    for found in _PARAMETER.finditer(segment):
        expression += _literal(template, segment[end : found.start()])
        expression += f"(?P<{found['name']}>{_value(template, found, last=last)})"
        weight = max(weight, _weight(found))
        end = found.end()
    return expression + _literal(template, segment[end:]), weight


def _literal(template: str, text: str) -> str:
    if "{" in text or "}" in text:
        raise ConfigurationError(f"route {template!r}: {text!r} is not a parameter; write {{name}} or {{name:int}}")
    return re.escape(text)


def _value(template: str, found: Mapping[str, str] | re.Match[str], *, last: bool) -> str:
    constraint = found["constraint"]
    if found["rest"]:
        if not last:
            raise ConfigurationError(f"route {template!r}: {{*{found['name']}}} takes the rest, so it must come last")
        return ".*"
    if not constraint:
        return "[^/]+"
    if constraint not in _CONSTRAINTS:
        known = ", ".join(sorted(_CONSTRAINTS))
        raise ConfigurationError(f"route {template!r}: constraint {constraint!r} is not known here ({known} are)")
    return _CONSTRAINTS[constraint]


def _weight(found: re.Match[str]) -> int:
    """ASP.NET's order within a segment: literal 0, constrained parameter 1, parameter 2, the rest 3."""
    if found["rest"]:
        return 3
    return 1 if found["constraint"] else 2
