"""The table of moves: what is written here, over every state and every event, and nothing else."""

from __future__ import annotations

from itertools import product

import pytest

from shared.retraining.lifecycle import (
    ENDS,
    OPEN,
    TABLE,
    Action,
    Event,
    IllegalMoveError,
    Move,
    State,
    decide,
    may_be_overtaken,
    moves,
)

PICTURE = """
received    done       validated
received    bad data   invalid
received    replaced   superseded
received    overtaken  superseded
received    refused    failed
validated   done       training
validated   overtaken  superseded   cancel the job
validated   refused    failed       cancel the job
training    done       evaluated
training    next       training
training    outdated   training
training    overtaken  superseded   cancel the job
training    overdue    failed       cancel the job
training    refused    failed       cancel the job
evaluated   done       registered
evaluated   outdated   training
evaluated   worse      rejected
evaluated   overtaken  superseded
evaluated   refused    failed
registered  done       deploying
registered  overtaken  superseded
registered  overdue    failed
registered  refused    failed
deploying   done       verifying
deploying   overtaken  deploying
deploying   vanished   registered
deploying   overdue    failed       remove the deployment
deploying   refused    failed       remove the deployment
verifying   done       live
verifying   overtaken  verifying
verifying   vanished   registered
verifying   worse      rejected     give the traffic back to the live model, then remove the deployment
verifying   overdue    failed       give the traffic back to the live model, then remove the deployment
verifying   refused    failed       give the traffic back to the live model, then remove the deployment
"""
EXPECTED = {
    (State(line[:12].strip()), Event(line[12:23].strip())): Move(
        State(line[23:36].strip()), Action(line[36:].strip() or "nothing")
    )
    for line in PICTURE.strip().splitlines()
}
OPENED = [State(name) for name in dict.fromkeys(state for state, _ in EXPECTED)]


def test_open_states_are_those_of_the_picture_and_the_others_are_ends() -> None:
    assert set(OPENED) == OPEN == set(TABLE)
    assert set(State) - set(OPENED) == ENDS
    assert {str(end) for end in ENDS} == {"live", "rejected", "superseded", "invalid", "failed"}


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_state_and_every_event(state: State, event: Event) -> None:
    if state in ENDS or event in (Event.PENDING, Event.UNREACHABLE):
        assert decide(state, event) == Move(state, Action.NOTHING)
    elif (state, event) in EXPECTED:
        assert decide(state, event) == EXPECTED[(state, event)]
    else:
        with pytest.raises(IllegalMoveError, match=f"{state} never finds: {event}"):
            decide(state, event)


@pytest.mark.parametrize("state", list(State))
def test_the_states_that_may_follow_are_those_of_the_moves(state: State) -> None:
    after = {move.to for (before, _), move in EXPECTED.items() if before == state} - {state}

    assert moves(state) == after
    assert may_be_overtaken(state) == ("superseded" in after)


def test_every_open_state_reaches_live_and_only_ends_are_left_for_good() -> None:
    assert {state for state in State if not moves(state)} == set(ENDS)
    for state in OPEN:
        reached, frontier = set[State](), {state}
        while frontier:
            reached |= frontier
            frontier = {after for each in frontier for after in moves(each)} - reached
        assert State.LIVE in reached


def test_whatever_was_begun_is_undone_where_a_run_ends_before_its_time() -> None:
    bad = {State.FAILED, State.SUPERSEDED, State.REJECTED}
    undone = {
        state: {TABLE[state][event].action for event in TABLE[state] if TABLE[state][event].to in bad} for state in OPEN
    }

    assert undone[State.TRAINING] == undone[State.VALIDATED] == {Action.CANCEL_JOB}
    assert undone[State.DEPLOYING] == {Action.REMOVE_DEPLOYMENT}
    assert undone[State.VERIFYING] == {Action.ROLL_BACK}
