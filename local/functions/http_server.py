"""The host's HTTP side: the app's routes, the admin routes and the webhook."""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from aiohttp import web
from azure.functions.meta import Datum
from multidict import CIMultiDict, MultiMapping

from local.functions.errors import PortInUseError
from local.functions.indexing import HTTP, Function
from local.functions.invocation import InvocationAbandonedError, InvocationFailedError, Invoker, Trigger
from local.functions.routes import RouteTable, make_route

_log = logging.getLogger("host")
_LARGEST_BODY = 100 * 1024 * 1024  # the real host's limit
_OWN_HEADERS = {"content-length", "transfer-encoding", "connection"}


class Administration(Protocol):
    """What the admin routes and the webhook need of the host."""

    def status(self) -> Mapping[str, Any]:
        """The document of /admin/host/status."""

    def describe(self) -> list[Mapping[str, Any]]:
        """The document of /admin/functions."""

    async def run_by_hand(self, name: str, text: str) -> web.Response:
        """Run a function that is not triggered by HTTP."""

    async def receive_events(self, function_id: str, kind: str | None, body: bytes) -> web.Response:
        """Take a delivery of Event Grid for a blob trigger."""

    async def invoke_events(self, name: str, kind: str | None, body: bytes) -> web.Response:
        """Take a delivery of Event Grid for an Event Grid trigger."""


class HttpServer:
    """Serves on 127.0.0.1 alone."""

    def __init__(
        self, functions: Iterable[Function], prefix: str, invoker: Invoker, administration: Administration
    ) -> None:
        self._invoker = invoker
        self._administration = administration
        self._routes = RouteTable(
            make_route(f"{prefix}/{f.trigger.get('route') or f.name}", f.trigger.get("methods"), f)
            for f in functions
            if f.trigger["type"] == HTTP
        )
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None

    async def start(self, port: int, *, grace: float) -> None:
        """Listen.

        Raises:
            PortInUseError: somebody else does.
        """
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_get("/admin/host/status", self._status)
        app.router.add_get("/admin/functions", self._describe)
        app.router.add_post("/admin/functions/{name}", self._run_by_hand)
        app.router.add_post("/runtime/webhooks/blobs", self._blob_events)
        for spelt in ("eventgrid", "EventGrid"):  # the real host does not care
            app.router.add_post(f"/runtime/webhooks/{spelt}", self._events)
        app.router.add_route("*", "/{path:.*}", self._invoke)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=grace)
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, "127.0.0.1", port)
        try:
            await self._site.start()
        except OSError as error:
            await self._runner.cleanup()
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(port) from error
            raise

    async def stop_listening(self) -> None:
        """Take no connection any more; requests under way go on."""
        if self._site is not None:
            await self._site.stop()

    async def close(self) -> None:
        """Close every connection."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response(self._administration.status())

    async def _describe(self, request: web.Request) -> web.Response:
        return web.json_response(self._administration.describe())

    async def _run_by_hand(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            document = json.loads(body) if body.strip() else {}
            text = document.get("input", "")
        except (ValueError, AttributeError):
            return web.json_response({"error": 'the body must be a JSON object as {"input": "…"}'}, status=400)
        return await self._administration.run_by_hand(
            request.match_info["name"], text if isinstance(text, str) else json.dumps(text)
        )

    async def _blob_events(self, request: web.Request) -> web.Response:
        kind = request.headers.get("aeg-event-type")
        return await self._administration.receive_events(
            request.query.get("functionName", ""), kind, await request.read()
        )

    async def _events(self, request: web.Request) -> web.Response:
        kind = request.headers.get("aeg-event-type")
        return await self._administration.invoke_events(
            request.query.get("functionName", ""), kind, await request.read()
        )

    async def _invoke(self, request: web.Request) -> web.Response:
        found = self._routes.find(request.method, request.rel_url.raw_path)
        if found is None:
            return web.Response(status=404)
        function, params = found
        body = await request.read()
        try:
            returned = await self._invoker.invoke(function, _http_trigger(request, params, body))
        except InvocationFailedError:
            return web.Response(status=500)
        except InvocationAbandonedError:
            return web.Response(status=503)
        return to_response(returned)


def _http_trigger(request: web.Request, params: Mapping[str, str], body: bytes) -> Trigger:
    value = {
        "method": Datum(request.method, "string"),
        "url": Datum(str(request.url), "string"),
        "headers": _texts(_joined(request.headers)),
        "query": _texts(_joined(request.query)),
        "params": _texts(params),
        "body": Datum(body, "bytes"),
    }
    return Trigger(Datum(value, "http"), about=f"{request.method} {request.path}")


def to_response(returned: Datum | None) -> web.Response:
    """What the client gets for what a function returned."""
    if returned is None:
        return web.Response(status=204)
    if returned.type != "http":
        text = returned.value if isinstance(returned.value, str) else str(returned.value)
        return web.Response(text=text)
    value = returned.value
    headers: CIMultiDict[str] = CIMultiDict()
    for name, datum in value["headers"].items():
        if name.lower() not in _OWN_HEADERS:
            headers.add(name, datum.value)
    for cookie in value["cookies"] or ():
        for morsel in cookie.values():
            headers.add("Set-Cookie", morsel.OutputString())
    return web.Response(status=int(value["status_code"].value), body=value["body"].value, headers=headers)


def _joined(values: MultiMapping[str]) -> dict[str, str]:
    """One text per name; what comes several times is joined by commas, as the real host does."""
    return {name: ",".join(values.getall(name)) for name in dict.fromkeys(values)}


def _texts(values: Mapping[str, str]) -> dict[str, Datum]:
    return {name: Datum(value, "string") for name, value in values.items()}
