"""`python -m shared.retraining.child`: the adapter to Azure ML, a call a line in and an answer a line out.

Settings and credential are those of its own environment. It ends when its input does, or on SIGTERM, and leaves no
temporary files. See `shared.retraining.remote`.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
from queue import SimpleQueue
from time import sleep
from typing import IO, NoReturn

from azure.identity import DefaultAzureCredential

from shared.errors import DropscoreError
from shared.retraining.azureml import AzureMLWorkspace
from shared.retraining.calls import read_call, write_answer, write_broken, write_fault
from shared.retraining.workspace import Workspace
from shared.settings import Settings

_GRACE_SECONDS = 5.0


def main() -> NoReturn:
    """Answer standard input on standard output."""
    # Standard output is for answers alone, whatever a library prints.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the whole group: the parent decides
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    lines: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    workspace = AzureMLWorkspace(Settings(), DefaultAzureCredential())
    while True:
        out.write(answer(workspace, lines.get()))
        out.flush()


def answer(workspace: Workspace, line: bytes) -> bytes:
    """The answer to one call."""
    try:
        name, arguments = read_call(line)
        return write_answer(name, getattr(workspace, name)(**arguments))
    except DropscoreError as error:
        return write_fault(error)
    except Exception:
        return write_broken(traceback.format_exc())


def _read(lines: SimpleQueue[bytes]) -> None:
    """Takes lines until the parent is gone; a call that is under way is of no use to anybody then."""
    _each(sys.stdin.buffer, lines)
    os.kill(os.getpid(), signal.SIGTERM)
    sleep(_GRACE_SECONDS)
    os._exit(1)


def _each(file: IO[bytes], lines: SimpleQueue[bytes]) -> None:
    for line in file:
        lines.put(line)


if __name__ == "__main__":
    status = 1
    try:
        main()
    except (SystemExit, BrokenPipeError):
        status = 0
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    # Past the interpreter's own end, which a thread that still reads, or a poller of the SDK, could hold up.
    os._exit(status)
