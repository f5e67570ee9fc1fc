"""Requests and replies of the HTTP doors in plain values, and errors as problem+json (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.errors import (
    ConflictError,
    DropscoreError,
    EndpointRefusedError,
    GiveUpError,
    InvalidInputError,
    NoLiveModelError,
    NotFoundError,
    WorkspaceRefusedError,
)
from shared.runs import Run

_STATUS: tuple[tuple[type[DropscoreError], int], ...] = (
    (NotFoundError, 404),
    (InvalidInputError, 400),
    (EndpointRefusedError, 502),
    (WorkspaceRefusedError, 502),
    (GiveUpError, 500),
    (NoLiveModelError, 503),
    (ConflictError, 409),
    (DropscoreError, 503),
)
_STATUS_OF_CODE = {
    "batch_too_large": 413,
    "body_too_large": 413,
    "storage_not_configured": 503,
    "unknown_dataset": 404,
    "unsupported_media_type": 415,
}


@dataclass(frozen=True)
class Request:
    """An HTTP request, as far as the app cares; header names in lower case."""

    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def media_type(self) -> str:
        """The body's type without its parameters; JSON or CSV by the look of it where the client says nothing."""
        said = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if said and said not in ("application/octet-stream", "application/x-www-form-urlencoded"):
            return said
        return "application/json" if self.body.lstrip()[:1] in (b"{", b"[") else "text/csv"


@dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def as_json(status: int, body: object) -> Reply:
    """A JSON reply; of numbers that JSON does not have, which a client may have sent to be answered, it says null."""
    try:
        text = json.dumps(body, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:
        finite = json.loads(json.dumps(body, default=str), parse_constant=lambda _: None)
        text = json.dumps(finite, ensure_ascii=False)
    return Reply(status, text.encode())


def problem(error: DropscoreError) -> Reply:
    """The reply that an error stands for."""
    status = _STATUS_OF_CODE.get(error.code) or next(code for kind, code in _STATUS if isinstance(error, kind))
    body = {"title": error.code.replace("_", " "), "status": status, "code": error.code, "detail": error.message}
    headers = {"Retry-After": "30"} if status == 503 else {}
    return Reply(status, json.dumps(body, ensure_ascii=False).encode(), "application/problem+json", headers)


def shown(run: Run) -> dict[str, Any]:
    """A run's record, as HTTP has it."""
    return run.model_dump(mode="json", exclude_none=True)


def accepted(run: Run) -> Reply:
    """The reply to what a run was made for: where to look for it."""
    reply = as_json(202, shown(run))
    return Reply(202, reply.body, reply.content_type, {"Location": f"/api/runs/{run.id}"})
