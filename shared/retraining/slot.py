"""The right to bring a model into service: one run of a dataset at a time, claimed by a conditional write.

A run takes it before the gate compares it with the live model, and has it until its model is live or it has ended:
nobody else changes in between what the gate said, or touches the idle deployment.
"""

from __future__ import annotations

import json

from shared.errors import NotFoundError
from shared.naming import STATE
from shared.retraining.lifecycle import PROMOTING, State
from shared.runs import Run, RunStore
from shared.storage import ABSENT, BlobStore


class Slot:
    """One record per dataset in the `state` container, naming the run that holds it.

    It is never given back: it is free again once the run that it names has ended, or is being measured again, so a
    crash cannot leave it taken.
    """

    def __init__(self, blobs: BlobStore, runs: RunStore) -> None:
        self._blobs = blobs
        self._runs = runs

    def is_taken_from(self, run: Run) -> bool:
        """Whether another run holds it."""
        holder, _ = self._holder(run.dataset)
        return holder not in (None, run.id)

    def take(self, run: Run) -> bool:
        """Whether the run holds it from now on; `ConflictError` when another run took it at the same moment."""
        holder, etag = self._holder(run.dataset)
        if holder is None:
            self._blobs.put(STATE, _name(run.dataset), json.dumps({"run": run.id}).encode(), if_match=etag)
        return holder in (None, run.id)

    def _holder(self, dataset: str) -> tuple[str | None, str]:
        """The run that holds it, and the ETag that a write must name."""
        try:
            data, info = self._blobs.get(STATE, _name(dataset))
        except NotFoundError:
            return None, ABSENT
        holder: str = json.loads(data)["run"]
        try:
            holds = State(self._runs.load(dataset, holder).run.state) in PROMOTING
        except NotFoundError:
            holds = False
        return (holder if holds else None), info.etag


def _name(dataset: str) -> str:
    return f"deploying/{dataset}.json"
