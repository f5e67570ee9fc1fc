"""HTTP triggers and admin routes of a host over a sample app."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from local.functions.launch import FunctionsHost
from local.processes import free_port

WriteApp = Callable[..., Path]

APP = """
@app.route(route="echo/{name}/{number:int}", methods=["GET", "POST"])
def echo(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    import json
    seen = {"method": req.method, "url": req.url, "params": dict(req.params), "route": dict(req.route_params),
            "header": req.headers.get("X-Ask"), "bytes": len(req.get_body()), "last": req.get_body()[-1:].hex(),
            "function": context.function_name, "thread": context.thread_local_storage.invocation_id}
    seen["same"] = seen.pop("thread") == context.invocation_id
    return func.HttpResponse(json.dumps(seen), status_code=201, mimetype="application/json",
                             headers={"X-Answer": "yes", "Set-Cookie": "a=1; HttpOnly"})

@app.route(route="text")
async def text(req: func.HttpRequest) -> str:
    return "just text"

@app.route(route="raises")
def raises(req: func.HttpRequest) -> func.HttpResponse:
    raise ValueError("a secret of the app")

@app.route(route="nothing")
def nothing(req: func.HttpRequest) -> func.HttpResponse:
    return None

@app.route(route="exits")
def exits(req: func.HttpRequest) -> func.HttpResponse:
    raise SystemExit(3)

@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True)
def mark(timer: func.TimerRequest) -> None:
    with open(os.environ["MARKS"], "a") as marks:
        marks.write("fired\\n")
"""


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: Mapping[str, str]


class Client:
    """Speaks HTTP to a host, one connection per request."""

    def __init__(self, host: FunctionsHost, port: int, marks: Path) -> None:
        self.host, self.marks = host, marks
        self._port = port

    def __call__(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), dict(answer.getheaders()))
        finally:
            connection.close()

    def fired(self) -> int:
        return len(self.marks.read_text().splitlines()) if self.marks.exists() else 0


@pytest.fixture(scope="module")
def client(
    write_app: WriteApp, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("host")
    marks, port = folder / "marks", free_port()
    with FunctionsHost(
        write_app(APP), port=port, environment=environment | {"MARKS": str(marks)}, log=folder / "host.log"
    ) as host:
        yield Client(host, port, marks)


def test_a_function_sees_the_whole_request_and_its_response_arrives_whole(client: Client) -> None:
    answer = client("POST", "/api/echo/a%20b/7?x=1&x=2&y=%C3%A9", b"\x00\xff", **{"X-Ask": "please"})

    seen = json.loads(answer.body)
    assert answer.status == 201
    assert answer.headers["X-Answer"] == "yes"
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["Set-Cookie"].lower() == "a=1; httponly"
    assert seen.pop("url").endswith("/api/echo/a%20b/7?x=1&x=2&y=%C3%A9")
    assert seen == {
        "method": "POST",
        "params": {"x": "1,2", "y": "é"},
        "route": {"name": "a b", "number": "7"},
        "header": "please",
        "bytes": 2,
        "last": "ff",
        "function": "echo",
        "same": True,
    }


def test_a_large_body_arrives_and_one_beyond_the_limit_is_refused(client: Client) -> None:
    large = client("POST", "/api/echo/x/1", bytes(20_000_000))

    assert json.loads(large.body)["bytes"] == 20_000_000
    assert client("POST", "/api/echo/x/1", bytes(100 * 1024 * 1024 + 1)).status == 413


def test_an_async_function_may_return_text(client: Client) -> None:
    answer = client("GET", "/api/text")

    assert (answer.status, answer.body) == (200, b"just text")


@pytest.mark.parametrize("route", ["raises", "nothing", "exits"])
def test_a_function_that_fails_is_a_500_without_a_word(client: Client, route: str) -> None:
    answer = client("GET", f"/api/{route}")

    assert (answer.status, answer.body) == (500, b"")
    assert f"Executed '{route}' (Failed" in client.host.child.log.read_text()


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/nowhere"), ("GET", "/text"), ("DELETE", "/api/echo/x/1"), ("GET", "/api/echo/x/one")],
)
def test_what_no_route_takes_is_not_found(client: Client, method: str, path: str) -> None:
    assert client(method, path).status == 404


def test_the_admin_routes_say_what_runs(client: Client) -> None:
    status = json.loads(client("GET", "/admin/host/status").body)
    functions = json.loads(client("GET", "/admin/functions").body)

    assert status["state"] == "Running"
    assert [f["name"] for f in functions] == ["echo", "text", "raises", "nothing", "exits", "mark"]
    assert functions[0]["config"]["bindings"][0]["route"] == "echo/{name}/{number:int}"


def test_a_function_without_a_route_can_be_run_by_hand(client: Client) -> None:
    wait_for(lambda: client.fired() >= 1)  # run_on_startup
    before = client.fired()

    answer = client("POST", "/admin/functions/MARK", b'{"input": ""}')

    assert answer.status == 202
    wait_for(lambda: client.fired() == before + 1)


def test_what_cannot_be_run_by_hand_is_refused(client: Client) -> None:
    assert client("POST", "/admin/functions/nobody", b"{}").status == 404
    assert client("POST", "/admin/functions/echo", b"{}").status == 400
    assert client("POST", "/admin/functions/mark", b"[").status == 400


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
