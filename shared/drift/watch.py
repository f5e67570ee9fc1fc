"""Whether drift persists, looked at by the timer, and what is done about it: one training set for every episode."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

from aml.contract import DatasetContract, load_contract
from shared.contracts import sound_names
from shared.drift.assembling import assemble
from shared.drift.episodes import FOLDER, Episode, Episodes
from shared.drift.profile import Profiles, Reference
from shared.drift.recent import Entry, Measured, Recent
from shared.drift.tally import Tally
from shared.drift.verdict import judge, of_values
from shared.errors import ConflictError, NotFoundError
from shared.live import LiveModels
from shared.naming import DATASETS
from shared.settings import Settings
from shared.storage import BlobStore

_log = logging.getLogger(__name__)


class DriftWatch:
    """Level-triggered: every look sees what the files say now, and does what is missing. Any number of instances may
    look at once; the episode's record is written conditionally, and a training set only where there is none.

    Drift persists when the latest `RETRAIN_DRIFT_FILES` files that the live model scored, chosen by the time of their
    rows, have drifted severely in both halves, the earlier and the later, each taken together: so neither a single bad
    day nor a small file makes a training set, whatever the files' sizes. Values and score count, missing data do not.
    """

    def __init__(
        self, settings: Settings, blobs: BlobStore, live: LiveModels, profiles: Profiles, clock: Callable[[], datetime]
    ) -> None:
        self._settings = settings
        self._blobs = blobs
        self._live = live
        self._profiles = profiles
        self._clock = clock
        self._recent = Recent(blobs)
        self._episodes = Episodes(blobs)
        self._declined: set[str] = set()
        self._judged: dict[str, tuple[frozenset[str], dict[str, Any] | None]] = {}

    def look(self) -> None:
        """One look at every dataset, where the setting asks for it."""
        for dataset in sound_names() if self._settings.retrain_on_drift == "persistent" else ():
            if not self.trains(dataset):
                self._decline(dataset)
                continue
            try:
                self._look(load_contract(dataset))
            except ConflictError as error:
                _log.info("the drift of %s is left to somebody else: %s", dataset, error)

    def trains(self, dataset: str) -> bool:
        """Whether drift of this dataset's files that persists starts a training: not of a table, whose scored files
        have no classes to learn from, and no times that tell which of them are the latest."""
        return self._settings.retrain_on_drift == "persistent" and not load_contract(dataset).is_table

    def _decline(self, dataset: str) -> None:
        """Says so once, not at every look."""
        if dataset not in self._declined and self._live.get(dataset) is not None:
            self._declined.add(dataset)
            _log.warning(
                "RETRAIN_ON_DRIFT does nothing for %s, which is a table: when its drift persists, drop a new dataset",
                dataset,
                extra={"dataset": dataset},
            )

    def _look(self, contract: DatasetContract) -> None:
        live, entries = self._live.get(contract.name), self._recent.entries(contract.name)
        if live is None:
            return
        episode, etag = self._episodes.held(contract.name)
        if episode is not None and episode.model != live.run:
            episode = None  # of a former model: over
        mine = [each for each in entries if each.model == live.run][: self._settings.retrain_drift_files]
        if episode is None or episode.state == "over":
            reason = self._persists(contract, live.run, mine)
            if reason is None:
                return
            now = self._clock()
            name = f"{contract.name}/{FOLDER}{now:%Y%m%dT%H%M%SZ}.parquet"
            episode = Episode(model=live.run, name=name, state="begun", since=now, reason=reason)
            etag = self._episodes.put(contract.name, episode, etag)
        if episode.state == "begun":
            self._write(contract, episode, etag, entries)
        elif self._is_full(mine) and self._persists(contract, live.run, mine) is None:
            self._episodes.put(contract.name, episode.model_copy(update={"state": "over"}), etag)
            _log.info("the drift of %s is over without a new model", contract.name)

    def _is_full(self, mine: Sequence[Entry]) -> bool:
        return len(mine) == self._settings.retrain_drift_files

    def _persists(self, contract: DatasetContract, model: str, mine: Sequence[Entry]) -> dict[str, Any] | None:
        """The reason for retraining, or None; judged anew only when there are other files than the last time."""
        if not self._is_full(mine):
            return None
        seen = frozenset(each.etag for each in mine)
        known = self._judged.get(contract.name)
        if known is None or known[0] != seen:
            known = self._judged[contract.name] = (seen, self._judge(contract, model, mine))
        return known[1]

    def _judge(self, contract: DatasetContract, model: str, mine: Sequence[Entry]) -> dict[str, Any] | None:
        reference = self._profiles.find(contract.name, model)
        files = [found for each in mine if (found := self._recent.read(each)) is not None]
        middle = len(files) // 2
        if reference.profile is None or not middle:
            return None
        halves = [_together(reference, files[:middle], contract), _together(reference, files[middle:], contract)]
        if any(of_values(each) != "severe" for each in halves):
            return None
        both = _together(reference, files, contract)
        firsts = [each.tally.first for each in files if each.tally.first is not None]
        lasts = [each.tally.last for each in files if each.tally.last is not None]
        return {
            "why": "drift",
            "model": model,
            "files": len(files),
            "rows": both["rows"],
            "first_time": _text(min(firsts)),
            "last_time": _text(max(lasts)),
            "latest_file": files[0].blob,
            "drift": both,
        }

    def _write(self, contract: DatasetContract, episode: Episode, etag: str, entries: Sequence[Entry]) -> None:
        """The training set, of all recent files known, whichever model scored them."""

        def announce(data: dict[str, Any]) -> None:
            nonlocal episode, etag
            episode = episode.model_copy(update={"reason": {**episode.reason, "data": data}})
            etag = self._episodes.put(contract.name, episode, etag)

        if not self._is_there(episode.name):  # else an earlier look died after it
            files = [found for each in entries if (found := self._recent.read(each)) is not None]
            if assemble(self._blobs, contract, episode.model, files, episode.name, announce):
                _log.warning("the drift of %s persists: made datasets/%s", contract.name, episode.name)
            else:
                _log.warning("the drift of %s persists, but there is no row to train on", contract.name)
        self._episodes.put(contract.name, episode.model_copy(update={"state": "written"}), etag)

    def _is_there(self, name: str) -> bool:
        try:
            self._blobs.info(DATASETS, name)
        except NotFoundError:
            return False
        return True


def _together(reference: Reference, files: Sequence[Measured], contract: DatasetContract) -> dict[str, Any]:
    return judge(reference, reduce(Tally.merge, [each.tally for each in files]), contract)


def _text(moment: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)).replace(tzinfo=None).isoformat(sep=" ")
