"""Measures files of several sizes through the whole stack, and the two simpler ways beside each, in one run.

The machine may be noisy: what counts are the ratios within a run. Every way scores the same file with the same model on
the same machine; the stack's time runs from the drop of the file, seen by the host, to the end of its run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from azure.storage.blob import BlobServiceClient

from benchmarks import model
from local.cloud import LocalCloud
from local.environments import ensure_environment
from local.installing import ENVIRONMENTS, ROOT
from local.ports import Ports
from local.sample_data import hourly_gas, plain_csv

_SIZES = (10_000, 100_000, 1_000_000)
_POLL_SECONDS = 0.05
_DEADLINE_SECONDS = 900
_TRAINING_DAYS = 365
_SEED = 7


@dataclass
class Figures:
    """One way with one file: seconds, peak memory in bytes, and the file it wrote; a note where it gave up."""

    seconds: float
    peak_bytes: int
    output: Path
    note: str = ""


class Stack:
    """The running local cloud with a trained model."""

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud
        self._blobs = BlobServiceClient.from_connection_string(cloud.connection_string)

    def train(self, folder: Path) -> Path:
        """Drops a dataset, waits until its model is live, and fetches the bundle."""
        start = datetime(2024, 1, 1)  # noqa: DTZ001 - gas meters write local wall-clock time
        text = plain_csv(hourly_gas(start, _TRAINING_DAYS, _SEED))
        self._blobs.get_blob_client("datasets", "gas/bench.csv").upload_blob(text.encode())
        run = self._follow("datasets/gas/bench.csv", "live")
        bundle = folder / "bundle.joblib"
        client = self._blobs.get_blob_client("training", f"gas/{run['id']}/model/bundle.joblib")
        bundle.write_bytes(client.download_blob().readall())
        return bundle

    def scoring_url(self) -> str:
        """Where the live deployment answers."""
        data = self._blobs.get_blob_client("state", "live/gas.json").download_blob().readall()
        return str(json.loads(data)["scoring_uri"])

    def score(self, source: Path, name: str, output: Path) -> Figures:
        """Drops the file and waits for the end of its run."""
        with source.open("rb") as file:
            self._blobs.get_blob_client("incoming", f"gas/{name}").upload_blob(file)
        with peak_memory(self._cloud.functions.pid) as peak:
            run = self._follow(f"incoming/gas/{name}", "completed")
        times = [datetime.fromisoformat(step["at"]) for step in run["history"]]
        result = self._blobs.get_blob_client("results", f"gas/{name.removesuffix('.csv')}_scored.csv")
        with output.open("wb") as file:
            result.download_blob().readinto(file)
        return Figures((times[-1] - times[0]).total_seconds(), peak[0], output)

    def _follow(self, blob: str, wanted: str) -> dict[str, Any]:
        container = self._blobs.get_container_client("runs")
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while time.monotonic() < deadline:
            for name in container.list_blob_names(name_starts_with="gas/"):
                run: dict[str, Any] = json.loads(container.download_blob(name).readall())
                if run["blob"] == blob and run["state"] == wanted:
                    return run
                if run["blob"] == blob and run["state"] in ("failed", "invalid", "rejected", "superseded"):
                    raise SystemExit(f"{blob} ended {run['state']}: {run.get('error') or run.get('verdict')}")
            time.sleep(_POLL_SECONDS)
        raise SystemExit(f"{blob} did not become {wanted} within {_DEADLINE_SECONDS} s")


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


def run_script(python: Path, module: str, arguments: list[str], environment: dict[str, str], output: Path) -> Figures:
    """Runs one of the simpler ways as a process of its own."""
    command = [str(python), "-m", module, *arguments, str(output)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Figures(0.0, 0, output, f"failed: {last}")
    figures = json.loads(done.stdout.splitlines()[-1])
    note = "" if figures.get("status", 200) == 200 else f"the endpoint answered {figures['status']}"
    return Figures(figures["seconds"], figures["peak_bytes"], output, note)


def write_input(path: Path, rows: int) -> None:
    """A file of hourly readings after the training set; the year's pattern is repeated as often as it takes."""
    start = datetime(2025, 1, 1)  # noqa: DTZ001 - as above
    text = plain_csv(hourly_gas(start, -(-rows // 24), _SEED + 1))
    path.write_text("".join(text.splitlines(keepends=True)[: rows + 1]), encoding="utf-8")


def differing_scores(left: Path, right: Path) -> int:
    """How many rows of two scored files of the same table have different anomaly scores.

    Only the stack knows the hours before the file's first row; the other ways score its first 23 rows without them.
    """
    return sum(one != other for one, other in zip(_scores(left), _scores(right), strict=True))


def _scores(path: Path) -> list[float]:
    lines = path.read_text(encoding="utf-8").splitlines()
    column = lines[0].split(";").index("anomaly_score")
    return [float(line.split(";")[column]) for line in lines[1:]]


def measure(sizes: list[int], repeats: int) -> list[dict[str, Any]]:
    """One entry per size: the median figures of each way."""
    python = ensure_environment((ROOT / "aml/env/conda.yml").read_text(encoding="utf-8"), ENVIRONMENTS)
    results = []
    with tempfile.TemporaryDirectory(prefix="dropscore-bench-") as name:
        folder = Path(name)
        with LocalCloud(folder / "cloud", Ports.free(), scan_interval=1.0) as cloud:
            stack = Stack(cloud)
            bundle, url = stack.train(folder), stack.scoring_url()
            for rows in sizes:
                source = folder / f"in_{rows}.csv"
                write_input(source, rows)
                ways: dict[str, list[Figures]] = {"stack": [], "plain": [], "earlier": []}
                for turn in range(repeats):
                    out = folder / f"{rows}_{turn}"
                    ways["plain"].append(
                        run_script(
                            python,
                            "benchmarks.plain",
                            [str(bundle), str(source)],
                            dict(os.environ),
                            out.with_suffix(".plain"),
                        )
                    )
                    ways["stack"].append(stack.score(source, f"bench_{rows}_{turn}.csv", out.with_suffix(".stack")))
                    ways["earlier"].append(
                        run_script(
                            Path(sys.executable),
                            "benchmarks.earlier",
                            [url, str(source)],
                            cloud.environment,
                            out.with_suffix(".earlier"),
                        )
                    )
                    print(f"{rows:>9,} rows, turn {turn + 1}: " + ", ".join(_told(ways)), file=sys.stderr, flush=True)
                results.append(_summary(rows, ways))
    return results


def _told(ways: dict[str, list[Figures]]) -> list[str]:
    return [f"{name} {figures[-1].note or f'{figures[-1].seconds:.2f} s'}" for name, figures in ways.items()]


def _summary(rows: int, ways: dict[str, list[Figures]]) -> dict[str, Any]:
    entry: dict[str, Any] = {"rows": rows}
    for name, figures in ways.items():
        good = [each for each in figures if not each.note]
        if not good:
            entry[name] = {"note": figures[-1].note}
            continue
        seconds = median(each.seconds for each in good)
        entry[name] = {
            "seconds": round(seconds, 3),
            "rows_per_second": round(rows / seconds),
            "peak_mb": round(max(each.peak_bytes for each in good) / 1e6),
            "rows_scored_otherwise": differing_scores(good[-1].output, ways["stack"][-1].output),
        }
    for other in ("plain", "earlier"):
        if "seconds" in entry[other]:
            entry[f"stack/{other}"] = round(entry["stack"]["seconds"] / entry[other]["seconds"], 2)
    return entry


def report(results: list[dict[str, Any]]) -> str:
    """The figures as the Markdown that docs/benchmarks.md shows."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit or 'unknown'}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}; `make bench`.",
        "",
        "| rows | way | seconds | rows/s | peak MB | stack's time / this | rows scored otherwise |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    for entry in results:
        for way in ("stack", "plain", "earlier"):
            figures = entry[way]
            if "note" in figures:
                lines.append(f"| {entry['rows']:,} | {way} | - | - | - | - | {figures['note']} |")
                continue
            ratio = entry.get(f"stack/{way}", 1.0)
            lines.append(
                f"| {entry['rows']:,} | {way} | {figures['seconds']:.2f} | {figures['rows_per_second']:,} "
                f"| {figures['peak_mb']:,} | {ratio:.2f} | {figures['rows_scored_otherwise']} |"
            )
    return "\n".join(lines)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=list(_SIZES), help="sizes of the files")
    parser.add_argument("--repeats", type=int, default=3, help="turns per size; the median is reported")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    results = measure(options.rows, options.repeats)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(report(results))
    print("\n" + model.measure())
    return 0


if __name__ == "__main__":
    sys.exit(main())
