"""Whatever goes wrong ends in the right state with a stable code and plain words, and leaves the live model alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta

import pytest

from local.sample_data import hourly_gas, plain_csv
from shared.errors import EndpointUnavailableError, WorkspaceRefusedError, WorkspaceUnavailableError
from shared.naming import TRAINING
from shared.retraining.lifecycle import ENDS
from shared.retraining.workspace import Endpoint
from shared.runs import Run
from tests.functional.retraining.world import ENDPOINT, FIRST, THROTTLED, World, dataset

SILENT = EndpointUnavailableError("endpoint_unreachable", "The endpoint did not answer (ConnectTimeout).")


def lines(*rows: str, header: str = "FechaHora,VolCorrected") -> bytes:
    return "\n".join([header, *rows, ""]).encode()


def with_bad_rows(share: float) -> bytes:
    rows = dataset().decode().splitlines()[1:]
    bad = int(len(rows) * share)
    return lines(*[f"{row.split(',')[0]},?" for row in rows[:bad]], *rows[bad:])


BAD_DATASETS = {
    "empty": ("gas/x.csv", b"", "empty_file"),
    "header alone": ("gas/x.csv", lines(), "no_rows"),
    "missing column": ("gas/x.csv", lines("2026-01-01 00:00,3", header="FechaHora,Presion"), "missing_column"),
    "no usable row": ("gas/x.csv", lines(*["yesterday,plenty"] * 400), "no_usable_row"),
    "binary": ("gas/x.csv", bytes(range(256)) * 20, "binary_file"),
    "too few rows": ("gas/x.csv", plain_csv(hourly_gas(FIRST, 6, 1)).encode(), "too_few_rows"),
    "too few days": (
        "gas/x.csv",
        lines(*[f"2026-01-0{1 + row // 200} 00:00:00,{row}" for row in range(400)]),
        "too_few_days",
    ),
    "too many unusable": ("gas/x.csv", with_bad_rows(0.21), "too_many_unusable"),
    "one value": (
        "gas/x.csv",
        lines(*[f"{FIRST + timedelta(hours=hour)},12.5" for hour in range(400)]),
        "constant_value",
    ),
    "appended to itself": (
        "gas/x.csv",
        dataset() + b"".join(dataset().splitlines(True)[1:]),
        "too_many_duplicate_times",
    ),
    "every time twice": (
        "gas/x.csv",
        lines(*sorted(dataset().decode().splitlines()[1:] * 2)),
        "too_many_duplicate_times",
    ),
    "unknown dataset": ("water/x.csv", dataset(), "unknown_dataset"),
    "unplaced": ("x.csv", dataset(), "unplaced_file"),
}


@pytest.mark.parametrize(("name", "data", "code"), BAD_DATASETS.values(), ids=list(BAD_DATASETS))
def test_a_bad_dataset_is_invalid_and_costs_nothing(name: str, data: bytes, code: str) -> None:
    world = World()
    run = world.look(world.drop(name, data))

    assert run.state == "invalid"
    assert run.error is not None
    assert run.error.code == code
    assert len(run.error.message.split()) > 4
    assert world.read(run) == run
    assert run.validation is not None
    assert not run.validation["valid"]
    assert run.validation["errors"][0]["code"] == code
    assert not world.workspace.calls
    assert world.blobs.names(TRAINING) == []


def test_bad_rows_within_the_contracts_share_are_left_out_and_counted() -> None:
    world = World()
    run = world.look(world.drop("gas/x.csv", with_bad_rows(0.1)))

    assert run.state == "training"
    assert run.data is not None
    assert (run.data["rows"], run.data["usable"], run.data["unusable"]) == (480, 432, 48)
    assert run.data["examples"][0]["line"] == 2
    assert world.rows(run).num_rows == 432


def canceled(world: World) -> None:
    world.workspace.job_ends = "canceled"


def job_fails(world: World) -> None:
    world.workspace.job_ends = "failed"


def no_metrics(world: World) -> None:
    world.workspace.metrics = None


def worse(world: World) -> None:
    world.workspace.metrics = {"alert_rate": 0.9, "recall": 0.01}


def unmeasured(world: World) -> None:
    world.workspace.metrics = {"alert_rate": 0.01, "recall": math.nan}


def deployment_fails(world: World) -> None:
    world.workspace.deployment_ends = "failed"


def smoke_is_not_finite(world: World) -> None:
    world.targets.score = math.inf


def another_version_answers(world: World) -> None:
    world.targets.version = "17"


def refused(world: World) -> None:
    world.workspace.fail(
        "start_training", WorkspaceRefusedError("workspace_refused", "Azure ML answered 403: no quota")
    )


FAILURES: list[tuple[Callable[[World], None], str, str | None, str]] = [
    (job_fails, "failed", "training_failed", "ended as Failed. Its log: https://studio.test/runs/gas-2026"),
    (canceled, "failed", "training_canceled", "ended as Canceled"),
    (no_metrics, "failed", "metrics_missing", "completed without readable metrics"),
    (worse, "rejected", None, "alert_rate is 0.9, above 0.5; recall is 0.01, below 0.1"),
    (unmeasured, "rejected", None, "recall could not be measured"),
    (deployment_fails, "failed", "deployment_failed", "green of dropscore-gas did not get ready"),
    (smoke_is_not_finite, "failed", "smoke_failed", "could not score 50 of 50 rows of its own training data"),
    (
        another_version_answers,
        "failed",
        "smoke_failed",
        "The new deployment green answered as version 17, where version 2 should be.",
    ),
    (refused, "failed", "workspace_refused", "no quota"),
]


@pytest.mark.parametrize(
    ("goes_wrong", "state", "code", "words"), FAILURES, ids=lambda each: getattr(each, "__name__", "")
)
def test_what_goes_wrong_is_said_and_the_live_model_stays(
    goes_wrong: Callable[[World], None], state: str, code: str | None, words: str
) -> None:
    world = World()
    first = world.promoted()
    live = world.live_model()
    goes_wrong(world)
    run = world.settle(world.drop("gas/second.csv"))

    assert (run.state, run.error and run.error.code) == (state, code)
    assert words in (run.error.message if run.error else run.history[-1].note or "")
    assert run.verdict is None or len(run.verdict["reasons"]) == 2
    assert_untouched(world, first)
    assert world.live_model() == live


def assert_untouched(world: World, first: Run) -> None:
    """The first model is in service as if nothing had been tried since."""
    assert world.live_model().run == first.id
    assert world.workspace.endpoints[ENDPOINT].traffic == {"blue": 100}
    assert world.workspace.deployments[(ENDPOINT, "blue")].run == first.id


@pytest.mark.parametrize(
    ("goes_wrong", "state", "code", "words"), FAILURES, ids=lambda each: getattr(each, "__name__", "")
)
def test_after_a_failure_the_next_good_dataset_goes_live(
    goes_wrong: Callable[[World], None], state: str, code: str | None, words: str
) -> None:
    world = World()
    goes_wrong(world)
    world.settle(world.drop("gas/first.csv"))
    good = World()
    world.targets.score, world.targets.version = good.targets.score, good.targets.version
    world.workspace.metrics = good.workspace.metrics
    world.workspace.job_ends = world.workspace.deployment_ends = "succeeded"
    run = world.settle(world.drop("gas/second.csv"))

    assert (run.state, run.deployment) == ("live", "blue"), run.error


def test_a_job_that_vanished_ends_the_run() -> None:
    world = World()
    run = world.look(world.drop("gas/first.csv"))
    world.workspace.jobs.clear()
    run = world.settle(run)

    assert (run.state, run.error and run.error.code) == ("failed", "job_vanished")


def test_the_reason_that_the_job_left_behind_is_in_the_record() -> None:
    world = World()
    world.workspace.job_ends = "failed"
    run = world.look(world.drop("gas/first.csv"))
    why = b'{"code": "too_few_rows", "message": "12 usable rows are too few; at least 168 are needed."}'
    world.blobs.put(TRAINING, f"gas/{run.id}/{run.output}/error.json", why)
    run = world.settle(run)

    assert run.error is not None
    assert run.error.code == "training_failed"
    assert "ended as Failed: 12 usable rows are too few; at least 168 are needed. Its log: https" in run.error.message


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff\xfe", b"{}"])
def test_metrics_that_cannot_be_read_are_missing(body: bytes) -> None:
    world = World()
    world.workspace.metrics = None
    run = world.look(world.drop("gas/first.csv"))
    world.blobs.put(TRAINING, f"gas/{run.id}/{run.output}/metrics.json", body)

    run = world.settle(run)

    assert (run.state, run.error and run.error.code) == ("failed", "metrics_missing")


@pytest.mark.parametrize(
    ("method", "state"),
    [
        ("start_training", "validated"),
        ("job", "training"),
        ("register", "evaluated"),
        ("endpoint", "registered"),
        ("start_endpoint", "registered"),
        ("deployment", "deploying"),
        ("start_deployment", "deploying"),
        ("start_traffic", "verifying"),
    ],
)
def test_a_throttled_workspace_keeps_the_run_where_it_is_and_the_record_says_so(method: str, state: str) -> None:
    world = World()
    world.workspace.fail(method, *[THROTTLED] * 5)
    run = world.drop("gas/first.csv")
    while world.workspace.faults[method]:
        run = world.look(run)
    stays = world.read(run)

    assert stays.state == state
    assert stays.error is not None
    assert (stays.error.code, stays.error.message) == (THROTTLED.code, THROTTLED.message)
    assert world.live.get("gas") is None
    ended = world.settle(run)
    assert (ended.state, ended.error) == ("live", None)
    assert len(ended.history) == 8


def test_a_workspace_that_is_out_of_reach_for_days_ends_nothing() -> None:
    world = World()
    world.workspace.fail("deployment", *[THROTTLED] * 3)
    run = world.look_until(world.drop("gas/first.csv"), "deploying")
    for _ in range(3):
        world.clock.advance(timedelta(days=1))
        run = world.look(run)

    run = world.settle(run)
    assert run.state == "live"
    assert [step.note for step in run.history].count("Azure ML answers again") == 1


@pytest.mark.parametrize(
    ("state", "code", "words"),
    [
        ("training", "training_timeout", "did not end in 24 h."),
        ("deploying", "deployment_timeout", "The deployment green did not get ready in 2 h."),
        ("verifying", "verification_timeout", "did not take over in 1 h. Last it said: The endpoint did not"),
    ],
)
def test_what_hangs_is_given_up_and_the_next_dataset_goes_on(state: str, code: str, words: str) -> None:
    world = World()
    first = world.promoted()
    if state == "verifying":
        world.targets.fault = SILENT
    run = world.look_until(world.drop("gas/second.csv"), state)
    world.workspace.hang()
    world.clock.advance(timedelta(hours=25))
    run = world.look(run)

    assert run.state == "failed"

    assert run.error is not None
    assert run.error.code == code
    assert words in run.error.message
    assert_untouched(world, first)
    assert (ENDPOINT, "green") not in world.workspace.deployments
    assert (world.workspace.jobs[run.job or ""].end == "canceled") == (state == "training")
    world.workspace.looks, world.targets.fault = 1, None
    assert world.settle(world.drop("gas/third.csv")).state == "live"


def test_an_endpoint_that_is_never_there_is_given_up() -> None:
    world = World(looks=3)
    run = world.drop("gas/first.csv")
    while not world.workspace.endpoints:
        run = world.look(run)
    world.workspace.hang()
    world.clock.advance(timedelta(hours=13))
    run = world.look(run)

    assert (run.state, run.error and run.error.code) == ("failed", "endpoint_timeout")


def test_a_run_that_hangs_while_it_takes_the_traffic_gives_it_back() -> None:
    world = World()
    first = world.promoted()
    run = world.drop("gas/second.csv")
    while "green" not in world.workspace.endpoints[ENDPOINT].traffic:
        run = world.look(run)
    world.workspace.hang()
    world.clock.advance(timedelta(hours=2))
    world.workspace.fail("start_traffic", THROTTLED)
    run = world.look(run)
    assert (run.state, run.error and run.error.code) == ("verifying", "verification_timeout")
    assert run.ending is not None
    assert run.ending["state"] == "failed"
    run = world.settle(run)

    assert run.error is not None
    assert run.error.code == "verification_timeout"
    assert run.ending is None
    assert_untouched(world, first)
    assert (ENDPOINT, "green") not in world.workspace.deployments


def test_an_endpoint_that_cannot_be_created_ends_the_run_and_is_tried_anew_by_the_next() -> None:
    world = World()
    world.workspace.endpoint_ends = "failed"
    run = world.settle(world.drop("gas/first.csv"))

    assert (run.state, run.error and run.error.code) == ("failed", "endpoint_failed")
    assert world.workspace.effects["endpoint"] == 1

    world.workspace.endpoint_ends = "succeeded"
    assert world.promoted("gas/second.csv").deployment == "blue"


def test_an_endpoint_whose_last_change_failed_keeps_its_traffic() -> None:
    world = World()
    world.promoted()
    found = world.workspace.endpoints[ENDPOINT]
    world.workspace.endpoints[ENDPOINT] = Endpoint(found.name, "failed", found.scoring_uri, found.traffic)

    run = world.look_until(world.drop("gas/second.csv"), "deploying")

    assert run.deployment == "green"
    assert world.workspace.endpoints[ENDPOINT].traffic == {"blue": 100}
    assert world.workspace.effects["endpoint"] == 1


@pytest.mark.parametrize("state", ["deploying", "verifying"])
def test_an_endpoint_that_somebody_deleted_is_made_anew_by_the_run_that_needs_it(state: str) -> None:
    world = World()
    world.promoted()
    run = world.look_until(world.drop("gas/second.csv"), state)
    world.workspace.delete_endpoint(ENDPOINT)
    run = world.settle(run)

    assert (run.state, run.error) == ("live", None)
    assert [step.state for step in run.history].count("registered") == 2
    assert "The endpoint dropscore-gas is not there any more." in {step.note for step in run.history}
    assert world.workspace.endpoints[ENDPOINT].traffic == {run.deployment: 100}
    assert world.workspace.effects["model"] == 2


def test_a_deployment_that_somebody_deleted_is_made_anew() -> None:
    world = World()
    world.promoted()
    world.workspace.fail("start_traffic", THROTTLED)
    run = world.look_until(world.drop("gas/second.csv"), "verifying")
    world.workspace.delete_deployment(ENDPOINT, "green")
    run = world.settle(run)

    assert run.state == "live"
    assert "The deployment green of dropscore-gas is not there any more." in {step.note for step in run.history}


def test_who_keeps_deleting_the_endpoint_is_not_fought_for_ever() -> None:
    world = World()
    run = world.look_until(world.drop("gas/first.csv"), "deploying")
    while run.state not in ENDS:
        if run.state == "verifying":
            world.workspace.delete_endpoint(ENDPOINT)
        run = world.look(run)

    assert (run.state, run.error and run.error.code) == ("failed", "endpoint_vanished")
    assert world.workspace.effects["endpoint"] == 3


def test_a_deployment_that_failed_or_never_got_ready_is_deleted_again() -> None:
    for goes_wrong, code in ((deployment_fails, "deployment_failed"), (None, "deployment_timeout")):
        world = World()
        first = world.promoted()
        if goes_wrong is not None:
            goes_wrong(world)
        run = world.look_until(world.drop("gas/second.csv"), "deploying")
        if goes_wrong is None:
            world.workspace.hang()
            world.clock.advance(timedelta(hours=3))
        run = world.settle(run)

        assert (run.state, run.error and run.error.code) == ("failed", code)
        assert set(world.workspace.deployments) == {(ENDPOINT, "blue")}
        assert_untouched(world, first)


@pytest.mark.parametrize("method", ["cancel_job", "delete_deployment", "start_traffic"])
def test_what_cannot_be_undone_keeps_no_run_from_ending(method: str) -> None:
    refused = WorkspaceRefusedError("workspace_refused", "Azure ML answered 403: no role")
    world = World()
    first = world.promoted()
    run = world.drop("gas/second.csv")
    if method == "cancel_job":
        run = world.look_until(run, "training")
        world.workspace.hang()
    elif method == "delete_deployment":
        world.workspace.deployment_ends = "failed"
    else:
        while "green" not in world.workspace.endpoints[ENDPOINT].traffic:
            run = world.look(run)
        world.workspace.hang()
    world.workspace.fail(method, refused)
    if method != "delete_deployment":
        world.clock.advance(timedelta(hours=25))
    run = world.settle(run)

    assert run.state == "failed"
    assert not world.workspace.faults[method]
    assert world.live_model().run == first.id


def test_a_run_that_cannot_undo_what_it_began_for_a_day_ends_nevertheless() -> None:
    world = World()
    run = world.look_until(world.drop("gas/first.csv"), "training")
    world.workspace.hang()
    world.workspace.fail("cancel_job", *[THROTTLED] * 4)
    world.clock.advance(timedelta(hours=25))
    for _ in range(3):
        run = world.look(run)
        assert (run.state, run.error and run.error.code) == ("training", "training_timeout")
    world.clock.advance(timedelta(hours=25))
    run = world.look(run)

    assert (run.state, run.error and run.error.code) == ("failed", "training_timeout")


def test_a_workspace_that_throttles_is_left_alone_for_as_long_as_it_says() -> None:
    world = World()
    run = world.drop("gas/first.csv")
    world.workspace.fail("start_training", WorkspaceUnavailableError("workspace_unavailable", "429", retry_after=600))
    run = world.look(run)
    calls = sum(world.workspace.calls.values())
    for _ in range(8):
        run = world.look(run)
    assert (run.state, sum(world.workspace.calls.values())) == ("validated", calls)
    assert run.not_before is not None

    run = world.settle(run)
    assert (run.state, run.not_before) == ("live", None)
