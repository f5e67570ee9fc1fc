"""What is kept of files goes once it is old and nobody needs it, and what somebody needs stays."""

from __future__ import annotations

from datetime import datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aml.contract import load_contract
from shared.naming import INCOMING, RUNS, STATE
from shared.runs import Run, RunStore
from shared.scoring.context import conform, time_order
from shared.scoring.forgetting import Forgetting
from shared.scoring.history import History, Place
from tests.fakes.blobs import FakeBlobStore
from tests.fakes.clock import FakeClock

GAS = load_contract("gas").model_copy(update={"context_rows": 3})
FIRST = datetime.fromisoformat("2026-01-30")
DAY = timedelta(days=1)


class Files:
    """Files of some meters, known by their tails, of which some are still there."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.blobs = FakeBlobStore(self.clock)
        self.blobs.ensure_containers([STATE, INCOMING, RUNS])
        self.runs = RunStore(self.blobs)
        self.history = History(self.blobs)
        self.forgetting = Forgetting(self.blobs, self.runs)
        self.places: dict[str, Place] = {}

    def known(self, name: str, hours: range, meters: str = "a") -> None:
        """One that was scored."""
        source, now = f"{INCOMING}/gas/{name}", len(self.places)
        self.blobs.put(INCOMING, f"gas/{name}", b"x")
        rows = [(hour, meter) for hour in hours for meter in meters]
        table = conform(
            pa.table(
                {
                    "FechaHora": pa.array([FIRST + timedelta(hours=hour) for hour, _ in rows], pa.timestamp("us")),
                    "VolCorrected": pa.array([float(now)] * len(rows), pa.float64()),
                    "Serie": pa.array([meter for _, meter in rows], pa.string()),
                }
            ),
            GAS,
        )
        first, last = (FIRST + timedelta(hours=hour) for hour in (hours[0], hours[-1]))
        place = self.places[name] = Place(source, first, last, dict.fromkeys(meters, first))
        before = self.history.before(GAS, place)
        ordered = table.take(pa.array(time_order(table, GAS)))
        self.history.remember(GAS, source, f"{now:04d}", ordered, place, before)

    def remove(self, name: str) -> None:
        """A person removes the input."""
        self.blobs.delete(INCOMING, f"gas/{name}")

    def forget(self, days: int = 1) -> int:
        """A look at the tails, so many days later."""
        self.clock.advance(days * DAY)
        return self.forgetting.tails(GAS, self.clock() - DAY)

    def context(self, place: Place) -> pa.Table:
        """What a file of that place is given now."""
        return place.opening(self.history.before(GAS, place), GAS)

    def left(self) -> tuple[int, int]:
        """Tails, and what says where they lie."""
        return tuple(sum(1 for _ in self.blobs.list_blobs(STATE, kind)) for kind in ("history/", "sources/"))  # type: ignore[return-value]


@pytest.fixture
def files() -> Files:
    """Six files of four hours each, one behind the other."""
    files = Files()
    for number in range(6):
        files.known(f"{number}.csv", range(4 * number, 4 * number + 4))
    return files


def test_nothing_is_forgotten_of_files_that_are_there(files: Files) -> None:
    assert (files.forget(days=1000), files.left()) == (0, (6, 6))


def test_of_removed_files_the_tails_stay_that_the_next_file_needs(files: Files) -> None:
    for number in range(4):
        files.remove(f"{number}.csv")
    before = files.context(files.places["4.csv"])

    assert (files.forget(days=2), files.left()) == (3, (3, 3))
    assert files.context(files.places["4.csv"]).equals(before)
    assert (files.forget(), files.left()) == (0, (3, 3))


def test_what_is_not_old_stays(files: Files) -> None:
    for name in files.places:
        files.remove(name)

    assert files.forget(days=0) == 0
    assert files.forget(days=1) == 5


def test_behind_a_file_that_is_there_nothing_goes(files: Files) -> None:
    for number in (1, 2, 3, 4):
        files.remove(f"{number}.csv")

    assert files.forget(days=2) == 0


def test_a_meter_that_no_later_file_has_keeps_its_tail(files: Files) -> None:
    other = Files()
    other.known("old.csv", range(0, 4), "b")
    for number in range(1, 6):
        other.known(f"{number}.csv", range(4 * number, 4 * number + 4))
    for name in list(other.places):
        other.remove(name)

    assert other.forget(days=2) == 4
    assert other.left() == (2, 2)


def test_a_file_that_is_dropped_again_after_it_was_forgotten_is_known_again(files: Files) -> None:
    for number in range(4):
        files.remove(f"{number}.csv")
    files.forget(days=2)
    files.known("0.csv", range(0, 4))

    assert files.left() == (4, 4)
    assert files.forget(days=2) == 0


SPANS = st.tuples(st.integers(0, 60), st.integers(1, 12), st.sampled_from(["a", "b", "ab"]), st.booleans())


@settings(max_examples=60, deadline=None)
@given(spans=st.lists(SPANS, min_size=1, max_size=8))
def test_whoever_is_there_or_comes_later_is_given_the_same_context(spans: list[tuple[int, int, str, bool]]) -> None:
    files = Files()
    for number, (begin, length, meters, _) in enumerate(spans):
        files.known(f"{number}.csv", range(begin, begin + length), meters)
    after = FIRST + timedelta(hours=100)
    asking = [Place("incoming/gas/next.csv", after, after, dict.fromkeys("ab", after))]
    for number, (_, _, _, removed) in enumerate(spans):
        if removed:
            files.remove(f"{number}.csv")
        else:
            asking.append(files.places[f"{number}.csv"])
    before = [files.context(place) for place in asking]

    files.forget(days=2)

    assert all(files.context(place).equals(known) for place, known in zip(asking, before, strict=True))
    assert files.forget() == 0


@pytest.mark.parametrize(
    ("state", "days", "goes"),
    [
        ("completed", 2, True),
        ("failed", 2, True),
        ("waiting", 2, False),
        ("scoring", 2, False),
        ("completed", 0, False),
    ],
)
@pytest.mark.parametrize("revision", ["", "-2"])
def test_contexts_of_ended_runs_go(state: str, days: int, goes: bool, revision: str) -> None:
    files = Files()
    run = Run(
        id="20261121T080000Z-score-01234567",
        kind="score",
        dataset="gas",
        blob="incoming/gas/x.csv",
        etag="1",
        state=state,
    )
    files.runs.create(run.entered(state, files.clock()))
    files.blobs.put(STATE, f"context/gas/{run.id}{revision}.arrow", b"rows")
    files.clock.advance(days * DAY)

    assert files.forgetting.contexts("gas", files.clock() - DAY) == goes
    assert list(files.blobs.list_blobs(STATE, "context/")) == [] or not goes


def test_a_context_without_a_run_goes() -> None:
    files = Files()
    files.blobs.put(STATE, "context/gas/20261121T080000Z-score-01234567.arrow", b"rows")
    files.clock.advance(2 * DAY)

    assert files.forgetting.contexts("gas", files.clock() - DAY) == 1


def test_counts_for_drift_go_where_the_live_model_was_trained_on_the_rows_and_another_scored_them() -> None:
    files = Files()
    trained = 1_000_000_000_000_000  # microseconds since 1970: 2001-09-09 01:46:40
    for name, model, end in (("a", "old", 0), ("b", "old", 1), ("c", "live", 0), ("d", "before", 0)):
        about = {"run": "r", "model": model, "end": str(trained + end)}
        files.blobs.put(STATE, f"drift/gas/files/{name}.json", b"{}", metadata=about)
    files.clock.advance(2 * DAY)
    forget, models = files.forgetting.counts, {"live", "before"}

    assert forget("gas", files.clock() - 3 * DAY, models, "2001-09-09 01:46:40") == 0
    assert forget("gas", files.clock() - DAY, models, None) == 0
    assert forget("gas", files.clock() - DAY, models, "2001-09-09 01:46:40") == 1
    left = [info.name[-6:-5] for info in files.blobs.list_blobs(STATE, "drift/")]
    assert left == ["b", "c", "d"]
