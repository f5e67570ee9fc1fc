"""The models that a table's contract lists: an algorithm each, with the parameters it has or that are searched for.

Parameters go by scikit-learn's own names (scikit-learn 1.9, https://scikit-learn.org/stable/api/index.html).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from aml.contract.base import Declared
from aml.spaces import Range

Value = StrictBool | StrictInt | StrictFloat | StrictStr | None
Metric = Literal["accuracy", "balanced_accuracy", "f1_macro", "f1_weighted", "log_loss", "roc_auc_ovr"]
"""What classifiers are chosen by; of `log_loss` less is better, of the others more."""

AUTOML: Literal["automl"] = "automl"
"""The algorithm of the model that Azure ML's AutoML finds, and its name where the contract gives it none."""

RESERVED = ("best", "all")
"""What may be asked for beside the name of a model, so that no model has such a name."""


@dataclass(frozen=True)
class Parameter:
    """What a parameter may be: a number from `low` to `high` (`whole`: counted), one of `words`, or nothing."""

    low: float | None = None
    high: float | None = None
    whole: bool = False
    words: tuple[str, ...] = ()
    nothing: bool = False

    def refuses(self, value: Value) -> bool:
        """Whether it cannot have this value."""
        if value is None:
            return not self.nothing
        if isinstance(value, str):
            return value not in self.words
        if isinstance(value, bool) or self.low is None or self.high is None:
            return True
        return not self.low <= value <= self.high or (self.whole and value != int(value))

    def __str__(self) -> str:
        said = []
        if self.low is not None and self.high is not None:
            said.append(f"a {'whole ' if self.whole else ''}number from {self.low:g} to {self.high:g}")
        said += self.words
        return " or ".join([*said, "null"] if self.nothing else said)


@dataclass(frozen=True)
class Algorithm:
    """An algorithm: its short name, of which the bundle's file name is made, and its parameters."""

    short: str
    parameters: dict[str, Parameter]


_WEIGHT = Parameter(words=("balanced",), nothing=True)
_PENALTY = Parameter(1e-6, 1e6)
_DEPTH = Parameter(1, 1000, whole=True, nothing=True)
_SPLIT = Parameter(2, 1_000_000, whole=True)
_LEAF = Parameter(1, 1_000_000, whole=True)
_TREES = Parameter(1, 5000, whole=True)
_ROUNDS = Parameter(1, 100_000, whole=True)

ALGORITHMS: dict[str, Algorithm] = {
    "logistic": Algorithm("lr", {"C": _PENALTY, "class_weight": _WEIGHT, "max_iter": _ROUNDS}),
    "random_forest": Algorithm(
        "rf",
        {
            "n_estimators": _TREES,
            "criterion": Parameter(words=("gini", "entropy", "log_loss")),
            "max_depth": _DEPTH,
            "min_samples_split": _SPLIT,
            "min_samples_leaf": _LEAF,
            "max_features": Parameter(0.01, 1, words=("sqrt", "log2"), nothing=True),
            "class_weight": Parameter(words=("balanced", "balanced_subsample"), nothing=True),
        },
    ),
    "svm": Algorithm(
        "svm",
        {
            "C": _PENALTY,
            "kernel": Parameter(words=("linear", "poly", "rbf", "sigmoid")),
            "gamma": Parameter(1e-6, 1e3, words=("scale", "auto")),
            "degree": Parameter(1, 10, whole=True),
            "class_weight": _WEIGHT,
        },
    ),
    "decision_tree": Algorithm(
        "dtc",
        {
            "criterion": Parameter(words=("gini", "entropy", "log_loss")),
            "max_depth": _DEPTH,
            "min_samples_split": _SPLIT,
            "min_samples_leaf": _LEAF,
            "ccp_alpha": Parameter(0, 1),
            "class_weight": _WEIGHT,
        },
    ),
    "lda": Algorithm(
        "lda",
        {
            "solver": Parameter(words=("svd", "lsqr", "eigen")),
            "shrinkage": Parameter(0, 1, words=("auto",), nothing=True),
        },
    ),
    "gradient_boosting": Algorithm(
        "gb",
        {
            "learning_rate": Parameter(1e-4, 1),
            "max_iter": _ROUNDS,
            "max_leaf_nodes": Parameter(2, 100_000, whole=True, nothing=True),
            "max_depth": _DEPTH,
            "min_samples_leaf": _LEAF,
            "l2_regularization": Parameter(0, 1e3),
            "class_weight": _WEIGHT,
        },
    ),
    "isolation_forest": Algorithm(
        "iforest",
        {
            "n_estimators": _TREES,
            "max_samples": Parameter(2, 1_000_000, whole=True),
            "max_features": Parameter(0.05, 1),
        },
    ),
    AUTOML: Algorithm("automl", {}),
}


def _as_options(value: object) -> object:
    """A list of values is one for a search, and so are `{values: [...]}` and a range."""
    return value["values"] if isinstance(value, dict) and set(value) == {"values"} else value


Options = Annotated[tuple[Value, ...] | Range, BeforeValidator(_as_options)]


class ModelTuning(Declared):
    """How the parameters of one model are found, inside the training job, by cross-validation on the training rows.

    Attributes:
        space: where to look, by parameter: a list of values, or a range.
        folds: of the cross-validation, each with the classes in the shares of the whole.
        trials: at most so many; a grid must not be larger.
    """

    method: Literal["none", "grid", "random", "bayesian"] = "none"
    space: dict[str, Options] = Field(default_factory=dict)
    folds: int = Field(default=5, ge=2, le=20)
    objective: Metric = "accuracy"
    trials: int = Field(default=30, ge=1, le=1000)
    seed: int = Field(default=42, ge=0)

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if (self.method == "none") == bool(self.space):
            wants = "searches no space; leave it out" if self.space else "needs a space; add one"
            raise ValueError(f"tuning by {self.method} {wants}")
        points = 1
        for name, options in self.space.items():
            if isinstance(options, Range):
                if self.method == "grid":
                    raise ValueError(f"a grid needs values for {name}, not a range; list them")
                continue
            if not options or len(set(map(repr, options))) != len(options):
                raise ValueError(f"the values of {name} must be there, each once")
            points *= len(options)
        if self.method == "grid" and points > self.trials:
            raise ValueError(f"the grid has {points} points, and trials allows {self.trials}; raise it, or list less")
        return self


class Model(Declared):
    """One model of a table.

    Attributes:
        name: by which it is asked for.
        short: its part of the bundle's file name; left out, the algorithm's own.
        column: what its answers are called where all models answer; left out, `<name>_<target>`.
        parameters: those that are not searched for; what is left out has scikit-learn's default.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    algorithm: Literal[
        "logistic", "random_forest", "svm", "decision_tree", "lda", "gradient_boosting", "isolation_forest", "automl"
    ]
    short: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9]*$")
    column: str | None = Field(default=None, min_length=1)
    parameters: dict[str, Value] = Field(default_factory=dict)
    tuning: ModelTuning = ModelTuning()

    @property
    def short_name(self) -> str:
        """Its part of the bundle's file name."""
        return self.short or ALGORITHMS[self.algorithm].short

    def answer_column(self, target: str) -> str:
        """What its answers are called where all models answer."""
        return self.column or f"{self.name}_{target}"

    @model_validator(mode="after")
    def _parameters_are_its_own(self) -> Self:
        known = ALGORITHMS[self.algorithm].parameters
        wrong = []
        for name, options in [*((n, (v,)) for n, v in self.parameters.items()), *self.tuning.space.items()]:
            if name not in known:
                wrong.append(f"{self.algorithm} has no parameter {name!r}; it has {', '.join(known) or 'none'}")
                continue
            values = (options.minimum, options.maximum) if isinstance(options, Range) else options
            wrong += [f"{name} must be {known[name]}, not {each!r}" for each in values if known[name].refuses(each)]
        twice = sorted(set(self.parameters) & set(self.tuning.space))
        wrong += [f"{name} is given and searched for; leave one out" for name in twice]
        if self.algorithm == "lda" and "svd" in self._may_be("solver") and set(self._may_be("shrinkage")) - {None}:
            wrong.append("the solver svd has no shrinkage; leave one out")
        if self.name in RESERVED:
            wrong.append(f"{self.name!r} stands for what several models answer; choose another name")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def _may_be(self, name: str) -> tuple[object, ...]:
        """What a parameter is, or may be found to be; empty where the contract leaves it alone."""
        options = self.tuning.space.get(name, (self.parameters[name],) if name in self.parameters else ())
        return (options.minimum, options.maximum) if isinstance(options, Range) else options
