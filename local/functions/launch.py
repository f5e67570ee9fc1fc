"""Starting the Functions host from Python: for `make up` and for tests."""

from __future__ import annotations

import http.client
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from local.server import Server


class FunctionsHost(Server):
    """A host; `environment` is the whole environment of its process."""

    name = "Functions host"
    start_seconds = 60.0
    # More than the host's own grace period, in which running invocations may finish.
    stop_seconds = 40.0

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
        super().__init__(log)
        self.url = f"http://localhost:{port}"
        self._address = f"http://127.0.0.1:{port}"
        self._app, self._port, self._variables = app, port, environment
        self._options = ("--scan-interval", str(scan_interval), *options)

    def _command(self) -> list[str]:
        arguments = ("--app", str(self._app.resolve()), "--port", str(self._port), *self._options)
        return [sys.executable, "-m", "local.functions", *arguments]

    def _environment(self) -> Mapping[str, str]:
        return self._variables

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._address}/admin/host/status", timeout=5) as answer:
                document = json.load(answer)
        except (urllib.error.URLError, http.client.HTTPException, OSError):
            return False
        return bool(document["state"] == "Running")
