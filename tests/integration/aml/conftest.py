"""The model's own environment, and the snapshot of code that a job and a deployment are given."""

import shutil
from pathlib import Path

import pytest

from local.environments import ensure_environment

_ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def python() -> Path:
    conda = (_ROOT / "aml/env/conda.yml").read_text(encoding="utf-8")
    return ensure_environment(conda, _ROOT / ".local/envs")


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("snapshot")
    shutil.copytree(_ROOT / "aml", folder / "aml", ignore=shutil.ignore_patterns("__pycache__"))
    return folder
