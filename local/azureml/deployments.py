"""Deployments of online endpoints as resources; their servers are in `fleet`."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from .arm import Answer, Call, Routes, resource
from .commands import seconds
from .config import LOCATION, Config
from .errors import ArmError, Json, not_emulated, not_found, user_error
from .fleet import Fleet, Name
from .operations import Operations
from .references import References
from .serving import InferenceServer, log_tail
from .store import Store

logger = logging.getLogger(__name__)

_BUSY = frozenset({"Creating", "Updating", "Deleting"})
_MAX_TIMEOUT_SECONDS = 180
_REVIVE_SECONDS = 15.0
_PROBE = {
    "failureThreshold": 30,
    "successThreshold": 1,
    "timeout": "PT2S",
    "period": "PT10S",
    "initialDelay": "PT10S",
}


@dataclass(frozen=True)
class Limits:
    """What the scoring plane holds a deployment to."""

    timeout: float
    """Seconds until 408."""
    in_flight: int
    """Requests at once, running or waiting; one more is 429."""


class Deployments:
    """Handlers for deployments."""

    def __init__(
        self, config: Config, store: Store, references: References, operations: Operations, fleet: Fleet
    ) -> None:
        self._config = config
        self._store = store
        self._references = references
        self._operations = operations
        self._fleet = fleet
        self._held = False

    def hold_next(self) -> None:
        """The next deployment that is asked for never gets ready: a fault on order."""
        self._held = True

    def register(self, routes: Routes) -> None:
        """Say which routes these handlers answer."""
        base = "onlineEndpoints/{}/deployments"
        routes.add("GET", base, self.list_deployments)
        routes.add("GET", f"{base}/{{}}", self.get)
        routes.add("PUT", f"{base}/{{}}", self.put)
        routes.add("PATCH", f"{base}/{{}}", self.patch)
        routes.add("DELETE", f"{base}/{{}}", self.delete)
        routes.add("POST", f"{base}/{{}}/getLogs", self.get_logs)

    async def resume(self) -> None:
        """Start the servers of the deployments in the store; returns when each is up or was tried once."""
        found = [
            (endpoint["name"], item)
            for endpoint in self._store.under("onlineEndpoints")
            for item in self._store.under(f"onlineEndpoints/{endpoint['name']}/deployments")
        ]
        owned = {_operation(item) for _, item in found}
        for operation in self._operations.running():
            if operation.startswith("odidp") and operation not in owned:
                self._operations.end(operation)
        work = []
        for endpoint, item in found:
            state = item["properties"]["provisioningState"]
            if state in _BUSY:
                work.append(self._provision((endpoint, item["name"])))
            elif state == "Succeeded":
                work.append(self._revive((endpoint, item["name"])))
        await asyncio.gather(*work)

    def limits(self, endpoint: str, deployment: str) -> Limits:
        """What the deployment's request settings allow."""
        document = self._existing(endpoint, deployment)
        settings = document["properties"]["requestSettings"]
        instances = int(document["sku"].get("capacity") or 1)
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
            "sku": {"name": "Default", "tier": "Standard", "capacity": 1} | (call.body.get("sku") or {}),
        }
        self._store.put(key, document)
        if not self._held:
            self._fleet.spawn(self._provision((endpoint, name)))
        self._held = False
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
        return Answer(body={"content": log_tail(self._fleet.log((endpoint, name)), lines)})

    async def remove(self, endpoint: str, name: str) -> None:
        """Forget a deployment and end its server."""
        self._store.delete(f"onlineEndpoints/{endpoint}/deployments/{name}")
        await self._fleet.remove((endpoint, name))

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
        try:
            allowed = 0 < seconds(timeout) <= _MAX_TIMEOUT_SECONDS
        except ValueError as error:
            raise user_error(str(error)) from error
        if not allowed:
            raise user_error(f"The request timeout {timeout} is not between 0 and {_MAX_TIMEOUT_SECONDS} seconds.")

    def _properties(self, asked: Json, operation: str) -> Json:
        given = {key: value for key, value in asked.items() if value is not None}
        settings = {"maxConcurrentRequestsPerInstance": 1, "requestTimeout": "PT5S", "maxQueueWait": "PT0S"}
        settings |= {key: value for key, value in (asked.get("requestSettings") or {}).items() if value is not None}
        notes = dict(asked.get("properties") or {})
        notes["AzureAsyncOperationUri"] = self._operations.status_url(operation)
        defaults: Json = {
            "description": None,
            "endpointComputeType": "Managed",
            "instanceType": "Standard_DS3_v2",
            "scaleSettings": {"scaleType": "Default"},
            "appInsightsEnabled": False,
            "model": None,
            "modelMountPath": None,
            "livenessProbe": _PROBE,
            "readinessProbe": _PROBE,
            "privateNetworkConnection": False,
            "egressPublicNetworkAccess": "Enabled",
        }
        variables = (asked.get("environmentVariables") or {}) | self._container_variables(asked)
        own = {"requestSettings": settings, "properties": notes, "environmentVariables": variables}
        return defaults | given | own

    def _container_variables(self, asked: Json) -> dict[str, str]:
        """What the cloud adds to the variables that it lists: paths inside the container."""
        code = asked["codeConfiguration"]
        _, _, snapshot = self._references.asset("codes", code["codeId"])
        folder = self._references.location(snapshot["properties"]["codeUri"]).leaf
        variables = {"AZUREML_ENTRY_SCRIPT": code["scoringScript"], "AML_APP_ROOT": f"/var/azureml-app/{folder}"}
        if asked.get("model"):
            name, version, _ = self._references.asset("models", asked["model"])
            variables["AZUREML_MODEL_DIR"] = f"/var/azureml-app/azureml-models/{name}/{version}"
        return variables

    async def _revive(self, name: Name) -> None:
        """Start the server of a deployment that had one before the emulator was stopped.

        One that cannot be started stays what it is, and is tried again in the background: nobody asked for a change.
        """
        try:
            server = await self._fleet.build(name, self._existing(*name))
        except ArmError as problem:
            logger.warning("the server of %s could not be started again: %s", "/".join(name), problem)
            self._fleet.spawn(self._revive_later(name))
        else:
            await self._fleet.adopt(name, server)

    async def _revive_later(self, name: Name) -> None:
        await asyncio.sleep(_REVIVE_SECONDS)
        known = self._store.get(f"onlineEndpoints/{name[0]}/deployments/{name[1]}")
        if known and known["properties"]["provisioningState"] == "Succeeded" and self._fleet.server(name) is None:
            await self._revive(name)

    async def _provision(self, name: Name) -> None:
        """Bring the deployment's server up, in the place of the one it has, and record how that ended."""
        key = f"onlineEndpoints/{name[0]}/deployments/{name[1]}"
        document = self._existing(*name)
        error: ArmError | None = None
        server: InferenceServer | None = None
        try:
            server = await self._fleet.build(name, document)
        except ArmError as problem:
            error = problem
        current = self._store.get(key)
        if current is None or _operation(current) != _operation(document):
            # it was deleted, or deleted and made anew, meanwhile
            if server:
                await server.discard()
            return
        if server:
            await self._fleet.adopt(name, server)
        current["properties"]["provisioningState"] = "Failed" if error else "Succeeded"
        self._store.put(key, current)
        self._operations.end(_operation(current), error)

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


def _operation(document: Json) -> str:
    return str(document["properties"]["properties"]["AzureAsyncOperationUri"]).rsplit("/", 1)[-1]
