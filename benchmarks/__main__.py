"""Measures files of several sizes through the whole stack, and the two simpler ways beside each, in one run.

The machine may be noisy: what counts are the ratios within a run. Every way scores the same file with the same model on
the same machine; the stack's time runs from the first state of a run to its last.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import model, report, tables
from benchmarks.scripts import run, run_script
from benchmarks.stack import Figures, Stack, write_input
from local.cloud import LocalCloud
from local.environments import ensure_environment
from local.installing import ENVIRONMENTS, ROOT
from local.ports import Ports

_SIZES = (10_000, 100_000, 1_000_000)
_LARGE = (1_000_000, 10_000_000)
_DAY, _DAYS = 24, 9


class Bench:
    """A local cloud with a trained model, brought up as often as it takes: a new process has retrained nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = ensure_environment((ROOT / "aml/env/conda.yml").read_text(encoding="utf-8"), ENVIRONMENTS)
        self.model = folder / "model"
        self.model.mkdir()
        self.bundle = self.model / "bundle.joblib"
        self._ports = Ports.free()

    def trained(self, rows: int) -> Figures:
        """Trains, and scores a file of that many rows in the process that has retrained."""
        with self._cloud() as cloud:
            stack = Stack(cloud)
            stack.train(self.model)
            return stack.score(self.input(rows), "retrained.csv")

    @contextmanager
    def scoring(self) -> Iterator[tuple[LocalCloud, Stack]]:
        """The cloud, its functions process new, once its deployment answers."""
        with self._cloud() as cloud:
            stack = Stack(cloud)
            stack.score(self.input(_DAY), f"ready_{cloud.functions.pid}.csv")
            yield cloud, stack

    def calls(self, sources: list[Path]) -> dict[str, list[float]]:
        """Requests to storage that scoring each of these files takes; see `benchmarks.calls`."""
        with self._cloud(functions=False) as cloud:
            return run(Path(sys.executable), "benchmarks.calls", [str(source) for source in sources], cloud.environment)

    def input(self, rows: int, first: int = 0) -> Path:
        """A file of that many hourly rows."""
        path = self.folder / f"in_{rows}_{first}.csv"
        return path if path.exists() else write_input(path, rows, first)

    def _cloud(self, *, functions: bool = True) -> LocalCloud:
        return LocalCloud(self.folder / "cloud", self._ports, functions=functions, scan_interval=1.0)


def differing_scores(left: Path, right: Path) -> int:
    """How many rows of two scored files of the same table have different anomaly scores.

    Only the stack knows the hours before the file's first row; the other ways score its first 23 rows without them.
    """
    return sum(one != other for one, other in zip(_scores(left), _scores(right), strict=True))


def _scores(path: Path) -> list[float]:
    lines = path.read_text(encoding="utf-8").splitlines()
    column = lines[0].split(";").index("anomaly_score")
    return [float(line.split(";")[column]) for line in lines[1:]]


def compare(bench: Bench, cloud: LocalCloud, stack: Stack, rows: int, repeats: int) -> dict[str, list[Figures]]:
    """The figures of every way with a file of that many rows, turn by turn."""
    source = bench.input(rows)
    ways: dict[str, list[Figures]] = {name: [] for name in report.WAYS}
    for turn in range(repeats):
        out = bench.folder / f"{rows}_{turn}"
        plain, earlier = out.with_suffix(".plain"), out.with_suffix(".earlier")
        arguments = [str(bench.bundle), str(source)]
        ways["plain"].append(run_script(bench.python, "benchmarks.plain", arguments, dict(os.environ), plain))
        ways["stack"].append(stack.score(source, f"bench_{rows}_{turn}.csv", out.with_suffix(".stack")))
        with model.server(bench.model, model.BY_SCIKIT_LEARN, workers=2) as url:
            asked = [f"{url}/score", str(source)]
            ways["earlier"].append(
                run_script(Path(sys.executable), "benchmarks.earlier", asked, cloud.environment, earlier)
            )
        told = [f"{name} {figures[-1].note or f'{figures[-1].seconds:.2f} s'}" for name, figures in ways.items()]
        print(f"{rows:>9,} rows, turn {turn + 1}: {', '.join(told)}", file=sys.stderr, flush=True)
    return ways


def summary(rows: int, ways: dict[str, list[Figures]]) -> dict[str, Any]:
    """The medians of each way, and the ratios between them."""
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
            entry[f"stack/{other}"] = round(entry["stack"]["seconds"] / entry[other]["seconds"], 3)
    return entry


def share_of_model(bench: Bench, rows: int, stack: list[Figures]) -> dict[str, Any]:
    """The stack's CPU by part (medians), beside that of the model's own evaluation of the same rows."""
    parts = {part: median(each.cpu[part] for each in stack) for part in stack[0].cpu}
    source, cores = str(bench.input(rows)), str(os.cpu_count() or 1)
    alone = [
        run(bench.python, "benchmarks.alone", [str(bench.bundle), source, cores], dict(os.environ)) for _ in range(3)
    ]
    if failed := [each["note"] for each in alone if "note" in each]:
        raise SystemExit(f"benchmarks.alone {failed[0]}")
    return {
        "rows": rows,
        "cpu": parts,
        "alone_cpu": median(each["cpu"] for each in alone),
        "alone_seconds": median(each["seconds"] for each in alone),
    }


def daily(bench: Bench, stack: Stack) -> dict[str, Any]:
    """Daily files of one series, each dropped after the one before it was scored."""
    figures = [stack.score(bench.input(_DAY, _DAY * day), f"day_{day}.csv") for day in range(1, _DAYS + 1)]
    return {"seconds": median(each.seconds for each in figures)}


def measure(sizes: list[int], repeats: int) -> dict[str, Any]:
    """All that `make bench` shows."""
    with tempfile.TemporaryDirectory(prefix="dropscore-bench-") as name:
        bench = Bench(Path(name))
        retrained = bench.trained(sizes[-1])
        results: dict[str, Any] = {"retrained_mb": round(retrained.peak_bytes / 1e6), "sizes": []}
        with bench.scoring() as (cloud, stack):
            results["daily"] = daily(bench, stack)
            for rows in sizes:
                ways = compare(bench, cloud, stack, rows, repeats)
                results["sizes"].append(summary(rows, ways))
        results["share"] = share_of_model(bench, sizes[-1], ways["stack"])
        counted = bench.calls([bench.input(_DAY, _DAY * day) for day in range(1, _DAYS + 1)])
        results["daily"]["requests"] = median(counted["requests"])
        return results


def measure_growth(sizes: list[int], repeats: int) -> list[dict[str, Any]]:
    """All that `make bench-large` shows: the stack alone, a new functions process for each size."""
    entries = []
    with tempfile.TemporaryDirectory(prefix="dropscore-bench-") as name:
        bench = Bench(Path(name))
        bench.trained(_DAY)
        for rows in sizes:
            with bench.scoring() as (_, stack):
                figures = [stack.score(bench.input(rows), f"large_{rows}_{turn}.csv") for turn in range(repeats)]
            told = ", ".join(f"{each.seconds:.2f} s" for each in figures)
            print(f"{rows:>10,} rows: {told}", file=sys.stderr, flush=True)
            peak = max(each.peak_bytes for each in figures)
            seconds = median(each.seconds for each in figures)
            entries.append({"rows": rows, "seconds": seconds, "peak_mb": round(peak / 1e6)})
    return entries


def _gas(found: dict[str, Any]) -> list[str]:
    seconds, requests = found["daily"]["seconds"], found["daily"]["requests"]
    about_daily = f"A daily file of {_DAY} rows: {seconds:.3f} s, {requests:.0f} requests to storage (medians)."
    goals = report.of_comparison(found["sizes"][-1], found["share"], found["daily"], found["retrained_mb"])
    return [report.ways(found["sizes"]), about_daily, report.outside(found["share"]), goals, model.measure()]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", help="sizes of the files, ascending")
    parser.add_argument("--repeats", type=int, default=3, help="turns per size; the median is reported")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--dataset", choices=("gas", "crimes"), help="this part of it alone")
    parser.add_argument("--large", action="store_true", help="the stack alone with files of up to 10,000,000 rows")
    options = parser.parse_args()
    found: Any
    if options.large:
        found = measure_growth(options.rows or list(_LARGE), options.repeats)
        parts = [report.heading("make bench-large"), report.growth(found), report.of_growth(found)]
    else:
        found, parts = {}, [report.heading("make bench")]
        if options.dataset != "crimes":
            found = measure(options.rows or list(_SIZES), options.repeats)
            parts += _gas(found)
        if options.dataset != "gas":
            found["crimes"] = tables.measure(options.rows or [_SIZES[-1]], options.repeats)
            parts.append(report.tables(found["crimes"]))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    print("\n\n".join(parts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
