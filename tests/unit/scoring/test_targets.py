"""Which credential goes to which endpoint."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from shared.live import LiveModels
from shared.scoring.targets import Target, Targets
from shared.settings import Settings
from tests.fakes.blobs import FakeBlobStore


@pytest.fixture
def seen() -> list[str]:
    return []


@pytest.mark.parametrize(("settings_url", "shown"), [("here", "Bearer their-key"), ("elsewhere", "Bearer own-token")])
def test_the_key_of_somebody_elses_endpoint_is_shown_to_that_endpoint_alone(
    seen: list[str], settings_url: str, shown: str
) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.headers["Authorization"])
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing: the test says what it saw."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.handle_request).start()
        url = f"http://127.0.0.1:{server.server_port}/score"
        theirs = url if settings_url == "here" else "https://endpoint.invalid/score"
        settings = Settings.model_validate({"aml_endpoint_url": theirs, "aml_endpoint_key": "their-key"})
        client = Targets(settings, LiveModels(FakeBlobStore()), lambda fresh: "own-token").connect(Target(url, None))
        client.post(b"rows", "text/plain", None, lambda answer: None)
        client.close()

    assert seen == [shown]
