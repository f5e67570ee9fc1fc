"""The shapes of what HTTP takes and answers, beside the records that are models themselves (`Run`, `LiveModel`).

The description is made of them, and the tests hold every reply to them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from aml.contract import DatasetContract
from shared.live import LiveModel
from shared.runs import Run

Flags = list[bool | None] | None
Numbers = list[float | None] | None
Texts = list[str | None] | None


class Shape(BaseModel):
    """Docstrings of fields are their descriptions."""

    model_config = ConfigDict(use_attribute_docstrings=True, frozen=True)


class Problem(Shape):
    """An error (RFC 9457, `application/problem+json`)."""

    title: str
    status: int
    code: str
    """Stable: docs/operations.md says what to do about each."""
    detail: str
    """In words, for a person."""


class Health(Shape):
    """Whether the app works."""

    status: Literal["ok", "degraded"]
    version: str
    dependencies: dict[str, Literal["reachable", "unreachable"]]


class DatasetSummary(Shape):
    """A declared dataset, and the model that is in service for it."""

    dataset: str
    task: str
    model: str
    """The name under which Azure ML keeps its models."""
    live: LiveModel | None
    error: str | None = None
    """What is wrong with its contract, where that cannot be used."""


class DatasetDetail(DatasetSummary):
    """A declared dataset with its contract."""

    contract: DatasetContract
    retrains_on_drift: bool
    """Whether drift that persists starts a training: `RETRAIN_ON_DRIFT` asks for it, and the dataset is a series. The
    files of a table have no classes to learn from, and no times that tell which of them are the latest."""


class DatasetList(Shape):
    """The declared datasets."""

    datasets: list[DatasetSummary]


class RunList(Shape):
    """Run records, newest first."""

    runs: list[Run]


class ModelVersion(Shape):
    """A registered version."""

    version: str
    live: bool
    run: str | None
    """The training run that made it."""
    blob: str | None
    """The dataset that it was trained on."""
    metrics: dict[str, float | str]


class ModelVersions(Shape):
    """The versions of a dataset's model, newest first."""

    dataset: str
    model: str
    live: LiveModel | None
    versions: list[ModelVersion]


class LinkedModel(Shape):
    """A model version in a lineage; `version` is null where what answered does not say it."""

    name: str
    version: str | None
    live: bool


class LinkedRun(Shape):
    """The training run; `state` is null where its record is gone."""

    id: str
    state: str | None


class DataAsset(Shape):
    """A version of a dataset in the workspace."""

    name: str
    version: str
    path: str | None = None
    """Its rows, in the container `training`."""


class LinkedBlob(Shape):
    """The dropped dataset."""

    name: str
    etag: str | None
    sha256: str | None
    unchanged: bool
    """Whether it is there still as it was read."""


class LinkedInput(Shape):
    """A file that was scored."""

    blob: str
    etag: str
    sha256: str | None = None


class LinkedFile(Shape):
    """A scored file."""

    blob: str | None
    input: LinkedInput
    run: str
    revision: int
    counts: dict[str, Any] | None


class LineageLink(Shape):
    """One training run with what it was made of and what came of it."""

    model: LinkedModel | None
    run: LinkedRun | None
    data_asset: DataAsset | None
    blob: LinkedBlob | None
    scored: list[LinkedFile]


class LineageRow(Shape):
    """The row in a line of a scored file."""

    line: int
    values: dict[str, str]


class LineageAnswer(Shape):
    """What hangs together with what was asked about."""

    dataset: str
    asked: dict[str, str | int]
    row: LineageRow | None = None
    links: list[LineageLink]


class TrainRequest(Shape):
    """What to train on; without a blob the latest dataset."""

    blob: str | None = None
    """Name of a blob in `datasets`, with or without the container and the dataset's folder."""
    contamination: float | None = Field(default=None, gt=0, le=0.5)
    force: bool = False
    """Whether the gate is overruled."""
    reason: str | None = Field(default=None, max_length=500)
    """Why, for the record; together with `force`."""


class Point(Shape):
    """One point of a series."""

    timestamp: str
    value: float


class SeriesRequest(BaseModel):
    """A body of Azure's retired Anomaly Detector; docs/migration.md has every field."""

    model_config = ConfigDict(extra="allow")

    series: list[Point] = Field(min_length=12, max_length=8640)
    mode: Literal["entire", "last", "changepoint"] | None = None
    granularity: str | None = None


class AnsweringModel(Shape):
    """Who answered."""

    name: str
    version: str
    deployment: str | None
    choice: str | None = None
    """What was asked of it, where it has something to choose from: `best`, `all`, or one model's name."""


class RejectedLine(Shape):
    """A line that is no row."""

    line: int
    reason: str


class ScoredTable(Shape):
    """A table that was scored at once."""

    ok: bool
    rows: int
    preview: list[dict[str, Any]]
    """The first ten rows as they were given, each with its predictions."""
    csv_base64: str = Field(json_schema_extra={"contentEncoding": "base64", "contentMediaType": "text/csv"})
    """The scored file, `;`-separated."""
    predictions: list[dict[str, Any]]
    counts: dict[str, Any]
    rejected: list[RejectedLine]
    warnings: list[list[str]] | None = None
    """Of each row of a table without time, what is odd about it, which has a prediction nevertheless."""
    model: AnsweringModel
    scored_by: str


class Batch(Shape):
    """What is said of each row of a batch, in their order."""

    predictions: list[dict[str, Any]]
    count: int


class Fault(Shape):
    """A row that cannot be scored."""

    row: int
    """Counted from 1, without the header."""
    error: str


class Warned(Shape):
    """What is odd about a row that can be scored all the same."""

    row: int
    warning: str


class Failing(Shape):
    """Why a table cannot be scored at all."""

    code: str
    detail: str


class Validated(Shape):
    """What is wrong with rows; of at most 1,000 of them and as many lines is said what."""

    valid: bool
    rows: int
    usable: int
    faults: list[Fault]
    warnings: list[Warned]
    rejected: list[RejectedLine]
    error: Failing | None


class InputFeature(Shape):
    """A column that the model is given; what does not apply to it is left out."""

    model_config = ConfigDict(extra="allow")

    name: str
    type: str
    required: bool
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    categories: list[str] | None = None


class DerivedFeature(Shape):
    """What the model works out of its columns."""

    name: str
    expression: str


class Candidate(Shape):
    """One of a dataset's models; `column` is what its answers are called where all answer."""

    name: str
    algorithm: str
    column: str | None


class NamedColumn(Shape):
    """A column of the answer."""

    name: str
    type: str


class ModelInformation(Shape):
    """What there is to know of the model behind a dataset."""

    dataset: str
    task: str
    model: str
    live: LiveModel | None
    target: str | None
    classes: list[str]
    choices: list[str]
    """What `model` may be in a request."""
    answer: str
    """Which of them answers where a request names none."""
    features: list[InputFeature]
    derived: list[DerivedFeature]
    models: list[Candidate]
    predictions: list[NamedColumn]
    metrics: dict[str, Any] | None
    """Of the live model, as its training measured them; null where its run is not on record."""


class _Detected(Shape):
    period: int
    """Points in the model's season, a week; 0 where that is no whole number of them."""
    unanswered: list[str]
    """Columns that the live model does not answer."""
    ignored: list[str]
    """Fields of the request that changed nothing."""
    errors: list[dict[str, Any]]
    model: AnsweringModel
    scored_by: str


class WholeSeries(_Detected):
    """Every point of a series, as Azure's Anomaly Detector answered `entire`."""

    expectedValues: Numbers
    upperMargins: Numbers
    lowerMargins: Numbers
    isAnomaly: Flags
    isNegativeAnomaly: Flags
    isPositiveAnomaly: Flags
    severity: Numbers
    kinds: Texts
    reasons: Texts


class LastPoint(_Detected):
    """The last point of a series, as Azure's Anomaly Detector answered `last`."""

    suggestedWindow: int
    expectedValue: float | None
    upperMargin: float | None
    lowerMargin: float | None
    isAnomaly: bool | None
    isNegativeAnomaly: bool | None
    isPositiveAnomaly: bool | None
    severity: float | None
    kind: str | None
    reason: str | None


class ChangePoints(_Detected):
    """Where a series changed, as Azure's Anomaly Detector answered `changepoint`."""

    isChangePoint: Flags
    confidenceScores: Numbers
    kinds: Texts
    reasons: Texts
