"""Processes that jobs and deployments start: their environment, and their end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from .config import Config

# Marks what we started, so that the next emulator on the same state finds what a killed one left behind.
_MARK = "DROPSCORE_AZUREML_STATE"
_GRACE_SECONDS = 10.0
# What says which Python this process runs on, and must not reach a process that runs on another one.
_OWN_PYTHON = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "__PYVENV_LAUNCHER__")


def child_environment(config: Config) -> dict[str, str]:
    """The emulator's own environment less what concerns its Python, and marked."""
    inherited = {key: value for key, value in os.environ.items() if key not in _OWN_PYTHON}
    return inherited | {_MARK: str(config.state.resolve()), "PYTHONUNBUFFERED": "1"}


def python_environment(base: Mapping[str, str], python: Path) -> dict[str, str]:
    """`base` with the interpreter's folder first on the path, so that `python` is this one."""
    return {**base, "PATH": f"{python.parent}{os.pathsep}{base.get('PATH', os.defpath)}"}


async def end_group(process: asyncio.subprocess.Process) -> None:
    """End everything in the process's group: SIGTERM, then SIGKILL for what is left, also when we are cancelled."""
    _signal(process.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(_GRACE_SECONDS):
            await process.wait()
    except TimeoutError:
        pass
    finally:
        _signal(process.pid, signal.SIGKILL)
    await process.wait()


def end_leftovers(config: Config) -> None:
    """Kill what an emulator on the same state started and could not end, because it was killed itself."""
    state = str(config.state.resolve())
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(_MARK) == state and process.pid != os.getpid():
                process.kill()


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
