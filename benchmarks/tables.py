"""A classified table through the whole stack beside a plain script, with the same fitted models, in one run.

The rows are made-up crimes (`local.crimes`), both models of `crimes.yml` answer. The app that is measured is a copy of
this one whose contract searches for the tree's parameters less long: what it is fitted with costs scoring nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow.compute as pc
from pyarrow import csv

from aml.contract import load_contract
from benchmarks.scripts import run_script
from benchmarks.stack import Figures, Stack
from local.cloud import LocalCloud
from local.crimes import COLUMNS, as_csv, crimes
from local.environments import ensure_environment
from local.installing import ENVIRONMENTS, ROOT
from local.ports import Ports

DATASET = "crimes"
_TRAINING_ROWS = 20_000
_TRAINING_SEED, _SEED = 7, 8
_TRIALS, _FOLDS = 2, 2
_READY_ROWS = 100
_APP = ("function_app.py", "host.json", "aml", "shared")


def lighter_app(folder: Path) -> Path:
    """A copy of the app whose contract of the crimes makes few trials; the folder it lies in."""
    folder.mkdir()
    for name in _APP:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder)
    declared = folder / f"aml/datasets/{DATASET}.yml"
    text, trials = re.subn(r"\btrials: \d+", f"trials: {_TRIALS}", declared.read_text(encoding="utf-8"))
    text, folds = re.subn(r"\bfolds: \d+", f"folds: {_FOLDS}", text)
    if not trials or not folds:
        raise SystemExit(f"{declared.name} has no search to shorten")
    declared.write_text(text, encoding="utf-8")
    return folder


def measure(sizes: list[int], repeats: int) -> list[dict[str, Any]]:
    """The figures of both ways for files of these many rows, turn by turn."""
    python = ensure_environment((ROOT / "aml/env/conda.yml").read_text(encoding="utf-8"), ENVIRONMENTS)
    with tempfile.TemporaryDirectory(prefix="dropscore-bench-") as name:
        folder = Path(name)
        app, ports = lighter_app(folder / "app"), Ports.free()
        with LocalCloud(folder / "cloud", ports, app=app, scan_interval=1.0) as cloud:
            bundle = Stack(cloud, DATASET).train(folder, as_csv(crimes(_TRAINING_ROWS, _TRAINING_SEED)))
        # a process that has trained nothing
        with LocalCloud(folder / "cloud", ports, app=app, scan_interval=1.0) as cloud:
            stack = Stack(cloud, DATASET)
            stack.score(_input(folder, _READY_ROWS), "ready.csv")
            return [_compare(python, bundle, stack, _input(folder, rows), rows, repeats) for rows in sizes]


def _input(folder: Path, rows: int) -> Path:
    """A file of that many crimes whose code nobody has told."""
    path = folder / f"in_{rows}.csv"
    path.write_bytes(as_csv(crimes(rows, _SEED), [name for name in COLUMNS if name != "fbi_code"]))
    return path


def _compare(python: Path, bundle: Path, stack: Stack, source: Path, rows: int, repeats: int) -> dict[str, Any]:
    ways: dict[str, list[Figures]] = {"stack": [], "plain": []}
    for turn in range(repeats):
        out = source.with_name(f"out_{rows}")
        plain = run_script(
            python,
            "benchmarks.plain_table",
            [str(bundle), str(source)],
            dict(os.environ),
            out.with_suffix(".plain"),
        )
        if plain.note:
            raise SystemExit(f"benchmarks.plain_table {plain.note}")
        ways["plain"].append(plain)
        ways["stack"].append(stack.score(source, f"bench_{rows}_{turn}.csv", out.with_suffix(".stack")))
        told = ", ".join(f"{way} {found[-1].seconds:.2f} s" for way, found in ways.items())
        load = f"load {os.getloadavg()[0]:.1f}"
        print(f"{rows:>9,} crimes, turn {turn + 1}: {told}, {load}", file=sys.stderr, flush=True)
    entry: dict[str, Any] = {"rows": rows, **{way: _summed(rows, found) for way, found in ways.items()}}
    # turn by turn: what else runs on the machine may be another from one turn to the next
    turns = [one.seconds / other.seconds for one, other in zip(ways["plain"], ways["stack"], strict=True)]
    entry |= {"plain/stack": round(median(turns), 3), "turns": [round(each, 2) for each in turns]}
    entry["rows_answered_otherwise"] = differing(ways["plain"][-1].output, ways["stack"][-1].output)
    return entry


def _summed(rows: int, figures: list[Figures]) -> dict[str, Any]:
    seconds = median(each.seconds for each in figures)
    return {
        "seconds": round(seconds, 3),
        "rows_per_second": round(rows / seconds),
        "cpu": {part: round(median(each.cpu[part] for each in figures), 3) for part in figures[0].cpu},
        "peak_mb": round(max(each.peak_bytes for each in figures) / 1e6),
    }


def differing(left: Path, right: Path) -> int:
    """How many rows of two classified files of the same table have another answer in any column.

    Raises:
        ValueError: they do not have equally many rows.
    """
    names = [column.name for column in load_contract(DATASET).predictions]
    one, other = _answers(left, names), _answers(right, names)
    if one.num_rows != other.num_rows:
        raise ValueError(f"{left.name} has {one.num_rows} rows, {right.name} {other.num_rows}")
    apart = [pc.not_equal(one.column(name), other.column(name)) for name in names]
    either = apart[0]
    for each in apart[1:]:
        either = pc.or_(either, each)
    return int(pc.sum(either.cast("int64")).as_py() or 0)


def _answers(path: Path, names: list[str]) -> Any:
    """Those columns as text: 01A beside 02."""
    options = csv.ConvertOptions(include_columns=names, column_types=dict.fromkeys(names, "string"))
    return csv.read_csv(path, parse_options=csv.ParseOptions(delimiter=";"), convert_options=options)
