"""Retraining under whatever order of events: drops, looks, stale looks, faults, crashes, jobs that fail."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.errors import EndpointUnavailableError, WorkspaceUnavailableError
from shared.retraining.lifecycle import ENDS, State
from shared.retraining.workspace import Progress
from shared.runs import Held, Run
from tests.fakes.workspace import METRICS
from tests.functional.retraining.world import ENDPOINT, GAS, Crash, CrashError, World, dataset

GOOD = dataset()
METHODS = ["start_training", "job", "register", "endpoint", "start_endpoint", "deployment", "start_deployment"]
WORSE: dict[str, Any] = {"alert_rate": 0.9, "recall": 0.0}


class AnyOrder(RuleBasedStateMachine):
    """At every moment at most one deployment takes traffic, and the live model is one that passed the gate."""

    @initialize(looks=st.integers(0, 2))
    def begin(self, looks: int) -> None:
        self.world = World(looks=looks)
        self.runs: list[Run] = []
        self.stale: list[Held] = []

    @rule(good=st.sampled_from([True, True, True, False]))
    def drop(self, good: bool) -> None:
        self.runs.append(self.world.drop(f"gas/{len(self.runs)}.csv", GOOD if good else b""))

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 99))
    def look(self, which: int) -> None:
        run = self.runs[which % len(self.runs)]
        self.stale.append(self.world.runs.load("gas", run.id))
        self.world.look(run)

    @precondition(lambda self: self.stale)
    @rule(which=st.integers(0, 99))
    def look_with_an_old_record(self, which: int) -> None:
        self.world.again().advance(self.stale[which % len(self.stale)])

    @rule(times=st.integers(1, 6))
    def timer(self, times: int) -> None:
        for _ in range(times):
            self.world.tick()

    @rule(method=st.sampled_from([*METHODS, "start_traffic"]), after=st.booleans())
    def azure_ml_fails(self, method: str, after: bool) -> None:
        self.world.workspace.fail(method, WorkspaceUnavailableError("workspace_unavailable", "busy"), after=after)

    @rule(at=st.integers(0, 6), after=st.booleans())
    def an_instance_dies(self, at: int, after: bool) -> None:
        self.world.blobs.interruption = Crash(at, after=after)
        with suppress(CrashError):
            self.world.tick()
        self.world.blobs.interruption = None

    @rule(ends=st.sampled_from(["succeeded", "succeeded", "failed", "canceled"]), worse=st.booleans())
    def jobs_end_differently(self, ends: Progress, worse: bool) -> None:
        self.world.workspace.job_ends = ends
        self.world.workspace.metrics = WORSE if worse else METRICS

    @rule(ends=st.sampled_from(["succeeded", "succeeded", "failed"]), silent=st.booleans())
    def deployments_end_differently(self, ends: Progress, silent: bool) -> None:
        self.world.workspace.deployment_ends = ends
        self.world.targets.fault = EndpointUnavailableError("endpoint_failed", "503") if silent else None

    @rule(hours=st.integers(1, 30))
    def time_goes_by(self, hours: int) -> None:
        self.world.clock.advance(timedelta(hours=hours))

    @invariant()
    def one_deployment_takes_traffic_and_its_model_passed_the_gate(self) -> None:
        endpoint = self.world.workspace.endpoints.get(ENDPOINT)
        if endpoint is None or not endpoint.traffic:
            assert self.world.live.get("gas") is None
            return
        ((colour, share),) = endpoint.traffic.items()
        serving = self.world.workspace.deployments[(ENDPOINT, colour)]
        run = self.world.runs.load("gas", serving.run).run
        assert share == 100
        assert serving.progress == "succeeded"
        assert run.verdict is not None
        assert run.verdict["promote"]
        assert run.smoke is not None

    @invariant()
    def the_live_model_is_where_the_record_says(self) -> None:
        live = self.world.live.get("gas")
        if live is not None:
            assert self.world.workspace.deployments[(ENDPOINT, live.deployment)].run == live.run
            assert self.world.workspace.models_deployed[(ENDPOINT, live.deployment)].version == live.version
            if not any(self.world.read(run).state == State.VERIFYING for run in self.runs):
                assert self.world.workspace.endpoints[ENDPOINT].traffic == {live.deployment: 100}

    @invariant()
    def nothing_was_made_twice(self) -> None:
        owners = [version.tags["run"] for version in self.world.workspace.models(GAS.model_name)]
        assert len(owners) == len(set(owners))
        # a run has one job, and one more for each champion that came while it was under way
        jobs = [(job.asked.run, job.asked.champion) for job in self.world.workspace.jobs.values()]
        assert len(jobs) == len(set(map(str, jobs)))
        assert {run for run, _ in jobs} <= {run.id for run in self.runs}

    def teardown(self) -> None:
        """When the troubles end, everything settles."""
        if not hasattr(self, "world"):
            return
        world = self.world
        world.targets.fault = None
        world.workspace.faults.clear()
        world.workspace.job_ends = world.workspace.deployment_ends = "succeeded"
        world.workspace.metrics = METRICS
        last = world.drop("gas/last.csv", GOOD)
        for _ in range(40):
            world.clock.advance(timedelta(minutes=5))  # the claim of an instance that died
            world.tick()
        states = {run.id: world.read(run) for run in [*self.runs, last]}
        assert all(run.state in ENDS for run in states.values()), {run.state: run.error for run in states.values()}
        assert states[last.id].state == "live", states[last.id].error
        assert world.live_model().run == last.id
        assert world.workspace.endpoints[ENDPOINT].traffic == {world.live_model().deployment: 100}


AnyOrder.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestAnyOrder = AnyOrder.TestCase
