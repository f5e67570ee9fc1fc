"""The seam to Azure ML's management plane. Everything here starts something or looks at something; nothing waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from aml.contract import Tuning

UNAVAILABLE = "workspace_unavailable"
"""Code of every `WorkspaceUnavailableError` that means: Azure ML is out of reach."""

Progress = Literal["under way", "succeeded", "failed", "canceled"]
JobStep = Literal["table", "search", "train"]
"""Which of a run's jobs one is; without AutoML there is the last alone (see `shared.retraining.searches`)."""


@dataclass(frozen=True)
class DataAsset:
    """A version of a dataset: a file of rows at `path` in the app's datastore; what it leads to never changes."""

    name: str
    version: str
    path: str


@dataclass(frozen=True)
class TrainingJob:
    """What a training job is started with. `folder` is the run's place in the datastore: ``<dataset>/<run id>``;
    `champion` is the registered model that it measures beside its own; `contamination` is None where the task is not to
    find anomalies; `version` is the one that the model will have if it is registered next, for the name of its file;
    `data` is the asset that it reads, None for ``data.parquet`` in its folder. Of a run with AutoML, `measure` is
    AutoML's metric, `table` the job that wrote the table, and `found` the child of AutoML's job whose model the last
    one is given."""

    name: str
    dataset: str
    run: str
    folder: str
    contamination: float | None
    tags: Mapping[str, str]
    champion: ModelVersion | None = None
    tuning: Tuning = field(default_factory=Tuning)
    version: int = 1
    data: DataAsset | None = None
    step: JobStep = "train"
    measure: str = "accuracy"
    table: str | None = None
    found: str | None = None


@dataclass(frozen=True)
class JobStatus:
    """How far a job is; `status` is Azure ML's own word, `url` its page in the studio.

    `best` names the job whose output is the model: the best trial of a sweep, or the best child of AutoML's job, that
    succeeded; `tried` is what AutoML says of its children: `job`, `algorithm`, `preprocessor` and `value`.
    """

    progress: Progress
    status: str
    url: str | None = None
    best: str | None = None
    tried: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class ModelVersion:
    """A registered version of a model, with the tags that say where it came from."""

    name: str
    version: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Endpoint:
    """An online endpoint: how far its latest change is, where it scores, and its traffic in per cent by deployment."""

    name: str
    progress: Progress
    scoring_uri: str
    traffic: Mapping[str, int]


@dataclass(frozen=True)
class Deployment:
    """A deployment: how far its latest change is, and the training run whose model it holds."""

    name: str
    progress: Progress
    run: str


class Workspace(Protocol):
    """What retraining needs of Azure ML. Every start is idempotent: asked twice for the same thing, it is there once.

    Raises:
        WorkspaceUnavailableError: throttled, down or unreachable; the same call may succeed later.
        WorkspaceRefusedError: the request itself is refused.
    """

    def register_data(self, asset: DataAsset, tags: Mapping[str, str]) -> DataAsset:
        """Makes sure that there is a data asset of this name and version, and returns the one that there is, which may
        lead elsewhere."""

    def start_training(self, job: TrainingJob) -> None:
        """Makes sure that the environment and the job exist."""

    def job(self, name: str) -> JobStatus | None:
        """How far the job is; None when there is none of that name."""

    def register(self, model: str, job: str, run: str, tags: Mapping[str, str]) -> str:
        """Makes sure that the job's output is registered as a version of the model, and returns the version."""

    def models(self, model: str) -> Sequence[ModelVersion]:
        """All versions of the model, newest first."""

    def endpoint(self, name: str) -> Endpoint | None:
        """The endpoint as it is now; None when there is none."""

    def start_endpoint(self, name: str, dataset: str) -> None:
        """Begins to create the endpoint, without traffic."""

    def deployment(self, endpoint: str, name: str) -> Deployment | None:
        """The deployment as it is now; None when there is none."""

    def start_deployment(self, endpoint: str, name: str, model: ModelVersion, run: str) -> None:
        """Begins to put the model into the deployment, which takes no traffic."""

    def start_traffic(self, endpoint: str, shares: Mapping[str, int]) -> None:
        """Begins to divide the endpoint's traffic: per cent by deployment, 100 in all, or nothing at all."""

    def cancel_job(self, name: str) -> None:
        """Begins to end the job; one that is not there or has ended is fine."""

    def delete_deployment(self, endpoint: str, name: str) -> None:
        """Begins to remove the deployment, which takes no traffic; one that is not there is fine."""

    def archive(self, model: str, version: str) -> None:
        """Hides the version from `models`; its number stays taken, and a person can restore it."""
