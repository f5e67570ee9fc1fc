"""The seam to Azure ML by a process of its own, which is there only while it is needed.

azure-ai-ml stays in the memory of whoever has imported it once. So the adapter lives in a child, which the first call
starts and which ends when no call has come for a while: see `shared.retraining.child`. Every call of the protocol may
be repeated, so a child that is lost in the middle of one costs that call and nothing else.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from inspect import signature
from subprocess import PIPE, Popen
from typing import IO, Concatenate, ParamSpec, Protocol, TypeVar, cast

from shared import processes
from shared.errors import WorkspaceUnavailableError
from shared.retraining.calls import read_answer, write_call
from shared.retraining.workspace import (
    UNAVAILABLE,
    DataAsset,
    Deployment,
    Endpoint,
    JobStatus,
    ModelVersion,
    TrainingJob,
    Workspace,
)

IDLE_SECONDS = 90.0
"""How long the child is kept without a call: longer than the minute from one look at open runs to the next."""
CALL_SECONDS = 240.0
"""How long one call may take. The longest uploads the code, which is some KB; the SDK tries again by itself."""
_GRACE_SECONDS = 5.0

_P = ParamSpec("_P")
_R = TypeVar("_R")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_log = logging.getLogger(__name__)


class _LostError(Exception):
    """What became of the child, in words."""


class Wake(Protocol):
    """A call that comes later, unless it is cancelled."""

    def cancel(self) -> None:
        """It does not come."""


def _later(seconds: float, function: Callable[[], None]) -> Wake:
    timer = threading.Timer(seconds, function)
    timer.daemon = True
    timer.start()
    return timer


def _child() -> Popen[bytes]:
    return processes.start("shared.retraining.child", stdin=PIPE, stderr=PIPE)


class RemoteWorkspace:
    """`Workspace` by a child process; may be called by several threads, whose calls are answered one after the other.

    Args:
        start: starts a child, with pipes.
        later: has a function called after so many seconds.
    """

    def __init__(
        self,
        start: Callable[[], Popen[bytes]] = _child,
        later: Callable[[float, Callable[[], None]], Wake] = _later,
        call_seconds: float = CALL_SECONDS,
    ) -> None:
        self._start = start
        self._later = later
        self._call_seconds = call_seconds
        self._lock = threading.Lock()
        self._process: Popen[bytes] | None = None
        self._wake: Wake | None = None
        self._calls = 0

    @property
    def pid(self) -> int | None:
        """The child's process id; None while there is none."""
        process = self._process
        return None if process is None else process.pid

    def close(self) -> None:
        """Ends the child, if there is one; the next call starts another."""
        with self._lock:
            self._end()

    def register_data(self, asset: DataAsset, tags: Mapping[str, str]) -> DataAsset:
        return self._ask(Workspace.register_data, asset, tags)

    def start_training(self, job: TrainingJob) -> None:
        self._ask(Workspace.start_training, job)

    def job(self, name: str) -> JobStatus | None:
        return self._ask(Workspace.job, name)

    def register(self, model: str, job: str, run: str, tags: Mapping[str, str]) -> str:
        return self._ask(Workspace.register, model, job, run, tags)

    def models(self, model: str) -> Sequence[ModelVersion]:
        return self._ask(Workspace.models, model)

    def endpoint(self, name: str) -> Endpoint | None:
        return self._ask(Workspace.endpoint, name)

    def start_endpoint(self, name: str, dataset: str) -> None:
        self._ask(Workspace.start_endpoint, name, dataset)

    def deployment(self, endpoint: str, name: str) -> Deployment | None:
        return self._ask(Workspace.deployment, endpoint, name)

    def start_deployment(self, endpoint: str, name: str, model: ModelVersion, run: str) -> None:
        self._ask(Workspace.start_deployment, endpoint, name, model, run)

    def start_traffic(self, endpoint: str, shares: Mapping[str, int]) -> None:
        self._ask(Workspace.start_traffic, endpoint, shares)

    def cancel_job(self, name: str) -> None:
        self._ask(Workspace.cancel_job, name)

    def delete_deployment(self, endpoint: str, name: str) -> None:
        self._ask(Workspace.delete_deployment, endpoint, name)

    def archive(self, model: str, version: str) -> None:
        self._ask(Workspace.archive, model, version)

    def _ask(self, method: Callable[Concatenate[Workspace, _P], _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        name = method.__name__
        arguments = signature(method).bind(self, *args, **kwargs).arguments
        line = write_call(name, {each: value for each, value in arguments.items() if each != "self"})
        with self._lock:
            try:
                return cast(_R, read_answer(name, self._exchange(line)))
            except ValueError as error:
                raise self._lost("gave an answer that cannot be read", name) from error
            except _LostError as error:
                raise self._lost(str(error), name) from error
            finally:
                self._rest()

    def _exchange(self, line: bytes) -> bytes:
        """The child's answer, from a new child where there is none or none any more."""
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._process is None:
            try:
                self._process = self._start()
            except OSError as error:
                raise _LostError(f"cannot be started ({error})") from error
            stderr = cast(IO[bytes], self._process.stderr)
            threading.Thread(target=_pass_on, args=(stderr,), daemon=True).start()
        process = self._process
        with processes.ended_after(self._call_seconds, process, grace=_GRACE_SECONDS) as late:
            answer = _answered(process, line)
            status = None if answer.endswith(b"\n") else process.wait()
        if late.is_set():
            raise _LostError(f"did not answer within {self._call_seconds:g} s")
        if status is not None:
            raise _LostError(f"ended with status {status}")
        return answer

    def _lost(self, how: str, call: str) -> WorkspaceUnavailableError:
        self._end()
        return WorkspaceUnavailableError(UNAVAILABLE, f"The process that speaks to Azure ML {how}.", call=call)

    def _rest(self) -> None:
        """Has the child ended unless another call comes soon."""
        if self._wake is not None:
            self._wake.cancel()
        self._calls += 1
        calls = self._calls
        self._wake = self._later(IDLE_SECONDS, lambda: self._end_if_idle(calls)) if self._process else None

    def _end_if_idle(self, calls: int) -> None:
        with self._lock:
            if calls == self._calls:  # else a call came while this waited
                self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            processes.end(process, _GRACE_SECONDS)
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # what it did not read any more
                    cast(IO[bytes], pipe).close()


def _answered(process: Popen[bytes], line: bytes) -> bytes:
    """A line, or less where the process ends before its end."""
    stdin, stdout = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
    try:
        stdin.write(line)
        stdin.flush()
    except OSError:
        return b""
    return stdout.readline()


def _pass_on(stderr: IO[bytes]) -> None:
    """What the child has to say goes through the app's own log, which takes out secrets.

    The child's log lines begin with their level; what else there is a library printed.
    """
    levels = logging.getLevelNamesMapping()
    with stderr:
        for line in stderr:
            text = _COLOUR.sub("", line.decode(errors="replace")).strip()
            if text:
                _log.log(levels.get(text.split()[0], logging.INFO), "the process that speaks to Azure ML: %s", text)
