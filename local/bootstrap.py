"""The set-up behind `make setup`: Python environments for the app and the model, and Azurite.

Run by any Python 3.11 to 3.13, standard library only: `python local/bootstrap.py [--venv .venv]`. Each part carries a
stamp of its inputs, written last: what is up to date is left alone, what was interrupted is done again.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
import time
from pathlib import Path

_SUPPORTED = ((3, 11), (3, 12), (3, 13))
if sys.version_info[:2] not in _SUPPORTED:
    sys.exit(
        f"dropscore needs Python 3.11, 3.12 or 3.13; this is {sys.version.split()[0]} ({sys.executable}).\n"
        "Install one of them, or name it: make setup PYTHON=/path/to/python3.12"
    )

# run as a script, by a Python that knows nothing of the checkout
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from collections.abc import Callable, Iterator  # noqa: E402 - an old Python must get as far as the message above
from concurrent.futures import ThreadPoolExecutor  # noqa: E402 - as above
from dataclasses import dataclass  # noqa: E402 - as above

from local.installing import (  # noqa: E402 - as above
    ENVIRONMENTS,
    ROOT,
    SETUP_VENV,
    HopelessInstallError,
    InstallError,
    base_python,
    find_uv,
    install,
    make_venv,
    python_of,
    run,
)
from local.nodejs import NODE_FOLDER, OLDEST_NODE, find_node  # noqa: E402 - as above

_REQUIREMENTS = ROOT / "requirements"
_CONDA_FILE = ROOT / "aml/env/conda.yml"
_OLDEST_PIP_THAT_INSTALLS_ELSEWHERE = (22, 3)


@dataclass(frozen=True)
class Part:
    """One thing to set up: `make` runs when `stamp` does not hold the fingerprint of `inputs`, or `present` says no."""

    name: str
    stamp: Path
    inputs: tuple[Path, ...]
    make: Callable[[], None]
    present: Callable[[], bool] = lambda: True
    for_this_python: bool = True

    def up_to_date(self) -> bool:
        """Whether the stamp is that of today's inputs, Python and place."""
        if not self.stamp.exists() or not self.present():
            return False
        return self.stamp.read_text(encoding="utf-8") == self.fingerprint()

    def fingerprint(self) -> str:
        """Digest of the inputs' bytes, of the Python, and of the place: environments do not survive a move."""
        python = f"{sys.version}\n{base_python()}" if self.for_this_python else ""
        digest = hashlib.sha256(f"{python}\n{self.stamp.absolute()}\n".encode())
        for path in self.inputs:
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def bring_up_to_date(self) -> float:
        """Make it anew and stamp it; the seconds that took."""
        began = time.monotonic()
        self.stamp.unlink(missing_ok=True)
        self.make()
        self.stamp.parent.mkdir(parents=True, exist_ok=True)
        self.stamp.write_text(self.fingerprint(), encoding="utf-8")
        return time.monotonic() - began


def parts(venv: Path) -> tuple[Part, list[Part]]:
    """The set-up's own tools, which come first, and what can then be made side by side."""
    tools = Part("set-up tools", SETUP_VENV / "stamp", (_REQUIREMENTS / "setup.txt",), _make_tools)
    app = Part(
        "app environment",
        venv / "stamp",
        (ROOT / "requirements.txt", _REQUIREMENTS / "dev.txt"),
        lambda: _make_app_environment(venv),
    )
    model = Part(
        "model environment",
        ENVIRONMENTS / f"conda-{sys.version_info[0]}.{sys.version_info[1]}.stamp",
        (_CONDA_FILE,),
        _make_model_environment,
        present=_model_environment_present,
    )
    packages = (NODE_FOLDER / "package.json", NODE_FOLDER / "package-lock.json")
    azurite = Part(
        "Azurite",
        NODE_FOLDER / "node_modules/.stamp",
        packages,
        _make_azurite,
        present=lambda: find_node() is not None,
        for_this_python=False,
    )
    return tools, [app, model, azurite]


def _make_tools() -> None:
    shutil.rmtree(SETUP_VENV, ignore_errors=True)
    requirements = _REQUIREMENTS / "setup.txt"
    if find_uv() is not None:
        make_venv(SETUP_VENV)
        install(SETUP_VENV, ["-r", requirements], what="installing uv")
        return
    pip = _venv_and_its_pip()
    try:
        run([*pip, "install", "--quiet", "-r", requirements], what="installing uv")
    except HopelessInstallError:
        raise
    except InstallError:
        # uv only saves time; an index without it must not stop anybody
        run([*pip, "install", "--quiet", "pyyaml"], what="installing pyyaml")
        print("  uv cannot be had here: pip installs the rest, more slowly", flush=True)


def _venv_and_its_pip() -> list[str | Path]:
    """An empty environment for the tools, and the command of a pip that installs into it.

    Where Debian's ensurepip is missing, or to save its seconds, the machine's own pip does that.
    """
    try:
        version = run([base_python(), "-m", "pip", "--version"], what="looking for pip").split()[1]
        numbers = tuple(int(number) for number in version.split(".")[:2])
    except (InstallError, IndexError, ValueError):
        numbers = (0, 0)
    if numbers >= _OLDEST_PIP_THAT_INSTALLS_ELSEWHERE:
        run([base_python(), "-m", "venv", "--without-pip", SETUP_VENV], what="making the set-up's environment")
        return [base_python(), "-m", "pip", "--disable-pip-version-check", "--python", python_of(SETUP_VENV)]
    run([base_python(), "-m", "venv", SETUP_VENV], what="making the set-up's environment")
    return [python_of(SETUP_VENV), "-m", "pip", "--disable-pip-version-check"]


def _make_app_environment(venv: Path) -> None:
    make_venv(venv)
    files: list[str | Path] = ["-r", ROOT / "requirements.txt", "-r", _REQUIREMENTS / "dev.txt"]
    install(venv, files, what="installing the app's environment")


def _make_model_environment() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command: list[str | Path] = [python_of(SETUP_VENV), "-m", "local.environments", _CONDA_FILE, ENVIRONMENTS]
    python = run(command, what="installing the model's environment", env=env).strip()
    _model_pointer().write_text(python, encoding="utf-8")


def _model_pointer() -> Path:
    return ENVIRONMENTS / f"conda-{sys.version_info[0]}.{sys.version_info[1]}.python"


def _model_environment_present() -> bool:
    pointer = _model_pointer()
    return pointer.exists() and Path(pointer.read_text(encoding="utf-8")).exists()


def _make_azurite() -> None:
    node = find_node()
    if node is None:
        print(f"  no Node {OLDEST_NODE} or newer with npm on PATH: taking the one that PyPI has", flush=True)
        install(SETUP_VENV, ["-r", _REQUIREMENTS / "node.txt"], what="installing Node")
        node = find_node()
    if node is None:
        raise InstallError(f"installing Node: the wheel brings none for this machine. Install Node {OLDEST_NODE}+.")
    # npm and the scripts that it runs look for `node` on PATH
    env = {**os.environ, "PATH": f"{node.node.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    command = [*node.npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--loglevel=error"]
    # npm's own patience, a minute and a half, is too long before somebody hears that no registry answers
    command += ["--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"]
    run(command, what="installing Azurite", env=env, cwd=NODE_FOLDER)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Two set-ups of one checkout take turns."""
    lock_file = ROOT / ".local/setup.lock"
    lock_file.parent.mkdir(exist_ok=True)
    with lock_file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another set-up of this checkout is running; waiting for it.", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def set_up(venv: Path) -> list[str]:
    """Bring every part up to date, side by side, and report each; the messages of those that failed."""
    tools, others = parts(venv)
    if tools.up_to_date() and all(part.up_to_date() for part in others):
        return []
    print(f"Setting up with Python {sys.version.split()[0]}; the first time takes a minute or two.", flush=True)
    failures: list[str] = []

    def attempt(part: Part) -> None:
        if part.up_to_date():
            return
        try:
            seconds = part.bring_up_to_date()
        except InstallError as error:
            failures.append(str(error))
        except OSError as error:
            failures.append(f"{part.name}: {error.strerror or error} ({error.filename}). Check space and permissions.")
        else:
            print(f"  {part.name:<18} {seconds:5.1f} s", flush=True)

    attempt(tools)
    if not failures:
        with ThreadPoolExecutor(len(others)) as pool:
            list(pool.map(attempt, others))
    return failures


def main() -> int:
    """The command; 0 when everything is set up."""
    parser = argparse.ArgumentParser(description="Set up everything that dropscore needs, inside this checkout.")
    parser.add_argument("--venv", type=Path, default=Path(".venv"), help="the app's environment (default: %(default)s)")
    venv = ROOT / parser.parse_args().venv
    began = time.monotonic()
    try:
        with _alone():
            failures = set_up(venv)
    except KeyboardInterrupt:
        print("\nInterrupted. Run it again: finished parts are kept, the others start afresh.", file=sys.stderr)
        return 130
    for failure in failures:
        print(f"\nSet-up failed while {failure}", file=sys.stderr)
    if not failures:
        print(f"Set up in {time.monotonic() - began:.1f} s.", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
