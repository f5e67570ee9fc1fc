"""How much rows look like faults: what the regression learns, and that it never holds strangeness against a row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from aml.detection.likeness import Likeness
from aml.detection.plan import Plan
from aml.detection.series import Integers, Ordered
from aml.rows import Floats, Rows
from tests.unit.aml.streams import HOUR_US

_CHANNELS = 4
_DAY = 24
_FAULTS, _ROWS = 200, 4
_PLAN = Plan(HOUR_US, 696)


def rows_of(series: Integers) -> Ordered:
    """Rows an hour apart of these series, which are in order."""
    return Ordered.of(Rows(np.arange(len(series)) * HOUR_US, np.zeros(len(series)), series))


def one(rows: int) -> Ordered:
    return rows_of(np.zeros(rows, dtype=np.int64))


def rarities(rows: int, seed: int) -> Floats:
    """Of clean rows as they are by definition: one in ten reaches 1, one in a hundred 2."""
    return np.random.default_rng(seed).exponential(1 / np.log(10), (_CHANNELS, rows))


def practice(shown: int, seed: int) -> tuple[Ordered, Floats, NDArray[np.bool_]]:
    """Faults of some rows behind a day of clean ones, that show in so many of them: a little stranger in the first
    channel, much in the second, less strange than usual in the third."""
    found = rarities(_FAULTS * (_DAY + _ROWS), seed)
    place = np.tile(np.arange(_DAY + _ROWS), _FAULTS)
    shows = (place >= _DAY) & (place < _DAY + shown)
    found[0, shows] += 0.4
    found[1, shows] += 3.0
    found[2, shows] *= 0.2
    return rows_of(np.repeat(np.arange(_FAULTS), _DAY + _ROWS)), found, place >= _DAY


def learnt(shown: int = _ROWS) -> Likeness:
    rows, found, faulty = practice(shown, 2)
    return Likeness.fit(_PLAN, (one(4000), rarities(4000, 1)), (rows, found), faulty)


@pytest.fixture(scope="module")
def likeness() -> Likeness:
    return learnt()


def test_what_faults_have_in_common_counts_and_nothing_counts_for_a_row(likeness: Likeness) -> None:
    assert (likeness.weights >= 0).all()
    assert likeness.weights[1].sum() > likeness.weights[0].sum() > likeness.weights[2].sum() == 0


def test_clean_rows_are_as_rare_as_they_are_called(likeness: Likeness) -> None:
    """Loudness of 2 is a rarity of 2: one clean row in a hundred."""
    found = likeness.of(one(20_000), rarities(20_000, 3))

    assert (found > 2).mean() == pytest.approx(0.01, abs=0.004)
    assert (found > 0).mean() <= 0.1


@given(st.floats(0, 20))
def test_the_rarity_that_is_sure_alone_comes_to_that_loudness_with_what_it_looks_like(
    likeness: Likeness, loud: float
) -> None:
    alone = likeness.alone(loud, 1.1)

    assert 1.1 * alone + 2.0 * max(alone - 1.0, 0.0) == pytest.approx(loud)


@pytest.mark.parametrize("shown", [1, _ROWS])
def test_a_fault_teaches_by_the_rows_that_show_it(shown: int) -> None:
    rows, channels, faulty = practice(shown, 5)

    found = learnt(shown).of(rows, channels)

    best = np.zeros(_FAULTS)
    np.maximum.at(best, rows.code[faulty], found[faulty])
    assert (best > 2).mean() > 0.8


def test_small_strangeness_of_several_channels_adds_up(likeness: Likeness) -> None:
    before = np.full((_CHANNELS, _DAY), 0.1)
    alone, both = np.array([[1.2], [0.0], [0.0], [0.0]]), np.array([[1.2], [1.2], [0.0], [0.0]])

    found = [likeness.of(one(_DAY + 1), np.hstack([before, row]))[-1] for row in (alone, both)]

    assert found[1] > found[0]


def test_what_goes_on_looks_less_like_a_fault_than_what_begins(likeness: Likeness) -> None:
    channels = np.full((_CHANNELS, 3 * _DAY), 0.1)
    channels[:, _DAY + 12 :] = 5.0

    found = likeness.of(one(3 * _DAY), channels)

    assert found.argmax() == _DAY + 12
    assert found[_DAY + 12] > 2
    assert (np.delete(found, _DAY + 12) < 1).all()


@given(
    st.lists(st.floats(0, 300), min_size=_CHANNELS, max_size=_CHANNELS),
    st.integers(0, _CHANNELS - 1),
    st.floats(0, 300),
)
def test_a_channel_that_is_stranger_never_makes_a_row_look_less_like_a_fault(
    likeness: Likeness, row: list[float], channel: int, more: float
) -> None:
    before = rarities(_DAY + 1, 7)
    before[:, -1] = row
    after = before.copy()
    after[channel, -1] += more

    low, high = (likeness.of(one(_DAY + 1), lines)[-1] for lines in (before, after))

    assert 0 <= low <= high <= 6


@given(st.integers(1, 50), st.integers(0, 50))
def test_what_is_said_of_a_row_does_not_depend_on_those_more_than_a_day_before_nor_on_later_ones(
    likeness: Likeness, rows: int, cut: int
) -> None:
    channels = rarities(3 * _DAY + rows, rows)
    cut = _DAY + cut

    whole, part = (likeness.of(one(lines.shape[1]), lines) for lines in (channels, channels[:, cut:]))
    early = likeness.of(one(cut), channels[:, :cut])

    assert part[_DAY:].tobytes() == whole[cut + _DAY :].tobytes()
    assert early.tobytes() == whole[:cut].tobytes()


def test_the_same_faults_teach_the_same_and_no_channel_that_tells_nothing_is_needed() -> None:
    assert learnt().weights.tobytes() == learnt().weights.tobytes()
    silent, practised = np.zeros((_CHANNELS, 100)), rows_of(np.repeat(np.arange(5), 4))

    found = Likeness.fit(_PLAN, (one(100), silent), (practised, silent[:, :20]), np.tile([False, True], 10))

    assert np.isfinite(found.of(one(50), rarities(50, 4))).all()


@pytest.mark.parametrize("context", [8, 14, 40])
def test_where_a_day_is_few_rows_there_is_still_something_before_a_row(context: int) -> None:
    rows, found, faulty = practice(_ROWS, 2)

    taught = Likeness.fit(Plan(HOUR_US, context), (one(4000), rarities(4000, 1)), (rows, found), faulty)

    assert taught.short + taught.long == max(1, context // 7)
    assert (taught.of(rows, found)[faulty] > 0).mean() > 0.2
