"""An online endpoint on loopback: the real `aml.serving` around a small real model, with the moods of a managed one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

import pyarrow as pa
from sklearn.pipeline import Pipeline

from aml.messages import ARROW, Answer

DEPLOYMENT = "azureml-model-deployment"


@dataclass(frozen=True)
class Received:
    """A request as it came in."""

    content_type: str
    headers: dict[str, str]
    body: bytes

    @property
    def deployment(self) -> str | None:
        """The deployment that the request is pinned to."""
        return self.headers.get(DEPLOYMENT)

    @property
    def columns(self) -> dict[str, list[Any]]:
        """The values that were sent by column, context rows first; an unreadable body holds none."""
        if self.content_type == ARROW:
            columns: dict[str, list[Any]] = pa.ipc.open_stream(self.body).read_all().to_pydict()
            return columns
        request = json.loads(self.body)
        records = [*request.get("context", []), *request["data"]]
        return {name: [record[name] for record in records] for name in records[0]}

    @property
    def rows(self) -> int:
        """How many rows are to be scored."""
        if self.content_type == ARROW:
            schema = pa.ipc.open_stream(self.body).schema
            return len(self.columns["VolCorrected"]) - int(schema.metadata[b"dropscore.context_rows"])
        return len(json.loads(self.body)["data"])


@dataclass(frozen=True)
class Reply:
    """An answer; `cut` leaves out so many bytes of the body that its length promises."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    cut: int = 0


Mood = Callable[[Received], Reply | None]
"""What an endpoint does instead of answering properly, or None to do so."""


class Model(Protocol):
    """What answers: `aml.serving.Service`, or what stands in its place."""

    def answer(self, content_type: str, body: bytes) -> Answer:
        """See `aml.serving.Service.answer`."""


class FakeEndpoint:
    """A running endpoint; `deployment` is where its traffic goes, `mood` how it is disposed at the moment, `pipeline`
    what its service was made of."""

    def __init__(self, service: Model, pipeline: Pipeline) -> None:
        self._service = service
        self.pipeline = pipeline
        self._lock = threading.Lock()
        self._under_way = 0
        self.url = ""
        self.deployment = "blue"
        self.mood: Mood | None = None
        self.received: list[Received] = []
        self.most_at_once = 0

    def calm(self) -> None:
        """Forgets mood and requests."""
        self.mood, self.deployment, self.most_at_once = None, "blue", 0
        self.received.clear()

    def answer(self, received: Received) -> Reply:
        """What it answers to one request."""
        with self._lock:
            self.received.append(received)
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            moody = self.mood(received) if self.mood is not None else None
            return moody or self.properly(received)
        finally:
            with self._lock:
                self._under_way -= 1

    def properly(self, received: Received) -> Reply:
        """The model's answer; what is not 200 comes wrapped in 424, as a managed endpoint does it."""
        answer = self._service.answer(received.content_type, received.body)
        headers = {DEPLOYMENT: received.deployment or self.deployment, "x-ms-request-id": f"r{len(self.received)}"}
        if answer.status == 200:
            return Reply(200, answer.body, headers, answer.content_type)
        return wrapped(answer.status, answer.body)

    @contextmanager
    def running(self) -> Iterator[FakeEndpoint]:
        """Serves on a free port of loopback."""
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(headers["content-length"]))
                reply = endpoint.answer(Received(headers["content-type"], headers, body))
                self.send_response(reply.status)
                for name, value in {**reply.headers, "Content-Type": reply.content_type}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body[: len(reply.body) - reply.cut])
                self.close_connection = reply.cut > 0

            def do_GET(self) -> None:
                self.send_response(405)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Keeps the test's output clean."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            server.block_on_close = False
            self.url = f"http://127.0.0.1:{server.server_port}/score"
            serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            serving.start()
            try:
                yield self
            finally:
                server.shutdown()
                serving.join()


def wrapped(status: int, body: bytes = b'{"error":"no"}') -> Reply:
    """A managed endpoint's answer when the model's container said `status`."""
    return Reply(424, body, {"ms-azureml-model-error-statuscode": str(status)})


def refusal(status: int, **headers: str) -> Mood:
    """Every request gets this status; `retry_after` is given as Retry-After."""
    spelt = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda received: Reply(status, b"not now", spelt)


def first(count: int, mood: Mood) -> Mood:
    """The mood holds for the first requests only."""
    lock, seen = threading.Lock(), [0]

    def for_a_while(received: Received) -> Reply | None:
        with lock:
            seen[0] += 1
            over = seen[0] > count
        return None if over else mood(received)

    return for_a_while


def larger_than(rows: int, status: int) -> Mood:
    """Requests of more rows get this status."""
    return lambda received: Reply(status, b"too much") if received.rows > rows else None


def poisoned_by(*values: float) -> Mood:
    """The model refuses requests that hold one of these values, among the context rows or the others."""
    return lambda received: wrapped(400) if set(values) & set(received.columns["VolCorrected"]) else None


def without_arrow(status: int) -> Mood:
    """An endpoint that somebody else deployed: 415, or an inference server's own 400 for a body that is no text."""
    return lambda received: Reply(status, b"no arrow") if received.content_type == ARROW else None
