"""Run records: one JSON blob per run, moved only by conditional writes.

A record is created under an id that follows from what it is about, so that a second delivery of the same event meets
the record of the first. Its state, kind and blob are also the blob's metadata, so that listing does not open them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from shared import telemetry
from shared.errors import ConflictError, DropscoreError, NotFoundError
from shared.naming import RUNS, is_run_id
from shared.storage import ABSENT, BlobStore

Kind = Literal["train", "score"]
_NO_VERSION = "-"
"""Stands beside the record of a run without a model; metadata may not be empty."""


class Step(BaseModel):
    """One entry of a run's history: the state it entered, when (UTC), and what there is to say about it."""

    model_config = ConfigDict(frozen=True)

    state: str
    at: datetime
    note: str | None = None


class Failure(BaseModel):
    """Why a run ended badly or waits: a stable code, and words for a person."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str


class Run(BaseModel):
    """One run of training or scoring. `blob` is ``<container>/<name>``; times are UTC; frozen, moved by `entered`."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Kind
    dataset: str
    blob: str
    etag: str
    state: str
    history: tuple[Step, ...] = ()
    error: Failure | None = None
    manual: bool = False

    attempts: int = 0
    claimed_until: datetime | None = None
    not_before: datetime | None = None

    # scoring
    choice: str | None = None
    """Which of the dataset's models is asked, by a request or the file's metadata; None: as the contract says."""
    model: dict[str, Any] | None = None
    manifest: str | None = None
    counts: dict[str, Any] | None = None
    revision: int = 0
    plan: dict[str, int] | None = None
    """How the file is cut up, chosen by the first attempt and kept by the others: `rows_per_batch`."""

    parts: dict[str, Any] | None = None
    """Of a file that is scored in parts: `of` so many, so many `done`, and the `key` of the plan."""

    # training
    parameters: dict[str, Any] = Field(default_factory=dict)
    reason: dict[str, Any] | None = None
    """Why there is the dataset, where the app made it itself: `why` is ``drift``."""
    data: dict[str, Any] | None = None
    validation: dict[str, Any] | None = None
    asset: dict[str, Any] | None = None
    """The data asset that the job reads: `name`, `version`, and `path` in the container `training`."""
    job: str | None = None
    output: str | None = None
    """Where the job writes, below the run's folder in `training`; the files that were judged are in ``model``."""
    metrics: dict[str, Any] | None = None
    tuning: dict[str, Any] | None = None
    """The search that the model's parameters come from: method, objective, the best trial, and a bounded table."""
    selection: dict[str, Any] | None = None
    """The contract's candidates as the job tried them, and which of them the model is set up as."""
    champion: dict[str, Any] | None = None
    verdict: dict[str, Any] | None = None
    model_version: str | None = None
    endpoint: str | None = None
    deployment: str | None = None
    smoke: dict[str, Any] | None = None
    replay: dict[str, Any] | None = None
    """What the new deployment made of recent files, see `shared.retraining.replay`."""
    canary: dict[str, Any] | None = None
    """The steps in which it took the traffic, see `shared.retraining.canary`."""
    activated: dict[str, Any] | None = None
    """For a version that a person asked for: `version`, `run` (its training run), `reused` where it still stood."""
    ending: dict[str, Any] | None = None
    """How the run ends once what it began has been undone: `state`, `action`, `note`, `since`."""

    @property
    def maker(self) -> str:
        """The id of the training run that made the model which this run is about."""
        return str(self.activated["run"]) if self.activated else self.id

    @property
    def version(self) -> str | None:
        """The version of the model that a training run made, or that answered a scoring run; None as yet."""
        return self.model_version if self.kind == "train" else (self.model or {}).get("version")

    @property
    def created(self) -> datetime:
        """When the run's first state was entered."""
        return self.history[0].at

    @property
    def updated(self) -> datetime:
        """When the run's latest state was entered."""
        return self.history[-1].at

    def entered(self, state: str, at: datetime, note: str | None = None, **changes: Any) -> Run:
        """The same run in another state; `changes` are further fields."""
        history = (*self.history, Step(state=state, at=at, note=note))
        return self.model_copy(update={"state": state, "history": history, **changes})

    def failed(self, state: str, at: datetime, error: DropscoreError) -> Run:
        """The same run, ended (or waiting) in `state` because of `error`."""
        failure = Failure(code=error.code, message=error.message)
        return self.entered(state, at, error.code, error=failure, claimed_until=None)


@dataclass(frozen=True)
class Held:
    """A run as it was read: the record and the ETag that a conditional write of it must name."""

    run: Run
    etag: str


class RunStore:
    """The `runs` container."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def create(self, run: Run) -> tuple[Held, bool]:
        """Writes a new run unless its id exists; returns what is there now, and whether this call made it."""
        try:
            made = Held(run, self._write(run, ABSENT))
        except ConflictError:
            return self.load(run.dataset, run.id), False
        telemetry.moved(None, run)
        return made, True

    def save(self, held: Held, run: Run) -> Held:
        """Replaces the record; `ConflictError` when somebody else moved the run since it was read."""
        saved = Held(run, self._write(run, held.etag))
        telemetry.moved(held.run, run)
        return saved

    def load(self, dataset: str, run_id: str) -> Held:
        """The run, or `NotFoundError` (``run_not_found``)."""
        try:
            data, info = self._blobs.get(RUNS, _name(dataset, run_id))
        except NotFoundError as error:
            raise NotFoundError("run_not_found", f"There is no run {run_id}.") from error
        return Held(Run.model_validate_json(data), info.etag)

    def find(self, run_id: str) -> Held:
        """The run of that id, whatever its dataset."""
        for dataset in self._blobs.folders(RUNS) if is_run_id(run_id) else []:
            try:
                return self.load(dataset, run_id)
            except NotFoundError:
                continue
        raise NotFoundError("run_not_found", f"There is no run {run_id}.")

    def search(
        self,
        *,
        dataset: str | None = None,
        kind: str | None = None,
        states: Iterable[str] | None = None,
        after: str | None = None,
        version: str | None = None,
        limit: int | None = None,
    ) -> Sequence[Held]:
        """Runs, newest first; filters that are None take everything, `after` takes runs newer than that id, `version`
        those whose model is of that version: the one that they made, or that answered them."""
        wanted = None if states is None else set(states)
        folders = self._blobs.folders(RUNS) if dataset is None else [dataset]
        found = [
            (info.name.rpartition("/")[2], info.name)
            for folder in folders
            for info in self._blobs.list_blobs(RUNS, f"{folder}/")
            if (kind is None or info.metadata.get("kind") == kind)
            and (wanted is None or info.metadata.get("state") in wanted)
            # a record from before versions were noted beside it has to be opened
            and (version is None or info.metadata.get("version") in (None, quote(version, safe="")))
            and (after is None or info.name.rpartition("/")[2] > f"{after}.json")
        ]
        found.sort(reverse=True)
        opened = self._opened([name for _, name in found], wanted)
        return list(islice((held for held in opened if version in (None, held.run.version)), limit))

    def _opened(self, names: Sequence[str], wanted: set[str] | None) -> Iterable[Held]:
        for name in names:
            try:
                data, info = self._blobs.get(RUNS, name)
            except NotFoundError:
                continue  # removed by an operator between the listing and here
            run = Run.model_validate_json(data)
            if wanted is None or run.state in wanted:
                yield Held(run, info.etag)

    def _write(self, run: Run, if_match: str) -> str:
        return self._blobs.put(
            RUNS,
            _name(run.dataset, run.id),
            run.model_dump_json(indent=2, exclude_none=True).encode(),
            if_match=if_match,
            content_type="application/json",
            # header values are ASCII: a blob may be called anything
            metadata={
                **{"kind": run.kind, "state": run.state, "blob": quote(run.blob)},
                "version": quote(run.version or _NO_VERSION, safe=""),
            },
        )


def _name(dataset: str, run_id: str) -> str:
    return f"{dataset}/{run_id}.json"
