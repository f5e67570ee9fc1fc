"""The `tuning` section of a contract: whether a model's parameters are searched for, where, how long, by what measure.

`none` trains with the defaults. `grid`, `random` and `bayesian` search inside the training job (`aml.tuning`); `sweep`
is an Azure ML sweep, whose trials are jobs of their own and can be ended early; `automl` is an Azure ML AutoML job, for
classification only, which finds one more model of a table. Like the contract, this needs nothing but pydantic.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictInt, model_validator

Number = StrictInt | float
Parameters = dict[str, int | float]
"""Values by parameter name; what is not there has its default."""

WHOLE = frozenset({"trees", "max_samples"})
"""The parameters that count something."""

BOUNDS: dict[str, tuple[float, float]] = {
    "trees": (1, 5000),
    "max_samples": (2, 1_000_000),
    "max_features": (0.05, 1.0),
    "contamination": (1e-6, 0.5),
}
"""What each parameter may be: trees of the forest, rows that each of them sees, share of the columns that each of them
sees, share of the training rows beyond the threshold."""

_OBJECTIVE = "detection"
_GOAL: Literal["maximize"] = "maximize"
_IN_THE_JOB = ("grid", "random", "bayesian")
# What Azure ML's Bayesian sampling supports; a logarithmic range is not among it.
_NOT_BAYESIAN = "sampling 'bayesian' of a sweep knows no logarithmic range"


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Choice(_Declared):
    """One of these values."""

    values: tuple[Number, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if len(set(self.values)) != len(self.values):
            raise ValueError("a value stands twice")
        return self


class Range(_Declared):
    """Anything from `minimum` to `maximum`; `log`: small values are as likely as large ones, by order of magnitude."""

    minimum: Number
    maximum: Number
    log: bool = False

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if not (math.isfinite(self.minimum) and math.isfinite(self.maximum) and self.minimum < self.maximum):
            raise ValueError("minimum must be below maximum")
        if self.log and self.minimum <= 0:
            raise ValueError("a logarithmic range begins above 0")
        return self


Space = Choice | Range


class Bandit(_Declared):
    """Ends a trial that is further behind the best one than this: `slack_factor` relative, `slack_amount` absolute."""

    policy: Literal["bandit"]
    slack_factor: float = Field(default=0, ge=0)
    slack_amount: float = Field(default=0, ge=0)
    evaluation_interval: int = Field(default=1, ge=1)
    delay_evaluation: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _one_slack(self) -> Self:
        if bool(self.slack_factor) == bool(self.slack_amount):
            raise ValueError("bandit needs a slack_factor or a slack_amount, and not both")
        return self


class Median(_Declared):
    """Ends a trial whose best is worse than the median of what all trials had on average."""

    policy: Literal["median"]
    evaluation_interval: int = Field(default=1, ge=1)
    delay_evaluation: int = Field(default=0, ge=0)


class Truncation(_Declared):
    """Ends the worst `truncation_percentage` per cent of the trials."""

    policy: Literal["truncation"]
    truncation_percentage: int = Field(ge=1, le=99)
    evaluation_interval: int = Field(default=1, ge=1)
    delay_evaluation: int = Field(default=0, ge=0)


EarlyTermination = Annotated[Bandit | Median | Truncation, Field(discriminator="policy")]


class Tuning(_Declared):
    """How the parameters of a dataset's models are found.

    Attributes:
        sampling: of a sweep; the other methods are samplings themselves.
        space: where to look, by parameter; a parameter that is not there keeps its default, and the contamination the
            contract's.
        objective, goal: a metric of `aml.evaluation`, measured on rows that the trial was not fitted on; AutoML goes by
            what the contract selects models by.
        trials: at most so many; a grid must not be larger.
        concurrent: trials of a sweep, or of AutoML, that run at once.
        timeout_minutes: of a sweep or of AutoML, as a whole.
        early_termination: of a sweep, by what its trials log as they go.
    """

    method: Literal["none", "grid", "random", "bayesian", "sweep", "automl"] = "none"
    sampling: Literal["grid", "random", "bayesian"] = "random"
    space: dict[Literal["trees", "max_samples", "max_features", "contamination"], Space] = Field(default_factory=dict)
    objective: str = Field(default=_OBJECTIVE, pattern=r"^[a-z][a-z0-9_.]*$")
    goal: Literal["maximize", "minimize"] = _GOAL
    trials: int = Field(default=20, ge=1, le=1000)
    concurrent: int = Field(default=2, ge=1, le=100)
    seed: int = Field(default=42, ge=0)
    timeout_minutes: int = Field(default=120, ge=1)
    early_termination: EarlyTermination | None = None

    @property
    def in_the_job(self) -> bool:
        """Whether the training job itself searches."""
        return self.method in _IN_THE_JOB

    @property
    def is_sweep(self) -> bool:
        """Whether Azure ML searches, with a job per trial."""
        return self.method == "sweep"

    @property
    def is_automl(self) -> bool:
        """Whether Azure ML's AutoML searches, among algorithms of its own."""
        return self.method == "automl"

    def require_fits(self, task: str) -> None:
        """ValueError where this method cannot serve the task of the dataset."""
        if self.is_automl and task != "classification":
            raise ValueError(
                f"tuning by automl needs a classification dataset, and this one's task is {task}: Azure ML's AutoML "
                "detects no anomalies. Use grid, random, bayesian or sweep"
            )

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        searching = self.in_the_job or self.is_sweep
        if searching and not self.space:
            raise ValueError(f"tuning by {self.method} needs a space")
        if not searching and self.space:
            raise ValueError(f"tuning by {self.method} searches no space")
        if self.is_automl and (self.objective, self.goal) != (_OBJECTIVE, _GOAL):
            raise ValueError("tuning by automl goes by the contract's selection; leave objective and goal out")
        if self.early_termination is not None and not self.is_sweep:
            raise ValueError("early_termination is for tuning by sweep")
        for name, space in self.space.items():
            _require_bounds(name, space)
        how = self.sampling if self.is_sweep else self.method
        if how == "grid":
            self._require_a_grid()
        if self.is_sweep and how == "bayesian":
            self._require_bayesian()
        return self

    def _require_a_grid(self) -> None:
        points = 1
        for name, space in self.space.items():
            if not isinstance(space, Choice):
                raise ValueError(f"a grid needs values for {name}, not a range")
            points *= len(space.values)
        if points > self.trials:
            raise ValueError(f"the grid has {points} points, and trials allows {self.trials}")

    def _require_bayesian(self) -> None:
        if self.early_termination is not None:
            raise ValueError("sampling 'bayesian' of a sweep has no early_termination")
        if any(isinstance(space, Range) and space.log for space in self.space.values()):
            raise ValueError(_NOT_BAYESIAN)


def _require_bounds(name: str, space: Space) -> None:
    low, high = BOUNDS[name]
    values = space.values if isinstance(space, Choice) else (space.minimum, space.maximum)
    for value in values:
        if not low <= value <= high:
            raise ValueError(f"{name} must be from {low:g} to {high:g}, not {value:g}")
        if name in WHOLE and value != int(value):
            raise ValueError(f"{name} is counted in whole numbers, not {value:g}")
