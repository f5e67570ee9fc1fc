"""The simpler ways as processes of their own, each of which says its figures on its last line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.stack import Figures
from local.installing import ROOT


def run(python: Path, module: str, arguments: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """What a script says of itself on its last line; where it fails, `note` says how."""
    command = [str(python), "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return {"note": f"failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}"}
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def run_script(python: Path, module: str, arguments: list[str], environment: dict[str, str], output: Path) -> Figures:
    """Runs one of the simpler ways as a process of its own."""
    figures = run(python, module, [*arguments, str(output)], environment)
    if "note" in figures:
        return Figures(0.0, 0, output, figures["note"])
    note = "" if figures.get("status", 200) == 200 else f"the endpoint answered {figures['status']}"
    cpu = {"script": figures["cpu"]} if "cpu" in figures else {}
    return Figures(figures["seconds"], figures["peak_bytes"], output, note, cpu)
