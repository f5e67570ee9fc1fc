"""Where a score comes from, and what came of a dataset: file, model version, data asset and blob, followed both ways.

Nothing is kept for it: the run records say which blob became which data asset, model and results, the manifest which
model a file's results are of, and the registry's tags where a version came from whose run record is gone.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aml.contract import DatasetContract
from shared.errors import InvalidInputError, NotFoundError
from shared.live import LiveModels
from shared.naming import RESULTS, Drop, place
from shared.retraining.workspace import Workspace
from shared.runs import Run, RunStore
from shared.storage import BlobStore
from shared.tables.csvrows import MAX_FIELD

_ENDINGS = ("_scored.csv", "_rejected.csv", "_report.html", "_manifest.json", ".csv", "")

Link = dict[str, Any]
"""One model and what it hangs together with, as JSON: `model`, `run`, `data_asset`, `blob`, `scored`."""


@dataclass(frozen=True)
class Lineage:
    """Follows the links of one dataset; at most `limit` scored files a model, the newest."""

    blobs: BlobStore
    runs: RunStore
    live: LiveModels
    workspace: Workspace | None
    contract: DatasetContract
    limit: int = 50

    def of_result(self, name: str, line: int | None = None) -> dict[str, Any]:
        """From a scored file, or one line of it, back to the blob that its model was trained on.

        Args:
            name: the file as it was dropped, or any of its results, with or without container and folder.
            line: of the scored file as an editor counts, whose header is line 1.

        Raises:
            NotFoundError: ``no_result``, ``no_such_line``.
        """
        about = self._manifest(name)
        model = about["model"]
        scored = {
            "blob": next((each["blob"] for each in about["outputs"]), None),
            "input": {name: about["input"][name] for name in ("blob", "etag", "sha256")},
            "run": about["run"],
            "revision": about["revision"],
            "counts": about["counts"],
        }
        row = {"row": self._row(about, line)} if line is not None else {}
        link = self._link(str(model["version"] or ""), str(model.get("training_run") or ""), [scored])
        return {**row, "links": [link]}

    def of_blob(self, name: str) -> dict[str, Any]:
        """From a dropped dataset, in all versions it had, to what came of it (``unknown_blob``)."""
        bare = f"datasets/{_bare(name, 'datasets', self.contract.name)}"
        found = [run for run in self._trained() if run.blob in (bare, f"datasets/{name}")]
        return self._links_of(found, "unknown_blob", f"No training run is about {bare}.")

    def of_asset(self, version: str) -> dict[str, Any]:
        """From a version of the dataset, as a data asset, to what came of it (``unknown_asset``)."""
        bare = version.removeprefix(f"{self.contract.name}:")
        found = [run for run in self._trained() if run.asset and run.asset["version"] == bare]
        return self._links_of(found, "unknown_asset", f"No run trained on version {bare} of {self.contract.name}.")

    def of_model(self, version: str) -> dict[str, Any]:
        """From a model's version both ways (``unknown_version``)."""
        return {"links": [self._link(version, "", None)]}

    def _links_of(self, found: Sequence[Run], code: str, message: str) -> dict[str, Any]:
        if not found:
            raise NotFoundError(code, message)
        return {"links": [self._of_run(run, None) for run in found]}

    def _trained(self) -> list[Run]:
        """Runs that a dataset was dropped for, newest first; what a person activated made no model."""
        found = self.runs.search(dataset=self.contract.name, kind="train")
        return [held.run for held in found if held.run.activated is None]

    def _link(self, version: str, maker: str, scored: list[dict[str, Any]] | None) -> Link:
        """The link of a model's version, by the record of the run that made it, else by the version's tags."""
        run = self._maker(version, maker)
        if run is not None:
            return self._of_run(run, scored)
        tags = self._tags(version)
        if tags is None and scored is None:
            raise NotFoundError("unknown_version", f"There is no version {version} of {self.contract.model_name}.")
        return self._of_tags(version, tags or {}, self._scored(version) if scored is None else scored)

    def _maker(self, version: str, maker: str) -> Run | None:
        if maker:
            try:
                return self.runs.load(self.contract.name, maker).run
            except NotFoundError:
                return None
        return next((run for run in self._trained() if version and run.model_version == version), None)

    def _tags(self, version: str) -> Mapping[str, str] | None:
        if self.workspace is None or not version:
            return None
        versions = self.workspace.models(self.contract.model_name)
        return next((each.tags for each in versions if each.version == version), None)

    def _of_run(self, run: Run, scored: list[dict[str, Any]] | None) -> Link:
        made, data = run.model_version, run.data or {}
        if scored is None:
            scored = self._scored(made) if made else []
        return {
            "model": self._model(made) if made else None,
            "run": {"id": run.id, "state": run.state},
            "data_asset": run.asset,
            "blob": self._blob(run.blob, run.etag, data.get("sha256")),
            "scored": scored,
        }

    def _of_tags(self, version: str, tags: Mapping[str, str], scored: list[dict[str, Any]]) -> Link:
        name, _, number = tags.get("data_asset", "").partition(":")
        return {
            "model": self._model(version),
            "run": {"id": tags["run"], "state": None} if "run" in tags else None,
            "data_asset": {"name": name, "version": number} if number else None,
            "blob": self._blob(tags["blob"], tags.get("etag"), tags.get("sha256")) if "blob" in tags else None,
            "scored": scored,
        }

    def _model(self, version: str) -> dict[str, Any]:
        live = self.live.get(self.contract.name)
        return {
            "name": self.contract.model_name,
            "version": version or None,
            "live": live is not None and live.version == version,
        }

    def _blob(self, blob: str, etag: str | None, sha256: str | None) -> dict[str, Any]:
        """`unchanged`: whether the blob is there still as it was read."""
        try:
            unchanged = self.blobs.info(*blob.split("/", 1)).etag == etag
        except NotFoundError:
            unchanged = False
        return {"name": blob, "etag": etag, "sha256": sha256, "unchanged": unchanged}

    def _scored(self, version: str) -> list[dict[str, Any]]:
        """The files that the version scored, newest first."""
        found = self.runs.search(
            dataset=self.contract.name, kind="score", states={"completed"}, version=version, limit=self.limit
        )
        return [_told(held.run) for held in found]

    def _manifest(self, name: str) -> dict[str, Any]:
        for drop in _drops(name, self.contract.name):
            try:
                body, _ = self.blobs.get(RESULTS, drop.result("manifest.json"))
            except NotFoundError:
                continue
            about: dict[str, Any] = json.loads(body)
            return about
        raise NotFoundError("no_result", f"There are no results of {name} in {RESULTS}/{self.contract.name}/.")

    def _row(self, about: Mapping[str, Any], line: int) -> dict[str, Any]:
        """The row that stands in that line, by the names of the file's columns."""
        scored = about["outputs"][0]
        container, _, name = scored["blob"].partition("/")
        pieces = io.BufferedReader(_Pieces(self.blobs.pieces(container, name, scored["etag"])))
        csv.field_size_limit(max(csv.field_size_limit(), MAX_FIELD))
        reader = csv.reader(io.TextIOWrapper(pieces, "utf-8", newline=""), delimiter=";")
        header = next(reader, [])
        before = reader.line_num
        for fields in reader:
            if before < line <= reader.line_num:
                return {"line": line, "values": dict(zip(header, fields, strict=False))}
            before = reader.line_num
        raise NotFoundError("no_such_line", f"{scored['blob']} has rows in the lines 2 to {before}, not in {line}.")


class _Pieces(io.RawIOBase):
    """A blob's pieces as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def _told(run: Run) -> dict[str, Any]:
    """A scored file by the record of its run, whose results may be another run's by now."""
    return {
        "blob": run.manifest and f"{run.manifest.removesuffix('_manifest.json')}_scored.csv",
        "input": {"blob": run.blob, "etag": run.etag},
        "run": run.id,
        "revision": run.revision,
        "counts": run.counts,
    }


def _bare(name: str, container: str, dataset: str) -> str:
    """A name in a container, with the dataset's folder, whether or not a person wrote both."""
    if not name or not name.isprintable():
        raise InvalidInputError("bad_blob", "A file is named by its name, with or without its folders.")
    bare = name.removeprefix(f"{container}/")
    return bare if place(container, bare).dataset == dataset else f"{dataset}/{bare}"


def _drops(name: str, dataset: str) -> Iterator[Drop]:
    """The files whose results a name may mean, the likeliest first."""
    container = RESULTS if name.startswith(f"{RESULTS}/") else "incoming"
    bare = _bare(name, container, dataset)
    yield place("incoming", bare)
    for ending in _ENDINGS:
        if ending and bare.endswith(ending):
            yield place("incoming", bare.removesuffix(ending))
