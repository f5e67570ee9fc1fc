"""Work that is not done where it was asked for: messages for the queue-triggered function, files that wait, crashes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from shared.errors import ConflictError, GiveUpError, NotFoundError
from shared.live import LiveModels
from shared.naming import DATASETS, Drop, place, run_id
from shared.retraining.lifecycle import ENDS as TRAINING_ENDS
from shared.runs import Held, Kind, Run, RunStore
from shared.scoring.files import ENDS
from shared.settings import Settings
from shared.storage import Queue, bare_etag

_log = logging.getLogger(__name__)

WORK_QUEUE = "dropscore-work"
WORK_POISON_QUEUE = f"{WORK_QUEUE}-poison"
BLOB_POISON_QUEUE = "webjobs-blobtrigger-poison"

_UNATTENDED = timedelta(minutes=5)
"""A run that nobody has claimed for so long lost its message, or its instance died before the first claim."""

CRASHED = "crashed"
_SHOWN = 1000


class WorkDesk:
    """Puts runs on the work queue, and notes in their records what became of messages that nobody could process.

    `abandon` ends an open training run, for which more may have to be done than to write it down.
    """

    def __init__(
        self,
        settings: Settings,
        runs: RunStore,
        live: LiveModels,
        queue: Queue,
        clock: Callable[[], datetime],
        abandon: Callable[[Held, GiveUpError], Run],
    ) -> None:
        self._settings = settings
        self._runs = runs
        self._live = live
        self._queue = queue
        self._clock = clock
        self._abandon = abandon

    def ask(self, run: Run) -> None:
        """Enqueues one look at the run."""
        self._queue.send(json.dumps({"dataset": run.dataset, "run": run.id}))

    def ask_for_part(self, run: Run, key: str, part: int) -> None:
        """Enqueues one part of a run that is scored in parts; `key` names the plan."""
        self._queue.send(json.dumps({"dataset": run.dataset, "run": run.id, "key": key, "part": part}))

    def asked(self, message: str) -> tuple[Held, tuple[str, int] | None]:
        """The run that a message is about and, where it is about one part of it, the plan's key and the part."""
        about = json.loads(message)
        held = self._runs.load(about["dataset"], about["run"])
        return held, (about["key"], about["part"]) if "part" in about else None

    def wake_files(self) -> int:
        """Enqueues every scoring run that waits for something which has come, or was left behind; returns how many."""
        woken, served = 0, cache(self._is_served)
        for held in self._runs.search(kind="score", states=("received", "scoring", "waiting")):
            if self._is_due(held.run, served):
                again = self._clock() + timedelta(seconds=self._settings.score_claim_seconds)
                try:
                    self._runs.save(held, held.run.model_copy(update={"not_before": again}))
                except ConflictError:
                    continue  # somebody else is on it
                self.ask(held.run)
                woken += 1
        return woken

    def _is_served(self, dataset: str) -> bool:
        return bool(self._settings.aml_endpoint_url) or self._live.get(dataset) is not None

    def _is_due(self, run: Run, served: Callable[[str], bool]) -> bool:
        now = self._clock()
        if run.not_before is not None and run.not_before > now:
            return False
        if run.state == "waiting":
            return served(run.dataset)
        if run.state == "scoring" and run.parts is not None and run.claimed_until is None:
            return True  # `not_before` is put off by every part that is done: nothing was heard of the others
        unclaimed = run.claimed_until or run.updated + _UNATTENDED
        return unclaimed < now

    def bury(self, message: str) -> Run | None:
        """Ends the run that a poison message is about as `failed` (``crashed``); makes one where there is none.

        Args:
            message: from the blob triggers' poison queue (the host's JSON) or from the work queue's own.

        Returns:
            The run, which stays where it is until what it began has been undone; None when it had ended by itself
            after all, on another delivery, or is about to.
        """
        about: Any = None
        try:
            about = json.loads(message)
            held = self._asked_about(about)
        except (ValueError, KeyError, TypeError, RecursionError, NotFoundError):
            held = self._run_about("score", place("", "an unreadable message"), message)
        if held.run.state in ENDS or held.run.state in TRAINING_ENDS or held.run.ending or _is_past(about, held.run):
            return None
        failure = GiveUpError(
            CRASHED,
            "The app crashed on this several times and gave up. What it was is in the app's logs; the file is "
            f"still where it was dropped, and can be asked for again by HTTP. The message was: {message[:_SHOWN]}",
        )
        if held.run.kind == "train":
            return self._abandon(held, failure)
        return self._runs.save(held, held.run.failed("failed", self._clock(), failure)).run

    def _asked_about(self, about: Mapping[str, object]) -> Held:
        if "run" in about:
            return self._runs.load(_text(about, "dataset"), _text(about, "run"))
        drop = place(_text(about, "ContainerName"), _text(about, "BlobName"))
        etag = bare_etag(_text(about, "ETag")) if about.get("ETag") else ""  # an event need not carry one
        kind: Kind = "train" if drop.container == DATASETS else "score"
        for held in self._runs.search(dataset=drop.dataset, kind=kind):
            wished = kind == "train" and held.run.manual  # has a run of its own, and a message of the work queue
            if held.run.blob == drop.blob and etag in ("", held.run.etag) and not wished:
                return held
        return self._run_about(kind, drop, etag)

    def _run_about(self, kind: Kind, drop: Drop, etag: str) -> Held:
        """A run for something that crashed before it had one."""
        now = self._clock()
        run = Run(
            id=run_id(kind, drop.blob, etag, now),
            kind=kind,
            dataset=drop.dataset,
            blob=drop.blob,
            etag=etag,
            state="received",
        )
        return self._runs.create(run.entered("received", now))[0]


def _is_past(about: object, run: Run) -> bool:
    """Whether a message is about a part of a plan that the run has left behind."""
    return isinstance(about, dict) and "part" in about and about.get("key") != (run.parts or {}).get("key")


def _text(about: Mapping[str, object], name: str) -> str:
    value = about[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is no text")
    return value
