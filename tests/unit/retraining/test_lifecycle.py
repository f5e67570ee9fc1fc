"""The table of moves: exactly the picture that opens the module, over every pair of states."""

from __future__ import annotations

import pytest

from shared.retraining.lifecycle import ENDS, OPEN, State, may_be_overtaken, moves

ALLOWED = {
    "received": {"validated", "invalid", "superseded", "failed"},
    "validated": {"training", "superseded", "failed"},
    "training": {"evaluated", "superseded", "failed"},
    "evaluated": {"registered", "rejected", "superseded", "failed"},
    "registered": {"deploying", "superseded", "failed"},
    "deploying": {"verifying", "failed"},
    "verifying": {"live", "failed"},
    "live": set(),
    "rejected": set(),
    "superseded": set(),
    "invalid": set(),
    "failed": set(),
}


def test_the_table_covers_every_state() -> None:
    assert set(ALLOWED) == set(State)


@pytest.mark.parametrize("state", list(State))
def test_a_state_is_followed_by_what_the_picture_says_and_by_nothing_else(state: State) -> None:
    assert {after for after in State if after in moves(state)} == ALLOWED[state]
    assert may_be_overtaken(state) == ("superseded" in ALLOWED[state])


def test_ends_have_no_moves_and_every_open_state_reaches_live() -> None:
    assert {state for state in State if not moves(state)} == set(ENDS)
    assert set(State) == OPEN | ENDS
    assert OPEN.isdisjoint(ENDS)
    for state in OPEN:
        reached, frontier = set[State](), {state}
        while frontier:
            reached |= frontier
            frontier = {after for each in frontier for after in moves(each)} - reached
        assert State.LIVE in reached
