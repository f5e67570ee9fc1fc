"""Model environments are built once, whoever asks, and again when a build was interrupted."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local import environments, installing
from local.environments import ensure_environment, pip_pins
from local.installing import InstallError

# no packages, so no index is asked
_CONDA = "name: tiny\ndependencies:\n- python=3.11\n- pip\n"


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The environments that were really made."""
    made: list[Path] = []
    make = installing.make_venv

    def counted(venv: Path) -> None:
        made.append(venv)
        make(venv)

    monkeypatch.setattr(environments, "make_venv", counted)
    return made


def test_callers_at_once_share_one_build_which_an_interruption_undoes(tmp_path: Path, builds: list[Path]) -> None:
    with ThreadPoolExecutor(4) as pool:
        pythons = set(pool.map(lambda _: ensure_environment(_CONDA, tmp_path), range(4)))

    (python,) = pythons
    assert len(builds) == 1
    assert subprocess.run([python, "-c", "print(6 * 7)"], capture_output=True, text=True).stdout == "42\n"

    (builds[0] / environments.MARKER).unlink()
    assert ensure_environment(_CONDA, tmp_path) == python
    assert len(builds) == 2


def test_the_same_pins_laid_out_otherwise_are_the_same_environment(tmp_path: Path, builds: list[Path]) -> None:
    anew = "dependencies: [pip, python=3.11, {pip: []}]\nname: other\n"

    assert ensure_environment(_CONDA, tmp_path) == ensure_environment(anew, tmp_path)
    assert len(builds) == 1


def test_pins_are_read_as_yaml_means_them_and_conda_packages_are_refused() -> None:
    folded = "dependencies:\n- pip:\n  - a==1\n  - 'b==2 ; sys_platform\n    != ''win32'''\n"
    assert pip_pins(folded) == ["a==1", "b==2 ; sys_platform != 'win32'"]

    with pytest.raises(InstallError, match="list 'python-dateutil=2' under `pip:`"):
        pip_pins("dependencies: [python-dateutil=2]")
