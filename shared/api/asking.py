"""What requests ask about: the dataset of their path, the table or JSON of their body, the blob and the model named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from shared.api.replies import Request
from shared.composition import App
from shared.contracts import contract_of as contract_of
from shared.errors import InvalidInputError
from shared.naming import INCOMING, place
from shared.storage import BlobInfo
from shared.tables import BytesSource

_FILE_NAMES = {
    "text/csv": "request.csv",
    "text/plain": "request.csv",
    "application/csv": "request.csv",
    "application/gzip": "request.csv.gz",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "request.xlsx",
    "application/vnd.apache.parquet": "request.parquet",
}
_DIGITS, _SHOWN = 18, 60
_OF_HALVES = (b"\\u", b"\xed", b"\0")
"""In a body with half of a surrogate pair there is one of these: an escape, its bytes in UTF-8, or UTF-16 and -32."""


def require_small(app: App, dataset: str, request: Request) -> None:
    """A table that is looked at while the client waits has a bound (``body_too_large``)."""
    most = app.settings.score_inline_max_bytes
    if len(request.body) > most:
        raise InvalidInputError(
            "body_too_large",
            f"A table of more than {most} bytes is not scored at once; put it into {INCOMING}/{dataset}/.",
        )


def table_of(request: Request) -> BytesSource:
    """The file that is the body (``unsupported_media_type``)."""
    if request.media_type not in _FILE_NAMES:
        raise InvalidInputError(
            "unsupported_media_type", f"Send application/json or text/csv, not {request.media_type}."
        )
    return BytesSource(_FILE_NAMES[request.media_type], request.body)


def choice_of(request: Request, body: Mapping[str, Any] | None = None) -> str | None:
    """Which model is asked: `model` of the URL or of the body; None where neither says (``bad_model``)."""
    said = [request.query.get("model") or None, (body or {}).get("model")]
    named = [name for name in said if name is not None]
    if not all(isinstance(name, str) and name for name in named):
        raise InvalidInputError("bad_model", "model is the name of a model.")
    if len(set(named)) > 1:
        raise InvalidInputError("bad_model", "The 'model' of the URL and that of the body are not the same.")
    return named[0] if named else None


def json_value(body: bytes) -> Any:
    """The body's JSON (``bad_json``); halves of characters, which nobody could write down again, are U+FFFD."""
    try:
        value = json.loads(body)
        if not any(sign in body for sign in _OF_HALVES):
            return value
        written = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
        return json.loads(written.decode("utf-16", "replace"))
    except (ValueError, RecursionError) as error:
        raise InvalidInputError("bad_json", f"The body is not JSON: {error}.") from error


def json_object(body: bytes) -> dict[str, Any]:
    """The body, which must be a JSON object (``bad_json``)."""
    value = json_value(body)
    if not isinstance(value, dict):
        raise InvalidInputError("bad_json", "The body must be a JSON object.")
    return value


def records_of(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows in a body's `data` (``bad_json``)."""
    data = body.get("data")
    if not isinstance(data, list) or not all(isinstance(record, dict) for record in data):
        raise InvalidInputError(
            "bad_json", 'The body must hold "data", a list of records, "series", one of points, or "blob", a name.'
        )
    return data


def number_of(text: str, name: str, most: int) -> int:
    """A whole number from 1 to `most` in a URL; the code of the error is ``bad_`` and its name."""
    # A number of thousands of digits is none that Python reads.
    if not text.isdecimal() or len(text) > _DIGITS or not 1 <= int(text) <= most:
        raise InvalidInputError(f"bad_{name}", f"{name} is a number from 1 to {most}, not {text[:_SHOWN]!r}.")
    return int(text)


def blob_of(app: App, container: str, dataset: str, name: object) -> BlobInfo:
    """The blob that a person means: with or without the container, with or without the dataset's folder."""
    if not isinstance(name, str) or not name.isprintable() or {"", ".", ".."} & set(name.split("/")):
        raise InvalidInputError("bad_blob", "blob is the name of a file, with or without its folders.")
    bare = name.removeprefix(f"{container}/")
    if place(container, bare).dataset != dataset:
        bare = f"{dataset}/{bare}"
    return app.blobs.info(container, bare)
