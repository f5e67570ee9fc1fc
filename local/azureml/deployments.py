"""Deployments of online endpoints: resources, and the inference servers that they keep running."""

from __future__ import annotations

import asyncio
import logging
import shutil
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from local.environments import ensure_environment
from local.installing import InstallError

from .arm import Answer, Call, Routes, resource
from .blobs import Blobs, MissingDataError
from .commands import seconds
from .config import LOCATION, Config
from .errors import ArmError, Json, not_emulated, not_found, user_error
from .operations import Operations
from .processes import child_environment, python_environment
from .references import References
from .serving import InferenceServer, ServerFailedError, ServerSpec, log_tail, start_server
from .store import Store

logger = logging.getLogger(__name__)

_BUSY = frozenset({"Creating", "Updating", "Deleting"})
_RESTART_SECONDS = (0.2, 1.0, 5.0, 15.0)
_HELP = "Please see troubleshooting guide, available here: https://aka.ms/oe-tsg#error-resourcenotready"
Name = tuple[str, str]


@dataclass(frozen=True)
class Limits:
    """What the scoring plane holds a deployment to."""

    timeout: float
    """Seconds until 408."""
    in_flight: int
    """Requests at once, running or waiting; one more is 429."""


class Deployments:
    """Handlers for deployments, and their servers by (endpoint, deployment), in lower case."""

    def __init__(
        self, config: Config, store: Store, blobs: Blobs, references: References, operations: Operations
    ) -> None:
        self._config = config
        self._store = store
        self._blobs = blobs
        self._references = references
        self._operations = operations
        self._client: aiohttp.ClientSession | None = None
        self._servers: dict[Name, InferenceServer] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._folder = config.state / "serving"

    def register(self, routes: Routes) -> None:
        """Say which routes these handlers answer."""
        base = "onlineEndpoints/{}/deployments"
        routes.add("GET", base, self.list_deployments)
        routes.add("GET", f"{base}/{{}}", self.get)
        routes.add("PUT", f"{base}/{{}}", self.put)
        routes.add("PATCH", f"{base}/{{}}", self.patch)
        routes.add("DELETE", f"{base}/{{}}", self.delete)
        routes.add("POST", f"{base}/{{}}/getLogs", self.get_logs)

    async def start(self, client: aiohttp.ClientSession) -> None:
        """Start the servers of the deployments in the store; returns when each is up or has failed."""
        self._client = client
        shutil.rmtree(self._folder / "revisions", ignore_errors=True)
        found = [
            (endpoint["name"], item)
            for endpoint in self._store.under("onlineEndpoints")
            for item in self._store.under(f"onlineEndpoints/{endpoint['name']}/deployments")
        ]
        owned = {_operation(item) for _, item in found}
        for operation in self._operations.running():
            if operation.startswith("odidp") and operation not in owned:
                self._operations.end(operation)
        wanted = [(endpoint, item) for endpoint, item in found if item["properties"]["provisioningState"] != "Failed"]
        await asyncio.gather(*(self._provision((endpoint, item["name"])) for endpoint, item in wanted))

    async def stop(self) -> None:
        """End all servers; the store keeps what they were."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(server.stop() for server in self._servers.values()))
        self._servers.clear()

    def server(self, endpoint: str, deployment: str) -> InferenceServer | None:
        """The deployment's server, None while it has none."""
        return self._servers.get((endpoint.lower(), deployment.lower()))

    def limits(self, endpoint: str, deployment: str) -> Limits:
        """What the deployment's request settings allow."""
        document = self._existing(endpoint, deployment)
        settings = document["properties"]["requestSettings"]
        instances = int((document.get("sku") or {}).get("capacity") or 1)
        each = int(settings["maxConcurrentRequestsPerInstance"])
        return Limits(seconds(settings["requestTimeout"]), 2 * each * instances)

    def names(self, endpoint: str) -> dict[str, str]:
        """The endpoint's deployments: their names in lower case, and as they were written."""
        found = self._store.under(f"onlineEndpoints/{endpoint}/deployments")
        return {item["name"].lower(): item["name"] for item in found}

    async def list_deployments(self, call: Call) -> Answer:
        """The endpoint's deployments."""
        (endpoint,) = call.names
        self._endpoint(endpoint)
        return Answer(body={"value": self._store.under(f"onlineEndpoints/{endpoint}/deployments")})

    async def get(self, call: Call) -> Answer:
        """One deployment."""
        return Answer(body=self._existing(*call.names))

    async def put(self, call: Call) -> Answer:
        """Create or replace a deployment; it is provisioned after the answer."""
        endpoint, name = call.names
        self._endpoint(endpoint)
        key = f"onlineEndpoints/{endpoint}/deployments/{name}"
        previous = self._store.get(key)
        if previous and previous["properties"]["provisioningState"] in _BUSY:
            message = f"Deployment '{name}' is {previous['properties']['provisioningState']}; wait until it has ended."
            raise ArmError(409, "Conflict", message)
        self._check(call.properties)
        operation = self._operations.begin("odidp")
        document = resource(self._config, key, self._properties(call.properties, operation), previous)
        document["properties"]["provisioningState"] = "Updating" if previous else "Creating"
        document |= {
            "tags": call.body.get("tags") or {},
            "location": call.body.get("location") or LOCATION,
            "kind": "Managed",
            "sku": call.body.get("sku") or {"name": "Default", "capacity": 1},
        }
        self._store.put(key, document)
        self._spawn(self._provision((endpoint, name)))
        return Answer(200 if previous else 201, document, self._operations.headers(operation, document["id"]))

    async def patch(self, call: Call) -> Answer:
        """Change tags or the number of instances."""
        endpoint, name = call.names
        document = self._existing(endpoint, name)
        body = {"tags": call.body.get("tags"), "sku": call.body.get("sku")}
        kept = {"location": document["location"], "sku": document["sku"], "tags": document["tags"]}
        given = {key: value for key, value in body.items() if value is not None}
        answer = await self.put(Call(call.names, call.query, {"properties": document["properties"]} | kept | given))
        return Answer(202, answer.body, answer.headers)

    async def delete(self, call: Call) -> Answer:
        """Remove a deployment that has no traffic; 204 when there is none."""
        endpoint, name = call.names
        document = self._store.get(f"onlineEndpoints/{endpoint}/deployments/{name}")
        if document is None:
            return Answer(204)
        traffic = self._endpoint(endpoint)["properties"]["traffic"]
        share = sum(weight for target, weight in traffic.items() if target.lower() == name.lower())
        if share:
            message = (
                f"Deployment '{name}' has {share} percent of the traffic; set its traffic to 0 before you delete it."
            )
            raise user_error(message, code="DeploymentHasTraffic")
        operation = self._operations.begin("odidp")
        await self.remove(endpoint, document["name"])
        self._operations.end(operation)
        return Answer(202, None, self._operations.headers(operation))

    async def get_logs(self, call: Call) -> Answer:
        """The end of the server's log; `tail` says how many lines."""
        endpoint, name = call.names
        self._existing(endpoint, name)
        lines = int(call.body.get("tail") or 1000)
        return Answer(body={"content": log_tail(self._log((endpoint, name)), lines)})

    async def remove(self, endpoint: str, name: str) -> None:
        """Forget a deployment and end its server."""
        self._store.delete(f"onlineEndpoints/{endpoint}/deployments/{name}")
        server = self._servers.pop((endpoint.lower(), name.lower()), None)
        if server:
            await server.discard()

    def _check(self, asked: Json) -> None:
        if (asked.get("endpointComputeType") or "Managed") != "Managed":
            raise not_emulated(f"deployments on {asked['endpointComputeType']}")
        code = asked.get("codeConfiguration") or {}
        if not asked.get("environmentId") or not code.get("codeId") or not code.get("scoringScript"):
            raise user_error(
                "A deployment needs an environmentId, and a codeConfiguration with codeId and scoringScript."
            )
        self._references.asset("environments", asked["environmentId"])
        self._references.asset("codes", code["codeId"])
        if asked.get("model"):
            self._references.asset("models", asked["model"])
        timeout = (asked.get("requestSettings") or {}).get("requestTimeout") or "PT5S"
        if not 0 < seconds(timeout) <= 180:
            raise user_error(f"The request timeout {timeout} is not between 0 and 180 seconds.")

    def _properties(self, asked: Json, operation: str) -> Json:
        given = {key: value for key, value in asked.items() if value is not None}
        settings = {"maxConcurrentRequestsPerInstance": 1, "requestTimeout": "PT5S", "maxQueueWait": "PT0.5S"}
        settings |= {key: value for key, value in (asked.get("requestSettings") or {}).items() if value is not None}
        notes = dict(asked.get("properties") or {})
        notes["AzureAsyncOperationUri"] = self._operations.status_url(operation)
        defaults: Json = {
            "description": None,
            "endpointComputeType": "Managed",
            "instanceType": "Standard_DS3_v2",
            "scaleSettings": {"scaleType": "Default"},
            "environmentVariables": {},
            "appInsightsEnabled": False,
            "model": None,
            "modelMountPath": None,
            "livenessProbe": None,
            "readinessProbe": None,
        }
        return defaults | given | {"requestSettings": settings, "properties": notes}

    async def _provision(self, name: Name) -> None:
        """Bring the deployment's server up, in the place of the one it has, and record how that ended."""
        key = f"onlineEndpoints/{name[0]}/deployments/{name[1]}"
        document = self._existing(*name)
        error: ArmError | None = None
        server: InferenceServer | None = None
        try:
            assert self._client is not None, "start() comes first"
            server = await start_server(await self._specify(name, document), self._client)
        except (InstallError, ArmError, MissingDataError) as problem:
            error = ArmError(400, "ImageBuildFailure", f"{problem}")
        except ServerFailedError as problem:
            error = ArmError(400, "ResourceNotReady", f"{problem}\n{_HELP}")
        current = self._store.get(key)
        if current is None or current["properties"]["properties"] != document["properties"]["properties"]:
            # it was deleted, or deleted and made anew, meanwhile
            if server:
                await server.discard()
            return
        if server:
            await self._adopt(name, server)
        current["properties"]["provisioningState"] = "Failed" if error else "Succeeded"
        self._store.put(key, current)
        self._operations.end(_operation(current), error)

    async def _specify(self, name: Name, document: Json) -> ServerSpec:
        properties = document["properties"]
        folder = self._folder / "revisions" / uuid.uuid4().hex
        _, _, environment = self._references.asset("environments", properties["environmentId"])
        conda = environment["properties"].get("condaFile")
        if not conda:
            raise ArmError(400, "ImageBuildFailure", "The environment has no conda file; bare images cannot be run.")
        python = await asyncio.to_thread(ensure_environment, conda, self._config.environments)
        _, _, code = self._references.asset("codes", properties["codeConfiguration"]["codeId"])
        source = self._references.location(code["properties"]["codeUri"])
        await asyncio.to_thread(self._blobs.download, source, folder / "code")
        script = (folder / "code" / properties["codeConfiguration"]["scoringScript"]).resolve()
        if not script.is_file():
            raise MissingDataError(
                f"The code has no scoring script '{properties['codeConfiguration']['scoringScript']}'."
            )
        variables = {key: str(value) for key, value in properties["environmentVariables"].items()}
        instances = int((document.get("sku") or {}).get("capacity") or 1)
        return ServerSpec(
            folder=folder,
            root=folder / "code",
            python=python,
            script=script,
            model_dir=await self._fetch_model(properties["model"], folder),
            environment=python_environment(child_environment(self._config), python) | variables,
            workers=int(variables.get("WORKER_COUNT", "1")) * instances,
            log=self._log(name),
        )

    async def _fetch_model(self, model: str | None, folder: Path) -> Path | None:
        """Lay the model out as the cloud does: `azureml-models/<name>/<version>/<registered folder or file>`."""
        if not model:
            return None
        name, version, document = self._references.asset("models", model)
        source = self._references.location(document["properties"]["modelUri"])
        target = folder / "azureml-models" / name / version
        single = await asyncio.to_thread(self._blobs.is_blob, source)
        await asyncio.to_thread(self._blobs.download, source, target if single else target / source.leaf)
        return target

    async def _adopt(self, name: Name, server: InferenceServer) -> None:
        key = (name[0].lower(), name[1].lower())
        replaced = self._servers.get(key)
        self._servers[key] = server
        self._spawn(self._keep_up(key, server))
        if replaced:
            await replaced.discard()

    async def _keep_up(self, key: Name, server: InferenceServer) -> None:
        """Start the server again whenever it ends by itself, as Kubernetes would, ever more slowly."""
        attempt = 0
        while True:
            code = await server.exited()
            if self._servers.get(key) is not server:
                return
            await server.stop()
            logger.warning("the server of %s ended with exit code %s; starting it again", "/".join(key), code)
            await asyncio.sleep(_RESTART_SECONDS[min(attempt, len(_RESTART_SECONDS) - 1)])
            assert self._client is not None, "start() comes first"
            try:
                fresh = await start_server(server.spec, self._client)
            except ServerFailedError:
                attempt += 1
                continue
            if self._servers.get(key) is not server:
                await fresh.stop()
                return
            self._servers[key] = server = fresh
            attempt = 0

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _endpoint(self, endpoint: str) -> Json:
        found = self._store.get(f"onlineEndpoints/{endpoint}")
        if found is None:
            raise not_found("OnlineEndpointNotFound", f"Online endpoint {endpoint} was not found.")
        return found

    def _existing(self, endpoint: str, name: str) -> Json:
        self._endpoint(endpoint)
        found = self._store.get(f"onlineEndpoints/{endpoint}/deployments/{name}")
        if found is None:
            raise not_found("OnlineDeploymentNotFound", f"Deployment {name} of endpoint {endpoint} was not found.")
        return found

    def _log(self, name: Name) -> Path:
        return self._folder / "logs" / name[0].lower() / f"{name[1].lower()}.log"


def _operation(document: Json) -> str:
    return str(document["properties"]["properties"]["AzureAsyncOperationUri"]).rsplit("/", 1)[-1]
