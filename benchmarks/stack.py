"""The whole local cloud as something that is measured: seconds of a run, CPU by part, memory of one process."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from azure.storage.blob import BlobServiceClient

from local.cloud import LocalCloud
from local.sample_data import hourly_gas, plain_csv

_POLL_SECONDS = 0.2
"""Looking costs the storage emulator time; a run's own times tell how long it took."""
_DEADLINE_SECONDS = 1800
_TRAINING_DAYS = 365
_SEED = 7
_BAD_ENDS = ("failed", "invalid", "rejected", "superseded")


@dataclass
class Figures:
    """One way with one file: seconds, peak memory in bytes, and the file it wrote; a note where it gave up.

    `cpu`: seconds of CPU by part of the stack.
    """

    seconds: float
    peak_bytes: int
    output: Path
    note: str = ""
    cpu: dict[str, float] = field(default_factory=dict)


class Stack:
    """The running local cloud, and the dataset whose files are measured on it."""

    def __init__(self, cloud: LocalCloud, dataset: str = "gas") -> None:
        self._cloud = cloud
        self._dataset = dataset
        self._blobs = BlobServiceClient.from_connection_string(cloud.connection_string)

    def train(self, folder: Path, content: bytes | None = None) -> Path:
        """Drops a dataset, by default a year of gas, waits until its model is live, and fetches the bundle."""
        if content is None:
            start = datetime(2024, 1, 1)  # noqa: DTZ001 - gas meters write local wall-clock time
            content = plain_csv(hourly_gas(start, _TRAINING_DAYS, _SEED)).encode()
        name = f"{self._dataset}/bench.csv"
        self._blobs.get_blob_client("datasets", name).upload_blob(content)
        run = self._follow(f"datasets/{name}", "live")
        training = self._blobs.get_container_client("training")
        left = training.list_blob_names(name_starts_with=f"{self._dataset}/{run['id']}/model/")
        (saved,) = (blob for blob in left if blob.endswith(".joblib"))
        bundle = folder / "bundle.joblib"
        bundle.write_bytes(training.download_blob(saved).readall())
        return bundle

    def score(self, source: Path, name: str, output: Path | None = None) -> Figures:
        """Drops the file and waits for the end of its run."""
        with source.open("rb") as file:
            self._blobs.get_blob_client("incoming", f"{self._dataset}/{name}").upload_blob(file)
        before = self._cpu()
        with peak_memory(self._cloud.functions.pid) as peak:
            run = self._follow(f"incoming/{self._dataset}/{name}", "completed")
        cpu = {part: spent - before[part] for part, spent in self._cpu().items()}
        times = [datetime.fromisoformat(step["at"]) for step in run["history"]]
        if output is not None:
            result = self._blobs.get_blob_client("results", f"{self._dataset}/{name.removesuffix('.csv')}_scored.csv")
            with output.open("wb") as file:
                result.download_blob().readinto(file)
        seconds = (times[-1] - times[0]).total_seconds()
        return Figures(seconds, peak[0], output or source, cpu=cpu)

    def scored(self, source: Path, name: str) -> dict[str, Any]:
        """Drops the file, whoever may score it; the record of its run once it is completed."""
        with source.open("rb") as file:
            self._blobs.get_blob_client("incoming", f"{self._dataset}/{name}").upload_blob(file)
        return self._follow(f"incoming/{self._dataset}/{name}", "completed")

    def result(self, name: str) -> str:
        """The SHA-256 of a result."""
        content: bytes = self._blobs.get_blob_client("results", f"{self._dataset}/{name}").download_blob().readall()
        return hashlib.sha256(content).hexdigest()

    def _cpu(self) -> dict[str, float]:
        """Seconds of CPU so far: of each process of the cloud, and of the inference workers under the emulator."""
        found: dict[str, float] = defaultdict(float)
        for child in self._cloud.children:
            process = psutil.Process(child.pid)
            found[child.name] += _seconds(process)
            for below in process.children(recursive=True):
                with suppress(psutil.Error):  # it ended a moment ago
                    found["inference"] += _seconds(below)
        return found

    def _follow(self, blob: str, wanted: str) -> dict[str, Any]:
        container = self._blobs.get_container_client("runs")
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while time.monotonic() < deadline:
            for info in container.list_blobs(name_starts_with=f"{self._dataset}/", include=["metadata"]):
                known = info.metadata or {}
                if known.get("blob") != blob or known.get("state") not in (wanted, *_BAD_ENDS):
                    continue
                run: dict[str, Any] = json.loads(container.download_blob(info.name).readall())
                if run["state"] == wanted:
                    return run
                raise SystemExit(f"{blob} ended {run['state']}: {run.get('error') or run.get('verdict')}")
            time.sleep(_POLL_SECONDS)
        raise SystemExit(f"{blob} did not become {wanted} within {_DEADLINE_SECONDS} s")


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def peak_memory(pid: int) -> Iterator[list[int]]:
    """The greatest resident memory of a process while the context lasts, in bytes, as a list of one."""
    process, peak, stop = psutil.Process(pid), [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            peak[0] = max(peak[0], process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def write_input(path: Path, rows: int, first: int = 0) -> Path:
    """A file of hourly readings after the training set, from the reading numbered `first` on; one year's volumes are
    repeated as often as it takes."""
    start = datetime(2025, 1, 1)  # noqa: DTZ001 - as above
    volumes = [f"{reading.volume:.2f}" for reading in hourly_gas(start, _TRAINING_DAYS, _SEED + 1)]
    with path.open("w", encoding="utf-8") as file:
        file.write("FechaHora,VolCorrected\n")
        for at in range(first, first + rows):
            file.write(f"{start + timedelta(hours=at):%Y-%m-%d %H:%M:%S},{volumes[at % len(volumes)]}\n")
    return path
