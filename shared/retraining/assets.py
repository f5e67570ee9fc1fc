"""Versions of a dataset as data assets of the workspace: what was dropped and found good, under a version of its own.

The version follows from the dropped file's SHA-256 and from that of the rows that validation made of it. So the same
file is the same version however often it is dropped, until the contract makes other rows of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.errors import NotFoundError
from shared.naming import TRAINING
from shared.retraining.workspace import DataAsset, Workspace
from shared.runs import Run
from shared.storage import BlobStore

_FILE_DIGITS, _ROWS_DIGITS = 12, 8


def version_of(run: Run) -> str:
    """The version of a validated run's dataset: digits of the two digests."""
    data = run.data or {}
    rows = data.get("rows_sha256")
    if rows is None:  # validated before rows had a digest
        return run.id
    return f"{data['sha256'][:_FILE_DIGITS]}-{rows[:_ROWS_DIGITS]}"


def registered(workspace: Workspace, blobs: BlobStore, run: Run, path: str, tags: Mapping[str, str]) -> DataAsset:
    """Makes sure that the run's dataset is a data asset, and returns it as the workspace has it.

    An asset leads to the file of whoever registered it first, whose rows are the same; where retirement has taken that
    file, the run registers its own under a version that names it.

    Args:
        path: the run's own rows, in the container `training`.
    """
    version = version_of(run)
    asset = workspace.register_data(DataAsset(run.dataset, version, path), tags)
    try:
        blobs.info(TRAINING, asset.path)
    except NotFoundError:
        return workspace.register_data(DataAsset(run.dataset, f"{version}-{run.id}", path), tags)
    return asset
