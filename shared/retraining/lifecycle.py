"""The life of a training run: its states and the moves between them, and nothing else.

    received → validated → training → evaluated → registered → deploying → verifying → live
                                          │
                                          └→ rejected (the gate said no)

with the further ends invalid (the data cannot be trained on), superseded (a newer dataset overtook it) and failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Where a training run stands; each state says what has been done, or what is under way."""

    RECEIVED = "received"
    VALIDATED = "validated"
    TRAINING = "training"
    EVALUATED = "evaluated"
    REGISTERED = "registered"
    DEPLOYING = "deploying"
    VERIFYING = "verifying"
    LIVE = "live"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"
    INVALID = "invalid"
    FAILED = "failed"


_FORWARD: Mapping[State, State] = {
    State.RECEIVED: State.VALIDATED,
    State.VALIDATED: State.TRAINING,
    State.TRAINING: State.EVALUATED,
    State.EVALUATED: State.REGISTERED,
    State.REGISTERED: State.DEPLOYING,
    State.DEPLOYING: State.VERIFYING,
    State.VERIFYING: State.LIVE,
}

_OVERTAKEN = frozenset({State.RECEIVED, State.VALIDATED, State.TRAINING, State.EVALUATED, State.REGISTERED})
"""States in which a newer dataset still takes over; what is being deployed is seen through."""

OPEN = frozenset(_FORWARD)
"""States in which there is something left to do."""

ENDS = frozenset(State) - OPEN


def moves(state: State) -> frozenset[State]:
    """The states that may follow."""
    if state not in OPEN:
        return frozenset()
    after = {_FORWARD[state], State.FAILED}
    if state is State.RECEIVED:
        after.add(State.INVALID)
    if state is State.EVALUATED:
        after.add(State.REJECTED)
    if state in _OVERTAKEN:
        after.add(State.SUPERSEDED)
    return frozenset(after)


def may_be_overtaken(state: State) -> bool:
    """Whether a newer dataset ends a run that stands here."""
    return state in _OVERTAKEN
