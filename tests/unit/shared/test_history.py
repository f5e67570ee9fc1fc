"""Which rows come before a file, out of all files known, and which files a newly known one comes before."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aml.contract import load_contract
from shared.errors import NotFoundError
from shared.naming import STATE
from shared.scoring.context import Firsts, conform, no_rows, time_order
from shared.scoring.history import History, Place
from tests.fakes.blobs import FakeBlobStore

GAS = load_contract("gas").model_copy(update={"context_rows": 3})
FIRST = datetime.fromisoformat("2026-01-30")  # a month ends within the hours that the tests use

Row = tuple[int, str | None]


def _at(hour: int) -> datetime:
    return FIRST + timedelta(hours=hour)


def _table(rows: list[Row], value: float = 0.0) -> pa.Table:
    columns: dict[str, Any] = {
        "FechaHora": pa.array([_at(hour) for hour, _ in rows], pa.timestamp("us")),
        "VolCorrected": pa.array([value + number for number in range(len(rows))], pa.float64()),
        "Serie": pa.array([meter for _, meter in rows], pa.string()),
    }
    table = conform(pa.table(columns), GAS)
    return table.take(pa.array(time_order(table, GAS)))


def _place(source: str, rows: list[Row]) -> Place:
    firsts: Firsts = {meter: _at(min(hour for hour, m in rows if m == meter)) for _, meter in rows}
    hours = [hour for hour, _ in rows]
    return Place(source, _at(min(hours)), _at(max(hours)), firsts)


class Files:
    """A history, and files that come to be known to it one after the other."""

    def __init__(self) -> None:
        self.blobs = FakeBlobStore()
        self.blobs.ensure_containers([STATE])
        self.history = History(self.blobs)
        self.arrived = 0

    def scored(self, source: str, rows: list[Row], *, value: float = 0.0, run: str = "") -> list[str]:
        """A file that is scored with the context that it is given now; which runs it marks."""
        self.arrived += 1
        place = _place(source, rows)
        before = self.history.before(GAS, place)
        name = run or f"{self.arrived:04d}-{source}"
        return self.history.remember(GAS, source, name, _table(rows, value), place, before)

    def forgets(self) -> None:
        """Another process goes on."""
        self.history = History(self.blobs)

    def known(self, rows: list[Row], source: str = "asking") -> dict[str | None, list[tuple[float, float]]]:
        """The context of a file of these rows: hour and value by meter."""
        place = _place(source, rows)
        found: dict[str | None, list[tuple[float, float]]] = {}
        for row in place.opening(self.history.before(GAS, place), GAS).to_pylist():
            hour = (row["FechaHora"] - FIRST) / timedelta(hours=1)
            found.setdefault(row["Serie"], []).append((hour, row["VolCorrected"]))
        return found

    def hours(self, hour: int) -> list[float]:
        """The hours that come before a file without meters that begins at this one."""
        return [time for time, _ in self.known([(hour, None)]).get(None, [])]


@pytest.fixture
def files() -> Files:
    return Files()


def _one(*hours: int) -> list[Row]:
    return [(hour, None) for hour in hours]


def test_it_is_chosen_by_the_time_of_the_rows_not_of_the_files(files: Files) -> None:
    for name, hours in {"c": (70, 71), "a": (1, 2), "b": (10, 11)}.items():
        files.scored(name, _one(*hours))

    assert files.hours(15) == [2.0, 10.0, 11.0]
    assert files.hours(5) == [1.0, 2.0]
    assert files.hours(1000) == [11.0, 70.0, 71.0], "rows are counted, not hours: a gap is stepped over"


def test_a_newer_version_of_a_file_replaces_what_was_remembered_of_it(files: Files) -> None:
    files.scored("x", _one(1, 9))
    files.scored("x", _one(1, 2))
    files.history.remember(GAS, "x", "0009-x", no_rows(GAS))

    assert files.hours(30) == [1.0, 2.0]
    assert [name for name in files.blobs.names(STATE) if name.endswith(".arrow")] == [
        name for name in files.blobs.names(STATE) if "20260130T020000" in name
    ]


def test_an_older_version_that_is_slower_replaces_nothing(files: Files) -> None:
    files.scored("x", _one(1, 2), run="2-x")

    assert files.scored("x", _one(7, 8, 9), run="1-x") == []

    assert files.hours(30) == [1.0, 2.0]


def test_of_rows_of_one_time_those_of_the_file_that_arrived_later_count(files: Files) -> None:
    files.scored("x", [(1, "a"), (2, "a"), (9, "b")], value=10)
    files.scored("y", [(2, "a"), (3, "a")], value=20)
    files.scored("z", [(1, "a")], value=30)

    assert files.known([(30, "a")]) == {"a": [(1.0, 30.0), (2.0, 20.0), (3.0, 21.0)]}


def test_a_correction_that_ends_earlier_counts_all_the_same(files: Files) -> None:
    files.scored("x", _one(1, 2, 3, 4, 5))
    files.scored("y", _one(3), value=40)

    assert files.known(_one(30)) == {None: [(3.0, 40.0), (4.0, 3.0), (5.0, 4.0)]}


def test_within_a_file_rows_of_one_time_are_all_rows(files: Files) -> None:
    files.scored("x", _one(1, 2, 2))
    files.scored("copy", _one(1, 2, 2))

    assert files.known(_one(30)) == {None: [(1.0, 0.0), (2.0, 1.0), (2.0, 2.0)]}


def test_many_small_files_make_up_one_context(files: Files) -> None:
    for hour in range(60):
        files.scored(f"file {hour}", _one(hour))

    assert files.hours(50) == [47.0, 48.0, 49.0]


def test_a_meter_is_found_behind_many_files_of_others_and_none_of_them_is_opened(files: Files) -> None:
    files.scored("rare", [(hour, "rare") for hour in range(5)])
    for number in range(200):
        files.scored(f"file {number}", [(10 + number, f"meter {number % 7}")])
    files.forgets()
    opened: list[str] = []

    def count(operation: str, container: str, name: str) -> None:
        opened.extend([name] if operation == "get" else [])

    files.blobs.interruption = count

    assert files.known([(999, "rare")]) == {"rare": [(2.0, 2.0), (3.0, 3.0), (4.0, 4.0)]}
    assert len(opened) == 1


def test_files_in_order_mark_nobody(files: Files) -> None:
    for day in range(20):
        assert files.scored(f"day {day}", _one(*range(24 * day, 24 * day + 24))) == []


def test_a_late_file_marks_those_that_its_rows_reach_and_no_others(files: Files) -> None:
    for name, hours in {"a": range(0, 4), "c": (8, 9), "d": (10,), "e": (11, 12), "f": (13,)}.items():
        files.scored(name, _one(*hours))

    assert files.scored("b", _one(*range(4, 8))) == ["0002-c", "0003-d"]
    assert files.scored("b", _one(*range(4, 8)), run="0006-b") == ["0002-c", "0003-d"], "not scored again yet"
    assert files.scored("copy of b", _one(*range(4, 8))) == ["0002-c", "0003-d"]


def test_a_late_file_marks_nobody_whose_meters_it_has_not(files: Files) -> None:
    files.scored("south", [(hour, "south") for hour in range(5, 9)])
    files.scored("north", [(hour, "north") for hour in range(5, 9)])

    assert files.scored("early", [(hour, "north") for hour in range(5)]) == ["0002-north"]


def test_a_file_that_is_moved_marks_those_at_both_places(files: Files) -> None:
    files.scored("x", _one(0, 1, 2))
    for day in range(1, 5):
        files.scored(f"day {day}", _one(*range(24 * day, 24 * day + 24)))

    assert files.scored("x", _one(60, 61, 62)) == ["0002-day 1"]
    files.scored("y", _one(*range(72, 75)), value=50)
    assert set(files.scored("x", _one(0, 1, 2), value=9)) == {"0002-day 1"}


def test_a_file_marks_itself_when_another_arrived_while_it_was_scored(files: Files) -> None:
    place = _place("b", _one(5, 6))
    before = files.history.before(GAS, place)
    files.scored("a", _one(1, 2))

    assert files.history.remember(GAS, "b", "0001-b", _table(_one(5, 6)), place, before) == ["0001-b"]
    assert files.history.stale(GAS, "b", "0001-b")
    assert not files.history.stale(GAS, "b", "0000-b")


def test_training_data_are_context_and_mark_but_are_not_marked(files: Files) -> None:
    files.scored("day", _one(10, 11))
    marked = files.history.remember(GAS, "datasets/gas/t.csv", "0002-t", _table(_one(7, 8, 9)))

    assert marked == ["0001-day"]
    assert files.scored("before", _one(1, 2)) == []


@pytest.mark.parametrize("operation", ["put", "delete"])
@pytest.mark.parametrize("at", range(8))
def test_a_crash_anywhere_is_made_good_by_the_next_try(files: Files, operation: str, at: int) -> None:
    files.scored("x", _one(0, 1, 2))
    for day in range(1, 4):
        files.scored(f"day {day}", _one(*range(24 * day, 24 * day + 24)))
    seen = [0]

    def crash(what: str, container: str, name: str) -> None:
        seen[0] += what == operation
        if what == operation and seen[0] == at + 1:
            raise RuntimeError("broke")

    files.blobs.interruption = crash
    try:
        files.scored("x", _one(50, 51, 52), run="0009-x")
    except RuntimeError:
        files.blobs.interruption = None
        files.scored("x", _one(50, 51, 52), run="0009-x")
    files.blobs.interruption = None

    assert _marks(files) == {"0002-day 1"} | ({"0004-day 3"} & _marks(files))
    assert files.hours(10) == []
    assert len([name for name in files.blobs.names(STATE) if name.startswith("history/")]) == 4


def _marks(files: Files) -> set[str]:
    found = set()
    for name in files.blobs.names(STATE):
        if name.startswith("revisit/"):
            found.add(name.rpartition("/")[2].removesuffix(".json"))
    return found


_FILE_ROWS = st.lists(st.tuples(st.integers(0, 60), st.sampled_from([None, "a", "b"])), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(arrivals=st.lists(st.tuples(st.sampled_from("uvwxyz"), _FILE_ROWS), min_size=1, max_size=9))
def test_nobody_is_left_with_a_context_that_he_would_not_be_given_now(arrivals: list[tuple[str, list[Row]]]) -> None:
    files = Files()
    current: dict[str, tuple[str, list[Row], float]] = {}

    for number, (source, rows) in enumerate(arrivals):
        files.scored(source, rows, value=100.0 * number)
        current[source] = (f"{files.arrived:04d}-{source}", rows, 100.0 * number)

    stale = {run for source, (run, _, _) in current.items() if files.history.stale(GAS, source, run)}
    assert stale <= _marks(files)
    for source, (run, rows, value) in current.items():
        if run in stale:  # it is scored again, and no other is disturbed by that
            assert run not in files.scored(source, rows, value=value, run=run)
    assert not any(files.history.stale(GAS, source, run) for source, (run, _, _) in current.items())


def test_a_tail_that_moves_while_it_is_looked_for_is_passed_over(files: Files) -> None:
    files.scored("x", _one(1, 2))
    files.forgets()

    def move(operation: str, container: str, name: str) -> None:
        if operation == "get" and name.startswith("history/"):
            raise NotFoundError("blob_not_found", "gone")

    files.blobs.interruption = move

    assert files.hours(30) == []
