"""Starting the Functions host from Python: for `make up` and for tests."""

from __future__ import annotations

import http.client
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from local.processes import Child, start, wait_until

_ROOT = Path(__file__).parents[2]
_START_SECONDS = 60.0
# More than the host's own grace period, in which running invocations may finish.
_STOP_SECONDS = 40.0


class FunctionsHost:
    """A host in a process of its own, ready when the `with` block begins and stopped in good order when it ends.

    `environment` is the whole environment of the process; `log` gets what it prints. Raises LocalCloudError when the
    host does not come up, with the end of that log.
    """

    def __init__(
        self,
        app: Path,
        *,
        port: int,
        environment: Mapping[str, str],
        log: Path,
        scan_interval: float = 2.0,
        options: tuple[str, ...] = (),
    ) -> None:
        self.url = f"http://localhost:{port}"
        self._address = f"http://127.0.0.1:{port}"
        self._app, self._port, self._environment, self._log = app, port, environment, log
        self._options = ("--scan-interval", str(scan_interval), *options)
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        """The process; there is one between `__enter__` and the end."""
        if self._child is None:
            raise RuntimeError("the Functions host is not started")
        return self._child

    def start(self) -> None:
        """Start the process and wait until it says that it is running."""
        arguments = ("--app", str(self._app.resolve()), "--port", str(self._port), *self._options)
        self._child = start(
            "Functions host",
            [sys.executable, "-m", "local.functions", *arguments],
            log=self._log,
            env=self._environment,
            cwd=_ROOT,
        )
        try:
            wait_until(self._ready, self._child, _START_SECONDS)
        except BaseException:
            self._child.stop()
            raise

    def stop(self) -> None:
        """Stop it as Ctrl-C would."""
        self.child.stop(_STOP_SECONDS)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._address}/admin/host/status", timeout=5) as answer:
                document = json.load(answer)
        except (urllib.error.URLError, http.client.HTTPException, OSError):
            return False
        return bool(document["state"] == "Running")
