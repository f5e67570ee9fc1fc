"""From a registered model to its deployment: the idle colour, the endpoint, the deployment without traffic."""

from __future__ import annotations

from aml.contract import load_contract
from shared.errors import WorkspaceRefusedError
from shared.retraining.champion import require_unchanged
from shared.retraining.lifecycle import State
from shared.retraining.stage import Stage, VanishedError
from shared.retraining.workspace import Endpoint, ModelVersion
from shared.runs import Held, Run

COLOURS = ("blue", "green")


class Promotion(Stage):
    """The steps of the states `registered` and `deploying`."""

    def choose_colour(self, held: Held) -> Held | None:
        """Takes the idle colour, one run of a dataset at a time, creating the endpoint when there is none.

        Where the bundle is to answer in any case, there is neither: no endpoint is paid for.
        """
        run = held.run
        if not self._slot.take(run):
            return None
        require_unchanged(run, self._live.get(run.dataset))
        if self._settings.score_fallback == "bundle-always":
            nowhere: dict[str, None] = {"endpoint": None, "deployment": None}
            return self._move(held, State.DEPLOYING, "no endpoint: the bundle answers in the app", **nowhere)
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
        standing = self._standing(run, name)
        if standing is not None:
            about = {**(run.activated or {}), "reused": True}
            note = f"{name}, {standing}, where it is still"
            return self._move(held, State.DEPLOYING, note, endpoint=name, deployment=standing, activated=about)
        idle = self._idle(run, endpoint)
        return self._move(held, State.DEPLOYING, f"{name}, {idle}", endpoint=name, deployment=idle)

    def _standing(self, run: Run, endpoint: str) -> str | None:
        """The colour that holds the version which a person asked for already."""
        for colour in COLOURS if run.activated else ():
            found = self._workspace.deployment(endpoint, colour)
            if found is not None and found.run == run.maker and found.progress == "succeeded":
                return colour
        return None

    def _idle(self, run: Run, endpoint: Endpoint) -> str:
        live = self._live.get(run.dataset)
        busy = {*endpoint.traffic, *([live.deployment] if live and live.endpoint == endpoint.name else [])}
        idle = next((colour for colour in COLOURS if colour not in busy), None)
        if idle is None:
            raise WorkspaceRefusedError(
                "no_idle_deployment",
                f"Both deployments of {endpoint.name} are in use: the live model's is "
                f"{live.deployment if live else 'none'}, and the traffic is {dict(endpoint.traffic)}. Send all of it "
                "to one of them and train again.",
            )
        return idle

    def deploy(self, held: Held) -> Held | None:
        """Starts the deployment, and moves on once it is ready."""
        run = held.run
        if run.endpoint is None:
            return self._move(held, State.VERIFYING)
        contract = load_contract(run.dataset)
        endpoint, colour = run.endpoint, run.deployment or ""
        deployment = self._workspace.deployment(endpoint, colour)
        if deployment is not None and deployment.progress == "under way":
            return None
        if deployment is None or deployment.run != run.maker:
            if self._workspace.endpoint(endpoint) is None:
                raise VanishedError("endpoint_vanished", f"The endpoint {endpoint} is not there any more.")
            model = ModelVersion(contract.model_name, run.model_version or "")
            self._require_current(held)
            self._workspace.start_deployment(endpoint, colour, model, run.maker)
            return None
        if deployment.progress != "succeeded":
            raise WorkspaceRefusedError(
                "deployment_failed", f"The deployment {colour} of {endpoint} did not get ready; its log says why."
            )
        return self._move(held, State.VERIFYING)
