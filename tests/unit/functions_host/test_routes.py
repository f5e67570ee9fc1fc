"""Route templates as ASP.NET reads them."""

from __future__ import annotations

import pytest

from local.functions.errors import ConfigurationError
from local.functions.routes import RouteTable, make_route


@pytest.mark.parametrize(
    ("template", "path", "params"),
    [
        ("api/health", "/api/health", {}),
        ("api/health", "/API/Health/", {}),
        ("api/health", "/api/healthy", None),
        ("api/runs/{id}", "/api/runs/a%20b", {"id": "a b"}),
        ("api/runs/{id}", "/api/runs/a/b", None),
        ("api/runs/{id:int}", "/api/runs/12", {"id": "12"}),
        ("api/runs/{id:int}", "/api/runs/x", None),
        ("api/runs/{id:guid?}", "/api/runs", {}),
        ("api/files/{name}.{kind}", "/api/files/a.csv", {"name": "a", "kind": "csv"}),
        ("api/{*rest}", "/api/a/b", {"rest": "a/b"}),
        ("api/{*rest}", "/api", {}),
    ],
)
def test_paths_against_templates(template: str, path: str, params: dict[str, str] | None) -> None:
    table = RouteTable([make_route(template, None, "target")])

    assert table.find("GET", path) == (None if params is None else ("target", params))


def test_the_most_specific_template_answers_whatever_the_order() -> None:
    templates = ["a/{*rest}", "a/{id}", "a/{id:int}", "a/latest"]
    for ordered in (templates, templates[::-1]):
        table = RouteTable([make_route(template, None, template) for template in ordered])
        answers = [table.find("GET", f"/a/{tail}") for tail in ("latest", "7", "x", "x/y")]
        assert [answer and answer[0] for answer in answers] == ["a/latest", "a/{id:int}", "a/{id}", "a/{*rest}"]


def test_methods_are_part_of_the_route() -> None:
    table = RouteTable([make_route("a", ["get"], "read"), make_route("a", ["POST", "PUT"], "write")])

    assert table.find("GET", "/a") == ("read", {})
    assert table.find("PUT", "/a") == ("write", {})
    assert table.find("DELETE", "/a") is None


@pytest.mark.parametrize("template", ["a/{id:regex(x)}", "a/{id", "a/{*rest}/b", "a/{}"])
def test_impossible_templates_are_refused(template: str) -> None:
    with pytest.raises(ConfigurationError):
        make_route(template, None, "target")
