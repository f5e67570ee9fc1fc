"""The documents say what the code does: settings, routes, codes, commands, links."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import AliasChoices

from shared.api.openapi.operations import OPERATIONS
from shared.retraining.lifecycle import State
from shared.scoring.files import ENDS
from shared.settings import Settings
from shared.tables.typed import FLAWS

ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OPERATIONS_PAGE = (ROOT / "docs/operations.md").read_text(encoding="utf-8")

# what the platform and Azure's own libraries read, in the example settings
_OF_THE_PLATFORM = {
    "FUNCTIONS_WORKER_RUNTIME",
    "PYTHON_THREADPOOL_THREAD_COUNT",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "REQUESTS_CA_BUNDLE",
    "NO_PROXY",
}


def setting_names() -> dict[str, str]:
    """Environment variable by field."""
    names = {}
    for field, info in Settings.model_fields.items():
        alias = info.validation_alias
        names[field] = str(alias.choices[0]) if isinstance(alias, AliasChoices) else str(alias or field.upper())
    return names


def codes() -> Iterator[tuple[str, str]]:
    """Every code that the app's errors are raised with, or its findings made of, and where."""
    for path in [*ROOT.glob("shared/**/*.py"), *ROOT.glob("aml/contract/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and ast.unparse(node.func).endswith(("Error", "Finding")):
                first = node.args[0]
                if isinstance(first, ast.Constant) and re.fullmatch(r"[a-z]+(_[a-z]+)+", str(first.value)):
                    yield str(first.value), path.name


def test_every_setting_is_in_the_readme_with_its_default() -> None:
    for field, name in setting_names().items():
        default = Settings.model_fields[field].default
        (line,) = [line for line in README.splitlines() if line.startswith(f"| `{name}` |")]
        assert default is None or line.endswith(f"| `{default}` |"), line


def test_the_example_settings_are_settings() -> None:
    values = json.loads((ROOT / "local.settings.example.json").read_text(encoding="utf-8"))["Values"]

    assert set(values) <= set(setting_names().values()) | _OF_THE_PLATFORM
    Settings(**{field: values[name] for field, name in setting_names().items() if name in values})


def test_every_route_is_in_the_readme() -> None:
    source = (ROOT / "function_app.py").read_text(encoding="utf-8")
    routes = re.findall(r'@app\.route\("([^"]+)", methods=\["([A-Z]+)"\]', source)

    assert len(routes) >= 6
    assert [(method, route) for route, method in routes if f"`{method} /api/{route}`" not in README] == []


def test_every_code_is_explained() -> None:
    found = dict(codes())

    assert len(found) > 30
    assert {code: file for code, file in found.items() if f"`{code}`" not in OPERATIONS_PAGE} == {}
    assert [kind for kind in FLAWS if f"`{kind}`" not in OPERATIONS_PAGE] == []


def test_every_code_that_a_route_is_said_to_answer_is_explained() -> None:
    said = {code for operation in OPERATIONS.values() for codes in operation.problems.values() for code in codes}

    assert len(said) > 30
    assert sorted(code for code in said if f"`{code}`" not in OPERATIONS_PAGE) == []


def test_every_metric_is_explained() -> None:
    source = (ROOT / "shared/telemetry/instruments.py").read_text(encoding="utf-8")
    metrics = re.findall(r'create_\w+\(\s*"([^"]+)"', source)

    assert len(metrics) == 11
    assert [name for name in metrics if f"| `{name}` |" not in OPERATIONS_PAGE] == []


def test_queries_and_alerts_ask_for_what_is_told() -> None:
    source = (ROOT / "shared/telemetry/instruments.py").read_text(encoding="utf-8")
    queries = "\n".join(re.findall(r"```kusto\n(.+?)```", OPERATIONS_PAGE, re.DOTALL))
    asked = set(re.findall(r'"((?:dropscore|error)\.[a-z._]+)"', queries))

    assert len(asked) >= 8
    assert sorted(name for name in asked if f'"{name}"' not in source) == []
    states = set(re.findall(r'state (?:==|in) \(?((?:"[a-z]+"(?:, )?)+)', queries))
    assert {each for found in states for each in re.findall(r'"([a-z]+)"', found)} <= {*State, *ENDS, "waiting"}


def test_every_state_is_named() -> None:
    states = {*State, *ENDS, "waiting", "scoring"}

    assert [state for state in states if f"`{state}`" not in OPERATIONS_PAGE] == []


def test_every_make_command_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = {match for text in (README, OPERATIONS_PAGE) for match in re.findall(r"make ([a-z-]+)", text)}

    assert named - set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)) == set()
    assert "make test" in (ROOT / ".ci/run").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path", ["README.md", "README.es.md", *(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md"))]
)
def test_links_lead_somewhere(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if "://" not in link]

    assert [link for link in links if not ((ROOT / path).parent / link).exists()] == []


def test_the_version_is_one() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    here = re.search(r'^VERSION = "(.+)"$', (ROOT / "shared/version.py").read_text(encoding="utf-8"), re.MULTILINE)

    assert version and here and version[1] == here[1]


def test_the_migration_has_every_field_and_code_of_the_service_that_it_is_from() -> None:
    text = (ROOT / "docs/migration.md").read_text(encoding="utf-8")
    rows = "".join(line for line in text.splitlines(keepends=True) if line.startswith("|"))
    asked = "series timestamp value granularity customInterval period maxAnomalyRatio sensitivity imputeMode"
    asked += " imputeFixedValue stableTrendWindow threshold"
    answered = "expectedValues expectedValue upperMargins upperMargin lowerMargins lowerMargin isAnomaly severity"
    answered += " isNegativeAnomaly isPositiveAnomaly period suggestedWindow isChangePoint confidenceScores"
    source = (ROOT / "shared/scoring/univariate.py").read_text(encoding="utf-8")
    refused = set(re.findall(r'UnivariateError\(\s*"(\w+)"', source))

    assert [name for name in (asked + " " + answered).split() if not re.search(rf"\b{name}`", rows)] == []
    assert len(refused) == 10
    assert [code for code in refused if f"`{code}`" not in rows or f"`{code}`" not in OPERATIONS_PAGE] == []
    assert "docs/migration.md" in README
