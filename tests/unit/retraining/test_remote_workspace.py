"""The process that speaks to Azure ML: there while it is needed, lost without harm; here a script in its place."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from shared.errors import WorkspaceUnavailableError
from shared.retraining.remote import IDLE_SECONDS, RemoteWorkspace
from shared.retraining.workspace import JobStatus

ANSWERS = """
import json, os, sys
for line in sys.stdin:
    name = json.loads(line)["arguments"]["name"]
    value = {"progress": "succeeded", "status": str(os.getpid()), "url": name}
    print(json.dumps({"value": value}), flush=True)
"""
HANGS = "import sys, time; sys.stdin.readline(); time.sleep(600)"
HANGS_ON = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {HANGS}"
DIES = "import os, sys; sys.stdin.readline(); os._exit(9)"
BREAKS_OFF = "import os, sys; sys.stdin.readline(); os.write(1, b'{\"value\": '); os._exit(9)"
CHATTERS = "import sys; sys.stdin.readline(); print('Uploading code: 100%', flush=True); sys.stdin.readline()"
TELLS = f"""
import sys
print("WARNING azure.core: throttled", file=sys.stderr)
print("\\x1b[39m", file=sys.stderr)
print("\\x1b[33mCheck: endpoint exists", file=sys.stderr, flush=True)
{ANSWERS}
"""


class Later:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.functions: list[Callable[[], None]] = []
        self.cancelled: list[int] = []

    def __call__(self, seconds: float, function: Callable[[], None]) -> Later._Wake:
        self.seconds.append(seconds)
        self.functions.append(function)
        return Later._Wake(self, len(self.functions) - 1)

    class _Wake:
        def __init__(self, later: Later, at: int) -> None:
            self._later, self._at = later, at

        def cancel(self) -> None:
            self._later.cancelled.append(self._at)


class Children:
    """A workspace whose children run these scripts, one after the other, the last one as often as it takes."""

    def __init__(self, *scripts: str, call_seconds: float = 60.0) -> None:
        self._scripts = list(scripts)
        self.started: list[subprocess.Popen[bytes]] = []
        self.later = Later()
        self.workspace = RemoteWorkspace(self._start, self.later, call_seconds)

    def _start(self) -> subprocess.Popen[bytes]:
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        pipe = subprocess.PIPE
        self.started.append(subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe, stderr=pipe))
        return self.started[-1]

    def living(self) -> list[int]:
        """Process ids."""
        return [each.pid for each in self.started if each.poll() is None]


@contextmanager
def children(*scripts: str, call_seconds: float = 60.0) -> Iterator[Children]:
    made = Children(*scripts, call_seconds=call_seconds)
    try:
        yield made
    finally:
        made.workspace.close()
        assert made.living() == []


def asked(workspace: RemoteWorkspace, name: str = "x") -> int:
    """The process id of the child that answered."""
    job = workspace.job(name)
    assert job is not None
    assert job == JobStatus("succeeded", job.status, name)
    return int(job.status)


def test_the_first_call_starts_a_child_and_the_next_ones_find_it() -> None:
    with children(ANSWERS) as made:
        assert made.workspace.pid is None

        answered = {asked(made.workspace) for _ in range(3)}

        assert answered == {made.workspace.pid} == {made.started[0].pid}


def test_it_ends_when_no_call_has_come_for_a_while_and_the_next_call_starts_another() -> None:
    with children(ANSWERS) as made:
        first = asked(made.workspace)
        made.later.functions[-1]()
        assert (made.living(), made.workspace.pid) == ([], None)

        assert asked(made.workspace) != first
        assert made.later.seconds == [IDLE_SECONDS] * 2
        assert IDLE_SECONDS > 60  # the timer's minute


def test_a_call_that_comes_as_it_would_end_keeps_it() -> None:
    with children(ANSWERS) as made:
        first = asked(made.workspace)
        asked(made.workspace)
        assert made.later.cancelled == [0]

        made.later.functions[0]()  # it was waiting for its turn already

        assert asked(made.workspace) == first


def test_threads_share_one_child_and_each_gets_its_own_answer() -> None:
    with children(ANSWERS) as made:
        answered: list[tuple[str, int]] = []

        def ask(name: str) -> None:
            answered.extend((name, asked(made.workspace, name)) for _ in range(5))  # `asked` compares the name

        threads = [threading.Thread(target=ask, args=(f"job-{at}",)) for at in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(answered) == 20
        assert {pid for _, pid in answered} == {made.started[0].pid}


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (DIES, "ended with status 9"),
        (BREAKS_OFF, "ended with status 9"),
        (CHATTERS, "gave an answer that cannot be read"),
        ("raise SystemExit(7)", "ended with status 7"),
    ],
)
def test_a_child_that_is_lost_costs_one_call(script: str, words: str) -> None:
    with children(script, ANSWERS) as made:
        with pytest.raises(WorkspaceUnavailableError, match=words) as caught:
            made.workspace.job("x")
        assert (caught.value.code, caught.value.where) == ("workspace_unavailable", {"call": "job"})
        assert made.living() == []

        assert asked(made.workspace) == made.started[1].pid


@pytest.mark.parametrize("script", [HANGS, HANGS_ON])
def test_a_child_that_hangs_is_ended(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.retraining.remote._GRACE_SECONDS", 0.2)
    with children(script, call_seconds=0.5) as made:
        with pytest.raises(WorkspaceUnavailableError, match=r"did not answer within 0\.5 s") as caught:
            made.workspace.job("x")

        assert caught.value.code == "workspace_unavailable"
        assert made.living() == []


def test_a_child_that_died_between_two_calls_costs_none() -> None:
    with children(ANSWERS) as made:
        first = asked(made.workspace)
        os.kill(first, signal.SIGKILL)
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)

        assert asked(made.workspace) != first


def test_a_child_that_cannot_be_started_is_a_workspace_out_of_reach() -> None:
    def start() -> subprocess.Popen[bytes]:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with pytest.raises(WorkspaceUnavailableError, match="cannot be started"):
        RemoteWorkspace(start, Later()).job("x")


def test_what_the_child_says_goes_through_the_apps_log(caplog: pytest.LogCaptureFixture) -> None:
    last = threading.Event()

    class Hear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "Check" in record.getMessage():
                last.set()

    logger = logging.getLogger("shared.retraining.remote")
    handler = Hear()
    logger.addHandler(handler)
    try:
        with children(TELLS) as made, caplog.at_level("INFO"):
            asked(made.workspace)
            assert last.wait(60)
    finally:
        logger.removeHandler(handler)

    heard = [(record.levelname, record.getMessage().partition(": ")[2]) for record in caplog.records]
    assert heard == [("WARNING", "WARNING azure.core: throttled"), ("INFO", "Check: endpoint exists")]
