"""Python environments: made and filled by uv where it can be had, by pip otherwise, with the machine's own settings.

Standard library only: the set-up imports this before anything is installed.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SETUP_VENV = ROOT / f".local/setup/{sys.version_info[0]}.{sys.version_info[1]}"
ENVIRONMENTS = ROOT / ".local/envs"

_SECTION_ORDER = ("global", "install", ":env:")


class InstallError(RuntimeError):
    """An installation failed; the first line says what happened and what to do."""


class HopelessInstallError(InstallError):
    """Another installer would fail too: the disk is full, a folder cannot be written, or Ctrl-C was pressed."""


def python_of(venv: Path) -> Path:
    """The interpreter of a virtual environment."""
    return venv / "bin/python"


def find_uv() -> Path | None:
    """The uv that the set-up installed, else one from PATH, else None."""
    own = SETUP_VENV / "bin/uv"
    if own.exists():
        return own
    found = shutil.which("uv")
    return Path(found) if found else None


def run(argv: Sequence[str | Path], *, what: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a program to its end and return its stdout; InstallError in words when it fails."""
    command = [str(part) for part in argv]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", env=env, cwd=cwd, stdin=subprocess.DEVNULL
        )
    except OSError as error:
        raise InstallError(f"{what}: {command[0]} cannot be run ({error.strerror or error}).") from error
    if done.returncode == 0:
        return done.stdout
    if done.returncode in _INTERRUPTED:
        raise HopelessInstallError(f"{what}: interrupted. Run it again, it starts this part afresh.")
    output = f"{done.stdout}\n{done.stderr}".strip()
    meaning, hopeless = explain(output)
    message = f"{what}: {meaning}\n  {' '.join(command[:4])} … ended with:\n{_indent(output)}"
    raise (HopelessInstallError if hopeless else InstallError)(message)


def explain(output: str) -> tuple[str, bool]:
    """What an installer's complaint means and what to do, in one line; and whether another installer is no use."""
    text = " ".join(output.lower().split())
    for number, (pattern, meaning) in enumerate(_MEANINGS):
        if re.search(pattern, text):
            return meaning, number < _HOPELESS
    return "the installer failed.", False


# 128 + the signal: how shells and Node report it
_INTERRUPTED = (-signal.SIGINT, -signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGTERM)

_HOPELESS = 2
_NPM_NETWORK = r"npm err\S*[^\n]*(network|enotfound|econnrefused|etimedout|eai_again|econnreset)"
_MEANINGS = (
    (r"no space left|enospc|disk quota", "the disk is full. Free some space (2 GB will do) and run it again."),
    (r"permission denied|eacces|read-only file system", "a folder cannot be written. Check who owns the checkout."),
    (
        r"ensurepip is not available|no module named '?(ensurepip|venv)",
        "this Python cannot make environments. On Debian and Ubuntu: apt install python3-venv.",
    ),
    (
        r"certificate verify failed|invalid peer certificate|self[- ]signed certificate|unable to get local issuer",
        "the registry's certificate is not trusted. Name your authority in PIP_CERT and NODE_EXTRA_CA_CERTS.",
    ),
    (_NPM_NETWORK, "no npm registry answers. Check the network and `npm config get registry`."),
    (
        r"npm err\S*[^\n]*(e404|etarget|eintegrity)",
        "the npm registry does not have the pinned packages. Check `npm config get registry`.",
    ),
    (
        r"dns error|connection refused|connecterror|failed to fetch|newconnectionerror|name resolution|timed out"
        r"|network is unreachable|connection reset|could not connect|error sending request",
        "no Python package index answers. Check the network, or set PIP_INDEX_URL to one that does.",
    ),
    (
        r"no matching distribution|no solution found|not found in the (package )?registry|no compatible version",
        "the package index does not have the pinned packages for this Python. Check `pip config list`.",
    ),
)


def _indent(output: str, lines: int = 12, width: int = 160) -> str:
    told = [line for line in output.splitlines() if line.strip() and "WARNING: Retrying" not in line]
    return "\n".join(f"    {line[:width]}" for line in told[-lines:])


def pip_settings(listing: str) -> dict[str, list[str]]:
    """The settings that `pip config list` prints, by option name; later sections override earlier ones, as in pip."""
    settings: dict[str, list[str]] = {}
    lines = [re.fullmatch(r"([^.=]+)\.([^=]+)=(.*)", line.strip()) for line in listing.splitlines()]
    for section in _SECTION_ORDER:
        for found in lines:
            if found and found[1] == section:
                settings[found[2]] = str(ast.literal_eval(found[3])).split()
    return settings


def uv_options(settings: Mapping[str, Sequence[str]]) -> list[str]:
    """pip's settings as options of `uv pip install`, which reads neither pip.conf nor PIP_* variables."""
    options: list[str] = []
    for name, flag in (
        ("index-url", "--index-url"),
        ("extra-index-url", "--extra-index-url"),
        ("find-links", "--find-links"),
        ("trusted-host", "--allow-insecure-host"),
    ):
        for value in settings.get(name, ()):
            options += [flag, value]
    if settings.get("no-index", ["0"])[0].lower() in ("1", "true", "yes", "on"):
        options.append("--no-index")
    if "extra-index-url" in settings:
        # pip takes a package from whichever index has the version; uv would stop at the first that knows the name
        options += ["--index-strategy", "unsafe-best-match"]
    return options


def uv_environment(settings: Mapping[str, Sequence[str]], environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for uv: the caller's own settings of uv stay, pip's certificate, proxy and timeout are added."""
    env = dict(environ)
    for name, variable in (("cert", "SSL_CERT_FILE"), ("proxy", "ALL_PROXY"), ("timeout", "UV_HTTP_TIMEOUT")):
        value = settings.get(name) or settings.get(f"default-{name}")
        if value:
            env.setdefault(variable, value[0])
    env.pop("VIRTUAL_ENV", None)
    return env


def make_venv(venv: Path) -> None:
    """Make an empty environment of the running Python, in place of whatever is there."""
    shutil.rmtree(venv, ignore_errors=True)
    venv.parent.mkdir(parents=True, exist_ok=True)
    what = f"making {venv.name}"
    uv = find_uv()
    if uv is not None:
        run([uv, "venv", "--quiet", "--python", base_python(), venv], what=what)
    else:
        run([base_python(), "-m", "venv", venv], what=what)


def base_python() -> Path:
    """The running Python itself, not the environment it may run in."""
    return Path(getattr(sys, "_base_executable", None) or sys.executable)


def install(venv: Path, arguments: Sequence[str | Path], *, what: str) -> None:
    """Install requirements (`-r file` or names) into an environment; by uv, and by pip where uv is missing or fails."""
    uv = find_uv()
    if uv is not None:
        settings = pip_settings(pip_config())
        command = [uv, "pip", "install", "--quiet", "--python", python_of(venv), *uv_options(settings), *arguments]
        try:
            run(command, what=what, env=uv_environment(settings, os.environ))
        except HopelessInstallError:
            raise
        except InstallError as error:
            _install_with_pip(venv, arguments, what=what, before=error)
    else:
        _install_with_pip(venv, arguments, what=what)


def _install_with_pip(
    venv: Path, arguments: Sequence[str | Path], *, what: str, before: InstallError | None = None
) -> None:
    """pip, which knows some set-ups that uv does not (keyrings, odd proxies). `before`: why uv gave up."""
    python = python_of(venv)
    try:
        if subprocess.run([python, "-c", "import pip"], capture_output=True).returncode != 0:
            run([python, "-m", "ensurepip"], what=what)
        run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments], what=what)
    except InstallError as error:
        raise error from before


def pip_config() -> str:
    """`pip config list` of whichever Python at hand has a pip; nothing when none has."""
    for python in (base_python(), python_of(SETUP_VENV), Path("python3")):
        try:
            done = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True)
        except OSError:
            continue
        if done.returncode == 0:
            return done.stdout
    return ""
