"""How large requests are: never beyond the settings, halved when refused, grown again when taken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.scoring.sizing import RequestSize

_STEPS = st.lists(st.tuples(st.sampled_from(["refused", "taken"]), st.integers(1, 120)), max_size=60)


@given(most=st.integers(1, 100), steps=_STEPS)
def test_a_size_is_never_beyond_the_setting_and_never_nothing(most: int, steps: list[tuple[str, int]]) -> None:
    size = RequestSize(most, 10**9)

    for step, rows in steps:
        before = size.rows
        getattr(size, step)(rows)
        assert 1 <= size.rows <= most
        if step == "refused" and rows <= before:
            assert size.rows == max(1, rows // 2)
        if step == "taken":
            assert size.rows >= before


def test_requests_under_way_at_once_halve_it_once() -> None:
    size = RequestSize(1000, 10**9)

    for _ in range(4):
        size.refused(1000)

    assert size.rows == 500


def test_it_grows_slowly_and_ever_more_rarely_up_to_what_is_allowed() -> None:
    def grown(size: RequestSize) -> int:
        taken, before = 0, size.rows
        while size.rows == before:
            size.taken(size.rows)
            taken += 1
        return taken

    size = RequestSize(1000, 10**9)
    size.refused(1000)
    first = grown(size)
    assert size.rows == 625
    size.refused(625)
    second = grown(size)
    while size.rows < 1000:
        size.taken(size.rows)

    assert second == 2 * first > 8
    size.taken(1000)
    assert size.rows == 1000


def test_requests_that_are_not_full_say_nothing_about_larger_ones() -> None:
    size = RequestSize(1000, 10**9)
    size.refused(1000)

    for _ in range(1000):
        size.taken(499)

    assert size.rows == 500


def test_bytes_limit_rows_after_the_last_body() -> None:
    size = RequestSize(1000, 10_000)

    assert not size.fits(1000, 40_000)
    assert size.smaller(1000) == 250
    assert size.fits(250, 10_000)
    assert size.room(0) == 250
    assert size.fits(100, 1_000)
    assert size.room(0) == 1000


@given(rows=st.integers(1, 10_000), nbytes=st.integers(1, 10**8), limit=st.integers(1, 10**6))
def test_cutting_ends_whatever_a_row_weighs(rows: int, nbytes: int, limit: int) -> None:
    size = RequestSize(10_000, limit)
    tries = 0

    while not size.fits(rows, nbytes):  # a body as large whatever its rows: its context weighs it down
        assert size.smaller(rows) <= rows // 2
        rows = size.smaller(rows)
        tries += 1

    assert tries <= 14


@given(
    rows=st.integers(2, 5_000),
    context=st.integers(0, 5_000),
    row_bytes=st.integers(1, 200),
    limit=st.integers(1, 10**6),
)
def test_context_counts_among_the_bytes_and_there_is_always_room_for_a_row(
    rows: int, context: int, row_bytes: int, limit: int
) -> None:
    size = RequestSize(10_000, limit)
    size.fits(rows, row_bytes * (rows + context), context)

    room = size.room(context)

    assert room == 1 or row_bytes * (room + context) <= limit
    assert room == 10_000 or row_bytes * (room + 1 + context) > limit
    assert size.smaller(rows, context) <= rows // 2
