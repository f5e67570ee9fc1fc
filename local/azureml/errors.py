"""Errors as Azure Resource Manager and the workspace's front end word them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from .config import LOCATION

Json = dict[str, Any]


class ArmError(Exception):
    """A refusal with its HTTP status, ARM code and message, and perhaps the more exact code behind it."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        detail: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.detail = detail
        self.headers = dict(headers or {})

    def body(self) -> Json:
        """The answer's JSON: `{"error": {"code", "message", "details", "additionalInfo"}}`."""
        details = [self.detail] if self.detail else []
        return {
            "error": {
                "code": self.code,
                "message": self.message,
                "details": [
                    {"code": code, "message": message, "details": [], "additionalInfo": []} for code, message in details
                ],
                "additionalInfo": [
                    {"type": "ComponentName", "info": {"value": "managementfrontend"}},
                    {"type": "Environment", "info": {"value": LOCATION}},
                    {"type": "Location", "info": {"value": LOCATION}},
                    {"type": "Time", "info": {"value": datetime.now(UTC).isoformat()}},
                ],
            }
        }


def not_found(code: str, what: str) -> ArmError:
    """404 as the workspace says it: the general code outside, the exact one among the details."""
    return ArmError(404, "UserError", "The specified resource was not found.", detail=(code, what))


def user_error(message: str, *, status: int = 400, code: str = "RequestInvalid") -> ArmError:
    """400 for a request that the workspace understands and refuses."""
    return ArmError(status, "UserError", message, detail=(code, message))


def not_emulated(what: str) -> ArmError:
    """501: the cloud can do this, the emulator cannot."""
    return ArmError(501, "NotImplemented", f"The local Azure ML emulator does not have {what}.")
