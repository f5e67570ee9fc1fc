"""The search for a model's parameters, inside the training job or as one trial of an Azure ML sweep.

Every trial is fitted and measured within the rows that the evaluation of the final model does not hold out: what is
held out there is seen by no trial, so the metrics that the gate judges are not those that the search chose by. A search
is seeded and runs its trials one after the other: equal data, equal contract, equal result.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sklearn.pipeline import Pipeline

from aml.columns import InputError
from aml.contract import DatasetContract
from aml.contract.candidates import Candidate
from aml.detection.families import STEPS, steps_of
from aml.evaluation import evaluate
from aml.forest import SEED, build_pipeline
from aml.holdout import TooFewRowsError, hold_out, remaining
from aml.rows import Rows
from aml.spaces import WHOLE, Choice, Parameters, Tuning

if TYPE_CHECKING:
    import optuna

TRIALS_KEPT = 50
"""Rows of the table of trials: the best ones, in the order in which they were made."""
TRIAL_FILE = "trial.json"
# A trial of a sweep is measured with an eighth of its trees, a quarter, a half and all of them.
_STAGES = (8, 4, 2, 1)

Measure = Callable[[Parameters], float]


@dataclass(frozen=True)
class Trial:
    """One choice of parameters and what it came to; the defaults are the trial without any."""

    number: int
    parameters: Parameters
    value: float

    def as_dict(self) -> dict[str, Any]:
        """As it stands in the table."""
        return {"number": self.number, "parameters": self.parameters, "value": self.value}


@dataclass(frozen=True)
class Tuned:
    """The parameters that were found, and the trials they were found among."""

    parameters: Parameters
    tuning: Tuning
    trials: tuple[Trial, ...]

    def as_dict(self) -> dict[str, Any]:
        """As it stands under `tuning` in metrics.json: at most `TRIALS_KEPT` trials."""
        best = ranked(self.trials, self.tuning)
        kept = sorted(best[:TRIALS_KEPT], key=lambda trial: trial.number)
        return {
            "method": self.tuning.method,
            "objective": self.tuning.objective,
            "goal": self.tuning.goal,
            "measured": len(self.trials),
            "best": best[0].as_dict(),
            "trials": [trial.as_dict() for trial in kept],
        }


def builder(
    contract: DatasetContract, contamination: float, parameters: Parameters, candidate: Candidate | None = None
) -> Callable[[], Pipeline]:
    """Makes unfitted pipelines with what the candidate says, and these parameters, in the place of the defaults."""

    def build() -> Pipeline:
        pipeline = build_pipeline(contract, parameters.get("contamination", contamination))
        chosen = {f"detector__{name}": value for name, value in (steps_of(candidate) if candidate else {}).items()}
        chosen |= {f"detector__{STEPS[name]}": value for name, value in parameters.items() if name in STEPS}
        return pipeline.set_params(**chosen)

    return build


def search(rows: Rows, contract: DatasetContract, contamination: float) -> Tuned:
    """Try what the contract's `tuning` says, beginning with the defaults, and keep what is better than them.

    Args:
        rows: in order of series and time.
        contamination: of the trials that do not choose their own.

    Raises:
        InputError: ``too_few_rows`` when a trial cannot hold anything out, ``unknown_objective``.
    """
    tuning = contract.tuning
    inner = _inner(rows, contract.context_rows)
    known: dict[str, float] = {}

    def measure(parameters: Parameters) -> float:
        name = json.dumps(parameters, sort_keys=True)
        if name not in known:  # samplers repeat themselves where a space is small
            known[name] = _measured(inner, contract, contamination, parameters)
        return known[name]

    trials = [Trial(0, {}, measure({}))]
    for number, (parameters, value) in enumerate(_sampled(tuning, measure), start=1):
        trials.append(Trial(number, parameters, value))
    return Tuned(ranked(trials, tuning)[0].parameters, tuning, tuple(trials))


def ranked(trials: tuple[Trial, ...] | list[Trial], tuning: Tuning) -> list[Trial]:
    """Best first; of equals the earlier one."""
    sign = -1.0 if tuning.goal == "maximize" else 1.0
    return sorted(trials, key=lambda trial: (sign * trial.value, trial.number))


@dataclass
class SweepTrial:
    """One trial of an Azure ML sweep: measured in stages, each of which it logs and leaves in its folder.

    A trial that the sweep's policy ends has left how far it came.
    """

    job: str
    parameters: Parameters
    folder: Path
    log: Callable[[Mapping[str, object], int], None]
    values: list[float] = field(default_factory=list)

    def run(self, rows: Rows, contract: DatasetContract, contamination: float) -> None:
        """Measure and log the stages.

        Raises:
            InputError: as `search`.
        """
        inner, objective = _inner(rows, contract.context_rows), contract.tuning.objective
        default = builder(contract, contamination, self.parameters)().get_params()["detector__n_estimators"]
        for step, part in enumerate(_STAGES):
            trees = max(1, math.ceil(default / part))
            self.values.append(_measured(inner, contract, contamination, {**self.parameters, "trees": trees}))
            self.leave(objective)
            self.log({f"search_{objective}": self.values[-1]}, step)

    def leave(self, objective: str) -> None:
        """Write what is known so far."""
        self.folder.mkdir(parents=True, exist_ok=True)
        about = {"job": self.job, "parameters": self.parameters, "objective": objective, "values": self.values}
        (self.folder / TRIAL_FILE).write_text(json.dumps(about), encoding="utf-8")


def _inner(rows: Rows, context_rows: int) -> Rows:
    """What the final measurement fits on."""
    try:
        _, fit = hold_out(rows, context_rows, SEED)
        return remaining(rows, fit)
    except TooFewRowsError as error:
        raise _too_few(error) from error


def _measured(rows: Rows, contract: DatasetContract, contamination: float, parameters: Parameters) -> float:
    objective = contract.tuning.objective
    try:
        metrics = evaluate(rows, builder(contract, contamination, parameters), contract.context_rows).metrics
    except TooFewRowsError as error:
        raise _too_few(error) from error
    value = metrics.get(objective)
    if not isinstance(value, int | float):
        numbers = ", ".join(sorted(name for name, other in metrics.items() if isinstance(other, int | float)))
        raise InputError("unknown_objective", f"There is no metric {objective!r} to tune by; there are: {numbers}.")
    return float(value)


def _too_few(error: TooFewRowsError) -> InputError:
    return InputError("too_few_rows", f"The file cannot tune a model: {error}.")


class _Sampler(Protocol):
    def __call__(self, tuning: Tuning, measure: Measure) -> Iterator[tuple[Parameters, float]]: ...


def _sampled(tuning: Tuning, measure: Measure) -> Iterator[tuple[Parameters, float]]:
    sampler: _Sampler = _grid if tuning.method == "grid" else _studied
    return sampler(tuning, measure)


def _grid(tuning: Tuning, measure: Measure) -> Iterator[tuple[Parameters, float]]:
    spaces = {name: space.values for name, space in tuning.space.items() if isinstance(space, Choice)}
    for values in itertools.product(*spaces.values()):
        parameters = {str(name): value for name, value in zip(spaces, values, strict=True)}
        yield parameters, measure(parameters)


def _studied(tuning: Tuning, measure: Measure) -> Iterator[tuple[Parameters, float]]:
    """Random and Bayesian search (a tree-structured Parzen estimator), as optuna has them."""
    import optuna  # half a second that a training without a search is spared

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    samplers = optuna.samplers
    bayesian = tuning.method == "bayesian"
    sampler = samplers.TPESampler(seed=tuning.seed) if bayesian else samplers.RandomSampler(seed=tuning.seed)
    study = optuna.create_study(direction=tuning.goal, sampler=sampler)
    for _ in range(tuning.trials):
        asked = study.ask()
        parameters = {str(name): _suggested(asked, name, tuning) for name in tuning.space}
        value = measure(parameters)
        study.tell(asked, value)
        yield parameters, value


def _suggested(trial: optuna.Trial, name: Any, tuning: Tuning) -> int | float:
    space = tuning.space[name]
    if isinstance(space, Choice):
        chosen: int | float = trial.suggest_categorical(name, space.values)
        return chosen
    if name in WHOLE:
        return trial.suggest_int(name, int(space.minimum), int(space.maximum), log=space.log)
    return trial.suggest_float(name, space.minimum, space.maximum, log=space.log)
