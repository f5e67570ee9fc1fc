"""The level-triggered reconciler: looks at a training run, does the next idempotent step, records it, and goes on.

Whoever looks (the blob trigger, the timer, a person by HTTP) calls `advance`; it takes the run as far as it goes
without waiting. Every effect is safe to repeat, every record is written conditionally, and what is under way in Azure
ML is looked at again the next time. A failure at any step leaves the live model as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from aml.contract import DatasetContract, contract_names, load_contract
from shared import telemetry
from shared.claims import Claim, is_claimed
from shared.drift.episodes import reason_of
from shared.errors import (
    ConflictError,
    DropscoreError,
    GiveUpError,
    InvalidInputError,
    NotFoundError,
    TryAgainError,
    WorkspaceRefusedError,
    WorkspaceUnavailableError,
)
from shared.live import LiveModel, LiveModels
from shared.naming import DATASETS, TRAINING, place, require_known, run_id
from shared.retraining.champion import as_tags, input_of, is_measured_against, job_name, measured, named, served_data
from shared.retraining.findings import report_of
from shared.retraining.gate import judge, recorded
from shared.retraining.lifecycle import OPEN, State, may_be_overtaken, moves
from shared.retraining.patience import hangs, is_late
from shared.retraining.slot import Slot
from shared.retraining.smoke import smoke
from shared.retraining.trials import asked_for, model_job, outcome, why_it_failed
from shared.retraining.validation import prepare
from shared.retraining.workspace import UNAVAILABLE, Endpoint, ModelVersion, TrainingJob, Workspace
from shared.runs import Failure, Held, Run, RunStore
from shared.scoring.context import write_table
from shared.scoring.history import History
from shared.scoring.targets import Targets
from shared.scoring.task import BlobSource
from shared.settings import Settings
from shared.storage import BlobInfo, BlobStore

_log = logging.getLogger(__name__)
COLOURS = ("blue", "green")
_VALIDATION_CLAIM = timedelta(minutes=5)


class Retraining:
    """Training runs: created from datasets, moved by `advance`."""

    def __init__(
        self,
        *,
        settings: Settings,
        blobs: BlobStore,
        runs: RunStore,
        live: LiveModels,
        history: History,
        targets: Targets,
        workspace: Workspace,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._blobs = blobs
        self._runs = runs
        self._live = live
        self._history = history
        self._targets = targets
        self._workspace = workspace
        self._slot = Slot(blobs, runs)
        self._clock = clock
        self._steps: Mapping[State, Callable[[Held], Held | None]] = {
            State.RECEIVED: self._validate,
            State.VALIDATED: self._train,
            State.TRAINING: self._evaluate,
            State.EVALUATED: self._register,
            State.REGISTERED: self._choose_colour,
            State.DEPLOYING: self._deploy,
            State.VERIFYING: self._verify,
        }

    def receive(
        self, blob: BlobInfo, *, manual: bool = False, parameters: Mapping[str, Any] | None = None
    ) -> tuple[Held, bool]:
        """The run of this version of a dropped dataset, and whether it is new; a manual run is always a new one."""
        drop, now = place(DATASETS, blob.name), self._clock()
        about = (f"{blob.etag} {uuid4()}", now) if manual else (blob.etag, blob.last_modified)
        run = Run(
            id=run_id("train", drop.blob, *about),
            kind="train",
            dataset=drop.dataset,
            blob=drop.blob,
            etag=blob.etag,
            state=State.RECEIVED,
            manual=manual,
            parameters=dict(parameters or {}),
        )
        return self._runs.create(run.entered(State.RECEIVED, now, reason=reason_of(self._blobs, drop)))

    def open_runs(self) -> list[Held]:
        """All training runs with something left to do, oldest first: an older one is deployed before a newer."""
        return list(reversed(self._runs.search(kind="train", states=OPEN)))

    def advance(self, held: Held) -> Run:
        """Takes the run as far as it goes without waiting; returns it as it then stands."""
        with telemetry.following(held.run):
            try:
                while (after := self._look(held)) is not None:
                    held = after
            except ConflictError as error:
                _log.info("run %s is left to somebody else: %s", held.run.id, error, extra=error.where)
        return self._runs.load(held.run.dataset, held.run.id).run

    def _look(self, held: Held) -> Held | None:
        """One step; None when there is nothing to do at the moment."""
        if State(held.run.state) not in OPEN:
            return None
        try:
            return self._overtaken(held) or self._step(held) or self._wait(held, None)
        except ConflictError:
            raise
        except TryAgainError as error:
            return self._wait(held, error)

    def _step(self, held: Held) -> Held | None:
        try:
            return self._steps[State(held.run.state)](held)
        except GiveUpError as error:
            return self._end(held, State.FAILED, error)

    def _wait(self, held: Held, error: TryAgainError | None) -> Held | None:
        """The record says why the run waits, written when that changes; a run that has waited for too long is ended."""
        run = held.run
        if error is not None:
            _log.warning("run %s stays %s: %s", run.id, run.state, error, extra=error.where)
        out_of_reach = isinstance(error, WorkspaceUnavailableError)  # then nobody can know whether anything hangs
        if is_late(run, self._clock()) and not out_of_reach:
            if run.error is not None and run.error.code == UNAVAILABLE:  # its time went by in an outage: once more
                again = run.entered(run.state, self._clock(), "Azure ML answers again", error=None)
                self._runs.save(held, again)
                return None
            try:
                return self._end(held, State.FAILED, hangs(run, error))
            except WorkspaceUnavailableError as unavailable:
                error = unavailable
        if (run.error and run.error.code) != (error and error.code):
            failure = error and Failure(code=error.code, message=error.message)
            self._runs.save(held, run.model_copy(update={"error": failure}))
        return None

    def _move(self, held: Held, state: State, note: str | None = None, **changes: Any) -> Held:
        if state not in moves(State(held.run.state)):
            raise RuntimeError(f"a run never goes from {held.run.state} to {state}")
        _log.info("run %s: %s", held.run.id, state, extra={"run": held.run.id, "blob": held.run.blob})
        return self._runs.save(held, held.run.entered(state, self._clock(), note, error=None, **changes))

    def _end(self, held: Held, state: State, error: DropscoreError) -> Held:
        if held.run.state == State.VERIFYING:
            self._give_traffic_back(held)
        _log.warning("run %s ends %s: %s", held.run.id, state, error, extra=error.where)
        return self._runs.save(held, held.run.failed(state, self._clock(), error))

    def _give_traffic_back(self, held: Held) -> None:
        """To the live model, when a run that fails had begun to take it."""
        run, live = held.run, self._live.get(held.run.dataset)
        endpoint = self._workspace.endpoint(run.endpoint or "")
        if live is None or endpoint is None or live.endpoint != endpoint.name or live.run == run.id:
            return
        if endpoint.traffic.get(run.deployment or ""):
            self._require_current(held)
            self._workspace.start_traffic(endpoint.name, live.deployment)

    def _overtaken(self, held: Held) -> Held | None:
        """A newer dataset that proved good ends an older run that is not yet being deployed."""
        run = held.run
        if not may_be_overtaken(State(run.state)):
            return None
        proved = set(State) - {State.RECEIVED, State.INVALID, State.FAILED, State.REJECTED, State.SUPERSEDED}
        newer = [
            other.run for other in self._runs.search(dataset=run.dataset, kind="train", states=proved, after=run.id)
        ]
        if not newer:
            return None
        return self._move(held, State.SUPERSEDED, f"overtaken by {newer[0].id} ({newer[0].blob})")

    def _validate(self, held: Held) -> Held | None:
        """Reads the dataset, which may take minutes: claimed, so that the timer's next look does not begin it again."""
        if is_claimed(held.run, self._clock()):
            return None
        claim = Claim(self._runs, held, self._clock, _VALIDATION_CLAIM)
        claim.take(held.run)
        run = claim.run
        try:
            drop = place(*run.blob.split("/", 1))
            require_known(drop, contract_names())
            contract = load_contract(run.dataset)
            source = BlobSource(self._blobs, drop.container, drop.name, run.etag, claim.renew)
            served = served_data(self._live.get(run.dataset), self._runs, overruled="force" in run.parameters)
            data = prepare(source, contract, self._blobs, f"{_folder(run)}/data.parquet", uuid4().hex[:8], served)
            self._blobs.put(TRAINING, f"{_folder(run)}/sample.arrow", write_table(data.sample))
            self._history.remember(contract, run.blob, run.id, data.latest)
        except InvalidInputError as error:
            told = run.model_copy(update={"validation": report_of(error).as_dict()})
            return self._end(Held(told, claim.held.etag), State.INVALID, error)
        except (ConflictError, NotFoundError):
            if self._is_current(run):
                raise
            note = "the dataset was replaced or removed before it was read"
            return self._move(claim.held, State.SUPERSEDED, note, claimed_until=None)
        except Exception:
            claim.release()
            raise
        found: dict[str, Any] = {"data": data.found, "validation": data.report.as_dict()}
        return self._move(claim.held, State.VALIDATED, **found, claimed_until=None)

    def _is_current(self, run: Run) -> bool:
        try:
            return self._blobs.info(*run.blob.split("/", 1)).etag == run.etag
        except NotFoundError:
            return False

    def _train(self, held: Held) -> Held:
        note, changes = self._start_job(held.run)
        return self._move(held, State.TRAINING, note, **changes)

    def _start_job(self, run: Run) -> tuple[str, dict[str, Any]]:
        """Starts the run's job with the live model of the moment beside it."""
        contract, live = load_contract(run.dataset), self._live.get(run.dataset)
        champion = None if live is None else named(live, self._workspace.models(live.model), self._blobs)
        job = TrainingJob(
            name=job_name(run, live),
            dataset=run.dataset,
            run=run.id,
            folder=_folder(run),
            contamination=float(run.parameters.get("contamination", contract.contamination)),
            tags=_origin(run),
            champion=input_of(champion),
            tuning=contract.tuning,
        )
        self._workspace.start_training(job)
        changes = {"job": job.name, "champion": champion, "tuning": asked_for(contract.tuning)}
        return f"job {job.name}", changes

    def _evaluate(self, held: Held) -> Held | None:
        run = held.run
        status = self._workspace.job(run.job or "")
        if status is None:
            raise WorkspaceRefusedError("job_vanished", f"The training job {run.job} is not there any more.")
        if status.progress == "under way":
            return None
        if status.progress != "succeeded":
            reason = why_it_failed(self._blobs, _folder(run))
            raise WorkspaceRefusedError(
                "training_failed" if status.progress == "failed" else "training_canceled",
                f"The training job {run.job} ended as {status.status}{f': {reason}' if reason else '.'} "
                f"Its log: {status.url or 'see the workspace'}",
            )
        left = outcome(self._blobs, _folder(run), run.tuning, status.best)
        metrics, champion = measured(run, left.metrics)
        if self._slot.is_taken_from(run):
            return None  # who is about to become the champion is the one to be compared with
        if not is_measured_against(run, self._live.get(run.dataset)):
            note, changes = self._start_job(run)
            return self._runs.save(held, run.entered(State.TRAINING, self._clock(), f"again: {note}", **changes))
        return self._move(held, State.EVALUATED, metrics=metrics, champion=champion, tuning=left.tuning)

    def _register(self, held: Held) -> Held | None:
        """The gate, and what passes it is registered; not while another run is about to become the champion."""
        run, contract = held.run, load_contract(held.run.dataset)
        if self._slot.is_taken_from(run):
            return None
        verdict = judge(run.metrics or {}, run.champion and run.champion.get("metrics", {}), contract.gate)
        judged = recorded(verdict, run.parameters)
        if not verdict.promote and "forced" not in judged:
            return self._move(held, State.REJECTED, "; ".join(verdict.reasons), verdict=judged)
        tags = _origin(run) | as_tags(run.metrics or {})
        version = self._workspace.register(contract.model_name, model_job(run), run.id, tags)
        note = f"{contract.model_name} version {version}{', forced' if 'forced' in judged else ''}"
        return self._move(held, State.REGISTERED, note, model_version=version, verdict=judged)

    def _choose_colour(self, held: Held) -> Held | None:
        """Takes hold of the idle colour, one run of a dataset at a time, creating the endpoint when there is none."""
        run = held.run
        if not self._slot.take(run):
            return None
        name = self._settings.endpoint_name(run.dataset)
        endpoint = self._workspace.endpoint(name)
        broken = endpoint is not None and endpoint.progress in ("failed", "canceled") and not endpoint.traffic
        if endpoint is None or (broken and run.endpoint is None):
            self._workspace.start_endpoint(name, run.dataset)
            return self._runs.save(held, run.model_copy(update={"endpoint": name})) if run.endpoint is None else None
        if endpoint.progress == "under way":
            return None
        if broken:
            raise WorkspaceRefusedError("endpoint_failed", f"The endpoint {name} could not be created.")
        live = self._live.get(run.dataset)
        busy = {*endpoint.traffic, *([live.deployment] if live and live.endpoint == name else [])}
        idle = next((colour for colour in COLOURS if colour not in busy), None)
        if idle is None:
            raise WorkspaceRefusedError(
                "no_idle_deployment",
                f"Both deployments of {name} are in use: the live model's is {live.deployment if live else 'none'}, "
                f"and the traffic is {dict(endpoint.traffic)}. Send all of it to one of them and train again.",
            )
        return self._move(held, State.DEPLOYING, f"{name}, {idle}", endpoint=name, deployment=idle)

    def _deploy(self, held: Held) -> Held | None:
        run = held.run
        contract = load_contract(run.dataset)
        endpoint, colour = run.endpoint or "", run.deployment or ""
        deployment = self._workspace.deployment(endpoint, colour)
        if deployment is not None and deployment.progress == "under way":
            return None
        if deployment is None or deployment.run != run.id:
            model = ModelVersion(contract.model_name, run.model_version or "")
            self._require_current(held)
            self._workspace.start_deployment(endpoint, colour, model, run.id)
            return None
        if deployment.progress != "succeeded":
            raise WorkspaceRefusedError(
                "deployment_failed", f"The deployment {colour} of {endpoint} did not get ready; its log says why."
            )
        return self._move(held, State.VERIFYING)

    def _verify(self, held: Held) -> Held | None:
        """A smoke request to the idle colour, then all traffic to it."""
        run = held.run
        contract = load_contract(run.dataset)
        endpoint = self._workspace.endpoint(run.endpoint or "")
        if endpoint is None:
            raise WorkspaceRefusedError("endpoint_vanished", f"The endpoint {run.endpoint} is not there any more.")
        if endpoint.progress == "under way":
            return None
        if run.smoke is None:
            return self._smoke(held, contract, endpoint.scoring_uri)
        if endpoint.traffic != {run.deployment: 100}:
            self._require_current(held)
            self._workspace.start_traffic(endpoint.name, run.deployment or "")
            return None
        self._promote(held, contract, endpoint)
        return self._move(held, State.LIVE, f"{endpoint.name}, {run.deployment}")

    def _require_current(self, held: Held) -> None:
        """Stops an instance that was held up while others went on: the colour that it means may be in service now."""
        run = held.run
        if self._runs.load(run.dataset, run.id).etag != held.etag:
            raise ConflictError("run_moved", f"The run {run.id} was moved by somebody else.", run=run.id)

    def _promote(self, held: Held, contract: DatasetContract, endpoint: Endpoint) -> None:
        """Writes the live record, once."""
        run = held.run
        live, live_etag = self._live.held(run.dataset)
        if live is not None and live.run == run.id:
            return
        self._require_current(held)
        promoted = LiveModel(
            dataset=run.dataset,
            model=contract.model_name,
            version=run.model_version or "",
            run=run.id,
            endpoint=endpoint.name,
            deployment=run.deployment or "",
            scoring_uri=endpoint.scoring_uri,
            since=self._clock(),
        )
        self._live.put(promoted, live_etag)

    def _smoke(self, held: Held, contract: DatasetContract, url: str) -> Held:
        run = held.run
        rows, _ = self._blobs.get(TRAINING, f"{_folder(run)}/sample.arrow")
        answered = smoke(self._targets, contract, url, run.deployment or "", run.model_version or "", rows)
        return self._runs.save(held, run.model_copy(update={"smoke": answered}))


def _folder(run: Run) -> str:
    return f"{run.dataset}/{run.id}"


def _origin(run: Run) -> dict[str, str]:
    """The tags that say where a job or a model came from."""
    return {
        "dataset": run.dataset,
        "blob": run.blob,
        "etag": run.etag,
        "sha256": (run.data or {})["sha256"],
        "run": run.id,
    }
