"""Every fault that can befall a promotion, through the real SDK and the real router, while a client asks all the time.

`pytest -s -m ""` prints the table that docs/operations.md has.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient

from aml.contract import ReplayRules
from local.azureml.launch import AzureMLEmulator
from local.azurite import Azurite
from shared.retraining.lifecycle import ENDS
from shared.runs import Run
from tests.integration.azureml.conftest import TERMINAL, applied, until
from tests.integration.retraining.loop import ENDPOINT, GAS, CrashError, Loop

Told = list[tuple[str, int, str, str, int, int]]
DEPLOYMENTS = f"onlineEndpoints/{ENDPOINT}/deployments"
QUOTA = "Not enough quota available for Standard_DS3_v2 in SubscriptionId 0. Current usage/limit: 0/0."


@pytest.fixture(scope="module")
def place(
    azureml: AzureMLEmulator, azurite: Azurite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Loop]]:
    """Makes apps with storage of their own over one endpoint."""
    with (
        applied(azureml.client_environment()),
        BlobServiceClient.from_connection_string(azurite.connection_string) as service,
    ):
        folder, made = tmp_path_factory.mktemp("bundles"), []

        def make(**settings: Any) -> Loop:
            made.append(Loop(service, f"{azureml.url}/faults", folder, **settings))
            return made[-1]

        yield make
        made[0].client.online_endpoints.begin_delete(ENDPOINT).result()


@pytest.fixture(scope="module")
def loop(place: Callable[..., Loop]) -> Loop:
    """An app with a model in service."""
    made = place()
    made.promoted()
    return made


@pytest.fixture(autouse=True)
def sound(loop: Loop) -> Iterator[None]:
    """No fault outlives its test."""
    yield
    loop.order()


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    """The rows of the table."""
    rows: Told = []
    yield rows
    print("\n| fault | injected | the run ends | what is left | answers meanwhile | of them failed |")
    print("|---|---:|---|---|---:|---:|")
    print("\n".join(f"| {' | '.join(map(str, row))} |" for row in sorted(rows)))


def tell(told: Told, fault: str, injected: int, run: Run, left: str, answered: int, failed: int) -> None:
    assert injected > 0
    ends = f"`{run.state}`" + (f" (`{run.error.code}`)" if run.error else "")
    told.append((fault, injected, ends, left, answered, failed))


REFUSALS: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "quota refused": (
        {"kind": "arm_status", "method": "PUT", "path": DEPLOYMENTS, "status": 400, "message": QUOTA},
        "quota_exceeded",
        {},
    ),
    "deployment never ready": ({"kind": "never_ready", "method": "PUT", "path": DEPLOYMENTS}, "deployment_timeout", {}),
    "deployment that breaks": ({}, "deployment_failed", {"broken": True}),
    "rows refused by the new model": ({"kind": "wrapped", "status": 400}, "smoke_failed", {}),
    "endpoint that takes no new traffic": (
        {"kind": "arm_status", "method": "PUT", "path": f"onlineEndpoints/{ENDPOINT}", "status": 403, "after": 1},
        "workspace_refused",
        {},
    ),
}
SLOW = {
    "deployment that breaks",
    "endpoint that takes no new traffic",
    "rows refused by the new model",
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in REFUSALS])
def test_what_cannot_be_put_into_service_leaves_the_live_model_answering(loop: Loop, told: Told, name: str) -> None:
    rule, code, making = REFUSALS[name]
    live, before = loop.live(), loop.colours()
    idle = {"blue": "green", "green": "blue"}[live]
    run = loop.registered(**making)
    if rule:
        loop.order({**rule, **({"deployment": idle} if rule["kind"] == "wrapped" else {})})
    with loop.polled() as poll:
        if name == "deployment never ready":
            run = loop.until(run, "deploying")
            loop.look(run)
            loop.clock.advance(timedelta(hours=3))
        run = loop.settle(run)
    injected = loop.injected() if rule else 1

    assert (run.state, run.error and run.error.code) == ("failed", code)
    left = before if name == "quota refused" else {live}  # what was never touched stands as it did
    assert (loop.live(), loop.traffic(), loop.colours()) == (live, {live: 100}, left)
    assert poll.answered > 0
    assert (poll.failed, poll.deployments) == ([], {live})
    tell(told, name, injected, run, "the live deployment alone", poll.answered, 0)


THROTTLED: dict[str, Any] = {"kind": "arm_status", "status": 429, "retry_after": 120}
LOST: dict[str, Any] = {"kind": "arm_lost", "status": 503, "times": 1}
DELAYS: dict[str, list[dict[str, Any]]] = {
    "throttled ARM calls, Retry-After 120": [
        {**THROTTLED, "method": "PUT", "path": DEPLOYMENTS, "times": 2},
        {**THROTTLED, "method": "GET", "path": f"onlineEndpoints/{ENDPOINT}", "times": 2, "every": 3},
    ],
    "answers of ARM lost after their effect": [
        {**LOST, "method": "PUT", "path": DEPLOYMENTS},
        {**LOST, "method": "PUT", "path": f"onlineEndpoints/{ENDPOINT}"},
    ],
    "ARM answers 503": [{"kind": "arm_status", "status": 503, "times": 6, "every": 2}],
    "another change is under way (409)": [
        {"kind": "arm_status", "status": 409, "times": 3, "method": "PUT", "path": "onlineEndpoints"}
    ],
    "the new deployment restarts (503)": [{"kind": "status", "status": 503, "times": 3, "deployment": "idle"}],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DELAYS)
def test_what_passes_costs_time_and_nothing_else(loop: Loop, told: Told, name: str) -> None:
    live = loop.live()
    idle = {"blue": "green", "green": "blue"}[live]
    run = loop.registered()
    loop.order(*({**rule, "deployment": idle} if rule.get("deployment") else rule for rule in DELAYS[name]))
    before = loop.clock()
    with loop.polled() as poll:
        run = loop.settle(run)
    injected = loop.injected()

    assert (run.state, run.error, run.deployment) == ("live", None, idle)
    assert (loop.live(), loop.traffic()) == (idle, {idle: 100})
    assert (poll.failed, poll.deployments) == ([], {live, idle})
    if "Retry-After" in name:
        assert loop.clock() - before > timedelta(seconds=4 * 120)
    tell(told, name, injected, run, "promoted; the old deployment kept", poll.answered, 0)


def test_a_promotion_and_the_way_back_fail_no_answer(loop: Loop, told: Told) -> None:
    first, live = loop.app.live.get("gas"), loop.live()
    assert first is not None
    idle = {"blue": "green", "green": "blue"}[live]
    assert loop.score("gas/recent.csv").state == "completed"
    with loop.polled() as poll:
        promoted = loop.settle(loop.registered())
        back = loop.settle(loop.app.retraining.activate(GAS, first.version).run)

    assert (promoted.state, promoted.deployment) == ("live", idle)
    assert promoted.replay is not None
    recent = len(promoted.replay["files"])  # other tests' files too
    assert recent >= 1
    assert (promoted.replay["rows"], promoted.replay["errors"], promoted.replay["agreement"]) == (72 * recent, 0, 1)
    assert (back.state, back.deployment, back.model_version) == ("live", live, first.version)
    assert back.activated is not None
    assert back.activated["reused"]
    assert loop.traffic() == {live: 100}
    assert (poll.failed, poll.deployments) == ([], {live, idle})
    tell(told, "none: a promotion, and back by `activate`", 2, back, "both deployments", poll.answered, 0)


def test_a_replay_that_disagrees_rejects_the_model(loop: Loop, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = GAS.model_copy(update={"replay": ReplayRules(max_alert_rate=0)})
    monkeypatch.setattr("shared.retraining.verification.load_contract", {"gas": strict}.__getitem__)
    live = loop.live()
    assert loop.score("gas/flagged.csv").state == "completed"
    with loop.polled() as poll:
        run = loop.settle(loop.registered())

    assert run.state == "rejected"
    assert "in the replay of recent files alert_rate is" in (run.history[-1].note or "")
    assert (loop.live(), loop.traffic(), loop.colours()) == (live, {live: 100}, {live})
    assert (poll.failed, poll.deployments) == ([], {live})
    tell(told, "replay outside the contract's limits", 1, run, "the live deployment alone", poll.answered, 0)


@pytest.mark.slow
def test_a_canary_that_is_too_slow_gives_the_traffic_back(place: Callable[..., Loop], loop: Loop, told: Told) -> None:
    canary = place(canary_steps="10,50,100", canary_minutes=1, canary_max_seconds=0.5)
    canary.app.live.put(loop.app.live.get("gas") or pytest.fail("no live model"))
    live = loop.live()
    idle = {"blue": "green", "green": "blue"}[live]
    run = canary.registered()
    with loop.polled() as poll:
        while canary.traffic().get(idle) != 50:
            run = canary.look(run)
        canary.order({"kind": "slow", "seconds": 0.8, "deployment": idle})
        run = canary.settle(run)
        injected = canary.injected()
        canary.order()

    assert (run.state, run.error and run.error.code) == ("failed", "canary_failed")
    assert run.canary is not None
    assert [step["share"] for step in run.canary["steps"]] == [10, 50]
    assert (loop.live(), loop.traffic(), loop.colours()) == (live, {live: 100}, {live})
    assert (poll.failed, poll.deployments) == ([], {live, idle})
    tell(told, "canary: slow answers at 50 %", injected, run, "the live deployment alone", poll.answered, 0)


@pytest.mark.slow
def test_an_instance_that_dies_before_each_of_its_writes(loop: Loop, told: Told) -> None:
    live = loop.live()
    idle = {"blue": "green", "green": "blue"}[live]
    run, crashes = loop.registered(), 0
    with loop.polled() as poll:
        while loop.read(run).state != "live":
            for writes in range(3):
                loop.blobs.after = writes
                with suppress(CrashError):
                    loop.look(run)
                crashes += loop.blobs.after == -1
                loop.blobs.after = -1
            loop.until(run, "registered", "deploying", "verifying", "live")

    run = loop.read(run)
    assert (run.state, loop.live(), loop.traffic()) == ("live", idle, {idle: 100})
    assert (poll.failed, poll.deployments) == ([], {live, idle})
    tell(told, "instance dies between an effect and its record", crashes, run, "promoted once", poll.answered, 0)


@pytest.mark.slow
def test_many_instances_that_look_at_once(loop: Loop, told: Told) -> None:
    live = loop.live()
    idle = {"blue": "green", "green": "blue"}[live]
    run, looks = loop.registered(), 0
    with loop.polled() as poll:
        while loop.read(run).state not in ENDS:
            held = loop.app.runs.load("gas", run.id)
            instances = [threading.Thread(target=loop.app.retraining.advance, args=(held,)) for _ in range(4)]
            for instance in instances:
                instance.start()
            for instance in instances:
                instance.join()
            looks += 4

    assert loop.read(run).state == "live", loop.read(run).error
    assert (loop.live(), loop.traffic()) == (idle, {idle: 100})
    assert [step.state for step in loop.read(run).history] == ["registered", "deploying", "verifying", "live"]
    assert (poll.failed, poll.deployments) == ([], {live, idle})
    tell(told, "four instances look at once", looks, loop.read(run), "promoted once", poll.answered, 0)


@pytest.mark.slow
def test_an_endpoint_that_somebody_deletes_is_made_anew(loop: Loop, told: Told) -> None:
    run = loop.until(loop.registered(), "deploying")
    with loop.polled() as poll:
        loop.client.online_endpoints.begin_delete(ENDPOINT).result()
        run = loop.settle(run)
    assert run.state == "live", run.error
    assert [step.state for step in run.history].count("registered") == 2
    assert loop.traffic() == {run.deployment: 100}
    with loop.polled() as after:
        loop.look(run)
    assert after.failed == []
    tell(told, "endpoint deleted by somebody", 1, run, "endpoint and model anew", poll.answered, len(poll.failed))


def ended_job(loop: Loop, run: Run) -> str:
    """How the run's job ended."""

    def look() -> str | None:
        status = loop.client.jobs.get(run.job).status
        return next((each for each in TERMINAL if each == status), None)

    return until(look)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fails", "is cancelled by a person", "hangs", "vanishes"])
def test_a_job_that_comes_to_nothing(place: Callable[..., Loop], loop: Loop, told: Told, name: str) -> None:
    fresh = place()
    fresh.app.live.put(loop.app.live.get("gas") or pytest.fail("no live model"))
    live = fresh.live()
    with fresh.polled() as poll:
        # rows of its own: of equal datasets the second run reads the data asset of the first, which nobody spoils
        run = fresh.drop("gas/x.csv", days=201 if name == "fails" else 200)
        if name == "fails":
            fresh.order({"kind": "arm_status", "status": 503, "method": "PUT", "path": "jobs/", "times": 1})
            assert fresh.look(run).state == "validated"
            fresh.spoil(run)
        run = fresh.look(run)
        assert run.state == "training"
        if name == "is cancelled by a person":
            fresh.client.jobs.begin_cancel(run.job)
        elif name == "hangs":
            fresh.clock.advance(timedelta(hours=25))
        elif name == "vanishes":
            fresh.order({"kind": "arm_vanish", "method": "GET", "path": f"jobs/{run.job}", "times": 1})
        run = fresh.settle(run)

    code = {"fails": "training_failed", "hangs": "training_timeout", "vanishes": "job_vanished"}.get(name)
    assert (run.state, run.error and run.error.code) == ("failed", code or "training_canceled")
    if name == "hangs":
        assert ended_job(fresh, run) == "Canceled"
    assert (fresh.live(), fresh.traffic(), poll.failed) == (live, {live: 100}, [])
    tell(told, f"job {name}", 1, run, "no job under way", poll.answered, 0)


@pytest.mark.slow
def test_two_datasets_that_land_together(place: Callable[..., Loop], loop: Loop, told: Told) -> None:
    fresh = place()
    fresh.app.live.put(loop.app.live.get("gas") or pytest.fail("no live model"))
    with fresh.polled() as poll:
        older = fresh.drop("gas/older.csv")
        until(lambda: datetime.now(UTC) > older.updated.replace(microsecond=0) + timedelta(seconds=2) or None)
        newer = fresh.drop("gas/newer.csv")
        again = fresh.app.retraining.receive(fresh.blobs.info("datasets", "gas/newer.csv"))
        older = fresh.look(older)
        assert older.state == "training"
        newer = fresh.look(newer)
        older = fresh.look(older)
        newer = fresh.settle(newer)

    assert (again[0].run.id, again[1]) == (newer.id, False)
    assert older.state == "superseded"
    assert ended_job(fresh, older) == "Canceled"
    assert newer.state == "live"
    assert (poll.failed, fresh.traffic()) == ([], {fresh.live(): 100})
    loop.app.live.put(fresh.app.live.get("gas") or pytest.fail("no live model"))
    left = "older one `superseded`, its job cancelled"
    tell(told, "two datasets together, one delivered twice", 2, newer, left, poll.answered, 0)
