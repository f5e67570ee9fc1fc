"""What the latest files of a dataset came to, kept in `state` while `RETRAIN_ON_DRIFT` asks for it.

`drift/<dataset>/files/<digest of the source>.json`: one small blob for every file, so that files scored at the same
time do not wait for each other. It is named after the file and says which run it comes from: a revision, a replay or
a second delivery writes the same blob again and counts once, and a version that was replaced does not come back. The
metadata are an index, so that a listing tells which files are the latest by the time of their rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.drift.tally import Tally
from shared.errors import ConflictError, NotFoundError
from shared.naming import STATE
from shared.runs import Run
from shared.storage import ABSENT, BlobStore

_KEPT = 400
_TRIES = 10


@dataclass(frozen=True)
class Entry:
    """What a listing tells of a file: its last row's time, its run, the training run of the model that scored it."""

    name: str
    etag: str
    end: int
    run: str
    model: str


@dataclass(frozen=True)
class Measured:
    """What is known of a file: the blob's version that was scored, the counts of its rows, and what they came to."""

    blob: str
    etag: str
    run: str
    tally: Tally
    verdict: str
    anomalies: int


class Recent:
    """The latest files of every dataset."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def keep(self, run: Run, model: str, tally: Tally, verdict: str, counts: Mapping[str, Any]) -> None:
        """Notes a file whose results are committed, unless a later version of it is noted; safe to repeat."""
        if tally.last is None:
            return
        body = {"blob": run.blob, "etag": run.etag, "run": run.id, "revision": run.revision, "model": model}
        body |= {"verdict": verdict, "anomalies": int(counts.get("anomalies") or 0), "tally": tally.as_dict()}
        index = {"run": run.id, "model": model, "end": str(tally.last)}
        name, etag = f"{_folder(run.dataset)}{_digest(run.blob)}.json", ABSENT
        for _ in range(_TRIES):
            try:
                self._blobs.put(STATE, name, json.dumps(body).encode(), if_match=etag, metadata=index)
                return
            except ConflictError:
                known, etag = self._version(name)
            if known > run.id:
                return  # sorts by the time at which the version was dropped
        raise ConflictError("blob_changed", f"What is known of {run.blob} is written by many at once.", blob=name)

    def entries(self, dataset: str) -> list[Entry]:
        """The files known, latest rows first; what is beyond the bound is forgotten."""
        found = [
            Entry(info.name, info.etag, int(info.metadata["end"]), info.metadata["run"], info.metadata["model"])
            for info in self._blobs.list_blobs(STATE, _folder(dataset))
        ]
        found.sort(key=lambda each: (each.end, each.run), reverse=True)
        for old in found[_KEPT:]:
            self._blobs.delete(STATE, old.name)
        return found[:_KEPT]

    def read(self, entry: Entry) -> Measured | None:
        """What is known of the file; None when it has just been forgotten."""
        try:
            known = json.loads(self._blobs.get(STATE, entry.name)[0])
        except NotFoundError:
            return None
        tally = Tally.from_dict(known["tally"])
        return Measured(known["blob"], known["etag"], known["run"], tally, known["verdict"], known["anomalies"])

    def _version(self, name: str) -> tuple[str, str]:
        try:
            info = self._blobs.info(STATE, name)
        except NotFoundError:
            return "", ABSENT
        return info.metadata["run"], info.etag


def _folder(dataset: str) -> str:
    return f"drift/{dataset}/files/"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
