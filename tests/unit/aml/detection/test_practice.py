"""Faults that are put into the training rows: where, which, and what of them is kept."""

from dataclasses import replace

import numpy as np
import pytest

from aml.detection.channels import Signals
from aml.detection.plan import Plan
from aml.detection.practice import Faulty, Practice
from aml.detection.seasonal import SeasonalSignals
from aml.detection.series import Ordered
from aml.faults import FAULTS
from aml.rows import Rows, apart
from tests.unit.aml.streams import HOUR_US, hourly

_CONTEXT = 200


def faulty_of(rows: Rows, clean: slice | None = None) -> Faulty | None:
    ordered = Ordered.of(rows)
    if clean is not None:
        mask = np.zeros(len(rows), dtype=bool)
        mask[clean] = True
        ordered = replace(ordered, clean=mask)
    return Faulty.of(rows.take(ordered.order), ordered, Plan(HOUR_US, _CONTEXT))


def test_every_fault_is_called_as_its_series_and_has_its_context() -> None:
    rows = apart([hourly(310, 1), hourly(310, 2)])
    rows = Rows(rows.time, rows.value, rows.series, ("one", "two"))

    faulty = faulty_of(rows)

    assert faulty is not None
    assert set(faulty.rows.names or ()) == {"one", "two"}
    assert faulty.rows.series.max() + 1 == 24 * (len(FAULTS) - 2)  # all but missing and repeated rows
    for number in range(int(faulty.rows.series.max()) + 1):
        here = faulty.rows.series == number
        origin = faulty.origin[here]
        assert (origin[:_CONTEXT] == -1).all()
        assert (origin >= 0).any()
        name = faulty.rows.names_of(faulty.rows.series[here][:1])[0]
        assert {rows.names_of(rows.series[[at]])[0] for at in origin[origin >= 0].tolist()} == {name}
    changed = faulty.rows.value != rows.value[np.maximum(faulty.origin, 0)]
    assert changed[faulty.origin >= 0].mean() > 0.5


def test_faults_are_put_into_clean_rows_alone_and_the_same_ones_each_time() -> None:
    first, second = faulty_of(hourly(310), slice(600, 1500)), faulty_of(hourly(310), slice(600, 1500))

    assert first is not None
    assert second is not None
    inside = first.origin[first.origin >= 0]
    assert 600 <= inside.min() <= inside.max() < 1500
    assert first.rows.value.tobytes() == second.rows.value.tobytes()


@pytest.mark.parametrize(("days", "some"), [(14, False), (299, False), (301, True)])
def test_a_history_that_has_not_shown_every_season_teaches_nothing(days: int, some: bool) -> None:
    assert (faulty_of(hourly(days)) is not None) == some


def test_faults_belong_to_where_they_stood() -> None:
    faulty = faulty_of(hourly(310))
    assert faulty is not None
    early = np.arange(310 * 24) < 1000

    parts = [faulty.within(where) for where in (early, ~early)]

    assert sum(len(part) for part in parts) == len(faulty)
    for part, begins in zip(parts, (0, 1000), strict=True):
        last = np.append(np.diff(part.rows.series) != 0, True)
        assert (part.origin[last] >= begins).all()
    assert (parts[0].origin < 1000).all()


def test_of_each_fault_the_first_rows_are_kept_and_the_day_before_them() -> None:
    rows = Ordered.of(apart([hourly(5), hourly(30)]))
    faulty = np.zeros(len(rows), dtype=bool)
    faulty[100:104] = True  # 4 rows of one fault and 400 of the other
    faulty[320:720] = True
    signals = Signals(
        np.arange(840.0)[None], np.zeros(840), np.zeros((840, 1), np.float32), np.zeros((840, 1), np.float32)
    )

    kept = Practice.of(rows, faulty, signals, Plan(HOUR_US, _CONTEXT))

    assert kept.signals.statistics[0].tolist() == [*range(76, 104), *range(296, 680)]
    assert kept.rows.code.tolist() == [0] * 28 + [1] * 384
    assert kept.rows.begin.tolist() == [0] * 28 + [28] * 384
    assert kept.faulty.tolist() == [False] * 24 + [True] * 4 + [False] * 24 + [True] * 360


def test_faults_of_two_stretches_stay_series_of_their_own() -> None:
    part = Practice.of(
        Ordered.of(hourly(2)),
        np.arange(48) >= 40,
        Signals(np.zeros((1, 48)), np.zeros(48), np.zeros((48, 1), np.float32), np.zeros((48, 1), np.float32)),
        Plan(HOUR_US, _CONTEXT),
    )

    both = Practice.joined([part, part])

    assert both.rows.code.tolist() == [0] * 32 + [1] * 32
    assert both.faulty.tolist() == ([False] * 24 + [True] * 8) * 2


def test_a_detector_practises_on_histories_that_are_long_enough() -> None:
    long, short = (SeasonalSignals(_CONTEXT).fit_transform(hourly(days)) for days in (310, 75))

    assert short.practice is None
    assert long.practice is not None
    assert len(long.practice.faulty) == len(long.practice.rows) == long.practice.signals.statistics.shape[1]
    assert np.isfinite(long.practice.signals.statistics).all()
    assert (long.practice.signals.ordinary[long.practice.faulty] > 3).mean() > 3 * (long.signals.ordinary > 3).mean()
