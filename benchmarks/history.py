"""What the context of a daily file costs with a month of daily files behind it, on Azurite and without a model.

``python -m benchmarks.history METERS DAYS`` makes so many daily files known, each of so many meters, and prints what
the next one takes: in the process that knew those before it, in a new one (twice), and where it is late by two weeks.
CPU seconds are those of this process alone; a busy machine does not change them much.
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from azure.storage.blob import BlobServiceClient

from aml.contract import load_contract
from benchmarks.calls import counted
from local.azurite import Azurite
from local.processes import free_ports
from shared.naming import STATE
from shared.scoring.context import row_schema
from shared.scoring.history import History, Place
from shared.storage import AzureBlobStore

_CONTRACT = load_contract("gas").model_copy(update={"context_rows": 696})
_START = datetime.fromisoformat("2025-01-01")
_HOURS = 24


def daily(meters: int, day: int) -> tuple[pa.Table, Place]:
    """The rows of a day by meter and hour, and where they stand in time."""
    first = _START + timedelta(days=day)
    names = [None] if meters == 1 else [f"meter {number:05d}" for number in range(meters)]
    times = np.array([first + timedelta(hours=hour) for hour in range(_HOURS)], "datetime64[us]")
    values = np.random.default_rng(day).gamma(20, 1.0, _HOURS * meters)
    series = pa.array([name for name in names for _ in range(_HOURS)], pa.string())
    rows = pa.table([pa.array(np.tile(times, meters)), pa.array(values), series], schema=row_schema(_CONTRACT))
    last = first + timedelta(hours=_HOURS - 1)
    return rows, Place(f"incoming/gas/{day}.csv", first, last, dict.fromkeys(names, first))


def known(history: History, meters: int, day: int, run: str) -> tuple[int, int]:
    """Makes the file of a day known; how many rows its context has, and how many files it marks."""
    rows, place = daily(meters, day)
    before = history.before(_CONTRACT, place)
    return before.num_rows, len(history.remember(_CONTRACT, place.source, run, rows, place, before))


def measured(label: str, history: History, meters: int, day: int, run: str) -> None:
    """Prints what it takes to make the file of a day known."""
    with counted() as sent:
        began, cpu = time.perf_counter(), time.process_time()
        rows, marks = known(history, meters, day, run)
        cpu, seconds = time.process_time() - cpu, time.perf_counter() - began
        print(f"| {label} | {rows:,} | {marks} | {len(sent)} | {cpu:.3f} | {seconds:.3f} |", flush=True)


def main(meters: int, days: int) -> None:
    """Prints the table."""
    blob, queue, table = free_ports(3)
    with tempfile.TemporaryDirectory(prefix="dropscore-bench-") as folder:
        data, log = Path(folder) / "data", Path(folder) / "azurite.log"
        with Azurite(data, blob_port=blob, queue_port=queue, table_port=table, log=log) as azurite:
            service = BlobServiceClient.from_connection_string(azurite.connection_string)
            blobs = AzureBlobStore(service)
            blobs.ensure_containers([STATE])
            history, late = History(blobs), days - 15
            for day in range(days):
                if day != late:
                    known(history, meters, day, f"{day:05d}")
            print("| file | context rows | files marked | requests | CPU seconds | seconds |")
            print("|---|---:|---:|---:|---:|---:|")
            measured("the next one", history, meters, days, f"{days:05d}")
            for more, label in ((1, "the first of a new process"), (2, "the first of another new process")):
                measured(label, History(blobs), meters, days + more, f"{days + more:05d}")
            measured("a late one", history, meters, late, f"{days + 9:05d}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
