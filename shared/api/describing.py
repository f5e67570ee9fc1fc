"""The app's description, and the page that shows it.

The page is Swagger UI, out of a package whose files alone are read: none of its code runs here, and the browser loads
nothing from anywhere else. The page and its files say nothing of the app, so that they need no key; the description
needs it like every other route, and the page asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from shared.api.openapi import Route, document
from shared.api.replies import Reply, as_json
from shared.errors import NotFoundError

_OWN = Path(__file__).with_name("page")
_SWAGGER_UI = "flask_swagger_ui"
_FILES = {
    "page.js": "text/javascript; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_A_DAY = "public, max-age=86400"


def openapi(routes: Iterable[Route]) -> Reply:
    """The OpenAPI description of these routes."""
    return as_json(200, document(routes))


def docs() -> Reply:
    """The page itself."""
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
    return Reply(200, _read(_OWN / "index.html"), "text/html; charset=utf-8", headers)


def docs_file(name: str) -> Reply:
    """A file that the page loads, or `NotFoundError` (``file_not_found``)."""
    if name not in _FILES:
        raise NotFoundError("file_not_found", f"There is no file {name!r} beside the page.")
    own = _OWN / name
    data = _read(own if own.exists() else _swagger_ui() / name)
    return Reply(200, data, _FILES[name], {"Cache-Control": _A_DAY, "X-Content-Type-Options": "nosniff"})


@cache
def _read(path: Path) -> bytes:
    return path.read_bytes()


def _swagger_ui() -> Path:
    """Where the package's files are; finding it imports nothing of it."""
    found = find_spec(_SWAGGER_UI)
    if found is None or found.origin is None:
        raise FileNotFoundError(f"the package {_SWAGGER_UI} is not installed")
    return Path(found.origin).with_name("dist")
