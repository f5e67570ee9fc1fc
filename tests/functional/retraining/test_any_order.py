"""Retraining under whatever order of events, faults, crashes and wishes: who takes traffic has always earned it."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any, ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from shared.errors import (
    ConflictError,
    EndpointUnavailableError,
    GiveUpError,
    WorkspaceRefusedError,
    WorkspaceUnavailableError,
)
from shared.naming import DATASETS
from shared.retraining.lifecycle import ENDS, State
from shared.retraining.workspace import Progress
from shared.runs import Held, Run
from tests.fakes.workspace import METRICS
from tests.functional.retraining.test_events import KINDS, about
from tests.functional.retraining.world import ENDPOINT, GAS, Crash, CrashError, World, dataset

GOOD = dataset()
METHODS = [
    *("start_training", "job", "register", "endpoint", "start_endpoint", "deployment", "start_deployment"),
    *("start_traffic", "cancel_job", "delete_deployment", "models"),
]
STARTS = ["start_training", "register", "start_endpoint", "start_deployment"]
WORSE: dict[str, Any] = {"alert_rate": 0.9, "recall": 0.0}
SILENT = EndpointUnavailableError("endpoint_failed", "503")


def is_allowed(run: Run) -> bool:
    """The gate said yes, or a person had said that its no does not count."""
    return run.verdict is not None and (run.verdict["promote"] or bool(run.verdict.get("forced")))


class AnyOrder(RuleBasedStateMachine):
    """At every moment exactly one deployment takes traffic, once there was one, and its model passed the gate or was
    activated by a person; with a canary, the live one and its challenger share it."""

    steps: ClassVar[int] = 0

    @initialize(looks=st.integers(0, 2), canary=st.sampled_from(["", "", "10,50,100"]), files=st.integers(0, 1))
    def begin(self, looks: int, canary: str, files: int) -> None:
        self.world = World(looks=looks, canary_steps=canary, canary_minutes=2)
        self.looks = looks
        self.runs: list[Run] = []
        self.stale: list[Held] = []
        self.served = False
        for number in range(files):
            self.world.scored(f"gas/file{number}.csv")

    @rule(good=st.sampled_from([True, True, True, False]))
    def drop(self, good: bool) -> None:
        self.runs.append(self.world.drop(f"gas/{len(self.runs)}.csv", GOOD if good else b""))

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 99), seed=st.integers(2, 5))
    def replace(self, which: int, seed: int) -> None:
        self.runs.append(self.world.drop(self.name(which), dataset(seed=seed)))

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 99), force=st.booleans())
    def a_person_asks_for_a_training(self, which: int, force: bool) -> None:
        self.world.clock.advance(timedelta(minutes=1))
        wished = {"force": True, "reason": "litres are meant"} if force else {}
        blob = self.world.blobs.info(DATASETS, self.name(which))
        self.runs.append(self.world.retraining.receive(blob, manual=True, parameters=wished)[0].run)

    def name(self, which: int) -> str:
        return self.runs[which % len(self.runs)].blob.removeprefix(f"{DATASETS}/")

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 99))
    def the_same_blob_is_delivered_again(self, which: int) -> None:
        blob = self.world.blobs.info(DATASETS, self.name(which))
        held, new = self.world.retraining.receive(blob)
        assert not new
        self.world.retraining.advance(held)

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

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 99), kind=st.sampled_from(KINDS), status=st.sampled_from(["Completed", "Failed"]))
    def event(self, which: int, kind: str, status: str) -> None:
        self.world.retraining.notice(about(self.world.read(self.runs[which % len(self.runs)]), kind, status))

    @precondition(lambda self: self.world.workspace.versions.get(GAS.model_name))
    @rule(which=st.integers(0, 99))
    def activate(self, which: int) -> None:
        versions = self.world.workspace.versions[GAS.model_name]
        with suppress(WorkspaceUnavailableError, WorkspaceRefusedError):
            self.runs.append(self.world.activate(versions[which % len(versions)].version))

    @rule(method=st.sampled_from(METHODS), after=st.booleans(), retry_after=st.sampled_from([None, None, 30, 900]))
    def azure_ml_is_out_of_reach(self, method: str, after: bool, retry_after: int | None) -> None:
        error = WorkspaceUnavailableError("workspace_unavailable", "busy", retry_after=retry_after)
        self.world.workspace.fail(method, error, after=after)

    @rule(method=st.sampled_from(STARTS))
    def azure_ml_refuses(self, method: str) -> None:
        self.world.workspace.fail(method, WorkspaceRefusedError("quota_exceeded", "no quota"))

    @rule(at=st.integers(0, 8), after=st.booleans())
    def an_instance_dies(self, at: int, after: bool) -> None:
        self.world.blobs.interruption = Crash(at, after=after)
        with suppress(CrashError):
            self.world.tick()
        self.world.blobs.interruption = None

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 99), old=st.booleans())
    def the_app_breaks_on_a_run_until_its_message_is_poison(self, which: int, old: bool) -> None:
        run = self.runs[which % len(self.runs)]
        held = self.stale[which % len(self.stale)] if old and self.stale else self.world.runs.load("gas", run.id)
        if State(held.run.state) not in ENDS and held.run.ending is None:
            with suppress(ConflictError, WorkspaceUnavailableError):
                self.world.retraining.abandon(held, GiveUpError("crashed", "several times"))

    @rule(ends=st.sampled_from(["succeeded", "succeeded", "failed", "canceled"]), worse=st.booleans())
    def jobs_end_differently(self, ends: Progress, worse: bool) -> None:
        self.world.workspace.job_ends = ends
        self.world.workspace.metrics = WORSE if worse else METRICS

    @precondition(lambda self: self.world.workspace.jobs)
    @rule(which=st.integers(0, 99))
    def a_job_vanishes(self, which: int) -> None:
        jobs = self.world.workspace.jobs
        del jobs[list(jobs)[which % len(jobs)]]

    @rule(ends=st.sampled_from(["succeeded", "succeeded", "failed"]), silent=st.sampled_from(["", "", "blue", "green"]))
    def deployments_end_differently(self, ends: Progress, silent: str) -> None:
        self.world.workspace.deployment_ends = ends
        self.world.targets.faults = {silent: SILENT} if silent else {}
        self.world.targets.score = 0.5

    @rule()
    def models_answer_nonsense(self) -> None:
        self.world.targets.score = None

    @rule(for_hours=st.integers(1, 30))
    def everything_hangs(self, for_hours: int) -> None:
        self.world.workspace.hang()
        self.world.tick()
        self.world.clock.advance(timedelta(hours=for_hours))
        self.world.tick()
        self.world.workspace.go_on(self.looks)

    @rule()
    def somebody_deletes_the_endpoint(self) -> None:
        self.world.workspace.delete_endpoint(ENDPOINT)
        self.served = False

    @rule(colour=st.sampled_from(["blue", "green"]))
    def somebody_deletes_an_idle_deployment(self, colour: str) -> None:
        live, workspace = self.world.live.get("gas"), self.world.workspace
        endpoint = workspace.endpoints.get(ENDPOINT)
        if endpoint is None or endpoint.traffic.get(colour) or (live is not None and live.deployment == colour):
            return
        workspace.deployments.pop((ENDPOINT, colour), None)
        workspace.models_deployed.pop((ENDPOINT, colour), None)

    @rule(hours=st.integers(1, 30))
    def time_goes_by(self, hours: int) -> None:
        self.world.clock.advance(timedelta(hours=hours))

    @invariant()
    def who_takes_traffic_has_earned_it(self) -> None:
        AnyOrder.steps += 1
        endpoint, live = self.world.workspace.endpoints.get(ENDPOINT), self.world.live.get("gas")
        traffic = endpoint.traffic if endpoint is not None else {}
        assert sum(traffic.values()) == (100 if traffic else 0)
        assert traffic or not self.served
        self.served = self.served or (live is not None and live.deployment in traffic)
        for colour in traffic:
            self.has_earned_it(colour)
        if len(traffic) > 1:
            assert self.world.settings.canary_steps
            assert live is not None
            assert live.deployment in traffic

    def has_earned_it(self, colour: str) -> None:
        """Its model passed the gate, or a person asked for it, and it answered before it got any traffic."""
        serving = self.world.workspace.deployments[(ENDPOINT, colour)]
        assert serving.progress == "succeeded"
        records = [held.run for held in self.world.runs.search(kind="train") if held.run.maker == serving.run]
        assert any(run.smoke is not None and is_allowed(run) for run in records)

    @invariant()
    def the_live_model_is_where_the_record_says(self) -> None:
        live, workspace = self.world.live.get("gas"), self.world.workspace
        if live is None or not self.served:
            return
        assert workspace.deployments[(ENDPOINT, live.deployment)].run == live.run
        assert workspace.models_deployed[(ENDPOINT, live.deployment)].version == live.version
        if not any(held.run.state == State.VERIFYING for held in self.world.retraining.open_runs()):
            assert workspace.endpoints[ENDPOINT].traffic == {live.deployment: 100}

    @invariant()
    def what_the_gate_said_held_for_the_model_that_was_replaced(self) -> None:
        records = {held.run.id: held.run for held in self.world.runs.search(kind="train")}
        wished = {run.maker for run in records.values() if run.activated is not None}
        seen: set[str] = set()
        for before, after in self.world.live.made:
            run = records[after.run]
            by_a_person = run.id in seen or (run.id in wished and run.state != State.LIVE)
            measured = run.champion and (run.champion["version"], run.champion["run"])
            assert by_a_person or measured == (before and (before.version, before.run))
            seen.add(run.id)

    @invariant()
    def nothing_was_made_twice_and_nothing_is_left_behind(self) -> None:
        workspace = self.world.workspace
        owners = [version.tags["run"] for version in workspace.versions[GAS.model_name]]
        assert len(owners) == len(set(owners))
        # a run has one job, and one more for each champion that came while it was under way
        jobs = [(job.asked.run, str(job.asked.champion)) for job in workspace.jobs.values()]
        assert len(jobs) == len(set(jobs))
        records = {held.run.id: held.run for held in self.world.runs.search(kind="train")}
        assert {run for run, _ in jobs} <= set(records)
        for job in workspace.jobs.values():
            run = records[job.asked.run]
            if run.state in (State.SUPERSEDED, State.FAILED) and run.job:
                assert job.looks <= 0, "a job goes on that nobody waits for"
        wanted = {run.maker for run in records.values() if run.state not in ENDS or run.state == State.LIVE}
        assert {each.run for each in workspace.deployments.values()} <= wanted

    def teardown(self) -> None:
        """When the troubles end, everything settles."""
        if not hasattr(self, "world"):
            return
        world = self.world
        world.targets.faults, world.targets.score = {}, 0.5
        world.workspace.faults.clear()
        world.workspace.job_ends = world.workspace.deployment_ends = "succeeded"
        world.workspace.metrics = METRICS
        last = world.drop("gas/last.csv", GOOD)
        for _ in range(60):
            world.clock.advance(timedelta(minutes=5))  # the claim of an instance that died
            world.tick()
        records = [held.run for held in world.runs.search(kind="train")]
        assert all(run.state in ENDS for run in records), {run.state: run.error for run in records}
        assert world.read(last).state == "live", world.read(last).error
        assert world.live_model().run == last.id
        assert world.traffic() == {world.live_model().deployment: 100}


_HOW: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck)}
AnyOrder.TestCase.settings = settings(max_examples=20, stateful_step_count=30, **_HOW)
TestAnyOrder = AnyOrder.TestCase


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_steps() -> None:
    """The nightly profile."""
    AnyOrder.steps = 0
    run_state_machine_as_test(AnyOrder, settings=settings(max_examples=125, stateful_step_count=100, **_HOW))
    print(f"\n{AnyOrder.steps:,} steps of the state machine held.")
    assert AnyOrder.steps >= 10_000
