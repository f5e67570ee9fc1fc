"""Sample apps, written to a temporary folder, and the host as a process over them."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

WriteApp = Callable[..., Path]

# Nothing listens there: storage that is down, for apps that need a connection and no storage.
NO_STORAGE = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5;"
    "BlobEndpoint=http://127.0.0.1:9/devstoreaccount1;QueueEndpoint=http://127.0.0.1:9/devstoreaccount1;"
)
_HEAD = """
import logging, os, threading, time
import azure.functions as func
import azurefunctions.extensions.bindings.blob as blob
app = func.FunctionApp()
"""


@pytest.fixture(scope="module")
def write_app(tmp_path_factory: pytest.TempPathFactory) -> WriteApp:
    """Writes an app folder: the body of function_app.py after its usual first lines, and host.json."""

    def write(body: str, *, head: str = _HEAD, host: str = '{"version": "2.0"}') -> Path:
        folder = tmp_path_factory.mktemp("app")
        (folder / "host.json").write_text(host, encoding="utf-8")
        (folder / "function_app.py").write_text(head + textwrap.dedent(body), encoding="utf-8")
        return folder

    return write


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """The environment of a host: this one's, with storage that is down."""
    return {**os.environ, "AzureWebJobsStorage": NO_STORAGE}


@pytest.fixture
def fresh_import(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """function_app is imported anew, and leaves nothing behind in this process."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "function_app", raising=False)
    yield
    sys.modules.pop("function_app", None)
