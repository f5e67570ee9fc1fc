"""The proof of a new deployment, and its way into service: smoke, replay, canary, the traffic, the live record."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from aml.contract import DatasetContract, load_contract
from shared.live import LiveModel
from shared.naming import TRAINING
from shared.retraining.canary import Canary, Challenger
from shared.retraining.champion import require_unchanged
from shared.retraining.lifecycle import State
from shared.retraining.replay import Replay
from shared.retraining.smoke import smoke
from shared.retraining.stage import Parts, Stage, UnfitError, VanishedError
from shared.retraining.workspace import Endpoint
from shared.runs import Held
from shared.scoring.targets import Target


class Verification(Stage):
    """The step of the state `verifying`."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._replayed = Replay(parts)
        self._canary = Canary(parts.settings, parts.targets)

    def verify(self, held: Held) -> Held | None:
        """The next thing that is due of: a smoke request, the replay, the shares of traffic, the live record."""
        run = held.run
        contract = load_contract(run.dataset)
        require_unchanged(run, self._live.get(run.dataset))
        if run.endpoint is None:
            return self._verify_bundle(held, contract)
        endpoint = self._deployed(held)
        if endpoint.progress == "under way":
            return None
        if run.smoke is None:
            target = Target(endpoint.scoring_uri, run.deployment)
            answered = smoke(self._targets, contract, target, run.model_version or "", self._sample(held))
            return self._runs.save(held, run.model_copy(update={"smoke": answered}))
        quick = bool((run.activated or {}).get("reused"))
        colour = self._champion(held, endpoint)
        champion = Target(endpoint.scoring_uri, colour) if colour else None
        replayed = (
            None if quick else self._replay(held, contract, Target(endpoint.scoring_uri, run.deployment), champion)
        )
        return replayed or self._take_traffic(held, contract, endpoint, quick)

    def _verify_bundle(self, held: Held, contract: DatasetContract) -> Held:
        """A model without an endpoint: its bundle must answer, and is in service from then on."""
        run, version = held.run, held.run.model_version or ""
        target = Target("", None, contract.model_name, version, run.maker, run.dataset)
        if run.smoke is None:
            answered = smoke(self._targets, contract, target, version, self._sample(held))
            return self._runs.save(held, run.model_copy(update={"smoke": answered}))
        live = self._live.get(run.dataset)
        other = live is not None and live.run != run.maker
        champion = Target("", None, live.model, live.version, live.run, live.dataset) if live and other else None
        if (replayed := self._replay(held, contract, target, champion)) is not None:
            return replayed
        self._promote(held, contract, None)
        return self._move(held, State.LIVE, "without an endpoint")

    def _replay(
        self, held: Held, contract: DatasetContract, challenger: Target, champion: Target | None
    ) -> Held | None:
        """Recent files by both models, once; None when that has been. What a person asked for is not judged by it."""
        run = held.run
        if run.replay is None:
            found = self._replayed.run(contract, challenger, champion)
            return self._runs.save(held, run.model_copy(update={"replay": found}))
        if run.activated is None and not run.replay["promote"]:
            raise UnfitError("replay_unfit", "; ".join(run.replay["reasons"]))
        return None

    def _deployed(self, held: Held) -> Endpoint:
        """The endpoint, with the run's deployment behind it."""
        run = held.run
        endpoint = self._workspace.endpoint(run.endpoint or "")
        if endpoint is None:
            raise VanishedError("endpoint_vanished", f"The endpoint {run.endpoint} is not there any more.")
        found = self._workspace.deployment(endpoint.name, run.deployment or "")
        if found is None or found.run != run.maker:
            raise VanishedError(
                "deployment_vanished", f"The deployment {run.deployment} of {endpoint.name} is not there any more."
            )
        return endpoint

    def _champion(self, held: Held, endpoint: Endpoint) -> str | None:
        """The live model's deployment, where it has traffic and is not the run's own."""
        live = self._live.get(held.run.dataset)
        if live is None or live.endpoint != endpoint.name or live.deployment == held.run.deployment:
            return None
        return live.deployment if endpoint.traffic.get(live.deployment) else None

    def _take_traffic(self, held: Held, contract: DatasetContract, endpoint: Endpoint, quick: bool) -> Held | None:
        run, now = held.run, self._clock()
        canary = run.canary
        if canary is None and self._settings.canary_plan and not quick:
            canary = self._canary.begun(self._champion(held, endpoint))
        if canary is not None:
            self._canary.require_good(canary)
        wanted = self._canary.wanted(canary, run.deployment or "")
        if endpoint.traffic != wanted:
            self._require_current(held)
            self._workspace.start_traffic(endpoint.name, wanted)
            return self._noted(held, canary) if run.canary != canary else None
        if canary is None or self._canary.is_over(canary):
            self._promote(held, contract, endpoint)
            return self._move(held, State.LIVE, f"{endpoint.name}, {run.deployment}")
        if not self._canary.is_watched(canary):
            return self._noted(held, self._canary.entered(canary, now))
        challenger = Challenger(contract, endpoint.scoring_uri, run.deployment or "", self._sample(held))
        watched = self._canary.watched(canary, challenger, now)
        after = self._noted(held, watched)
        goes_on = self._canary.is_watched(watched) and self._canary.is_good(watched)
        return None if goes_on else after

    def _noted(self, held: Held, canary: dict[str, Any] | None) -> Held:
        return self._runs.save(held, held.run.model_copy(update={"canary": canary}))

    def _sample(self, held: Held) -> bytes:
        """The last rows that the model was trained on."""
        return self._blobs.get(TRAINING, f"{held.run.dataset}/{held.run.maker}/sample.arrow")[0]

    def _promote(self, held: Held, contract: DatasetContract, endpoint: Endpoint | None) -> None:
        """Writes the live record, once, and only in the place of the one that the gate compared this model with."""
        run = held.run
        live, live_etag = self._live.held(run.dataset)
        promoted = LiveModel(
            dataset=run.dataset,
            model=contract.model_name,
            version=run.model_version or "",
            run=run.maker,
            endpoint=endpoint.name if endpoint else "",
            deployment=run.deployment or "",
            scoring_uri=endpoint.scoring_uri if endpoint else "",
            since=self._clock(),
        )
        if live is not None and live == promoted.model_copy(update={"since": live.since}):
            return
        require_unchanged(run, live)
        self._require_current(held)
        self._live.put(promoted, live_etag)

    @property
    def canary_time(self) -> timedelta:
        """How long the canary's steps last in all."""
        return timedelta(minutes=len(self._settings.canary_plan) * self._settings.canary_minutes)
