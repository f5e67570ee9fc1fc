"""What stands beside a file's results already, and whether it answers the file without asking the endpoint again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from aml.contract import DatasetContract
from shared.errors import InvalidInputError, NotFoundError
from shared.naming import INCOMING, RESULTS, Drop
from shared.runs import Run
from shared.scoring.context import conform
from shared.scoring.targets import Target
from shared.storage import ABSENT, BlobStore
from shared.tables import Survey

_FORMAT = 2
"""Goes up with every change of the app that changes the bytes of a scored file."""


def fingerprint(found: Survey, contract: DatasetContract, target: Target, before: pa.Table) -> str:
    """What the bytes of a scored file follow from, as a SHA-256: the input, the model, and the rows before it.

    The plan (rows per batch, requests in flight) is no part of it, for it does not show in the bytes. A model that is
    on record is known by its version and training run, wherever it is deployed; another by its address.
    """
    model = [target.model, target.version, target.run] if target.version else [target.url, target.deployment]
    parts = [_FORMAT, found.sha256, model, contract.model_dump_json(), _context_digest(found, contract, before)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _context_digest(found: Survey, contract: DatasetContract, before: pa.Table) -> str:
    """Of those rows alone that may be context: older than the first row or, where each series has its own, the last."""
    bound = found.last_time if contract.series in found.columns else found.first_time
    if bound is None or before.num_rows == 0:
        return ""
    rows = conform(before, contract)
    rows = rows.filter(pc.less(rows.column(contract.time), pa.scalar(bound, pa.timestamp("us"))))
    if rows.num_rows == 0:
        return ""
    text = pa.BufferOutputStream()
    csv.write_csv(rows, text)
    return hashlib.sha256(text.getvalue()).hexdigest()


@dataclass(frozen=True)
class Standing:
    """The manifest of a file's results as it was found, and its ETag (`ABSENT` when there is none)."""

    manifest: dict[str, Any]
    etag: str

    @classmethod
    def of(cls, blobs: BlobStore, drop: Drop) -> Standing:
        """Reads it."""
        try:
            body, info = blobs.get(RESULTS, drop.result("manifest.json"))
        except NotFoundError:
            return cls({}, ABSENT)
        try:
            found = json.loads(body)
        except ValueError:
            found = {}  # not ours: it is replaced
        return cls(found if isinstance(found, dict) else {}, info.etag)

    def require_own(self, run: Run, blobs: BlobStore) -> None:
        """Whether the results are this file's to write: two files that are there never replace each other's.

        It can happen to one at the root of `incoming` and one of the same name in its dataset's folder.

        Raises:
            InvalidInputError: ``results_taken``, the results beside it are those of another file, which is still there.
        """
        owner = (self.manifest.get("input") or {}).get("blob", run.blob)
        container, _, name = owner.partition("/")
        if owner == run.blob or container != INCOMING or _etag(blobs, INCOMING, name) is None:
            return
        raise InvalidInputError(
            "results_taken",
            f"The results of {run.blob} would replace those of {owner}, which is still there. Drop it under another "
            "name, or remove the other file and ask for this one again.",
            blob=run.blob,
        )

    def answers(self, run: Run, key: str, target: Target, blobs: BlobStore) -> bool:
        """Whether the results beside it are, to the byte, what scoring the run's file now would give.

        Never so for an endpoint of which nobody knows the model; nor, where a person asked, for results from before.
        """
        if not target.version or self.manifest.get("fingerprint") != key:
            return False
        if self.manifest["model"]["version"] != target.version or not self._since_asked(run):
            return False
        return all(_stands(blobs, output) for output in self.manifest["outputs"])

    def _since_asked(self, run: Run) -> bool:
        if not run.manual:
            return True
        asked = max(step.at for step in run.history if step.state == "received")
        started = datetime.fromisoformat(self.manifest["timings"]["started"])
        return bool(self.manifest["run"] == run.id and started >= asked)


def _stands(blobs: BlobStore, output: dict[str, Any]) -> bool:
    return bool(_etag(blobs, RESULTS, output["blob"].removeprefix(f"{RESULTS}/")) == output["etag"])


def _etag(blobs: BlobStore, container: str, name: str) -> str | None:
    try:
        return blobs.info(container, name).etag
    except NotFoundError:
        return None
