"""The canary: a new deployment takes the traffic in steps, each of them watched by probes for a while.

The app itself scores with the deployment of the live record, whatever the traffic is: the steps concern the endpoint's
other clients, and the probes stand for them. Every look at the run sends some requests that are pinned to nothing, as
those clients do, and as many to the new deployment by name, so that it is asked at a small share as well.

A run record's `canary` holds `champion` (the colour that gives the traffic), `plan` (per cent) and `steps`: each with
`share`, `since`, `asked`, `errors`, `slowest` (seconds), `said` (the last error) and, once over, `until`.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aml.contract import DatasetContract
from shared.errors import DropscoreError, WorkspaceRefusedError
from shared.scoring.context import conform, no_rows, read_table
from shared.scoring.scorer import Conversation, Scorer
from shared.scoring.targets import Target, Targets
from shared.settings import Settings

_ROUNDS = 5
"""Probes of either kind in one look."""


@dataclass(frozen=True)
class Challenger:
    """The new deployment, and rows (an Arrow stream) to ask it and its endpoint about."""

    contract: DatasetContract
    url: str
    deployment: str
    rows: bytes


class Canary:
    """Plans the steps, sends the probes, and says when it is too much."""

    def __init__(self, settings: Settings, targets: Targets) -> None:
        self._settings = settings
        self._targets = targets

    def begun(self, champion: str | None) -> dict[str, Any] | None:
        """The record of a canary that begins; None where nobody has traffic to give."""
        if champion is None:
            return None
        return {"champion": champion, "plan": list(self._settings.canary_plan), "steps": []}

    def is_watched(self, canary: dict[str, Any]) -> bool:
        """Whether a step is under way."""
        return bool(canary["steps"]) and "until" not in canary["steps"][-1]

    def is_over(self, canary: dict[str, Any]) -> bool:
        """Whether every step has been."""
        return len(canary["steps"]) == len(canary["plan"]) and not self.is_watched(canary)

    def wanted(self, canary: dict[str, Any] | None, deployment: str) -> dict[str, int]:
        """The traffic as it should be now."""
        if canary is None or self.is_over(canary):
            return {deployment: 100}
        share = canary["plan"][len(canary["steps"]) - self.is_watched(canary)]
        shares = {deployment: share, canary["champion"]: 100 - share}
        return {name: each for name, each in shares.items() if each}

    def entered(self, canary: dict[str, Any], now: datetime) -> dict[str, Any]:
        """The next step, begun."""
        share = canary["plan"][len(canary["steps"])]
        step = {"share": share, "since": now.isoformat(), "asked": 0, "errors": 0, "slowest": 0.0}
        return {**canary, "steps": [*canary["steps"], step]}

    def watched(self, canary: dict[str, Any], challenger: Challenger, now: datetime) -> dict[str, Any]:
        """The step under way with some more probes, over if its time is."""
        *before, step = canary["steps"]
        step = dict(step)
        for _ in range(_ROUNDS):
            for pinned in (None, challenger.deployment):
                self._probe(step, challenger, pinned)
        if now - datetime.fromisoformat(step["since"]) >= timedelta(minutes=self._settings.canary_minutes):
            step["until"] = now.isoformat()
        return {**canary, "steps": [*before, step]}

    def _probe(self, step: dict[str, Any], challenger: Challenger, pinned: str | None) -> None:
        """One request; what the champion answers, or fails to answer, is nothing against the new deployment."""
        begun = time.perf_counter()
        answered, error = self._ask(challenger, pinned)
        seconds = time.perf_counter() - begun
        if answered not in (None, challenger.deployment):
            return
        if error is None and seconds > self._settings.canary_max_seconds:
            error = f"an answer took {seconds:.1f} s"
        step["asked"] += 1
        step["slowest"] = max(step["slowest"], round(seconds, 3))
        if error is not None:
            step["errors"] += 1
            step["said"] = error

    def _ask(self, challenger: Challenger, pinned: str | None) -> tuple[str | None, str | None]:
        """Which deployment answered, as far as anybody says, and what was wrong."""
        contract, talk = challenger.contract, Conversation(deployment=pinned)
        rows = conform(read_table(challenger.rows), contract)
        with closing(self._targets.connect(Target(challenger.url, pinned), patience=0)) as client:
            try:
                (scored,) = Scorer(client, contract, talk, in_flight=1).score([rows], no_rows(contract))
            except DropscoreError as error:
                said = error.where.get("deployment")
                return talk.deployment or (str(said) if said else None), str(error)
        return talk.deployment, next(iter(scored.refused.values()), None)

    def is_good(self, canary: dict[str, Any]) -> bool:
        """Whether the last step has no more errors than the settings allow."""
        step = canary["steps"][-1] if canary["steps"] else {"errors": 0, "asked": 0}
        return bool(step["errors"] <= max(1, self._settings.canary_max_error_rate * step["asked"]))

    def require_good(self, canary: dict[str, Any]) -> None:
        """Raises `WorkspaceRefusedError` (``canary_failed``) when a step has more errors than the settings allow."""
        if not self.is_good(canary):
            step = canary["steps"][-1]
            raise WorkspaceRefusedError(
                "canary_failed",
                f"At {step['share']} % of the traffic {step['errors']} of {step['asked']} probes failed or took longer "
                f"than {self._settings.canary_max_seconds:g} s: {step['said']}",
            )
