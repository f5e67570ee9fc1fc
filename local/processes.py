"""Child processes of the local cloud: each in a process group of its own, with a log, stopped gently first."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from uuid import uuid4

import psutil

_POLL_SECONDS = 0.05
_TAIL_LINES = 15
# Handed down through the environment: one mark for each `start` between us and a process, so that what a killed child
# leaves behind is found whichever group it is in.
_MARKS = "DROPSCORE_STARTED_BY"


class LocalCloudError(RuntimeError):
    """Something of the local cloud failed; the message says what, what to do, and how its log ends."""


class Child:
    """A process we started, leader of its own session and process group; stdout and stderr go to `log`."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path, mark: str) -> None:
        self.name = name
        self.log = log
        self.mark = mark
        """What the process and all that it starts carry in their environment."""
        self._process = process

    @property
    def pid(self) -> int:
        """Process id, and id of the process group."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while the process runs; negative: the signal that ended it."""
        return self._process.poll()

    def running(self) -> bool:
        """Whether the process is alive."""
        return self.exit_code is None

    def stop(self, timeout: float = 20.0) -> None:
        """End it with all it started: SIGTERM, then SIGKILL for what is left after `timeout` seconds.

        What has a group of its own is left to the process that started it, and ended here when that one is gone.
        Azurite writes its tables when it gets SIGTERM, and a SIGKILL straight after a write loses it: be generous.
        May be called twice.
        """
        deadline = time.monotonic() + timeout
        orphans_told = False
        if self.running():
            _signal(self.pid, signal.SIGTERM)
        while left := self._left():
            if time.monotonic() > deadline:
                _each(left, psutil.Process.kill)
                break
            if not orphans_told and not self.running():
                _each(left, psutil.Process.terminate)
                orphans_told = True
            time.sleep(_POLL_SECONDS)
        self._process.wait()

    def tail(self, lines: int = _TAIL_LINES) -> str:
        """The last lines of the log, or a remark that there are none."""
        if not self.log.exists():
            return "(no log)"
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:]) or "(the log is empty)"

    def obituary(self) -> str:
        """What to tell a person about this process that ended without being asked to."""
        return f"{self.name} stopped by itself (exit code {self.exit_code}). Its log {self.log} ends:\n{self.tail()}"

    def _left(self) -> list[psutil.Process]:
        """What still runs of the process, its group, and whatever it started in groups of their own."""
        self._process.poll()  # reaps it: as a zombie it would count
        return [process for process in psutil.process_iter() if _belongs(process, self.mark, self.pid)]


def _belongs(process: psutil.Process, mark: str, group: int | None = None) -> bool:
    try:
        # a zombie holds nothing, and who reaps it is init's affair, which containers may lack
        if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
            return False
        return os.getpgid(process.pid) == group or mark in process.environ().get(_MARKS, "")
    except (psutil.Error, OSError):
        return False


def end_leftovers(marks: Sequence[str], timeout: float = 30.0) -> int:
    """End what still runs of children whose starter was killed, as `Child.stop` would; how many processes that were."""
    left = [process for process in psutil.process_iter() for mark in marks if _belongs(process, mark)]
    _each(left, psutil.Process.terminate)
    _, alive = psutil.wait_procs(left, timeout)
    _each(alive, psutil.Process.kill)
    psutil.wait_procs(alive, timeout)
    return len(left)


def start(
    name: str,
    argv: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Child:
    """Start a process in its own session; `env` replaces the environment, None inherits it. Output is appended to log.

    Raises LocalCloudError when the program cannot be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    mark = uuid4().hex
    environment = {**(os.environ if env is None else env), _MARKS: f"{os.environ.get(_MARKS, '')} {mark}".strip()}
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                [str(part) for part in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=cwd,
                start_new_session=True,
            )
    except OSError as error:
        raise LocalCloudError(f"{name} cannot be started: {error}. Run `make setup` and try again.") from error
    return Child(name, process, log, mark)


stop_requested = threading.Event()
"""Set by the signal handlers of our commands. A handler that raised could do so between a process's start and the line
that remembers it, and orphan it; so waiting looks at this instead."""


class StopRequestedError(LocalCloudError):
    """Ctrl-C or SIGTERM came while something was starting."""


@contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal ask to stop, once and in order; asking again does not cut that short."""

    def ask(number: int, frame: FrameType | None) -> None:
        if stop_requested.is_set():
            print("\nStill stopping; storage is being written.", flush=True)
        stop_requested.set()

    stop_requested.clear()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, ask) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        stop_requested.clear()


def wait_until(ready: Callable[[], bool], child: Child, timeout: float) -> None:
    """Return when `ready()` says so; LocalCloudError when `child` dies first or `timeout` seconds pass."""
    deadline = time.monotonic() + timeout
    while not ready():
        if stop_requested.is_set():
            raise StopRequestedError(f"Stopped while {child.name} was starting.")
        if not child.running():
            raise LocalCloudError(child.obituary())
        if time.monotonic() > deadline:
            raise LocalCloudError(
                f"{child.name} was not ready after {timeout:.0f} s. Its log {child.log} ends:\n{child.tail()}"
            )
        time.sleep(_POLL_SECONDS)


def accepts_connections(port: int) -> bool:
    """Whether something listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def port_is_free(port: int) -> bool:
    """Whether this port of 127.0.0.1 can be listened on."""
    with socket.socket() as probe:
        # as servers do: a port whose last connections are in TIME_WAIT is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def port_owner(port: int) -> str | None:
    """Name and id of the process that listens on this port, where the system lets us see it."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return None
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        if listens and connection.pid:
            try:
                return f"{psutil.Process(connection.pid).name()}, process {connection.pid}"
            except psutil.NoSuchProcess:
                return None
    return None


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """That many different free ports."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _signal(group: int, number: signal.Signals) -> None:
    # ProcessLookupError: all gone. PermissionError: macOS answers so for a group of zombies.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _each(processes: Sequence[psutil.Process], end: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            end(process)
