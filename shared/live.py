"""Which model of a dataset is in service: one small record per dataset, written by promotion, read by scoring."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from shared.errors import NotFoundError
from shared.naming import STATE
from shared.storage import ABSENT, BlobStore


class LiveModel(BaseModel):
    """The model that answers for a dataset, and where: `scoring_uri` with the header that pins `deployment`.

    A model that was put into service without an endpoint (`SCORE_FALLBACK=bundle-always`) has '' for these three.
    """

    model_config = ConfigDict(frozen=True)

    dataset: str
    model: str
    version: str
    run: str
    endpoint: str
    deployment: str
    scoring_uri: str
    since: datetime


class LiveModels:
    """The live records in the `state` container."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def get(self, dataset: str) -> LiveModel | None:
        """The dataset's live model, or None when none was ever promoted."""
        return self.held(dataset)[0]

    def held(self, dataset: str) -> tuple[LiveModel | None, str]:
        """The same, with the ETag that `put` must name."""
        try:
            data, info = self._blobs.get(STATE, _name(dataset))
        except NotFoundError:
            return None, ABSENT
        return LiveModel.model_validate_json(data), info.etag

    def put(self, live: LiveModel, etag: str | None = None) -> None:
        """Records a promotion; `ConflictError` when the record is no longer the one that `etag` names."""
        self._blobs.put(
            STATE,
            _name(live.dataset),
            live.model_dump_json(indent=2).encode(),
            if_match=etag,
            content_type="application/json",
        )


def _name(dataset: str) -> str:
    return f"live/{dataset}.json"
