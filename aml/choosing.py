"""What a training job trains with: the parameters of its command line, what it chooses or finds, or the defaults."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aml.contract import DatasetContract
from aml.contract.candidates import Candidate
from aml.rows import Rows
from aml.selection import Selected, select
from aml.spaces import BOUNDS, WHOLE, Parameters
from aml.tuning import SweepTrial, Tuned, search

_PARAMETERS = ("trees", "max_samples", "max_features")


@dataclass(frozen=True)
class Chosen:
    """Parameters where they are not the defaults, and the search or the choice that they come from, if this job has
    made one."""

    parameters: Parameters = field(default_factory=dict)
    search: Tuned | None = None
    selected: Selected | None = None

    @property
    def candidate(self) -> Candidate | None:
        """The one that was chosen."""
        return self.selected.candidate if self.selected else None

    @property
    def metrics(self) -> dict[str, int | float | str]:
        """What the metrics say of it, the bundle's too."""
        named = {"candidate": self.candidate.name} if self.candidate else {}
        return {**named, **{f"parameter_{name}": value for name, value in self.parameters.items()}}

    def as_dict(self) -> dict[str, Any]:
        """What metrics.json says of the search or the choice: nothing where there was none."""
        tuning = {"tuning": self.search.as_dict()} if self.search else {}
        return tuning | ({"selection": self.selected.as_dict()} if self.selected else {})


DEFAULTS = Chosen()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command line that this is about."""
    for name in _PARAMETERS:
        parser.add_argument(f"--{name.replace('_', '-')}", type=partial(_parameter, name), help="instead of a search")
    parser.add_argument("--trial", action="store_true", help="log the objective of the contract's tuning as it goes")


def choose(
    rows: Rows,
    contract: DatasetContract,
    contamination: float,
    arguments: argparse.Namespace,
    log: Callable[[Mapping[str, object], int], None],
) -> Chosen:
    """The parameters of the model to train; a trial of a sweep measures and logs those that it was given.

    Raises:
        InputError: as `aml.tuning.search` and `aml.selection.select`.
    """
    given: Parameters = {name: getattr(arguments, name) for name in _PARAMETERS if getattr(arguments, name) is not None}
    if arguments.trial:
        if "contamination" in contract.tuning.space:
            given["contamination"] = contamination
        job = os.environ.get("AZUREML_RUN_ID", "")
        SweepTrial(job, given, arguments.model, log).run(rows, contract, contamination)
    elif contract.tuning.in_the_job and not given:
        found = search(rows, contract, contamination)
        return Chosen(found.parameters, found)
    elif contract.candidates and not given:
        return Chosen(selected=select(rows, contract, contamination))
    return Chosen(given)


def _parameter(name: str, text: str) -> int | float | None:
    """A sweep writes whole numbers as it likes, `128.0` among them, and `default` for what it leaves alone."""
    if text == "default":
        return None
    number, (low, high) = float(text), BOUNDS[name]
    if not low <= number <= high or (name in WHOLE and number != int(number)):
        kind = "a whole number " if name in WHOLE else ""
        raise argparse.ArgumentTypeError(f"must be {kind}from {low:g} to {high:g}")
    return int(number) if name in WHOLE else number
