"""The training job's steps one by one, as the components of the pipeline job run them (`aml/jobs/pipeline.yml`).

    python -m aml.steps ingest     --dataset gas --data FILE --rows FOLDER
    python -m aml.steps preprocess --dataset gas --rows FOLDER --prepared FOLDER
    python -m aml.steps split      --dataset gas --prepared FOLDER --held FOLDER
    python -m aml.steps train      --dataset gas --held FOLDER --trained FOLDER [--contamination 0.01]
    python -m aml.steps evaluate   --dataset gas --held FOLDER --trained FOLDER --model FOLDER [--champion FOLDER|none]
                                   [--contamination 0.01] [--version 1]

Each reads what an earlier one left in its folder, calls the functions that `aml.train` calls in one go, and leaves its
result in its own; the last fits the model that is kept and leaves what `aml.train` does. A step that fails leaves
`error.json` there, and exit codes are those of `aml.train`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import joblib
import pyarrow as pa

from aml.columns import InputError
from aml.contract import DatasetContract, load_contract
from aml.job import carry_out, contamination_of, folder_of, version_of
from aml.series_steps import SeriesSteps
from aml.tracking import Tracker
from aml.train import read_table

_TABLE = "table.arrow"
_STATE = "state.joblib"


class Steps(Protocol):
    """What a dataset's task makes of each step; the values go from one to the next by pickle."""

    def prepare(self, table: pa.Table) -> Any:
        """The usable rows."""

    def hold_out(self, prepared: Any) -> Any:
        """The same, and which of them are held out."""

    def train(self, held: Any) -> Any:
        """Parameters, and what was fitted with them."""

    def finish(self, held: Any, trained: Any, folder: Path, champion: Path | None) -> dict[str, Any]:
        """What `metrics.json` holds; the job's output is in the folder."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one step; returns its exit code, see `aml.job.carry_out`."""
    arguments = _arguments(argv)
    return carry_out(lambda: _done(arguments), getattr(arguments, _STEPS[arguments.step].leaves))


def _done(arguments: argparse.Namespace) -> str:
    _STEPS[arguments.step].run(load_contract(arguments.dataset), arguments)
    return f"{arguments.step} of {arguments.dataset} is done"


def ingest(contract: DatasetContract, arguments: argparse.Namespace) -> None:
    """The file's columns, as they are."""
    table = read_table(arguments.data)
    arguments.rows.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(arguments.rows / _TABLE), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def preprocess(contract: DatasetContract, arguments: argparse.Namespace) -> None:
    """Its usable rows, when they are enough for the contract."""
    with pa.ipc.open_file(arguments.rows / _TABLE) as reader:
        table = reader.read_all()
    _leave(arguments.prepared, _steps(contract, arguments).prepare(table))


def split(contract: DatasetContract, arguments: argparse.Namespace) -> None:
    """Which of the rows are held out."""
    _leave(arguments.held, _steps(contract, arguments).hold_out(_left(arguments.prepared)))


def train(contract: DatasetContract, arguments: argparse.Namespace) -> None:
    """Parameters searched for, and models fitted."""
    _leave(arguments.trained, _steps(contract, arguments).train(_left(arguments.held)))


def evaluate(contract: DatasetContract, arguments: argparse.Namespace) -> None:
    """Everything measured, compared with the model in service, and written."""
    steps = _steps(contract, arguments)
    metrics = steps.finish(_left(arguments.held), _left(arguments.trained), arguments.model, arguments.champion)
    Tracker.of(os.environ).log(metrics)


def _steps(contract: DatasetContract, arguments: argparse.Namespace) -> Steps:
    if contract.task == "classification":
        from aml.tabular.steps import TableSteps  # which a series has no use for

        return TableSteps(contract, getattr(arguments, "version", 1))
    if contract.is_table:
        raise InputError("no_steps", f"{contract.name} is a table without classes: only the single job trains it.")
    return SeriesSteps(contract, getattr(arguments, "contamination", None))


def _leave(folder: Path, value: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(value, folder / _STATE)


def _left(folder: Path) -> Any:
    return joblib.load(folder / _STATE)


@dataclass(frozen=True)
class _Step:
    run: Callable[[DatasetContract, argparse.Namespace], None]
    reads: tuple[str, ...]
    leaves: str


_STEPS: Mapping[str, _Step] = {
    "ingest": _Step(ingest, ("data",), "rows"),
    "preprocess": _Step(preprocess, ("rows",), "prepared"),
    "split": _Step(split, ("prepared",), "held"),
    "train": _Step(train, ("held",), "trained"),
    "evaluate": _Step(evaluate, ("held", "trained"), "model"),
}
_MAKE_MODELS = ("train", "evaluate")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m aml.steps", description="One step of training.")
    steps = parser.add_subparsers(dest="step", required=True)
    for name, step in _STEPS.items():
        options = steps.add_parser(name, help=step.run.__doc__)
        options.add_argument("--dataset", required=True, help="name of a declared dataset, e.g. gas")
        for folder in (*step.reads, step.leaves):
            options.add_argument(f"--{folder}", required=True, type=Path)
        if name in _MAKE_MODELS:
            options.add_argument("--contamination", type=contamination_of, help="default: the contract's")
        if name == "evaluate":
            options.add_argument("--champion", type=folder_of, help="folder of the model in service, or none")
            options.add_argument("--version", type=version_of, default=1, help="the version that the model will have")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
