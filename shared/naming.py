"""Where things lie: which dataset a dropped file belongs to, and where its results and its run record go."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.errors import InvalidInputError

DATASETS = "datasets"
INCOMING = "incoming"
RESULTS = "results"
RUNS = "runs"
STATE = "state"
TRAINING = "training"
CONTAINERS = (DATASETS, INCOMING, RESULTS, RUNS, STATE, TRAINING)

UNPLACED = "unplaced"
"""The folder under `runs` for files that belong to no dataset."""

_RUN_ID = re.compile(r"\d{8}T\d{6}Z-(train|score)-[0-9a-f]{8}")
_ROOT_NAME = re.compile(r"(?P<dataset>.+?)_(raw|interim|processed)_\d{8}\.csv", re.IGNORECASE)


@dataclass(frozen=True)
class Drop:
    """A dropped file: its container, its name in it, its dataset and its name within the dataset."""

    container: str
    name: str
    dataset: str
    file: str

    @property
    def blob(self) -> str:
        """Container and name, as people write it: ``incoming/gas/x.csv``."""
        return f"{self.container}/{self.name}"

    @property
    def stem(self) -> str:
        """The file's name less a final ``.csv`` and nothing else, so that no two inputs share results."""
        return self.file.removesuffix(".csv")

    def result(self, what: str) -> str:
        """Name in `results` of one of the file's results, e.g. ``result("scored.csv")`` is ``gas/x_scored.csv``."""
        return f"{self.dataset}/{self.stem}_{what}"


def place(container: str, name: str) -> Drop:
    """Says where a dropped file belongs, known dataset or not.

    A file in a folder belongs to the dataset that the first folder names; one at the container's root to the dataset
    that its name starts with (``gas_raw_20261121.csv``). Anything else is `UNPLACED`.
    """
    folder, slash, rest = name.partition("/")
    if slash and folder and rest:
        return Drop(container, name, folder, rest)
    match = _ROOT_NAME.fullmatch(name)
    return Drop(container, name, match["dataset"] if match else UNPLACED, name)


def require_known(drop: Drop, known: Collection[str]) -> None:
    """Raises `InvalidInputError` (``unplaced_file``, ``unknown_dataset``) unless the dataset is a declared one."""
    if drop.dataset in known:
        return
    declared = ", ".join(sorted(known))
    if drop.dataset == UNPLACED:
        raise InvalidInputError(
            "unplaced_file",
            f"The file lies at the root of '{drop.container}' and its name does not say which dataset it belongs to. "
            f"Put it into a folder named after its dataset, e.g. {drop.container}/gas/{drop.name}, or name it "
            f"<dataset>_<raw|interim|processed>_<YYYYMMDD>.csv. Declared datasets: {declared}.",
            blob=drop.blob,
        )
    raise InvalidInputError(
        "unknown_dataset",
        f"There is no dataset named '{drop.dataset}'. Declared datasets: {declared}.",
        blob=drop.blob,
    )


def run_id(kind: str, blob: str, etag: str, moment: datetime) -> str:
    """A run's id: sorts by `moment` (UTC, to the second), the same whenever the same version of a blob is delivered.

    The eight hex digits are a SHA-256 of kind, blob and ETag; a manual run hands in something unique as the ETag.
    """
    digest = hashlib.sha256("\n".join((kind, blob, etag)).encode()).hexdigest()[:8]
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}-{kind}-{digest}"


def is_run_id(text: str) -> bool:
    """Whether the text could be a run's id at all."""
    return _RUN_ID.fullmatch(text) is not None
