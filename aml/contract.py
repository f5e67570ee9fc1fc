"""The declared contract of a dataset: its columns, what a model of it answers, and when such a model is good enough.

One YAML file per dataset lies in `aml/datasets/`. The function app, the training job and the scoring script read the
same file through this module, which therefore needs nothing but pydantic and PyYAML (pydantic 2.12 in the model's
environment, 2.14 in the app's).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from aml.spaces import Choice as Choice  # the app knows the contract alone, and finds its parts here
from aml.spaces import Tuning as Tuning

_FOLDER = Path(__file__).resolve().parent / "datasets"
_IGNORED_IN_NAMES = re.compile(r"[\s\-/_]+")


class ContractError(Exception):
    """A name or a header does not fit a contract.

    Attributes:
        code: stable identifier: ``unknown_dataset``, ``missing_column`` or ``ambiguous_column``.
        message: one or two sentences for the person who dropped the file.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class _Declared(BaseModel):
    """A misspelt key in a YAML file is an error, and a loaded contract does not change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(_Declared):
    """One column of the dataset.

    `name` is its canonical name, under which the model knows it; files may call it by any of `aliases`. A number below
    `minimum` or above `maximum` makes its row unusable (None: no bound; numbers must be finite in any case), and so
    does a text that is none of `categories`, where there are any.
    """

    name: str = Field(min_length=1)
    type: Literal["time", "number", "text"]
    aliases: tuple[str, ...] = ()
    required: bool = True
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if self.type != "text" and self.categories:
            raise ValueError(f"{self.name!r} is no text, so it has no categories")
        if self.type != "number" and not self.minimum is self.maximum is None:
            raise ValueError(f"{self.name!r} is no number, so it has no bounds")
        return self


class PredictionColumn(_Declared):
    """One column that the model answers for every row; `in_file` says whether scored files have it too, or the app
    alone is told."""

    name: str = Field(min_length=1)
    type: Literal["integer", "number", "text"]
    in_file: bool = True


class TrainingRules(_Declared):
    """What a training file must hold: usable rows, days from its first to its last row, and at most this share of its
    rows (0 to 1) unusable, and of its usable rows with a time that an earlier row of the same series has."""

    min_rows: int = Field(ge=1)
    min_days: float = Field(ge=0)
    max_unusable_share: float = Field(ge=0, le=1)
    max_duplicate_share: float = Field(default=1, ge=0, le=1)


class GateRule(_Declared):
    """What one metric of a new model must be before the model goes into service.

    `minimum` and `maximum` bound the metric itself; `max_drop` and `max_rise` bound how far it may fall below or climb
    above the same metric of the live model, in the metric's own unit. None: not asked for. `needs_champion` says that
    there is such a metric only where there is a live model; without one the rule asks for nothing.
    """

    metric: str = Field(min_length=1)
    minimum: float | None = None
    maximum: float | None = None
    max_drop: float | None = Field(default=None, ge=0)
    max_rise: float | None = Field(default=None, ge=0)
    needs_champion: bool = False


class DriftRules(_Declared):
    """When the data of a file count as drifted away from the training data.

    `psi_moderate` and `psi_severe` bound by how much a PSI may exceed what chance alone explains (the usual 0.1 and
    0.25); `share_moderate` and `share_severe` bound by how much the share of unusable rows may exceed that of the
    training data, and the share of values below or above all of theirs. A file of fewer than `min_rows` usable rows is
    not judged by itself.
    """

    psi_moderate: float = Field(default=0.1, gt=0)
    psi_severe: float = Field(default=0.25, gt=0)
    share_moderate: float = Field(default=0.1, gt=0, le=1)
    share_severe: float = Field(default=0.25, gt=0, le=1)
    min_rows: int = Field(default=20, ge=1)


class ReplayRules(_Declared):
    """What a new model may make of recent real files before it goes into service, each a share (0 to 1).

    `max_alert_rate` bounds the rows that it flags, `max_error_rate` the rows that it cannot score, and `min_agreement`
    the rows that it answers like the live model. None: not asked for.
    """

    max_alert_rate: float | None = Field(default=None, ge=0, le=1)
    max_error_rate: float | None = Field(default=None, ge=0, le=1)
    min_agreement: float | None = Field(default=None, ge=0, le=1)


class DatasetContract(_Declared):
    """Everything that is declared about one dataset.

    Attributes:
        model_name: the name under which Azure ML keeps the models of this dataset.
        time, value: canonical names of the time column and of the number that the model watches.
        series: canonical name of the column that tells one series (a meter) from another, or None; where a file has
            no such column, all its rows are one series.
        contamination: share of the training rows expected to be anomalous, 0 < contamination <= 0.5.
        context_rows: rows of the same series just before a row that its features depend on.
        predictions: the columns that the model answers, in this order.
        language: of the words in the column `reason` and in the report.
        timezone: IANA name of the zone whose local clock the times are on; None: a clock that knows no summer time.
        holidays: country, as ISO 3166 has it, or country and subdivision (`ES-MD`), whose public holidays count as
            such; None: there are none. Which of them the holidays library knows is found out by training, which alone
            has it, and by a test of every declared contract.
        tuning: whether and how the model's parameters are searched for.
        replay: what is asked of a new model's answers to recent files.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9]*$")
    task: Literal["anomaly"]
    model_name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    columns: tuple[Column, ...]
    time: str
    value: str
    series: str | None = None
    contamination: float = Field(gt=0, le=0.5)
    context_rows: int = Field(ge=0)
    predictions: tuple[PredictionColumn, ...]
    language: Literal["en", "es"] = "en"
    timezone: str | None = None
    holidays: str | None = Field(default=None, pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")
    training: TrainingRules
    tuning: Tuning = Tuning()
    gate: tuple[GateRule, ...] = ()
    drift: DriftRules = DriftRules()
    replay: ReplayRules = ReplayRules()

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        roles = [(self.time, "time"), (self.value, "number")]
        if self.series is not None:
            roles.append((self.series, "text"))
        types = {column.name: column.type for column in self.columns}
        for name, kind in roles:
            if types.get(name) != kind:
                raise ValueError(f"{name!r} must be declared as a column of type {kind}")
        owner: dict[str, str] = {}
        for column in self.columns:
            for label in (column.name, *column.aliases):
                if owner.setdefault(normalise(label), column.name) != column.name:
                    raise ValueError(f"{label!r} would fit two columns")
        if len(types) != len(self.columns):
            raise ValueError("a column is declared twice")
        self.tuning.require_fits(self.task)
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
            Position in `header` by canonical name, in the contract's order; optional columns that are not there are
            left out.

        Raises:
            ContractError: ``missing_column`` when a required column is not there, ``ambiguous_column`` when two
                headers fit one column equally well.
        """
        found: dict[str, int] = {}
        for column in self.columns:
            position = _position(column, header)
            if position is not None:
                found[column.name] = position
            elif column.required:
                aliases = f" (or {', '.join(column.aliases)})" if column.aliases else ""
                have = ", ".join(repr(name) for name in header) or "no columns"
                raise ContractError(
                    "missing_column", f"The column {column.name}{aliases} is missing; the file has: {have}."
                )
        return found


def _position(column: Column, header: Sequence[str]) -> int | None:
    plain = normalise(column.name)
    aliases = {normalise(alias) for alias in column.aliases}
    for fits in (
        [i for i, name in enumerate(header) if name == column.name],
        [i for i, name in enumerate(header) if normalise(name) == plain],
        [i for i, name in enumerate(header) if normalise(name) in aliases],
    ):
        if len(fits) > 1:
            names = " and ".join(repr(header[i]) for i in fits)
            raise ContractError(
                "ambiguous_column",
                f"The headers {names} all fit the column {column.name}; keep one, or rename the others.",
            )
        if fits:
            return fits[0]
    return None


def normalise(name: str) -> str:
    """A column name without regard to case, spaces, `-`, `/` and `_`."""
    return _IGNORED_IN_NAMES.sub("", name).casefold()


def contract_names() -> tuple[str, ...]:
    """The names of the declared datasets, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yml")))


@cache
def load_contract(name: str) -> DatasetContract:
    """The contract of the dataset `name`.

    Raises:
        ContractError: ``unknown_dataset`` when none is declared under this name.
    """
    if name not in contract_names():
        known = ", ".join(contract_names())
        raise ContractError("unknown_dataset", f"There is no dataset {name!r}; the declared ones are: {known}.")
    text = (_FOLDER / f"{name}.yml").read_text(encoding="utf-8")
    contract = DatasetContract.model_validate(yaml.safe_load(text))
    if contract.name != name:
        raise ValueError(f"{name}.yml declares the dataset {contract.name!r}")
    return contract
