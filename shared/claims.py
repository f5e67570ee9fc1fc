"""Claims: a run belongs to one instance for a while, and longer only by signs of life."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from shared.runs import Held, Run, RunStore


def is_claimed(run: Run, now: datetime) -> bool:
    """Whether some instance holds the run at that moment; a claim that ran out may be taken over."""
    return run.claimed_until is not None and run.claimed_until > now


class Claim:
    """A run in hand; every write of its record through here is conditional, and `held` is always what was written last.

    A write that loses raises `ConflictError`: somebody else took the run over, and this instance must let go of it.
    """

    def __init__(self, runs: RunStore, held: Held, clock: Callable[[], datetime], lasting: timedelta) -> None:
        self._runs = runs
        self._clock = clock
        self._lasting = lasting
        self.held = held

    @property
    def run(self) -> Run:
        """The record as it was written last."""
        return self.held.run

    def save(self, run: Run) -> None:
        """Writes the record."""
        self.held = self._runs.save(self.held, run)

    def note(self, **changes: Any) -> None:
        """Writes some fields of the record, in the state that it is in."""
        self.save(self.run.model_copy(update=changes))

    def take(self, run: Run) -> None:
        """Writes the record as claimed from now on."""
        self.save(run.model_copy(update={"claimed_until": self._clock() + self._lasting}))

    def renew(self) -> None:
        """A sign of life, written once half of the claim has passed."""
        until, now = self.run.claimed_until, self._clock()
        if until is not None and until - now < self._lasting / 2:
            self.note(claimed_until=now + self._lasting)

    def release(self) -> None:
        """Gives the run back, for whoever tries next."""
        self.note(claimed_until=None)
