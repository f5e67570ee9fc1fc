"""What is counted of runs and requests, and under which names."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from shared import telemetry
from shared.errors import EndpointUnavailableError, InvalidInputError
from shared.naming import CONTAINERS
from shared.retraining.lifecycle import ENDS as TRAINING_ENDS
from shared.runs import Kind, Run, RunStore
from shared.scoring.files import ENDS as SCORING_ENDS
from shared.telemetry.instruments import RUN_ENDS
from tests.fakes.blobs import FakeBlobStore
from tests.fakes.clock import START
from tests.fakes.telemetry import Heard, listening


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    with listening(monkeypatch) as heard:
        yield heard


def received(kind: Kind = "score", name: str = "x") -> Run:
    run = Run(
        id=f"{name}-{kind}", kind=kind, dataset="gas", blob=f"incoming/gas/{name}.csv", etag="1", state="received"
    )
    return run.entered("received", START)


def store() -> RunStore:
    blobs = FakeBlobStore()
    blobs.ensure_containers(CONTAINERS)
    return RunStore(blobs)


def after(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def test_the_ends_are_those_of_both_kinds_of_run() -> None:
    assert RUN_ENDS == SCORING_ENDS | TRAINING_ENDS


def test_a_completed_file_is_counted_with_its_rows_and_its_times(heard: Heard) -> None:
    runs = store()
    held, _ = runs.create(received())
    held = runs.save(held, held.run.entered("scoring", START + after(2)))
    counts = {"rows": 10, "scored": 7, "errors": 2, "rejected": 1, "anomalies": 3}
    runs.save(held, held.run.entered("completed", START + after(5), counts=counts))

    rows = {outcome: heard.value("dropscore.file.rows", dropscore__row__outcome=outcome) for outcome in
            ("scored", "error", "rejected")}  # fmt: skip
    assert rows == {"scored": 7, "error": 2, "rejected": 1}
    assert heard.value("dropscore.file.anomalies", dropscore__dataset="gas") == 3
    assert heard.value("dropscore.run.moves", dropscore__run__state="completed", dropscore__run__kind="score") == 1
    assert heard.value("dropscore.run.state.duration", dropscore__run__state="received") == 2
    assert heard.value("dropscore.run.state.duration", dropscore__run__state="scoring") == 3
    assert heard.value("dropscore.run.duration", dropscore__run__state="completed") == 5


def test_a_failed_run_is_counted_under_its_code(heard: Heard) -> None:
    runs = store()
    held, _ = runs.create(received("train"))
    runs.save(held, held.run.failed("invalid", START + after(1), InvalidInputError("too_few_rows", "Only 3.")))

    attributes = {"dropscore__run__state": "invalid", "error__type": "too_few_rows", "dropscore__run__kind": "train"}
    assert heard.value("dropscore.run.moves", **attributes) == 1


def test_a_record_that_is_written_without_a_move_and_a_run_that_is_met_again_count_nothing(heard: Heard) -> None:
    runs = store()
    held, _ = runs.create(received())
    runs.create(received())
    runs.save(held, held.run.model_copy(update={"claimed_until": START}))

    assert [value for _, value in heard.points("dropscore.run.moves")] == [1]


def test_a_run_asked_for_again_lasts_from_then_on(heard: Heard) -> None:
    runs = store()
    held, _ = runs.create(received())
    held = runs.save(held, held.run.entered("failed", START + after(1)))
    held = runs.save(held, held.run.entered("received", START + after(1000)))
    runs.save(held, held.run.entered("completed", START + after(1004)))

    assert heard.value("dropscore.run.duration", dropscore__run__state="completed") == 4


def test_a_request_is_told_by_what_came_of_it(heard: Heard) -> None:
    with telemetry.asked("https://one.test/score?code=secret", "blue") as told:
        told["status"] = 200
    with telemetry.asked("https://one.test/score", None) as told:
        told["status"] = 429
    with pytest.raises(TimeoutError), telemetry.asked("https://one.test/score", None):
        raise TimeoutError
    telemetry.retried(EndpointUnavailableError("endpoint_throttled", "Slow down."))

    told_of = [attributes for attributes, _ in heard.points("dropscore.endpoint.request.duration")]
    assert {each.get("http.response.status_code") for each in told_of} == {200, 429, None}
    assert {each.get("error.type") for each in told_of} == {None, "429", "TimeoutError"}
    assert {each["server.address"] for each in told_of} == {"one.test"}
    assert heard.value("dropscore.endpoint.retries", error__type="endpoint_throttled") == 1


def test_levels_are_looked_for_once_somebody_asks_and_fall_silent_when_stale(heard: Heard) -> None:
    assert not telemetry.levels_wanted()
    assert heard.points("dropscore.run.open") == []
    assert telemetry.levels_wanted()

    waiting = [received(name=name).entered("waiting", START + after(60)) for name in ("a", "b")]
    telemetry.standing([*waiting, received("train")], START + after(600))

    assert heard.value("dropscore.run.open", dropscore__run__state="waiting") == 2
    assert heard.value("dropscore.run.open.age", dropscore__run__state="waiting") == 600
    assert heard.value("dropscore.run.open", dropscore__run__kind="train") == 1
    heard.now += 301
    assert heard.points("dropscore.run.open") == []


def test_a_look_at_a_run_is_a_span(heard: Heard) -> None:
    with telemetry.following(received()):
        pass

    (span,) = heard.exporter.get_finished_spans()
    assert span.name == "dropscore.score"
    assert (span.attributes or {})["dropscore.run.id"] == "x-score"
