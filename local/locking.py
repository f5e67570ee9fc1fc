"""`make lock`: resolve every pin anew: requirements for the three supported Pythons, conda file, npm packages."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from local.installing import ROOT, InstallError, find_uv, pip_config, pip_settings, run, uv_environment, uv_options
from local.nodejs import NODE_FOLDER, find_node

_CONDA_FILE = ROOT / "aml/env/conda.yml"
_OLDEST_PYTHON = "3.11"
# The app first: the others are resolved beside its pins.
_FILES = (
    ("requirements/app.in", "requirements.txt"),
    ("requirements/dev.in", "requirements/dev.txt"),
    ("requirements/model.in", "requirements/model.txt"),
    ("requirements/detection.in", "requirements/detection.txt"),
)


def conda_with_pins(conda_yaml: str, pins: list[str]) -> str:
    """The conda file with these lines as its pip section, which ends it; everything above stays as it is."""
    head, mark, _ = conda_yaml.partition("  - pip:\n")
    if not mark:
        raise InstallError(f"resolving: {_CONDA_FILE} has no pip section.")
    # a marker has quotes and a semicolon, which YAML would take for its own
    quoted = [json.dumps(pin) if ";" in pin else pin for pin in pins]
    return head + mark + "".join(f"      - {pin}\n" for pin in quoted)


def pins_of(requirements: str) -> list[str]:
    """The requirement lines of a requirements file."""
    lines = (line.strip() for line in requirements.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _resolve(source: str, target: str) -> None:
    uv = find_uv()
    if uv is None:
        raise InstallError("resolving: this needs uv. Install it, or give `make setup` an index that has it.")
    settings = pip_settings(pip_config())
    command: list[str | Path] = [uv, "pip", "compile", "--quiet", "--universal", "--upgrade", "--no-header"]
    command += ["--no-annotate", "--python-version", _OLDEST_PYTHON, *uv_options(settings), source, "-o", target]
    run(command, what=f"resolving {source}", env=uv_environment(settings, os.environ), cwd=ROOT)
    print(f"  {target}", flush=True)


def _lock_npm() -> None:
    node = find_node()
    if node is None:
        raise InstallError("resolving npm packages: no Node is there. Run `make setup`.")
    command = [*node.npm, "install", "--package-lock-only", "--no-audit", "--no-fund", "--loglevel=error"]
    env = {**os.environ, "PATH": f"{node.node.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    run(command, what="resolving npm packages", env=env, cwd=NODE_FOLDER)
    print(f"  {NODE_FOLDER.relative_to(ROOT)}/package-lock.json", flush=True)


def main() -> int:
    """The command."""
    try:
        for source, target in _FILES:
            _resolve(source, target)
        pins = pins_of((ROOT / "requirements/model.txt").read_text(encoding="utf-8"))
        _CONDA_FILE.write_text(conda_with_pins(_CONDA_FILE.read_text(encoding="utf-8"), pins), encoding="utf-8")
        print(f"  {_CONDA_FILE.relative_to(ROOT)}", flush=True)
        _lock_npm()
    except InstallError as error:
        print(f"Locking failed while {error}", file=sys.stderr)
        return 1
    print("Resolved. Run `make test` before you commit it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
