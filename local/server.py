"""What the servers of the local cloud have in common: a child process, ready when it answers, ended by SIGTERM."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from local.installing import ROOT
from local.processes import Child, LocalCloudError, start, wait_until


class Server(ABC):
    """A server in a process of its own, as a context manager; what it prints goes to `log`."""

    name: ClassVar[str]
    start_seconds: ClassVar[float]
    stop_seconds: ClassVar[float]

    def __init__(self, log: Path) -> None:
        self._log = log
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        """The process; LocalCloudError before it was started."""
        if self._child is None:
            raise LocalCloudError(f"{self.name} has not been started.")
        return self._child

    def start(self) -> None:
        """Start it and wait until it answers. LocalCloudError says what is missing, or how its log ends."""
        self._child = start(self.name, self._command(), log=self._log, env=self._environment(), cwd=self._folder())
        try:
            wait_until(self._answers, self._child, self.start_seconds)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it by SIGTERM, with all it started; nothing where it was never started."""
        if self._child is not None:
            self._child.stop(self.stop_seconds)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @abstractmethod
    def _command(self) -> Sequence[str | Path]:
        """Program and arguments; LocalCloudError says what is missing."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it can be used."""

    def _environment(self) -> Mapping[str, str] | None:
        """The whole environment of the process; None: ours."""
        return None

    def _folder(self) -> Path:
        """Where the process starts."""
        return ROOT
