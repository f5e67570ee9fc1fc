"""Microsoft's inference server with a model, by itself: what runs below every deployment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import requests

from local.processes import free_ports
from local.server import Server


class InferenceServer(Server):
    """The server that this Python's environment has, on a free port.

    Args:
        script: the entry script.
        model_dir: the folder that holds the model's files.
        environment: what the script is told, over our own environment.
    """

    name = "azmlinfsrv"
    start_seconds = 60.0
    stop_seconds = 20.0

    def __init__(
        self, python: Path, script: Path, model_dir: Path, environment: Mapping[str, str], *, workers: int, log: Path
    ) -> None:
        super().__init__(log)
        self._python, self._script, self._model_dir, self._workers = python, script, model_dir, workers
        self._variables = {**os.environ, **environment}
        self._port, self._health_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self._port}"

    def _command(self) -> list[str | Path]:
        command: list[str | Path] = [self._python.parent / "azmlinfsrv", "--entry_script", self._script]
        command += ["--model_dir", self._model_dir, "--worker_count", str(self._workers)]
        return [*command, "--port", str(self._port), "--health_port", str(self._health_port)]

    def _environment(self) -> Mapping[str, str]:
        return self._variables

    def _folder(self) -> Path:
        return self._model_dir  # not this checkout, whose modules would shadow those beside the script

    def _answers(self) -> bool:
        try:
            return requests.get(self.url, timeout=5).ok
        except requests.RequestException:  # refused, or accepted by a worker that is still starting
            return False
