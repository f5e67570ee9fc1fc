"""Access tokens that the emulator signs and verifies: JSON web tokens, HS256, a key of its own in its state."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from .config import PRINCIPAL, TENANT


class TokenError(Exception):
    """The token is not good; `code` is the one that ARM answers with."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Token:
    """A signed token and when it ends (seconds since 1970)."""

    text: str
    expires_on: int


class TokenAuthority:
    """Issues and verifies tokens with the key in `file`, which is made when missing."""

    def __init__(self, file: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_bytes(secrets.token_bytes(32))
        self._key = file.read_bytes()

    def issue(self, audience: str, lifetime: float = 24 * 3600) -> Token:
        """A token for `audience` (a resource, without a slash at the end), good for `lifetime` seconds."""
        now = int(self._clock())
        claims = {
            "aud": audience.rstrip("/"),
            "iss": f"https://sts.windows.net/{TENANT}/",
            "tid": TENANT,
            "oid": PRINCIPAL,
            "iat": now,
            "nbf": now,
            "exp": now + int(lifetime),
        }
        head = _encode({"alg": "HS256", "typ": "JWT"})
        payload = _encode(claims)
        return Token(f"{head}.{payload}.{self._signature(head, payload)}", now + int(lifetime))

    def verify(self, text: str, audiences: Collection[str]) -> None:
        """TokenError unless we signed this token, it has not ended, and it is for one of `audiences`."""
        parts = text.split(".")
        if len(parts) != 3 or not hmac.compare_digest(parts[2].encode(), self._signature(*parts[:2]).encode()):
            raise TokenError("InvalidAuthenticationToken", "The access token is invalid.")
        claims = _decode(parts[1])
        if self._clock() >= float(str(claims["exp"])):
            raise TokenError("ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than now.")
        if claims["aud"] not in {audience.rstrip("/") for audience in audiences}:
            raise TokenError(
                "InvalidAuthenticationTokenAudience",
                f"The access token has been obtained for wrong audience or resource '{claims['aud']}'.",
            )

    def _signature(self, head: str, payload: str) -> str:
        return _base64(hmac.new(self._key, f"{head}.{payload}".encode(), hashlib.sha256).digest())


def _encode(value: dict[str, object]) -> str:
    return _base64(json.dumps(value).encode())


def _decode(part: str) -> dict[str, object]:
    try:
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ValueError) as error:
        raise TokenError("InvalidAuthenticationToken", "The access token is invalid.") from error
    return dict(claims)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
