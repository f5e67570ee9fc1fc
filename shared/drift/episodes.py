"""One episode of drift: the files that showed it, and the training set that was made of them, exactly once."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from shared.errors import NotFoundError
from shared.naming import DATASETS, STATE, Drop
from shared.storage import ABSENT, BlobStore

FOLDER = "drift/"
"""Training sets that the app made lie in `datasets/<dataset>/drift/`."""


class Episode(BaseModel):
    """Drift that persists.

    Attributes:
        model: training run of the live model that the data have left behind. Another live model ends the episode.
        name: the training set's name in `datasets`, chosen before anything is written.
        state: `begun`, then `written` once the training set is there, or it turned out that there is nothing to make
            one of; `over` when the latest files are as the training data again: drift that comes back is another one.
        reason: what the training run's record says.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    name: str
    state: Literal["begun", "written", "over"]
    since: datetime
    reason: dict[str, Any]


class Episodes:
    """The latest episode of each dataset, in the `state` container."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def held(self, dataset: str) -> tuple[Episode | None, str]:
        """It, and the ETag that `put` must name."""
        try:
            data, info = self._blobs.get(STATE, _name(dataset))
        except NotFoundError:
            return None, ABSENT
        return Episode.model_validate_json(data), info.etag

    def put(self, dataset: str, episode: Episode, etag: str) -> str:
        """Writes it; `ConflictError` when somebody else did meanwhile."""
        return self._blobs.put(STATE, _name(dataset), episode.model_dump_json(indent=1).encode(), if_match=etag)


def reason_of(blobs: BlobStore, drop: Drop) -> dict[str, Any] | None:
    """Why there is this dataset, where the app made it itself; None for one that somebody dropped."""
    if drop.container != DATASETS or not drop.file.startswith(FOLDER):
        return None
    episode, _ = Episodes(blobs).held(drop.dataset)
    return episode.reason if episode is not None and episode.name == drop.name else None


def _name(dataset: str) -> str:
    return f"drift/{dataset}/episode.json"
