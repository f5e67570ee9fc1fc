"""Runs the detectors and prints the tables: ``python -m benchmarks.detection.measure --help``.

In an environment with the benchmark's own requirements; `make bench-detection` makes it and calls this.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.detection.detectors import OWN, Make
from benchmarks.detection.labelled import LayoutError, read_folder
from benchmarks.detection.labelled_run import run_labelled
from benchmarks.detection.simulation import ROUNDS, simulate_detector
from benchmarks.detection.simulator import INTERVALS, suite
from benchmarks.detection.table import kinds_table, labelled_table, simulated_table, write_between

FIRST_SEED, METERS = 100, 12


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 2 when the folder is not in NAB's layout or no such detector is known."""
    given = _parser().parse_args(arguments)
    try:
        makes = _chosen(given.detector)
        tables = {} if given.no_simulator else _simulated(makes, given)
        if given.nab:
            tables |= _labelled(makes, given.nab)
    except (LayoutError, KeyError) as error:
        print(error.args[0], file=sys.stderr)
        return 2
    if given.write:
        for name, table in tables.items():
            write_between(given.write, name, table)
    return 0


def _simulated(makes: Mapping[str, Make], given: argparse.Namespace) -> dict[str, str]:
    meters = suite(range(given.seed, given.seed + given.meters), given.interval)
    results = {}
    for name, make in makes.items():
        results[name] = simulate_detector(make, meters, rounds=given.rounds)
        print(simulated_table({name: results[name]}).splitlines()[-1], file=sys.stderr, flush=True)
    tables = {"simulated": simulated_table(results), "kinds": kinds_table(results)}
    about = (
        f"{given.meters} simulated meters, one row a {given.interval}, seeds from {given.seed}, {given.rounds} rounds"
    )
    print(about, *tables.values(), sep="\n\n", end="\n\n", flush=True)
    return tables


def _labelled(makes: Mapping[str, Make], folder: Path) -> dict[str, str]:
    files = read_folder(folder)
    results = {}
    for name, make in makes.items():
        for refit in (False, True):
            results[name, refit] = run_labelled(make, files, refit=refit)
            print(labelled_table({(name, refit): results[name, refit]}).splitlines()[-1], file=sys.stderr, flush=True)
    table = labelled_table(results)
    print(f"{len(files)} labelled files, {sum(len(file.windows) for file in files)} windows", table, sep="\n\n")
    return {"labelled": table}


def _chosen(names: Sequence[str]) -> dict[str, Make]:
    known = dict(OWN)
    if find_spec("pyod") and find_spec("stumpy"):
        from benchmarks.detection.outside import OUTSIDE

        known |= OUTSIDE
    unknown = [name for name in names if name not in known]
    if unknown:
        raise KeyError(f"no detector is called {unknown[0]!r}; there are {', '.join(known)}")
    return {name: make for name, make in known.items() if not names or name in names}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-detection", description="How well anomalies are found.")
    parser.add_argument("--nab", type=Path, help="folder in NAB's layout: data/**/*.csv, labels/combined_windows.json")
    parser.add_argument("--no-simulator", action="store_true", help="only the folder")
    parser.add_argument("--detector", action="append", default=[], help="only this one; may be repeated")
    parser.add_argument("--meters", type=int, default=METERS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--interval", choices=[*INTERVALS], default="hour")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="of the first meter")
    parser.add_argument("--write", type=Path, help="page whose tables are replaced")
    return parser


if __name__ == "__main__":
    sys.exit(main())
