"""The real inference server, started as a deployment starts it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from local.inference import InferenceServer


def stream(table: pa.Table) -> bytes:
    """The table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@contextmanager
def served(python: Path, snapshot: Path, folder: Path, workers: int, **environment: str) -> Iterator[str]:
    """The address of a server of the model below `folder/model_dir`."""
    names = {"DROPSCORE_MODEL_NAME": "iforest_gas", "DROPSCORE_MODEL_VERSION": "3", **environment}
    script, log = snapshot / "aml/score.py", folder / "log"
    with InferenceServer(python, script, folder / "model_dir", names, workers=workers, log=log) as server:
        yield server.url
