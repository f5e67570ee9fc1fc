"""Run records and live records: created once, moved by whoever read them last."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.claims import Claim, is_claimed
from shared.errors import ConflictError, InvalidInputError, NotFoundError
from shared.live import LiveModel, LiveModels
from shared.naming import CONTAINERS, RUNS
from shared.runs import Failure, Run, RunStore
from tests.fakes.blobs import FakeBlobStore
from tests.fakes.clock import START, FakeClock


@pytest.fixture
def blobs() -> FakeBlobStore:
    store = FakeBlobStore()
    store.ensure_containers(CONTAINERS)
    return store


def _run(number: int = 0, kind: str = "score", dataset: str = "gas", blob: str = "incoming/gas/x.csv") -> Run:
    moment = START + timedelta(minutes=number)
    identity = f"{moment:%Y%m%dT%H%M%SZ}-{kind}-00000000"
    fields = {"id": identity, "kind": kind, "dataset": dataset, "blob": blob, "etag": "0x1", "state": "received"}
    return Run.model_validate(fields).entered("received", moment)


def _live(version: str) -> LiveModel:
    return LiveModel(
        dataset="gas",
        model="m",
        version=version,
        run="r",
        endpoint="e",
        deployment="blue",
        scoring_uri="https://x.test",
        since=START,
    )


@given(blob=st.text(min_size=1, max_size=30), note=st.none() | st.text(max_size=20), message=st.text(max_size=30))
def test_a_record_is_read_as_it_was_written(blob: str, note: str | None, message: str) -> None:
    blobs = FakeBlobStore()
    blobs.ensure_containers([RUNS])
    runs = RunStore(blobs)
    run = _run(blob=blob).entered("failed", START, note, error=Failure(code="crashed", message=message))

    held, new = runs.create(run)

    assert (held.run, new) == (run, True)
    assert runs.load("gas", run.id) == held
    # header values: the platform takes ASCII only
    assert all(value.isascii() for value in next(blobs.list_blobs(RUNS)).metadata.values())


def test_a_run_is_created_once_and_keeps_what_became_of_it(blobs: FakeBlobStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(lambda _: RunStore(blobs).create(_run()), range(8)))

    assert sorted(new for _, new in created) == [False] * 7 + [True]
    runs = RunStore(blobs)
    moved = runs.save(created[0][0], _run().entered("scoring", START))
    assert runs.create(_run()) == (moved, False)


def test_a_record_moves_only_from_what_was_read(blobs: FakeBlobStore) -> None:
    runs = RunStore(blobs)
    held, _ = runs.create(_run())
    runs.save(held, held.run.entered("scoring", START))

    with pytest.raises(ConflictError):
        runs.save(held, held.run.entered("failed", START))

    assert runs.load("gas", held.run.id).run.state == "scoring"


def test_moving_a_run_keeps_its_history_and_its_reason(blobs: FakeBlobStore) -> None:
    later = START + timedelta(minutes=1)
    run = _run().model_copy(update={"claimed_until": later})

    failed = run.failed("failed", later, InvalidInputError("empty_file", "It is empty."))

    assert [(step.state, step.at, step.note) for step in failed.history] == [
        ("received", START, None),
        ("failed", later, "empty_file"),
    ]
    assert failed.error == Failure(code="empty_file", message="It is empty.")
    assert (failed.claimed_until, failed.created, failed.updated) == (None, START, later)
    assert run.state == "received"


def test_runs_are_found_by_id_and_by_what_they_are(blobs: FakeBlobStore) -> None:
    runs = RunStore(blobs)
    for run in (_run(1), _run(2, "train"), _run(3, dataset="water"), _run(4)):
        runs.create(run)
    held = runs.load("gas", _run(4).id)
    runs.save(held, held.run.entered("failed", START))

    def minutes(**filters: object) -> list[int]:
        found = runs.search(**filters)  # type: ignore[arg-type]  # filters of several types in one mapping
        return [int(each.run.id[11:13]) for each in found]

    assert minutes() == [4, 3, 2, 1]
    assert minutes(limit=2) == [4, 3]
    assert minutes(dataset="gas", kind="score") == [4, 1]
    assert minutes(states=("received",)) == [3, 2, 1]
    assert minutes(states=iter(("failed",)), kind="score") == [4]
    assert minutes(dataset="nothing") == []
    assert runs.find(_run(3, dataset="water").id).run.dataset == "water"
    for missing in ("nothing", "../gas"):
        with pytest.raises(NotFoundError) as error:
            runs.find(missing)
        assert error.value.code == "run_not_found"


def test_a_live_record_is_replaced_by_who_read_it_last(blobs: FakeBlobStore) -> None:
    live = LiveModels(blobs)
    nothing, absent = live.held("gas")
    assert nothing is None
    live.put(_live("1"), absent)
    first, etag = live.held("gas")
    live.put(_live("2"), etag)

    for stale in (absent, etag):
        with pytest.raises(ConflictError):
            live.put(_live("3"), stale)

    assert first == _live("1")
    assert live.get("gas") == _live("2")
    assert live.get("water") is None


def test_a_claim_lasts_as_long_as_there_are_signs_of_life(blobs: FakeBlobStore) -> None:
    clock, runs = FakeClock(), RunStore(blobs)
    held, _ = runs.create(_run())
    claim = Claim(runs, held, clock, timedelta(seconds=100))
    claim.take(held.run)
    taken = claim.held

    clock.advance(timedelta(seconds=49))
    claim.renew()
    assert claim.held == taken, "not every sign of life is written"
    clock.advance(timedelta(seconds=2))
    claim.renew()
    clock.advance(timedelta(seconds=99))
    assert is_claimed(runs.load("gas", held.run.id).run, clock())
    clock.advance(timedelta(seconds=2))
    assert not is_claimed(claim.run, clock())

    other = Claim(runs, runs.load("gas", held.run.id), clock, timedelta(seconds=100))
    other.take(other.run)
    for lost in (claim.renew, claim.release):
        with pytest.raises(ConflictError):
            lost()
    other.release()
    assert not is_claimed(runs.load("gas", held.run.id).run, clock())
