"""What is said of a file whose results are committed: tail kept, drift judged, report and manifest made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from shared.drift.profile import Profiles
from shared.drift.recent import Recent
from shared.drift.verdict import judge
from shared.reporting.page import Reported, render
from shared.runs import Run
from shared.scoring.assembly import Assembled
from shared.scoring.results import PageWriter, answering_model, manifest
from shared.scoring.revisions import Revisions
from shared.scoring.task import Task
from shared.settings import Settings


class Telling:
    """Says it, the same for files that were scored whole and in parts."""

    def __init__(
        self,
        settings: Settings,
        revisions: Revisions,
        profiles: Profiles,
        recent: Recent,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings, self._revisions = settings, revisions
        self._profiles, self._recent = profiles, recent
        self._clock = clock

    def told(self, run: Run, task: Task, done: Assembled, page: PageWriter) -> tuple[dict[str, Any], list[str]]:
        """Keeps the tail of the file and writes its report; the manifest, and the runs that the tail marked."""
        marked = self._revisions.scored(run, task.contract, task.given, done.latest)
        drift = self._drift(run, task, done)
        report = Reported(
            task.drop.file,
            task.contract,
            task.found,
            answering_model(task.target, done.conversation),
            done.counts.as_dict(),
            drift,
            done.observed.events,
            done.observed.curves,
            done.observed.answers,
        )
        about = manifest(
            run,
            task.found,
            task.target,
            done.conversation,
            done.counts,
            [*done.outputs, page.write(render(report))],
            drift,
            done.observed,
            key=task.key,
            started=task.started,
            finished=self._clock(),
        )
        if task.contract.asked is not None:
            about["model"]["choice"] = task.contract.asked
        return {**about, "parts": len(task.ranges)} if task.ranges else about, marked

    def _drift(self, run: Run, task: Task, done: Assembled) -> dict[str, Any]:
        """The manifest's words on drift; what was counted is kept where drift is to start retraining."""
        about = judge(self._profiles.find(task.target.dataset, task.target.run), done.tally, task.contract)
        if done.tally is not None and self._settings.retrain_on_drift != "off":
            self._recent.keep(run, task.target.run, done.tally, about["verdict"], done.counts.as_dict())
        return about
