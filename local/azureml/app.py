"""The emulator's HTTP application: every plane on one port."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
from aiohttp import web

from .arm import Answer, Call, Routes, workspace_segments
from .assets import Assets
from .automl import AutoML
from .blobs import Blobs
from .config import LOCATION, PROVIDER, Config
from .deployments import Deployments
from .endpoints import Endpoints
from .errors import ArmError, user_error
from .faults import Faults, refusal
from .fleet import Fleet
from .history import History, discovery
from .jobs import Jobs
from .metrics import Metrics
from .operations import Operations
from .pipelines import Pipelines
from .processes import end_leftovers
from .references import References
from .router import Router
from .runs import Runs
from .store import Store
from .sweeps import Sweeps
from .tokens import TokenAuthority, TokenError
from .workspace import Workspace, cloud_metadata

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

logger = logging.getLogger(__name__)

_MAX_BODY = 64 * 1024 * 1024
_MANAGEMENT_AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net")


class Emulator:
    """Wires the parts together and answers HTTP."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._store = Store(config.state / "resources")
        self._tokens = TokenAuthority(config.state / "signing.key")
        self._blobs = Blobs(config)
        self._operations = Operations(config, self._store)
        self._references = References(config, self._store, self._blobs)
        self._workspace = Workspace(config, self._store, self._blobs)
        self._runs = Runs(config, self._store, self._blobs, self._references, self._tokens)
        self._metrics = Metrics(self._store)
        self._sweeps = Sweeps(self._store, self._runs, self._metrics)
        self._pipelines = Pipelines(self._store, self._runs, self._references)
        self._automl = AutoML(config, self._store, self._runs, self._blobs, self._references)
        self._jobs = Jobs(
            config,
            self._store,
            self._references,
            self._runs,
            self._sweeps,
            self._pipelines,
            self._automl,
            self._operations,
        )
        self._fleet = Fleet(config, self._blobs, self._references)
        self._deployments = Deployments(config, self._store, self._references, self._operations, self._fleet)
        self._endpoints = Endpoints(config, self._store, self._deployments, self._operations, self._tokens)
        self._faults = Faults()
        dice = random.Random()
        self._router = Router(config, self._store, self._deployments, self._fleet, self._tokens, dice, self._faults)
        self._ready = False
        self._workspace_routes = Routes()
        self._history_routes = Routes()
        self._mlflow_routes = Routes()
        self._register()

    def application(self) -> web.Application:
        """The application; it starts and stops jobs and servers with itself."""
        app = web.Application(client_max_size=_MAX_BODY, middlewares=[_envelope])
        app.router.add_get("/health", self._health)
        app.router.add_get("/metadata/endpoints", self._metadata)
        app.router.add_get("/msi/token", self._identity)
        app.router.add_get("/discovery", self._discovery)
        app.router.add_route("*", "/faults", self._ordered_faults)
        app.router.add_route("*", "/endpoints/{endpoint}/{path:.*}", self._router.handle)
        base = f"/subscriptions/{{subscription}}/providers/{PROVIDER}/locations/{LOCATION}"
        app.router.add_get(base + "/mfeOperationsStatus/{operation}", self._operation_status)
        app.router.add_get(base + "/mfeOperationResults/{operation}", self._operation_result)
        app.router.add_route("*", "/history/v1.0/subscriptions/{path:.*}", self._history)
        app.router.add_route("*", "/mlflow/v1.0/subscriptions/{path:.*}", self._mlflow)
        app.router.add_route("*", "/subscriptions/{path:.*}", self._resource_manager)
        app.cleanup_ctx.append(self._lifespan)
        return app

    def _register(self) -> None:
        assets = Assets(self._config, self._store, self._blobs, self._references)
        for part in (self._workspace, assets, self._jobs, self._endpoints, self._deployments):
            part.register(self._workspace_routes)
        History(self._store, self._blobs, self._references).register(self._history_routes)
        self._metrics.register(self._mlflow_routes)

    async def _lifespan(self, app: web.Application) -> AsyncIterator[None]:
        await asyncio.to_thread(end_leftovers, self._config)
        for container in self._workspace.containers():
            await asyncio.to_thread(self._blobs.ensure_container, container)
        # no limit and no time-out: the router has its own
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as client:
            self._router.start(client)
            self._endpoints.resume()
            self._jobs.resume()
            await self._fleet.start(client)
            starting = asyncio.create_task(self._start_deployments())
            yield
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await self._pipelines.stop()
            await self._sweeps.stop()
            await self._automl.stop()
            await self._runs.stop()
            await self._fleet.stop()

    async def _start_deployments(self) -> None:
        await self._deployments.resume()
        self._ready = True

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ready" if self._ready else "starting"}, status=200 if self._ready else 503)

    async def _metadata(self, request: web.Request) -> web.Response:
        return web.json_response(cloud_metadata(self._config))

    async def _discovery(self, request: web.Request) -> web.Response:
        return web.json_response(discovery(self._config))

    async def _identity(self, request: web.Request) -> web.Response:
        """The App Service managed identity protocol, version 2019-08-01."""
        resource = request.query.get("resource", "")
        if "X-IDENTITY-HEADER" not in request.headers or not resource:
            message = "The X-IDENTITY-HEADER header and the resource parameter are required."
            return web.json_response({"statusCode": 400, "message": message}, status=400)
        token = self._tokens.issue(resource)
        return web.json_response(
            {
                "access_token": token.text,
                "expires_on": str(token.expires_on),
                "resource": resource,
                "token_type": "Bearer",
                "client_id": str(uuid.UUID(int=4)),
            }
        )

    async def _ordered_faults(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        if request.method in ("PUT", "DELETE"):
            self._faults.order(await _json_body(request))
        return web.json_response(self._faults.told())

    async def _resource_manager(self, request: web.Request) -> web.StreamResponse:
        self._authenticate(request)
        segments = workspace_segments(self._config, request.path)
        path = "/".join(segments)
        rule = self._faults.due_there(request.method, path)
        if rule is None:
            return await self._dispatch(self._workspace_routes, request, segments)
        if rule.kind == "arm_lost":
            await self._dispatch(self._workspace_routes, request, segments)
        if rule.kind == "arm_vanish":
            self._jobs.forget(segments[-1])
            self._store.delete(path)
        if rule.kind == "never_ready":
            self._deployments.hold_next()
            return await self._dispatch(self._workspace_routes, request, segments)
        raise refusal(rule)

    async def _history(self, request: web.Request) -> web.StreamResponse:
        self._authenticate(request)
        segments = workspace_segments(self._config, request.path.removeprefix("/history/v1.0"))
        return await self._dispatch(self._history_routes, request, segments)

    async def _mlflow(self, request: web.Request) -> web.StreamResponse:
        try:
            self._authenticate(request)
            segments = workspace_segments(self._config, request.path.removeprefix("/mlflow/v1.0"))
            return await self._dispatch(self._mlflow_routes, request, segments)
        except ArmError as error:  # in the shape that MLflow's clients read
            return web.json_response({"error_code": error.code, "message": error.message}, status=error.status)

    async def _dispatch(self, routes: Routes, request: web.Request, segments: tuple[str, ...]) -> web.StreamResponse:
        handler, names = routes.find(request.method, segments)
        body = await _json_body(request)
        return _render(await handler(Call(names, request.query, body)))

    async def _operation_status(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        state = self._operations.get(request.match_info["operation"])
        headers = self._operations.pace() if state["status"] == "Updating" else {}
        return web.json_response(state, headers=headers)

    async def _operation_result(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        name = request.match_info["operation"]
        if self._operations.get(name)["status"] == "Updating":
            return _render(Answer(202, None, self._operations.headers(name)))
        return web.Response(status=200)

    def _authenticate(self, request: web.Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        challenge = {
            "WWW-Authenticate": 'Bearer authorization_uri="https://login.microsoftonline.com/", error="invalid_token"'
        }
        if scheme.lower() != "bearer" or not token:
            message = "Authentication failed. The 'Authorization' header is missing."
            raise ArmError(401, "AuthenticationFailed", message, headers=challenge)
        try:
            self._tokens.verify(token, (self._config.url, *_MANAGEMENT_AUDIENCES))
        except TokenError as error:
            raise ArmError(401, error.code, str(error), headers=challenge) from error


async def _json_body(request: web.Request) -> dict[str, object]:
    if not request.can_read_body:
        return {}
    text = await request.text()
    try:
        body = json.loads(text) if text else {}
    except ValueError as error:
        raise user_error("The request's body is not JSON.") from error
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise user_error("The request's body is not a JSON object.")
    return body


def _render(answer: Answer) -> web.Response:
    if answer.status in (200, 201, 202) and answer.body is not None:
        return web.json_response(answer.body, status=answer.status, headers=answer.headers)
    # the cloud answers 202 with the text `null`
    text = "null" if answer.status == 202 else None
    return web.Response(status=answer.status, text=text, content_type="application/json", headers=answer.headers)


@web.middleware
async def _envelope(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """ARM's headers on every answer that is not the scoring plane's, and ARM's shape for every refusal."""
    if request.path.startswith("/endpoints/"):
        return await handler(request)
    correlation = str(uuid.uuid4())
    try:
        response = await handler(request)
    except ArmError as error:
        if error.status in (404, 405, 501):
            logger.info("%s %s: %s %s", request.method, request.path, error.status, error.message)
        response = web.json_response(error.body(), status=error.status, headers=error.headers)
    except web.HTTPNotFound:
        logger.warning("%s %s: no such route", request.method, request.path)
        unknown = ArmError(404, "NotFound", f"The local Azure ML emulator has no route {request.path}.")
        response = web.json_response(unknown.body(), status=404)
    except web.HTTPException:
        raise
    except Exception:
        logger.exception("%s %s failed", request.method, request.path)
        broken = ArmError(500, "InternalServerError", "The emulator failed; its log says why.")
        response = web.json_response(broken.body(), status=500)
    response.headers["x-ms-request-id"] = correlation
    response.headers["x-ms-correlation-request-id"] = correlation
    return response
