"""Children are stopped with all they started, and a dead one is reported with its last words."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest

from local.processes import LocalCloudError, accepts_connections, free_port, free_ports, port_is_free, start, wait_until

_WITH_GRANDCHILD = """
import subprocess, sys, time, pathlib
child = subprocess.Popen([sys.executable, "-c", {grandchild!r}])
pathlib.Path({pidfile!r}).write_text(str(child.pid))
time.sleep(600)
"""
_SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
_STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)


def test_stop_ends_grandchildren_too_even_those_that_ignore_sigterm(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    child = start(
        "family",
        [sys.executable, "-c", _WITH_GRANDCHILD.format(grandchild=_STUBBORN, pidfile=str(pidfile))],
        log=tmp_path / "family.log",
    )
    wait_until(lambda: "up" in child.tail(), child, 20)
    grandchild = psutil.Process(int(pidfile.read_text()))

    child.stop(timeout=0.5)

    assert not child.running()
    deadline = time.monotonic() + 10
    while grandchild.is_running() and grandchild.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the grandchild outlived its group"
        time.sleep(0.02)
    child.stop()  # a second stop is harmless


def test_what_a_killed_child_left_in_a_group_of_its_own_is_ended_too(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    program = _WITH_GRANDCHILD.replace("{grandchild!r}])", "{grandchild!r}], start_new_session=True)")
    child = start(
        "family",
        [sys.executable, "-c", program.format(grandchild=_SLEEPER, pidfile=str(pidfile))],
        log=tmp_path / "family.log",
        env={"PATH": "/usr/bin:/bin"},
    )
    wait_until(lambda: "up" in child.tail(), child, 20)
    grandchild = psutil.Process(int(pidfile.read_text()))

    os.kill(child.pid, signal.SIGKILL)
    child.stop()

    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE


def test_a_child_that_dies_while_we_wait_is_reported_with_its_log(tmp_path: Path) -> None:
    child = start("worker", [sys.executable, "-c", "print('disk on fire'); exit(3)"], log=tmp_path / "worker.log")

    with pytest.raises(LocalCloudError) as caught:
        wait_until(lambda: False, child, 20)

    message = str(caught.value)
    assert "worker stopped by itself (exit code 3)" in message
    assert "disk on fire" in message
    assert str(tmp_path / "worker.log") in message


def test_a_child_that_never_gets_ready_runs_into_the_deadline(tmp_path: Path) -> None:
    child = start("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"], log=tmp_path / "s.log")
    try:
        with pytest.raises(LocalCloudError, match="sleeper was not ready after 0 s"):
            wait_until(lambda: False, child, 0.1)
    finally:
        child.stop()


def test_a_program_that_is_not_there_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LocalCloudError, match="make setup"):
        start("ghost", [tmp_path / "no-such-program"], log=tmp_path / "ghost.log")


def test_ports_in_use_are_seen() -> None:
    port = free_port()
    assert port_is_free(port)
    with socket.create_server(("127.0.0.1", port)):
        assert not port_is_free(port)
        assert accepts_connections(port)
    assert len(set(free_ports(5))) == 5
