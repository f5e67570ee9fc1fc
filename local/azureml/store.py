"""What the emulator remembers: JSON documents by key, one file each, written whole or not at all.

Keys are paths such as `models/iforest_gas/versions/1`, without regard to case, as ARM ids are. Everything is held in
memory and read once at the start; only the event loop's thread touches a store, so no lock is needed.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from .errors import Json


class Store:
    """Documents under `folder`. Reading gives copies: what was not put back has not changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._documents: dict[str, Json] = {
            _key(path.relative_to(folder)): json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(folder.rglob("*.json"))
        }

    def get(self, key: str) -> Json | None:
        """The document, or None."""
        document = self._documents.get(key.lower())
        return None if document is None else copy.deepcopy(document)

    def put(self, key: str, document: Json) -> None:
        """Write the document, new or changed. A crash leaves the old one or the new one, never a part."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        self._documents[key.lower()] = copy.deepcopy(document)

    def delete(self, key: str) -> None:
        """Forget the document; nothing happens when there is none."""
        self._path(key).unlink(missing_ok=True)
        self._documents.pop(key.lower(), None)

    def delete_under(self, prefix: str) -> None:
        """Forget every document below `prefix`."""
        for key in [key for key, _ in self._items(prefix)]:
            self.delete(key)

    def under(self, prefix: str) -> list[Json]:
        """Copies of the documents exactly one step below `prefix` (`models` gives containers, not their versions)."""
        depth = prefix.count("/") + 1
        return [copy.deepcopy(document) for key, document in self._items(prefix) if key.count("/") == depth]

    def keys(self, prefix: str) -> list[str]:
        """Keys at any depth below `prefix`."""
        return [key for key, _ in self._items(prefix)]

    def _items(self, prefix: str) -> Iterator[tuple[str, Json]]:
        start = prefix.lower() + "/"
        return ((key, document) for key, document in list(self._documents.items()) if key.startswith(start))

    def _path(self, key: str) -> Path:
        # a colon or a leading dot must not mean anything to the file system
        parts = [quote(part, safe="").replace(".", "%2E") for part in key.lower().split("/")]
        return self._folder.joinpath(*parts[:-1], parts[-1] + ".json")


def _key(path: Path) -> str:
    return "/".join(unquote(part) for part in path.with_suffix("").parts)
