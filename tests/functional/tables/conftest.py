"""Fixtures of tests of tables."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from aml.contract import load_contract, loading


@pytest.fixture
def contracts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the declared contracts; what a test puts beside them is declared too."""
    for path in loading.FOLDER.glob("*.yml"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(loading, "FOLDER", tmp_path)
    load_contract.cache_clear()
    yield tmp_path
    load_contract.cache_clear()
