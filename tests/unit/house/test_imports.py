"""The house keeps its order: imports point one way, and the scoring path stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
_EDGES = {
    "function_app.py",
    "shared/composition.py",
    "shared/storage.py",
    "shared/retraining/azureml.py",
    "shared/retraining/child.py",
}
"""The only modules of the app that know Azure's libraries."""

_BUNDLE = "shared/scoring/bundle.py"
"""The one module of the app that knows the model's code: it scores with a bundle in process, with the very code of the
endpoint, because a second implementation would not be the same to the last bit. It imports that when a bundle is opened
and not before, for whoever scores by an endpoint loads no scikit-learn."""


def _files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def _imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or inside a function."""
    package = path.relative_to(ROOT).parent.as_posix().replace("/", ".")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _is_of(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _breaches(files: list[Path], *packages: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files
        for module in _imported(path)
        if _is_of(module, *packages)
    ]


def test_the_files_are_found() -> None:
    assert len(_files("aml")) > 8
    assert len(_files("shared")) > 30


def test_aml_imports_nothing_of_the_app() -> None:
    assert _breaches(_files("aml"), "shared", "local", "function_app", "azure") == []


def test_the_app_imports_only_the_contract_of_aml() -> None:
    files = [ROOT / "function_app.py", *(path for path in _files("shared") if path != ROOT / _BUNDLE)]

    found = [breach for breach in _breaches(files, "aml") if " imports aml.contract" not in breach]

    # `from aml import contract` would be two names; nobody writes it so
    assert found == []


def test_the_model_is_imported_when_a_bundle_is_opened_and_not_before() -> None:
    tree = ast.parse((ROOT / _BUNDLE).read_text(encoding="utf-8"))
    at_the_top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]

    assert "aml" not in {name.split(".")[0] for node in at_the_top for name in [ast.unparse(node).split()[1]]}
    assert {name.split(".")[1] for name in _imported(ROOT / _BUNDLE) if _is_of(name, "aml")} == {
        "bundle",
        "opening",
    }


def test_shared_does_not_import_its_doors() -> None:
    assert _breaches(_files("shared"), "function_app", "azure.functions", "azurefunctions") == []


def test_local_is_imported_by_nothing_but_tests_and_benchmarks() -> None:
    files = [ROOT / "function_app.py", *_files("shared", "aml")]

    assert _breaches(files, "local", "tests", "benchmarks") == []


def test_azure_is_known_at_the_edges_only() -> None:
    inside = [path for path in _files("shared") if path.relative_to(ROOT).as_posix() not in _EDGES]

    assert _breaches(inside, "azure", "azurefunctions", "msrest") == []


def test_the_adapter_to_azure_ml_is_known_to_its_own_process_alone() -> None:
    knows = ("shared/retraining/azureml.py", "shared/retraining/child.py")
    app = [ROOT / "function_app.py", *(path for path in _files("shared") if not path.as_posix().endswith(knows))]

    assert _breaches(app, "azure.ai", "shared.retraining.azureml", "shared.retraining.child") == []


def test_tables_know_nothing_of_scoring_and_retraining_and_scoring_nothing_of_retraining() -> None:
    assert _breaches(_files("shared/tables"), "shared.scoring", "shared.retraining", "shared.storage") == []
    assert _breaches(_files("shared/scoring"), "shared.retraining") == []


def test_what_scores_loads_neither_the_sdk_of_azure_ml_nor_scikit_learn() -> None:
    scoring = ("function_app", "shared.scoring.files", "shared.scoring.inline", "shared.work")
    heavy = ("azure.ai.ml", "sklearn", "pandas", "scipy", "joblib", "mlflow", "onnxruntime")
    code = f"import sys, {', '.join(scoring)}; print([name for name in {heavy!r} if name in sys.modules])"

    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert (loaded.returncode, loaded.stdout.strip()) == (0, "[]"), loaded.stderr
