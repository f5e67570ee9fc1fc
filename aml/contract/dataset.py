"""The declared contract of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from aml.contract import checks
from aml.contract.base import ContractError, Declared
from aml.contract.candidates import Alarms, Candidate
from aml.contract.columns import Column, PredictionColumn, find, missing
from aml.contract.features import Feature
from aml.contract.models import AUTOML, Metric, Model
from aml.contract.rules import DriftRules, GateRule, ReplayRules, SplitRules, TrainingRules
from aml.spaces import Tuning

DEFAULT_CHOICE = "best"


def with_automl(task: str, models: tuple[Model, ...], tuning: Tuning) -> tuple[Model, ...]:
    """A table's models with the one that AutoML finds, where it is asked for and not listed."""
    if task != "classification" or not tuning.is_automl or any(model.algorithm == AUTOML for model in models):
        return models
    return (*models, Model(name=AUTOML, algorithm=AUTOML))


class DatasetContract(Declared):
    """Everything that is declared about one dataset.

    A dataset is a series (`time` and `value`, task anomaly) or a table (`features` and `models`). What belongs to one
    kind alone is None or empty in the other.

    Attributes:
        name: of the dataset: small letters and digits, and the name of the contract's file.
        task: `anomaly` (rows that are not as usual are flagged) or `classification` (rows are given a class).
        model_name: the name under which Azure ML keeps the models of this dataset.
        columns: those that files have, in the order in which models are given them.
        time, value: of a series: canonical names of the time column and of the number that the model watches.
        series: canonical name of the column that tells one series (a meter) from another, or None; where a file has
            no such column, all its rows are one series.
        contamination: share of the training rows expected to be anomalous, 0 < contamination <= 0.5.
        context_rows: rows of the same series just before a row that its features depend on.
        predictions: the columns that the model answers, in this order; of a classification they follow from the rest.
        language: of the words in the column `reason` and in the report.
        timezone: IANA name of the zone whose local clock the times are on; None: a clock that knows no summer time.
        holidays: country, as ISO 3166 has it, or country and subdivision (`ES-MD`), whose public holidays count as
            such; None: there are none. Which of them the holidays library knows is found out by training, which alone
            has it, and by a test of every declared contract.
        target: of a classification: the text column that is predicted; its `categories` are the classes.
        features: of a table: what its models see, in this order.
        models: of a table: the candidates; the champion is the best of them by `selection` on the hold-out. Where
            `tuning` asks for AutoML, the model that it finds is one more, and the last unless it is listed.
        selection: the metric by which the best of `models` is chosen.
        answer: what answers where nobody chooses: `best` (the champion), `all`, or one model's name.
        asked: in a copy that `answering` made, what was chosen. Not for files.
        split: of a table: its hold-out.
        tuning: whether and how the parameters of a series' model are searched for; models of a table have their own,
            and a classification may have AutoML search for one more.
        candidates: of a series: set-ups of the detector, of which training takes the first unless another is better;
            empty: the default.
        alarms: of a series: how often it may raise a new alarm; None: `contamination` says what may be flagged.
        label: of a series: canonical name of an optional text column that says what rows are (`aml.labels`), or None.
        exogenous: of a series: names of optional number columns that the expected value may follow.
        training: what a training file must hold.
        gate: what a new model's metrics must be before it goes into service.
        drift: when the rows of a file count as drifted away from the training data.
        replay: what is asked of a new model's answers to recent files.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9]*$")
    task: Literal["anomaly", "classification"]
    model_name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    columns: tuple[Column, ...]
    time: str | None = None
    value: str | None = None
    series: str | None = None
    contamination: float | None = Field(default=None, gt=0, le=0.5)
    context_rows: int = Field(default=0, ge=0)
    target: str | None = None
    features: tuple[Feature, ...] = ()
    models: tuple[Model, ...] = ()
    selection: Metric = "accuracy"
    answer: str = DEFAULT_CHOICE
    asked: str | None = None
    split: SplitRules = SplitRules()
    predictions: tuple[PredictionColumn, ...] = ()
    language: Literal["en", "es"] = "en"
    timezone: str | None = None
    holidays: str | None = Field(default=None, pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")
    training: TrainingRules
    tuning: Tuning = Tuning()
    candidates: tuple[Candidate, ...] = ()
    alarms: Alarms | None = None
    label: str | None = None
    exogenous: tuple[str, ...] = ()
    gate: tuple[GateRule, ...] = ()
    drift: DriftRules = DriftRules()
    replay: ReplayRules = ReplayRules()

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        self.__dict__["models"] = with_automl(self.task, self.models, self.tuning)
        faults = list(checks.faults(self))
        if faults:
            raise ValueError("; ".join(map(str, faults)))
        if self.task == "classification":
            self.__dict__["predictions"] = self._answers(self.asked or self.answer)
        return self

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, timezone: str | None) -> str | None:
        if timezone is None:
            return None
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # a folder of zones is an OSError
            raise ValueError(f"there is no time zone {timezone!r}") from error
        return timezone

    @property
    def is_table(self) -> bool:
        """Whether each row is judged by itself, by the models of `models`, rather than as part of a series."""
        return bool(self.features)

    @property
    def found_by_automl(self) -> bool:
        """Whether one of `models` is the one that AutoML finds."""
        return any(model.algorithm == AUTOML for model in self.models)

    @property
    def time_column(self) -> str:
        """`time` of a dataset that is a series; ValueError of a table."""
        if self.time is None:
            raise ValueError(f"{self.name} is a table without time")
        return self.time

    @property
    def value_column(self) -> str:
        """`value` of a dataset that is a series; ValueError of a table."""
        if self.value is None:
            raise ValueError(f"{self.name} is a table, which has no one value")
        return self.value

    @property
    def classes(self) -> tuple[str, ...]:
        """What a classification may answer, in the contract's order; else empty."""
        return () if self.target is None else self.column(self.target).categories

    @property
    def choices(self) -> tuple[str, ...]:
        """What may be asked for: see `answering`."""
        if self.task != "classification":
            return (DEFAULT_CHOICE,)
        return (DEFAULT_CHOICE, "all", *(model.name for model in self.models))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the columns that a model is given: of a table those that its features need, else all of them."""
        if not self.is_table:
            return tuple(column.name for column in self.columns)
        needed = {name for feature in self.features for name in feature.sources}
        return tuple(column.name for column in self.columns if column.name in needed)

    @property
    def carried(self) -> tuple[Column, ...]:
        """The columns that are taken from a file: `inputs`, and the target where it must be there (see `labelled`)."""
        wanted = set(self.inputs)
        return tuple(
            each for each in self.columns if each.name in wanted or (each.name == self.target and each.required)
        )

    def answering(self, choice: str | None) -> DatasetContract:
        """This contract with the predictions of what was chosen to answer.

        Args:
            choice: None (the contract's own `answer`), `best` (the champion), the name of one of `models`, or `all`.
                For an anomaly dataset only the first two, which change nothing.

        Raises:
            ContractError: ``unknown_model``.
        """
        wanted = choice or self.answer
        if wanted not in self.choices:
            raise ContractError(
                "unknown_model",
                f"The dataset {self.name} has no model {wanted!r}; ask for one of: {', '.join(self.choices)}.",
            )
        if self.task != "classification":
            return self
        return self.model_copy(update={"asked": wanted, "predictions": self._answers(wanted)})

    def labelled(self) -> DatasetContract:
        """This contract as training data are read by it: the target must be there in every row."""
        if self.target is None:
            return self
        columns = (
            column.model_copy(update={"required": True, "outside": "error", "impute": None})
            if column.name == self.target
            else column
            for column in self.columns
        )
        return self.model_copy(update={"columns": tuple(columns)})

    def _answers(self, choice: str) -> tuple[PredictionColumn, ...]:
        target = self.target or ""
        if choice == "all":
            return tuple(PredictionColumn(name=each.answer_column(target), type="text") for each in self.models)
        shares = (PredictionColumn(name=f"p_{each}", type="number") for each in self.classes)
        said = PredictionColumn(name=target, type="text")
        return (said, PredictionColumn(name="confidence", type="number"), *shares)

    def column(self, name: str) -> Column:
        """The declared column of this canonical name; KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def resolve(self, header: Sequence[str]) -> dict[str, int]:
        """Find the declared columns in a file's header.

        A header that is the canonical name wins over one that is so but for case, spaces, `-`, `/` and `_`, and that
        one over an alias.

        Args:
            header: the file's column names, in file order.

        Returns:
            Position in `header` by canonical name, in the contract's order; columns that are not there, because they
            are optional or follow from others, are left out.

        Raises:
            ContractError: ``missing_column`` when a required column is not there, ``ambiguous_column`` when two
                headers fit one column equally well.
        """
        found: dict[str, int] = {}
        for column in self.columns:
            position = find(column, header)
            if position is not None:
                found[column.name] = position
        for column in self.columns:
            sources = () if column.source is None else column.source.names
            follows = bool(sources) and set(sources) <= set(found)
            if column.required and column.name not in found and not follows:
                raise missing(column, header, sources)
        return found
