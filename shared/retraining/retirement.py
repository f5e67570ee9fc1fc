"""Retirement by policy: model versions are archived; the old colour, the data of fruitless runs, and what was kept of
files for longer than anybody needs it are deleted.

Off unless a setting asks for it. Never touched: the live model's version and deployment, those that a rollback would go
to, whatever an open run holds, versions that somebody else registered, and run records. An archived version is only
hidden: `az ml model restore` brings it back.

Looked at once an hour by one instance, whoever writes the dataset's record in `state` first; every act can be repeated.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta

from aml.contract import load_contract
from shared.contracts import sound_names
from shared.errors import ConflictError, DropscoreError, NotFoundError
from shared.live import LiveModel, LiveModels
from shared.naming import STATE, TRAINING, is_run_id
from shared.retraining.assets import version_of
from shared.retraining.lifecycle import ENDS, OPEN, State
from shared.retraining.workspace import Deployment, Endpoint, ModelVersion, Workspace
from shared.runs import Run, RunStore
from shared.scoring.forgetting import Forgetting
from shared.settings import Settings
from shared.storage import ABSENT, BlobStore

_log = logging.getLogger(__name__)
_EVERY = timedelta(hours=1)
_COLOURS = ("blue", "green")
_FRUITLESS = ENDS - {State.LIVE}


def to_archive(versions: Sequence[ModelVersion], kept: int, spared: Collection[str]) -> list[ModelVersion]:
    """The versions, newest first as they are given, that the policy archives.

    Args:
        kept: how many of the newest stay beside those spared; 0 archives none.
        spared: versions that stay whatever their age.
    """
    ours = [each for each in versions if each.tags.get("run") and each.version not in spared]
    return ours[kept:] if kept else []


def to_delete(
    live: LiveModel, endpoint: Endpoint, deployments: Sequence[Deployment], held: Collection[str], before: datetime
) -> list[str]:
    """The deployments that the policy deletes: idle ones, once the live model was promoted before that moment.

    Args:
        held: runs that have not ended; what they are deploying stays.
    """
    if live.since > before or endpoint.progress == "under way" or not endpoint.traffic.get(live.deployment):
        return []
    return [
        each.name
        for each in deployments
        if each.name != live.deployment
        and not endpoint.traffic.get(each.name)
        and each.progress != "under way"
        and each.run not in held
    ]


class Retirement:
    """The use case behind the timer."""

    def __init__(
        self,
        *,
        settings: Settings,
        blobs: BlobStore,
        runs: RunStore,
        live: LiveModels,
        workspace: Workspace,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._blobs = blobs
        self._runs = runs
        self._live = live
        self._workspace = workspace
        self._clock = clock
        self._forgetting = Forgetting(blobs, runs)

    def look(self) -> None:
        """Carries out the policy where it is due; what stands in its way is logged and tried again an hour later."""
        chosen = self._settings
        policies = (
            (chosen.retire_models_kept, self._archive_versions),
            (chosen.retire_idle_deployment_hours, self._delete_idle_deployments),
            (chosen.retire_training_days, self._delete_training_data),
            (chosen.retire_state_days, self._forget),
        )
        due = [act for setting, act in policies if setting]
        for dataset in sound_names() if due else ():
            if not self._is_ours(dataset):
                continue
            for act in due:
                try:
                    act(dataset)
                except DropscoreError as error:
                    _log.warning("retirement of %s waits: %s", dataset, error, extra={"dataset": dataset})

    def _is_ours(self, dataset: str) -> bool:
        """Whether this instance is the one that looks at the dataset in this hour."""
        name, now = f"retired/{dataset}.json", self._clock()
        try:
            data, info = self._blobs.get(STATE, name)
        except NotFoundError:
            etag = ABSENT
        else:
            etag = info.etag
            if now - datetime.fromisoformat(json.loads(data)["looked"]) < _EVERY:
                return False
        try:
            self._blobs.put(STATE, name, json.dumps({"looked": now.isoformat()}).encode(), if_match=etag)
        except ConflictError:
            return False
        return True

    def _archive_versions(self, dataset: str) -> None:
        live, model = self._live.get(dataset), load_contract(dataset).model_name
        if live is None:
            return
        spared = {live.version, *self._versions_in_use(live)}
        for each in to_archive(self._workspace.models(model), self._settings.retire_models_kept, spared):
            self._workspace.archive(each.name, each.version)
            _log.info("archived version %s of %s", each.version, each.name, extra={"dataset": dataset})

    def _versions_in_use(self, live: LiveModel) -> set[str]:
        """Versions that a rollback would go to (the one promoted before the live one), are deployed or under way."""
        trained = {held.run.id: held.run for held in self._runs.search(dataset=live.dataset, kind="train")}
        others = [run.model_version for run in _promoted(trained.values()) if run.model_version != live.version]
        deployed = [trained[each.run] for each in self._deployments(live.endpoint) if each.run in trained]
        under_way = [run for run in trained.values() if run.state in OPEN]
        return {version for version in [*others[-1:], *(r.model_version for r in [*deployed, *under_way])] if version}

    def _deployments(self, endpoint: str) -> list[Deployment]:
        found = [self._workspace.deployment(endpoint, colour) for colour in _COLOURS] if endpoint else []
        return [each for each in found if each is not None]

    def _delete_idle_deployments(self, dataset: str) -> None:
        live = self._live.get(dataset)
        endpoint = self._workspace.endpoint(live.endpoint) if live is not None and live.endpoint else None
        if live is None or endpoint is None:
            return
        before = self._clock() - timedelta(hours=self._settings.retire_idle_deployment_hours)
        deployments = self._deployments(live.endpoint)
        held = {found.run.id for found in self._runs.search(dataset=dataset, kind="train", states=OPEN)}
        for name in to_delete(live, endpoint, deployments, held, before):
            if self._is_being_deployed(dataset) or self._live.get(dataset) != live:
                return  # somebody is about to use the idle colour: another time
            self._workspace.delete_deployment(live.endpoint, name)
            _log.info("deleted the idle deployment %s of %s", name, live.endpoint, extra={"dataset": dataset})

    def _is_being_deployed(self, dataset: str) -> bool:
        states = (State.REGISTERED, State.DEPLOYING, State.VERIFYING)
        return bool(self._runs.search(dataset=dataset, kind="train", states=states, limit=1))

    def _delete_training_data(self, dataset: str) -> None:
        before = self._clock() - timedelta(days=self._settings.retire_training_days)
        for folder in self._blobs.folders(TRAINING, f"{dataset}/"):
            if not is_run_id(folder):
                continue
            try:
                run = self._runs.load(dataset, folder).run
            except NotFoundError:
                continue  # nobody knows what it belonged to
            if not _is_fruitless(run) or run.updated > before or self._is_read_by_others(run):
                continue
            for blob in list(self._blobs.list_blobs(TRAINING, f"{dataset}/{folder}/")):
                self._blobs.delete(TRAINING, blob.name)
            _log.info("deleted the training data of %s", run.id, extra={"run": run.id, "dataset": dataset})

    def _is_read_by_others(self, run: Run) -> bool:
        """Whether the run's rows are the data asset of a run that is open or came to something; or may become that of
        an open one, whose rows are the same and whose record does not know yet what its job reads."""
        own = f"{run.dataset}/{run.id}/"
        others = (found.run for found in self._runs.search(dataset=run.dataset, kind="train"))
        return any(
            str(other.asset["path"]).startswith(own) if other.asset else version_of(other) == version_of(run)
            for other in others
            if other.data and not _is_fruitless(other)
        )

    def _forget(self, dataset: str) -> None:
        before = self._clock() - timedelta(days=self._settings.retire_state_days)
        live, removed = self._live.get(dataset), self._forgetting.contexts(dataset, before)
        removed += self._forgetting.tails(load_contract(dataset), before)
        if live is not None:
            runs = {found.run.id: found.run for found in self._runs.search(dataset=dataset, kind="train")}
            others = [run.maker for run in _promoted(runs.values()) if run.maker != live.run]
            until = (runs[live.run].data or {}).get("last_time") if live.run in runs else None
            removed += self._forgetting.counts(dataset, before, {live.run, *others[-1:]}, until)
        if removed:
            _log.info("deleted %s leftovers of %s", removed, dataset, extra={"dataset": dataset})


def _promoted(runs: Iterable[Run]) -> list[Run]:
    """Those that brought a model into service, in their order."""
    return sorted((run for run in runs if run.state == State.LIVE), key=lambda run: run.updated)


def _is_fruitless(run: Run) -> bool:
    """Whether nothing refers to the run's training data: a registered version's files lie there."""
    return run.state in _FRUITLESS and run.model_version is None
