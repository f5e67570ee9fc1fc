"""The life of a training run: its states, what a look may find in each, and what follows from it. Nothing else.

    received → validated → training → evaluated → registered → deploying → verifying → live
                              ↑           │            ↑           │           │
        another model is live └───────────┤            └───────────┴───────────┤ what was deployed is gone
                                          └→ rejected (the gate) ←─────────────┘ (the replay)

with the further ends invalid (the data cannot be trained on), superseded (a newer dataset overtook it) and failed. An
activation of a registered version by a person is a run that begins at `registered`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


class Event(StrEnum):
    """What a look at a run finds."""

    PENDING = "pending"
    """Something is under way, or somebody else has the next word."""
    UNREACHABLE = "unreachable"
    """Azure ML or the endpoint does not answer, throttles, or is busy with another change."""
    DONE = "done"
    """What the state asks for has been done."""
    BAD_DATA = "bad data"
    REPLACED = "replaced"
    """The dataset is no longer the one that was dropped."""
    OVERTAKEN = "overtaken"
    """A newer dataset proved good, or a person asked for yet another version."""
    NEXT = "next"
    """The job is done, and another one of the run comes after it."""
    OUTDATED = "outdated"
    """Another model is live than the one that it was measured against."""
    WORSE = "worse"
    """The gate, or the replay of recent files, says no."""
    VANISHED = "vanished"
    """What was deployed is not there any more."""
    OVERDUE = "overdue"
    """It has been going on for longer than it can take."""
    REFUSED = "refused"
    """It failed, and trying again cannot help."""


class Action(StrEnum):
    """What is undone before the record says that the run has ended. Every one is safe to repeat."""

    NOTHING = "nothing"
    CANCEL_JOB = "cancel the job"
    REMOVE_DEPLOYMENT = "remove the deployment"
    ROLL_BACK = "give the traffic back to the live model, then remove the deployment"


@dataclass(frozen=True)
class Move:
    """What follows from an event: an action, and then the next state."""

    to: State
    action: Action = Action.NOTHING


class IllegalMoveError(Exception):
    """An event that cannot happen in this state: a defect of the app."""


_S, _E, _A = State, Event, Action

TABLE: Mapping[State, Mapping[Event, Move]] = {
    _S.RECEIVED: {
        _E.DONE: Move(_S.VALIDATED),
        _E.BAD_DATA: Move(_S.INVALID),
        _E.REPLACED: Move(_S.SUPERSEDED),
        _E.OVERTAKEN: Move(_S.SUPERSEDED),
        _E.REFUSED: Move(_S.FAILED),
    },
    _S.VALIDATED: {
        _E.DONE: Move(_S.TRAINING),
        # an instance may have died between the job's start and its record
        _E.OVERTAKEN: Move(_S.SUPERSEDED, _A.CANCEL_JOB),
        _E.REFUSED: Move(_S.FAILED, _A.CANCEL_JOB),
    },
    _S.TRAINING: {
        _E.DONE: Move(_S.EVALUATED),
        _E.NEXT: Move(_S.TRAINING),
        _E.OUTDATED: Move(_S.TRAINING),  # by another job
        _E.OVERTAKEN: Move(_S.SUPERSEDED, _A.CANCEL_JOB),
        _E.OVERDUE: Move(_S.FAILED, _A.CANCEL_JOB),
        _E.REFUSED: Move(_S.FAILED, _A.CANCEL_JOB),
    },
    _S.EVALUATED: {
        _E.DONE: Move(_S.REGISTERED),
        _E.OUTDATED: Move(_S.TRAINING),
        _E.WORSE: Move(_S.REJECTED),
        _E.OVERTAKEN: Move(_S.SUPERSEDED),
        _E.REFUSED: Move(_S.FAILED),
    },
    _S.REGISTERED: {
        _E.DONE: Move(_S.DEPLOYING),
        _E.OVERTAKEN: Move(_S.SUPERSEDED),
        _E.OVERDUE: Move(_S.FAILED),
        _E.REFUSED: Move(_S.FAILED),
    },
    _S.DEPLOYING: {
        _E.DONE: Move(_S.VERIFYING),
        _E.OVERTAKEN: Move(_S.DEPLOYING),  # what is being deployed is seen through
        _E.VANISHED: Move(_S.REGISTERED),
        _E.OVERDUE: Move(_S.FAILED, _A.REMOVE_DEPLOYMENT),
        _E.REFUSED: Move(_S.FAILED, _A.REMOVE_DEPLOYMENT),
    },
    _S.VERIFYING: {
        _E.DONE: Move(_S.LIVE),
        _E.OVERTAKEN: Move(_S.VERIFYING),
        _E.WORSE: Move(_S.REJECTED, _A.ROLL_BACK),
        _E.VANISHED: Move(_S.REGISTERED),
        _E.OVERDUE: Move(_S.FAILED, _A.ROLL_BACK),
        _E.REFUSED: Move(_S.FAILED, _A.ROLL_BACK),
    },
}
"""Only what moves a run. `PENDING` and `UNREACHABLE` keep it where it is; what is not here cannot happen."""

OPEN = frozenset(TABLE)
"""States in which there is something left to do."""

PROMOTING = frozenset({State.EVALUATED, State.REGISTERED, State.DEPLOYING, State.VERIFYING})
"""From the gate to the traffic: one run of a dataset at a time, so that what the gate said still holds."""

ENDS = frozenset(State) - OPEN


def decide(state: State, event: Event) -> Move:
    """What follows when a look at a run in `state` finds `event`; an ended run stays what it is, whatever is found.

    Raises:
        IllegalMoveError: no look can find that there.
    """
    if state in ENDS or event in (Event.PENDING, Event.UNREACHABLE):
        return Move(state)
    try:
        return TABLE[state][event]
    except KeyError:
        raise IllegalMoveError(f"a run that is {state} never finds: {event}") from None


def moves(state: State) -> frozenset[State]:
    """The other states that may follow."""
    return frozenset(move.to for move in TABLE.get(state, {}).values()) - {state}


def may_be_overtaken(state: State) -> bool:
    """Whether a newer dataset ends a run that stands here."""
    return decide(state, Event.OVERTAKEN).to != state
