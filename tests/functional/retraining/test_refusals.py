"""Whatever goes wrong ends in the right state with a stable code and plain words, and leaves the live model alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta

import pytest

from local.sample_data import hourly_gas, plain_csv
from shared.errors import WorkspaceRefusedError
from shared.naming import TRAINING
from tests.functional.retraining.world import FIRST, World, assert_untouched, dataset


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
