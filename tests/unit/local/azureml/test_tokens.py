"""Tokens open what they were issued for, for as long as they were, and nobody can make his own."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from local.azureml.tokens import TokenAuthority, TokenError


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_token_is_good_for_its_audience_until_it_ends(tmp_path: Path) -> None:
    clock = Clock()
    token = TokenAuthority(tmp_path / "key", clock).issue("https://ml.azure.com/", lifetime=60)

    # a restarted emulator knows it too
    again = TokenAuthority(tmp_path / "key", clock)
    again.verify(token.text, ["https://ml.azure.com"])
    with pytest.raises(TokenError) as wrong:
        again.verify(token.text, ["https://management.azure.com"])
    clock.now = token.expires_on
    with pytest.raises(TokenError) as late:
        again.verify(token.text, ["https://ml.azure.com"])

    assert (wrong.value.code, late.value.code) == ("InvalidAuthenticationTokenAudience", "ExpiredAuthenticationToken")


def test_a_token_that_was_changed_or_made_elsewhere_is_not_good(tmp_path: Path) -> None:
    authority = TokenAuthority(tmp_path / "key")
    head, payload, signature = authority.issue("https://a").text.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    other = base64.urlsafe_b64encode(json.dumps(claims | {"aud": "https://b"}).encode()).decode().rstrip("=")
    foreign = TokenAuthority(tmp_path / "another key").issue("https://b").text

    for text in (f"{head}.{other}.{signature}", foreign, "", "a.b", "a.b.c", f"{head}.{payload}."):
        with pytest.raises(TokenError) as refusal:
            authority.verify(text, ["https://a", "https://b"])
        assert refusal.value.code == "InvalidAuthenticationToken"
