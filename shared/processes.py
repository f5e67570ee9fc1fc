"""Processes of the app's own: its packages run by another interpreter, for work that must be ended or forgotten."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Timer
from typing import IO

_ROOT = Path(__file__).parents[1]


def start(module: str, *arguments: str, stdin: IO[bytes] | int, stderr: IO[bytes] | int) -> subprocess.Popen[bytes]:
    """`python -m module`, which reads `stdin` and writes a pipe, in this process's environment."""
    # The path is this process's own: a worker of the Functions host has put the app's packages on it.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, sys.path)])}
    command = [sys.executable, "-P", "-m", module, *arguments]
    return subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, env=environment)


@contextmanager
def ended_after(seconds: float, process: subprocess.Popen[bytes], *, grace: float = 0.0) -> Iterator[Event]:
    """Ends the process if the context lasts longer, so that whoever waits for it gets the end of its output.

    Yields what is set when that happened.
    """
    late = Event()

    def give_up() -> None:
        late.set()
        end(process, grace)

    timer = Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def end(process: subprocess.Popen[bytes], grace: float = 0.0) -> None:
    """Ends the process and waits for its end: asked to, where it is given `grace` seconds for that, and then killed."""
    if grace:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    process.kill()
    process.wait()
