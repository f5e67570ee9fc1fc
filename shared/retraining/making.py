"""From a dropped dataset to a registered model: validate, train, evaluate, judge and register."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any
from uuid import uuid4

from aml.contract import contract_names, load_contract
from shared.claims import Claim, is_claimed
from shared.contracts import contract_of
from shared.errors import ConflictError, InvalidInputError, NotFoundError, WorkspaceRefusedError
from shared.naming import TRAINING, place, require_known
from shared.retraining.assets import registered
from shared.retraining.champion import as_tags, input_of, is_measured_against, measured, named, served_data
from shared.retraining.findings import report_of
from shared.retraining.gate import judge, recorded
from shared.retraining.jobs import MODEL, output_of
from shared.retraining.lifecycle import Event, State, decide
from shared.retraining.searches import MEASURES, after, begun, is_search, name_of, step_of, why_not
from shared.retraining.stage import Stage, folder
from shared.retraining.trials import adopt, asked_for, code_of_automl, model_job, outcome, why_it_failed
from shared.retraining.validation import prepare
from shared.retraining.workspace import TrainingJob
from shared.runs import Held, Run
from shared.scoring.context import write_table
from shared.scoring.task import BlobSource

_VALIDATION_CLAIM = timedelta(minutes=5)


class Making(Stage):
    """The steps of the states `received` to `evaluated`."""

    def validate(self, held: Held) -> Held | None:
        """Reads the dataset, which may take minutes: claimed, so that the timer's next look does not begin it again."""
        if is_claimed(held.run, self._clock()):
            return None
        claim = Claim(self._runs, held, self._clock, _VALIDATION_CLAIM)
        claim.take(held.run)
        run = claim.run
        try:
            drop = place(*run.blob.split("/", 1))
            require_known(drop, contract_names())
            contract = contract_of(run.dataset)
            source = BlobSource(self._blobs, drop.container, drop.name, run.etag, claim.renew)
            served = served_data(self._live.get(run.dataset), self._runs, overruled="force" in run.parameters)
            data = prepare(source, contract, self._blobs, f"{folder(run)}/data.parquet", uuid4().hex[:8], served)
            self._blobs.put(TRAINING, f"{folder(run)}/sample.arrow", write_table(data.sample))
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

    def train(self, held: Held) -> Held:
        note, changes = self._start_job(held.run)
        return self._move(held, State.TRAINING, note, **changes)

    def _start_job(self, run: Run) -> tuple[str, dict[str, Any]]:
        """Starts the run's job with the live model of the moment beside it."""
        contract, live = load_contract(run.dataset), self._live.get(run.dataset)
        tuning = run.tuning if is_search(run) else begun(contract) if contract.found_by_automl else None
        at = run.model_copy(update={"tuning": tuning})
        name = contract.model_name if live is None else live.model
        known = self._workspace.models(name) if live is not None or contract.is_table else []
        champion = None if live is None else named(live, known, self._blobs)
        asset = registered(self._workspace, self._blobs, run, f"{folder(run)}/data.parquet", _origin(run))
        job = TrainingJob(
            name=name_of(at, step_of(at), live),
            dataset=run.dataset,
            run=run.id,
            folder=folder(run),
            contamination=run.parameters.get("contamination", contract.contamination),
            tags=_origin(run),
            champion=input_of(champion),
            version=1 + max((int(each.version) for each in known if each.version.isdecimal()), default=0),
            tuning=contract.tuning,
            data=asset,
            step=step_of(at),
            measure=MEASURES[contract.selection],
            table=(tuning or {}).get("table"),
            found=(tuning or {}).get("found"),
        )
        self._workspace.start_training(job)
        changes = {"job": job.name, "output": output_of(job.name), "champion": champion}
        changes["asset"] = asdict(asset)
        return f"job {job.name}", changes | {"tuning": tuning or asked_for(contract.tuning)}

    def evaluate(self, held: Held) -> Held | None:
        run = held.run
        status = self._workspace.job(run.job or "")
        if status is None:
            raise WorkspaceRefusedError("job_vanished", f"The training job {run.job} is not there any more.")
        if status.progress == "under way":
            return None
        if status.progress != "succeeded":
            reason = why_it_failed(self._blobs, folder(run), run.output or MODEL)
            raise WorkspaceRefusedError(
                code_of_automl(self._blobs, folder(run), run.output or MODEL) or why_not(run, status),
                f"The training job {run.job} ended as {status.status}{f': {reason}' if reason else '.'} "
                f"Its log: {status.url or 'see the workspace'}",
            )
        if (following := after(run, status)) is not None:
            return self._next_job(held, following)
        left = outcome(self._blobs, folder(run), run.output or MODEL, run.tuning, status.best)
        metrics, champion = measured(run, left.metrics)
        if self._slot.is_taken_from(run):
            return None  # who is about to become the champion is the one to be compared with
        if not is_measured_against(run, self._live.get(run.dataset)):
            return self._measure_again(held)
        self._require_current(held)
        adopt(self._blobs, folder(run), left.place)
        found: dict[str, Any] = {
            "metrics": metrics,
            "champion": champion,
            "tuning": run.tuning if is_search(run) else left.tuning,
            "selection": left.selection,
        }
        return self._move(held, State.EVALUATED, **found)

    def _next_job(self, held: Held, following: dict[str, Any]) -> Held:
        """The run's next job, which needs what the last one left."""
        self._require_current(held)
        run = held.run
        note, changes = self._start_job(run.model_copy(update={"tuning": following}))
        to = decide(State(run.state), Event.NEXT).to
        return self._runs.save(held, run.entered(to, self._clock(), note, error=None, not_before=None, **changes))

    def _measure_again(self, held: Held) -> Held:
        """Another job, against the model that is live now."""
        note, changes = self._start_job(held.run)
        to = decide(State(held.run.state), Event.OUTDATED).to
        fresh: dict[str, Any] = {"metrics": None, "error": None, "not_before": None, **changes}
        return self._runs.save(held, held.run.entered(to, self._clock(), f"again: {note}", **fresh))

    def register(self, held: Held) -> Held | None:
        """The gate, and what passes it is registered; not while another run is about to become the champion.

        From here on this run alone may change which model is live: the verdict holds for the one that it replaces.
        """
        run, contract = held.run, load_contract(held.run.dataset)
        if not self._slot.take(run):
            return None
        if not is_measured_against(run, self._live.get(run.dataset)):
            return self._measure_again(held)
        verdict = judge(run.metrics or {}, run.champion and run.champion.get("metrics", {}), contract.gate)
        judged = recorded(verdict, run.parameters)
        if not verdict.promote and "forced" not in judged:
            return self._move(held, State.REJECTED, "; ".join(verdict.reasons), verdict=judged)
        tags = _origin(run) | _asset_of(run) | as_tags(run.metrics or {})
        self._require_current(held)
        version = self._workspace.register(contract.model_name, model_job(run), run.id, tags)
        note = f"{contract.model_name} version {version}{', forced' if 'forced' in judged else ''}"
        return self._move(held, State.REGISTERED, note, model_version=version, verdict=judged)


def _origin(run: Run) -> dict[str, str]:
    """The tags that say where a job or a model came from."""
    return {
        "dataset": run.dataset,
        "blob": run.blob,
        "etag": run.etag,
        "sha256": (run.data or {})["sha256"],
        "run": run.id,
    }


def _asset_of(run: Run) -> dict[str, str]:
    """The tag that says which data asset a model was trained on."""
    return {"data_asset": f"{run.asset['name']}:{run.asset['version']}"} if run.asset else {}
