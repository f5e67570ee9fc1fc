"""What a run that ends before its time takes back: its job, its deployment, the traffic. Safe to repeat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from shared.retraining.lifecycle import Action
from shared.retraining.searches import names_of
from shared.retraining.stage import Stage
from shared.retraining.workspace import Endpoint
from shared.runs import Held, Run

_DRAINS_IN = timedelta(minutes=3)
"""No request to a managed endpoint takes longer: what was on its way to a deployment is answered before that goes."""


class Undo(Stage):
    """Carries out the actions of the lifecycle's table."""

    def do(self, action: Action, held: Held) -> bool:
        """Whether nothing is left to be undone; otherwise it is looked at again."""
        todo: Mapping[Action, Callable[[Held], bool]] = {
            Action.NOTHING: lambda held: True,
            Action.CANCEL_JOB: self._cancel_job,
            Action.REMOVE_DEPLOYMENT: self._remove_deployment,
            Action.ROLL_BACK: self._roll_back,
        }
        return todo[action](held)

    def _cancel_job(self, held: Held) -> bool:
        """Those that may have been started since the record, then the one on record: where that has ended, a refusal
        must not keep another going."""
        run = held.run
        for name in dict.fromkeys(names_of(run, self._live.get(run.dataset))):
            self._workspace.cancel_job(name)
        return True

    def _remove_deployment(self, held: Held) -> bool:
        """The run's own, not one that stood there before it."""
        run = held.run
        if run.endpoint is None or run.deployment is None or (run.activated or {}).get("reused"):
            return True
        found = self._workspace.deployment(run.endpoint, run.deployment)
        if found is not None and found.run == run.maker:
            self._require_current(held)
            self._workspace.delete_deployment(run.endpoint, run.deployment)
        return True

    def _roll_back(self, held: Held) -> bool:
        """All traffic to the live model, where the run had begun to take it."""
        run = held.run
        endpoint = self._workspace.endpoint(run.endpoint) if run.endpoint else None
        if endpoint is None:
            return True
        home = self._home(run.dataset, endpoint)
        if home.get(run.deployment or ""):
            return True  # a person asked for the version that is live: it stays where it is
        if endpoint.traffic.get(run.deployment or ""):
            self._require_current(held)
            self._workspace.start_traffic(endpoint.name, home)
            return False
        if _may_have_had_traffic(run) and self._clock() < _begun(run) + _DRAINS_IN:
            return False
        return self._remove_deployment(held)

    def _home(self, dataset: str, endpoint: Endpoint) -> dict[str, int]:
        """Where the traffic belongs: to the live model, if it is at this endpoint."""
        live = self._live.get(dataset)
        if live is None or live.endpoint != endpoint.name:
            return {}
        if self._workspace.deployment(endpoint.name, live.deployment) is None:
            return {}
        return {live.deployment: 100}


def _may_have_had_traffic(run: Run) -> bool:
    """Whether the run got beyond the proofs that come before any traffic."""
    proved = run.replay is None or run.replay["promote"] or run.activated is not None
    return run.smoke is not None and bool(proved)


def _begun(run: Run) -> datetime:
    """When the run began to undo."""
    return datetime.fromisoformat(run.ending["since"]) if run.ending else run.updated
