"""Paths of blob triggers: `container/pattern`, where the pattern may hold `{names}`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from local.functions.errors import ConfigurationError

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class BlobPattern:
    """A trigger's path. `prefix` is what every matching name starts with; a listing need look no further."""

    container: str
    prefix: str
    regex: re.Pattern[str]

    def matches(self, container: str, name: str) -> bool:
        """Whether the trigger is for this blob; a `{name}` takes any characters, slashes too."""
        return container == self.container and self.regex.fullmatch(name) is not None


def parse_pattern(path: str) -> BlobPattern:
    """Read a trigger's path; a container alone stands for everything in it.

    Raises:
        ConfigurationError: no container, an expression in the container's name, a repeated or unclosed `{name}`.
    """
    container, _, pattern = path.strip("/").partition("/")
    if not container or "{" in container:
        raise ConfigurationError(f"blob path {path!r}: it must start with the name of a container")
    pattern = pattern or "{name}"
    pieces = _PLACEHOLDER.split(pattern)
    literals, names = pieces[::2], pieces[1::2]
    if len(set(names)) != len(names):
        raise ConfigurationError(f"blob path {path!r}: a name in braces may appear once")
    if any("{" in literal or "}" in literal for literal in literals):
        raise ConfigurationError(f"blob path {path!r}: braces must hold a plain name, as in {{name}}")
    expression = re.escape(literals[0])
    for name, literal in zip(names, literals[1:], strict=True):
        expression += f"(?P<{name}>.+)" + re.escape(literal)
    return BlobPattern(container, literals[0], re.compile(expression, re.DOTALL))


def split_blob_url(url: str) -> tuple[str, str]:
    """Container and blob name of a blob's URL; the account is a path segment where the host is an address (Azurite).

    Raises:
        ValueError: the URL does not name a blob.
    """
    parts = urlsplit(url)
    segments = parts.path.lstrip("/")
    if _is_address(parts.hostname or ""):
        segments = segments.partition("/")[2]
    container, _, name = segments.partition("/")
    if not container or not name:
        raise ValueError(f"{url!r} does not name a blob")
    return container, unquote(name)


def quoted(etag: str) -> str:
    """An ETag with its quotes: listings leave them out, properties and receipts have them."""
    return etag if etag.startswith('"') else f'"{etag}"'


def _is_address(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
