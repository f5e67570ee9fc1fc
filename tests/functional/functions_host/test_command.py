"""The command: exit codes and messages, signals, storage that is down."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from local.functions.launch import FunctionsHost
from local.processes import LocalCloudError, free_port

WriteApp = Callable[..., Path]

ROOT = Path(__file__).parents[3]
HTTP = '@app.route("a", auth_level="anonymous")\ndef a(req: func.HttpRequest) -> str:\n    return "ok"\n'
BLOB = '@app.blob_trigger(arg_name="b", path="in/{name}", connection="AzureWebJobsStorage")\ndef b(b: bytes): ...\n'
SLOW = '@app.route("slow")\ndef slow(req: func.HttpRequest) -> str:\n    time.sleep(1)\n    return "finished"\n'


def run(app: Path, environment: dict[str, str], port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "local.functions", "--app", app, "--port", str(port)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_wrong_app_ends_the_host_with_the_reason(write_app: WriteApp, environment: dict[str, str]) -> None:
    ended = run(write_app("import no_such_module"), environment, free_port())

    assert ended.returncode == 1
    assert "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'" in ended.stderr


def test_a_port_in_use_ends_the_host_with_what_to_do(write_app: WriteApp, environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        ended = run(write_app(HTTP), environment, port)

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith(f"Port {port} is in use. Stop the process that holds it")


def test_launching_a_wrong_app_says_what_its_log_says(
    write_app: WriteApp, environment: dict[str, str], tmp_path: Path
) -> None:
    host = FunctionsHost(
        write_app("raise RuntimeError('because')"),
        port=free_port(),
        environment=environment,
        log=tmp_path / "host.log",
    )

    with pytest.raises(LocalCloudError, match="because"):
        host.start()


def test_storage_that_is_down_stops_neither_the_host_nor_its_end(
    write_app: WriteApp, environment: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "host.log"
    with FunctionsHost(write_app(HTTP + BLOB), port=free_port(), environment=environment, log=log) as host:
        deadline = time.monotonic() + 60
        while log.read_text().count("storage does not answer") < 2:  # the scan and the internal queue
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        with urllib.request.urlopen(f"{host.url}/api/a", timeout=10) as answer:
            assert answer.read() == b"ok"

    assert host.child.exit_code == 0
    assert log.read_text().count("storage does not answer") == 2


def test_ctrl_c_lets_a_running_invocation_finish(
    write_app: WriteApp, environment: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "host.log"
    with FunctionsHost(write_app(SLOW), port=free_port(), environment=environment, log=log) as host:
        caller = subprocess.Popen(
            [sys.executable, "-c", f"import urllib.request as u; print(u.urlopen('{host.url}/api/slow').read())"],
            stdout=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 60
        while "Executing 'slow'" not in log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)

        os.killpg(host.child.pid, signal.SIGINT)

        assert caller.communicate(timeout=60)[0].strip() == "b'finished'"
        while host.child.running():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert host.child.exit_code == 0
