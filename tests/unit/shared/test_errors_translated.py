"""Every error of somebody else's library becomes one of the app's own at the edge where it comes in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyarrow as pa
import pytest
import requests
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from aml.contract import load_contract
from local.processes import free_port
from shared import errors
from shared.composition import Identity, build
from shared.errors import (
    ConflictError,
    DropscoreError,
    EndpointRefusedError,
    EndpointUnavailableError,
    GiveUpError,
    InvalidInputError,
    NotFoundError,
    StorageUnavailableError,
    TryAgainError,
)
from shared.scoring import wire
from shared.scoring.endpoint import EndpointClient
from shared.settings import Settings
from shared.storage import AzureBlobStore, AzureQueue

GAS = load_contract("gas")
_ACCOUNT = "AccountName=a;AccountKey=a2V5"


class _Account(ThreadingHTTPServer):
    """A storage account on loopback that gives every request the same status and error code; 0 hangs up instead."""

    daemon_threads = True
    block_on_close = False
    status, code = 0, ""

    def store(self, status: int, code: str = "") -> AzureBlobStore:
        """A client of it, with these answers."""
        self.status, self.code = status, code
        connection = f"BlobEndpoint=http://127.0.0.1:{self.server_port}/a;{_ACCOUNT}"
        return AzureBlobStore(BlobServiceClient.from_connection_string(connection, retry_total=0))


class _Handler(BaseHTTPRequestHandler):
    server: _Account

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.status:
            self.send_response(self.server.status)
            self.send_header("x-ms-error-code", self.server.code)
            self.send_header("Content-Length", "0")
            self.end_headers()

    do_GET = do_HEAD = do_PUT = do_DELETE = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the test's output clean."""


@pytest.fixture(scope="module")
def account() -> Iterator[_Account]:
    with _Account(("127.0.0.1", 0), _Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield server
        server.shutdown()
        serving.join()


_CALLS: dict[str, Callable[[AzureBlobStore], object]] = {
    "ensure_containers": lambda store: store.ensure_containers(["c"]),
    "info": lambda store: store.info("c", "x"),
    "get": lambda store: store.get("c", "x"),
    "pieces": lambda store: list(store.pieces("c", "x", "e")),
    "put": lambda store: store.put("c", "x", b""),
    "stage": lambda store: store.stage("c", "x", "b", b"1"),
    "commit": lambda store: store.commit("c", "x", ["b"]),
    "delete": lambda store: store.delete("c", "x"),
    "list_blobs": lambda store: list(store.list_blobs("c")),
    "folders": lambda store: store.folders("c"),
}


@pytest.mark.parametrize("call", _CALLS)
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_storage_outage_is_one_of_ours(account: _Account, call: str, status: int) -> None:
    with pytest.raises(StorageUnavailableError) as found:
        _CALLS[call](account.store(status, "ServerBusy"))

    assert found.value.code == "storage_unavailable"
    assert isinstance(found.value.__cause__, HttpResponseError)


@pytest.mark.parametrize("call", _CALLS)
def test_a_lost_connection_to_storage_is_an_outage(account: _Account, call: str) -> None:
    with pytest.raises(StorageUnavailableError):
        _CALLS[call](account.store(0))


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "BlobNotFound", NotFoundError),
        (404, "ContainerNotFound", NotFoundError),
        (412, "ConditionNotMet", ConflictError),
        (409, "BlobAlreadyExists", ConflictError),
        (400, "InvalidBlockList", ConflictError),
    ],
)
def test_what_storage_refuses_is_one_of_ours(
    account: _Account, status: int, code: str, expected: type[DropscoreError]
) -> None:
    with pytest.raises(expected):
        account.store(status, code).commit("c", "x", ["b"], if_match="e")


def test_what_no_code_can_help_stays_what_it_is(account: _Account) -> None:
    with pytest.raises(HttpResponseError, match="AuthorizationFailure"):
        account.store(403, "AuthorizationFailure").info("c", "x")


def test_a_queue_out_of_reach_is_an_outage() -> None:
    connection = f"QueueEndpoint=http://127.0.0.1:{free_port()}/a;{_ACCOUNT}"
    service = QueueServiceClient.from_connection_string(connection, retry_total=0)
    with service, pytest.raises(StorageUnavailableError):
        AzureQueue(service, "q").send("message")


def test_no_token_leaves_the_file_for_later() -> None:
    class Refused:
        def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
            raise ClientAuthenticationError("no managed identity here")

    identity = Identity()
    identity.__dict__["credential"] = Refused()

    with pytest.raises(EndpointUnavailableError) as found:
        identity.token(False)

    assert found.value.code == "endpoint_unauthorized"


def test_an_app_without_storage_says_which_setting_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AzureWebJobsStorage", raising=False)

    with pytest.raises(InvalidInputError, match="AzureWebJobsStorage"):
        build(Settings())


@pytest.fixture
def client() -> Iterator[EndpointClient]:
    url = f"http://127.0.0.1:{free_port()}/score"
    with closing(EndpointClient(url, lambda fresh: "", timeout=1, patience=0, connections=1)) as client:
        yield client


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError(),
        requests.ReadTimeout(),
        requests.exceptions.ChunkedEncodingError(),
        requests.exceptions.SSLError(),
        requests.exceptions.ContentDecodingError(),
    ],
)
def test_what_requests_raises_is_an_endpoint_out_of_reach(
    client: EndpointClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(requests.Session, "post", fail)

    with pytest.raises(EndpointUnavailableError) as found:
        client.post(b"", "application/json", None, lambda answer: answer)

    assert (found.value.code, found.value.__cause__) == ("endpoint_unreachable", error)


def _arrow(rows: int) -> bytes:
    table = pa.table({"anomaly": [0] * rows, "anomaly_score": [0.5] * rows})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


_UNREADABLE = [
    (wire.ARROW, b""),
    (wire.ARROW, b"{}"),
    (wire.JSON, b""),
    (wire.JSON, b"<html>"),
    (wire.JSON, b"\xff"),
    (wire.JSON, b"null"),
    (wire.JSON, b"3"),
    (wire.JSON, b"[]"),
    (wire.JSON, b"{}"),
    (wire.JSON, b'{"predictions": 3}'),
    (wire.JSON, b'{"predictions": [3]}'),
    (wire.JSON, b'{"predictions": [{"anomaly": "yes"}]}'),
    (wire.JSON, b'{"predictions": [{"anomaly": 1e999}]}'),
    (wire.JSON, b'{"predictions": [{"anomaly": 1}], "model": "iforest"}'),
    (wire.JSON, b'{"csv_base64": "%%%"}'),
    (wire.JSON, b'{"csv_base64": "//8="}'),
    (wire.JSON, b"[" * 100_000),
]


@pytest.mark.parametrize(("kind", "body"), _UNREADABLE)
def test_an_answer_that_cannot_be_read_may_be_better_next_time(kind: str, body: bytes) -> None:
    with pytest.raises(EndpointUnavailableError) as found:
        wire.decode(body, kind, GAS, 1)

    assert found.value.code == "malformed_answer"


def test_an_arrow_answer_cut_anywhere_is_never_taken_for_whole() -> None:
    whole = _arrow(5)
    assert wire.decode(whole, wire.ARROW, GAS, 5).columns.num_rows == 5

    for end in range(len(whole) - 8):  # the last eight bytes say that nothing follows
        with pytest.raises((EndpointUnavailableError, EndpointRefusedError)):
            wire.decode(whole[:end], wire.ARROW, GAS, 5)


def test_every_error_is_on_one_of_the_two_branches() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DropscoreError)]

    for kind in set(kinds) - {DropscoreError}:
        assert issubclass(kind, GiveUpError) != issubclass(kind, TryAgainError)
        assert kind.__name__ in (errors.__doc__ or ""), f"{kind.__name__} is missing in the tree"
        assert kind.__name__.endswith("Error")
