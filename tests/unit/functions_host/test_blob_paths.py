"""Trigger paths and blob URLs."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.functions.blob_paths import parse_pattern, quoted, split_blob_url
from local.functions.errors import ConfigurationError


@pytest.mark.parametrize(
    ("path", "name", "matches"),
    [
        ("incoming/{name}", "a.csv", True),
        ("incoming/{name}", "gas/2026/a b.csv", True),
        ("incoming", "gas/a.csv", True),
        ("incoming/gas/{name}.csv", "gas/x/y.csv", True),
        ("incoming/gas/{name}.csv", "gas/.csv", False),
        ("incoming/gas/{name}.csv", "gas/x.csv.gz", False),
        ("incoming/{a}-{b}.txt", "x-y-z.txt", True),
        ("incoming/a.b", "axb", False),
    ],
)
def test_names_against_patterns(path: str, name: str, matches: bool) -> None:
    pattern = parse_pattern(path)

    assert pattern.matches("incoming", name) is matches
    assert not pattern.matches("other", name)
    assert not matches or name.startswith(pattern.prefix)


@pytest.mark.parametrize("path", ["", "/", "{c}/x", "in/{a}/{a}", "in/{a", "in/{a b}"])
def test_impossible_paths_are_refused(path: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_pattern(path)


@given(name=st.text(st.characters(blacklist_categories=["Cs"]), min_size=1))
def test_a_blob_url_gives_its_name_back(name: str) -> None:
    for base in (
        "http://127.0.0.1:10000/account",
        "http://localhost:1/account",
        "https://account.blob.core.windows.net",
    ):
        assert split_blob_url(f"{base}/incoming/{quote(name, safe='/')}") == ("incoming", name)


def test_a_url_without_a_blob_is_refused() -> None:
    with pytest.raises(ValueError, match="does not name a blob"):
        split_blob_url("http://127.0.0.1:10000/account/incoming")


def test_etags_have_quotes_once() -> None:
    assert quoted("0x1") == quoted('"0x1"') == '"0x1"'
