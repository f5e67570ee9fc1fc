"""Model environments: a conda file's pip pins in a virtual environment, built once per set of pins.

conda itself is not needed: the running Python stands for the file's `python=…`, and conda packages beside `python` and
`pip` are refused.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from local.installing import InstallError, install, make_venv, python_of

MARKER = "ready"


def pip_pins(conda_yaml: str) -> list[str]:
    """The pip section of a conda file, in order. InstallError when the file asks for what only conda can install."""
    document: Any = yaml.safe_load(conda_yaml)
    if not isinstance(document, dict):
        raise InstallError("The conda file is not a mapping with `dependencies`.")
    pins: list[str] = []
    for dependency in document.get("dependencies") or []:
        if isinstance(dependency, dict):
            pins += [str(pin) for pin in dependency.get("pip") or []]
        elif not re.match(r"(python|pip)(?![\w.-])", str(dependency).strip()):
            raise InstallError(f"The local cloud has no conda: list {dependency!r} under `pip:` in the conda file.")
    return pins


def ensure_environment(conda_yaml: str, root: Path) -> Path:
    """The Python of an environment with the file's pip pins under `root`, built when it is not there yet.

    Two callers at once build once: the second waits. A build that was interrupted is done again. InstallError says
    what failed and what to do.
    """
    pins = pip_pins(conda_yaml)
    venv = root.resolve() / _key(pins)
    root.mkdir(parents=True, exist_ok=True)
    with (root / f"{venv.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _ready(venv):
            _build(venv, pins)
    return python_of(venv)


def _key(pins: list[str]) -> str:
    """Depends on the pins and the Python, not on how the file is laid out: the SDK sends it written anew."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return hashlib.sha256("\n".join([version, *sorted(pins)]).encode()).hexdigest()[:16]


def _ready(venv: Path) -> bool:
    marker = venv / MARKER
    # a checkout that was moved has scripts that point to the old place
    return python_of(venv).exists() and marker.exists() and marker.read_text(encoding="utf-8") == str(venv)


def _build(venv: Path, pins: list[str]) -> None:
    make_venv(venv)
    if pins:
        requirements = venv / "requirements.txt"
        requirements.write_text("\n".join(pins) + "\n", encoding="utf-8")
        install(venv, ["-r", requirements], what="installing the model's environment")
    (venv / MARKER).write_text(str(venv), encoding="utf-8")


if __name__ == "__main__":
    # for the set-up, whose own Python has no yaml: conda file, root; prints the environment's Python
    try:
        print(ensure_environment(Path(sys.argv[1]).read_text(encoding="utf-8"), Path(sys.argv[2])))
    except InstallError as error:
        sys.exit(str(error))
