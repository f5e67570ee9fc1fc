"""Detectors are fitted and asked as the benchmark says, and its tables are where they belong."""

from pathlib import Path

import numpy as np
import pytest

from aml.rows import Floats, Rows
from benchmarks.detection.detectors import OWN, Where
from benchmarks.detection.labelled import LabelledSeries
from benchmarks.detection.labelled_run import run_labelled
from benchmarks.detection.measure import main
from benchmarks.detection.running import Cost, run
from benchmarks.detection.simulation import RULED, simulate_detector
from benchmarks.detection.simulator import simulate
from benchmarks.detection.table import kinds_table, labelled_table, simulated_table, write_between
from tests.unit.aml.streams import hourly

OFFICE = simulate("office", 11, days=240, zone=None)


class Spy:
    """Notes what it is given; a row's score is its position."""

    def __init__(self) -> None:
        self.fitted: list[int] = []
        self.asked: list[tuple[int, int]] = []

    def fit(self, rows: Rows) -> None:
        self.fitted.append(len(rows))

    def scores(self, rows: Rows, first: int) -> Floats:
        self.asked.append((len(rows), first))
        return np.arange(first, len(rows), dtype=float)


@pytest.mark.parametrize("refit", [False, True])
def test_a_detector_never_sees_what_is_to_come(refit: bool) -> None:
    spy, cost = Spy(), Cost()

    scores = run(lambda _: spy, hourly(days=10).take(slice(0, 200)), 80, refit=refit, cost=cost, where=Where())

    assert scores.tolist() == list(range(200))
    pieces = list(range(80, 200, 10))
    assert spy.asked == [(80, 0), *((begin + 10, begin) for begin in pieces)]
    assert spy.fitted == (pieces if refit else [80])
    assert (cost.fits, cost.rows) == (len(spy.fitted), 120)


class Oracle:
    """Knows the clean series: whatever differs from it, or from its times, is strange."""

    threshold = 0.5

    def fit(self, rows: Rows) -> None:
        self._clean = dict(zip(OFFICE.rows.time.tolist(), OFFICE.rows.value.tolist(), strict=True))

    def scores(self, rows: Rows, first: int) -> Floats:
        other = rows.value != np.array([self._clean[time] for time in rows.time.tolist()])
        steps = np.diff(rows.time, prepend=rows.time[0] - 3_600_000_000)
        strange: Floats = (other | (steps != 3_600_000_000)).astype(np.float64)
        return strange[first:]


def test_who_knows_the_clean_series_finds_every_fault_and_who_knows_nothing_none() -> None:
    perfect = simulate_detector(lambda _: Oracle(), [OFFICE], rounds=2)
    blind = simulate_detector(lambda _: Nothing(), [OFFICE], rounds=2)

    assert perfect.mean_recall == [1.0, 1.0]
    assert perfect.lenient_recall == [1.0, 1.0]
    assert [perfect.recall(kind) for kind in RULED] == [[1.0, 1.0]] * 2
    assert len(perfect.kinds) == 10
    assert perfect.alert_rates == [0.0]
    assert blind.mean_recall == [0.0, 0.0]
    assert blind.alert_rates == []


class Nothing:
    """Sees nothing anywhere."""

    def fit(self, rows: Rows) -> None: ...

    def scores(self, rows: Rows, first: int) -> Floats:
        return np.zeros(len(rows) - first)


@pytest.mark.parametrize("name", OWN)
def test_every_detector_scores_every_row_by_the_rows_before_it(name: str) -> None:
    rows = hourly(days=20)
    detector = OWN[name](Where())
    detector.fit(rows.take(slice(0, 240)))

    scores = detector.scores(rows, 240)

    assert scores.shape == (240,)
    assert np.isfinite(scores).all()
    if name != "random":
        assert detector.scores(rows.take(slice(0, 300)), 290).tolist() == scores[50:60].tolist()


WINDOWS = [(200, 219), (400, 409)]
LABELLED = [LabelledSeries("a.csv", hourly(days=20), WINDOWS), LabelledSeries("b.csv", hourly(days=9), [])]


class Knowing(Nothing):
    """Knows the windows of the first file."""

    def scores(self, rows: Rows, first: int) -> Floats:
        inside = np.isin(np.arange(len(rows)), [row for begin, end in WINDOWS for row in range(begin, end + 1)])
        return inside.astype(np.float64)[first:]


def test_labelled_files_are_judged_after_their_training_rows() -> None:
    files = LABELLED[:1]
    perfect, blind = (
        run_labelled(lambda _: Knowing(), files, refit=True),
        run_labelled(lambda _: Nothing(), files, refit=False),
    )

    assert perfect.areas[:2] == [1.0, 1.0]
    assert min(perfect.nab) == pytest.approx(100.0)
    assert blind.areas[0] == 0.5
    assert blind.nab == (0.0, 0.0, 0.0)
    assert len(run_labelled(lambda _: Nothing(), LABELLED, refit=False).rankings) == 1


def test_tables_have_a_line_for_everything_and_go_between_their_marks(tmp_path: Path) -> None:
    simulated = {"oracle": simulate_detector(lambda _: Oracle(), [OFFICE], rounds=1)}
    labelled = {("knows", True): run_labelled(lambda _: Knowing(), LABELLED[:1], refit=True)}

    assert simulated_table(simulated).splitlines()[2].startswith("| oracle | 1.00 | 1.00 | 1.00 | 1.00 |")
    assert len(kinds_table(simulated).splitlines()) == 2 + 12
    assert "| `leak` | 1.00 / 1.00 |" in kinds_table(simulated)
    assert labelled_table(labelled).splitlines()[2].startswith("| knows | yes | 1.000 | 1.000 |")

    page = tmp_path / "page.md"
    page.write_text("before\n<!-- kinds: begin -->\nold\n<!-- kinds: end -->\nafter\n")
    write_between(page, "kinds", "new")
    assert page.read_text() == "before\n<!-- kinds: begin -->\n\nnew\n\n<!-- kinds: end -->\nafter\n"
    with pytest.raises(ValueError, match="simulated"):
        write_between(page, "simulated", "new")


def test_the_command_says_what_it_does_not_know(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--detector", "none such"]) == 2
    assert "'none such'" in capsys.readouterr().err
    assert main(["--no-simulator", "--nab", str(tmp_path)]) == 2
    assert "combined_windows.json" in capsys.readouterr().err


def test_the_command_prints_its_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--detector", "random", "--meters", "1", "--rounds", "1", "--interval", "day"]) == 0

    printed = capsys.readouterr().out
    assert "1 simulated meters, one row a day" in printed
    assert "| random | 0." in printed
