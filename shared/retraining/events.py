"""Azure ML's events by Event Grid: hints that a look may be worth while, and nothing else.

They come at least once, in any order, under a preview notice, and for some ends of a job not at all
(https://learn.microsoft.com/azure/event-grid/event-schema-machine-learning). So none of them says what happened: the
runs that one may be about are looked at, as the timer would look at them within the minute. Names in `data` are read
without regard to case, for the schema's own examples spell them in two ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aml.contract import ContractError, load_contract
from shared.runs import Run

_SOURCE = "Microsoft.MachineLearningServices."


@dataclass(frozen=True)
class WorkspaceEvent:
    """An event's type, subject (``experiments/…/runs/…``, ``models/<name>:<version>``, ``endpoints/<name>``), data."""

    type: str
    subject: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, type: object, subject: object, data: object) -> WorkspaceEvent:
        """An event as it came, whatever it holds."""
        return cls(str(type or ""), str(subject or ""), data if isinstance(data, Mapping) else {})

    def concerns(self, run: Run) -> bool:
        """Whether it may be about something that this run waits for: its job, its model, its endpoint."""
        if not self.type.startswith(_SOURCE):
            return False
        named = {str(value).lower() for name, value in self._named() if name in ("runid", "modelname", "servicename")}
        named |= {part.partition(":")[0] for part in self.subject.lower().split("/")}
        if _tag(self.data, "runtags") == run.id or _tag(self.data, "modeltags") == run.id:
            return True
        return bool(named & {each.lower() for each in (run.job, _model(run), run.endpoint) if each})

    def _named(self) -> list[tuple[str, Any]]:
        return [(str(name).lower(), value) for name, value in self.data.items()]


def _tag(data: Mapping[str, Any], which: str) -> str | None:
    """The tag `run` that this app gives its jobs and models."""
    for name, tags in data.items():
        if str(name).lower() == which and isinstance(tags, Mapping):
            return str(tags.get("run"))
    return None


def _model(run: Run) -> str | None:
    try:
        return load_contract(run.dataset).model_name
    except ContractError:
        return None
