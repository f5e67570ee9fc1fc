"""The scoring plane: `POST /endpoints/<endpoint>/score`, to a deployment's inference server and back."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping

import aiohttp
from aiohttp import web

from .config import Config
from .deployments import Deployments
from .endpoints import token_audience
from .errors import Json
from .faults import Faults, Rule, instead, replaces_the_answer, spoils_the_answer, spoilt
from .fleet import Fleet
from .serving import InferenceServer
from .store import Store
from .tokens import TokenAuthority, TokenError

DEPLOYMENT_HEADER = "azureml-model-deployment"
# The audience of `aad_token` endpoints.
SCORING_AUDIENCE = "https://ml.azure.com"
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "content-length",
        "server",
        "date",
    }
)
# The container never sees who called, and answers for itself.
_NOT_FORWARDED = _HOP_BY_HOP | {"authorization", DEPLOYMENT_HEADER}
_CHUNK = 256 * 1024


class RefusedError(Exception):
    """The router answers this itself, without asking a container."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})


class Router:
    """Authenticates, chooses a deployment, holds it to its limits, and streams both bodies."""

    def __init__(
        self,
        config: Config,
        store: Store,
        deployments: Deployments,
        fleet: Fleet,
        tokens: TokenAuthority,
        dice: random.Random,
        faults: Faults,
    ) -> None:
        self._config = config
        self._store = store
        self._deployments = deployments
        self._fleet = fleet
        self._tokens = tokens
        self._dice = dice
        self._faults = faults
        self._in_flight: Counter[tuple[str, str]] = Counter()
        self._client: aiohttp.ClientSession | None = None

    def start(self, client: aiohttp.ClientSession) -> None:
        """Use this client, and its pool of connections, for the inference servers."""
        self._client = client

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one scoring request."""
        number = str(uuid.uuid4())
        own = {
            "x-ms-request-id": number,
            "x-request-id": request.headers.get("x-request-id", number),
            "Server": "azureml-frontdoor",
        }
        try:
            return await self._score(request, own)
        except RefusedError as refusal:
            body = {"error": {"code": refusal.code, "message": str(refusal)}}
            return web.json_response(body, status=refusal.status, headers=own | refusal.headers)

    async def _score(self, request: web.Request, own: dict[str, str]) -> web.StreamResponse:
        endpoint = self._store.get(f"onlineEndpoints/{request.match_info['endpoint']}")
        if endpoint is None:
            raise RefusedError(404, "NotFound", "There is no such endpoint.")
        self._authenticate(request, endpoint)
        deployment = self._choose(endpoint, request.headers.get(DEPLOYMENT_HEADER))
        own |= {DEPLOYMENT_HEADER: deployment, "azureml-model-session": deployment}
        key = (endpoint["name"], deployment)
        limits = self._deployments.limits(*key)
        server = self._fleet.server(key)
        if server is None:
            raise RefusedError(503, "ServiceUnavailable", f"Deployment '{deployment}' is not ready.", own)
        if self._in_flight[key] >= limits.in_flight:
            raise RefusedError(429, "TooManyRequests", "Too many requests are waiting for this deployment.", own)
        rule = await self._faults.due(*key, request)
        self._in_flight[key] += 1
        try:
            async with asyncio.timeout(limits.timeout) as deadline:
                if rule is not None:
                    return await self._at_fault(rule, request, server, own, deadline)
                return await self.forward(request, server, own, deadline)
        except TimeoutError as error:
            raise RefusedError(408, "RequestTimeout", f"No answer within {limits.timeout:g} s.", own) from error
        except aiohttp.ClientConnectorError as error:
            raise RefusedError(503, "ServiceUnavailable", f"Deployment '{deployment}' is restarting.", own) from error
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            raise RefusedError(502, "BadGateway", "The container broke off while it was scoring.", own) from error
        finally:
            self._in_flight[key] -= 1

    async def forward(
        self, request: web.Request, server: InferenceServer, own: Mapping[str, str], deadline: asyncio.Timeout
    ) -> web.StreamResponse:
        """Send the request to a container and its answer back; what is not 200 comes wrapped in 424.

        `deadline` covers the time until the container answers; its body is then streamed without one.
        """
        async with self._asked(request, server) as answer:
            deadline.reschedule(None)
            response = _response(answer, own)
            await response.prepare(request)
            async for chunk in answer.content.iter_chunked(_CHUNK):
                await response.write(chunk)
            await response.write_eof()
            return response

    async def _at_fault(
        self,
        rule: Rule,
        request: web.Request,
        server: InferenceServer,
        own: Mapping[str, str],
        deadline: asyncio.Timeout,
    ) -> web.StreamResponse:
        """`forward` with the fault that a test ordered."""
        if replaces_the_answer(rule):
            return await instead(rule, request, own)
        if spoils_the_answer(rule):
            async with self._asked(request, server) as answer:
                body = await answer.read()
                return await spoilt(rule, request, _response(answer, own), body)
        if rule.kind == "swap":
            self._give_all_traffic(request.match_info["endpoint"], rule.to)
        await asyncio.sleep(rule.seconds)
        return await self.forward(request, server, own, deadline)

    def _give_all_traffic(self, endpoint: str, deployment: str) -> None:
        document = self._store.get(f"onlineEndpoints/{endpoint}")
        assert document is not None, "the request was routed by it"
        document["properties"]["traffic"] = {deployment: 100}
        self._store.put(f"onlineEndpoints/{endpoint}", document)

    @contextlib.asynccontextmanager
    async def _asked(self, request: web.Request, server: InferenceServer) -> AsyncIterator[aiohttp.ClientResponse]:
        assert self._client is not None, "start() comes first"
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_FORWARDED}
        if request.content_length is not None:
            headers["Content-Length"] = str(request.content_length)
        async with self._client.request(
            request.method,
            server.url + request.raw_path.removeprefix(f"/endpoints/{request.match_info['endpoint']}"),
            data=await _body(request),
            headers=headers,
            allow_redirects=False,
            auto_decompress=False,
        ) as answer:
            yield answer

    def _authenticate(self, request: web.Request, endpoint: Json) -> None:
        scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not credential:
            raise _unauthorized("The Authorization header has no bearer token or key.")
        mode = endpoint["properties"]["authMode"]
        if mode == "Key":
            keys = (self._store.get(f"keys/{endpoint['name']}") or {}).values()
            if not any(hmac.compare_digest(credential.encode(), str(key).encode()) for key in keys):
                raise _unauthorized("The key is not one of the endpoint's.")
            return
        audience = SCORING_AUDIENCE if mode == "AADToken" else token_audience(self._config, endpoint["name"])
        try:
            self._tokens.verify(credential, [audience])
        except TokenError as error:
            raise _unauthorized(str(error)) from error

    def _choose(self, endpoint: Json, pinned: str | None) -> str:
        known = self._deployments.names(endpoint["name"])
        if pinned is not None:
            if pinned.lower() not in known:
                raise RefusedError(404, "NotFound", f"The endpoint has no deployment '{pinned}'.")
            return known[pinned.lower()]
        traffic: dict[str, int] = {name: weight for name, weight in endpoint["properties"]["traffic"].items() if weight}
        if not traffic:
            raise RefusedError(404, "NotFound", "No deployment of the endpoint has traffic.")
        return self._dice.choices(list(traffic), weights=list(traffic.values()))[0]


async def _body(request: web.Request) -> aiohttp.StreamReader | bytes | None:
    """The request's body: streamed, unless a fault looked into it."""
    if not request.body_exists:
        return None
    return request.content if request.can_read_body else await request.read()


def _response(answer: aiohttp.ClientResponse, own: Mapping[str, str]) -> web.StreamResponse:
    kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
    headers = {name: value for name, value in kept.items() if name.lower() not in {key.lower() for key in own}}
    headers |= own
    status = answer.status
    if status != 200:
        headers |= {
            "ms-azureml-model-error-statuscode": str(status),
            "ms-azureml-model-error-reason": "model_error",
        }
        status = 424
    response = web.StreamResponse(status=status, headers=headers)
    if answer.content_length is not None:
        response.content_length = answer.content_length
    return response


def _unauthorized(message: str) -> RefusedError:
    return RefusedError(401, "Unauthorized", message, {"WWW-Authenticate": "Bearer"})
