"""The real inference server, started as a deployment starts it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import requests

from local.processes import free_ports, start, wait_until


def stream(table: pa.Table) -> bytes:
    """The table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@contextmanager
def served(python: Path, snapshot: Path, folder: Path, workers: int, **environment: str) -> Iterator[str]:
    """The address of a server of the model below `folder/model_dir`."""
    port, health_port = free_ports(2)
    command: list[str | Path] = [python.parent / "azmlinfsrv", "--entry_script", snapshot / "aml/score.py"]
    command += ["--model_dir", folder / "model_dir", "--worker_count", str(workers)]
    command += ["--port", str(port), "--health_port", str(health_port)]
    names = {"DROPSCORE_MODEL_NAME": "iforest_gas", "DROPSCORE_MODEL_VERSION": "3", **environment}
    server = start("azmlinfsrv", command, log=folder / "log", env={**os.environ, **names}, cwd=folder)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: _healthy(url), server, timeout=60)
        yield url
    finally:
        server.stop()


def _healthy(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:  # refused, or accepted by a worker that is still starting
        return False
