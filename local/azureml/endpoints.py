"""Online endpoints: resources, traffic, keys and tokens."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime

from .arm import Answer, Call, Routes, resource
from .config import LOCATION, PRINCIPAL, TENANT, Config
from .deployments import Deployments
from .errors import Json, not_found, user_error
from .operations import Operations
from .store import Store
from .tokens import TokenAuthority

# How the SDK writes the modes, and how the scoring plane tells them apart.
AUTH_MODES = ("Key", "AMLToken", "AADToken")
_TOKEN_SECONDS = 3600
_SETTLE_SECONDS = 0.2


class Endpoints:
    """Handlers for endpoints."""

    def __init__(
        self,
        config: Config,
        store: Store,
        deployments: Deployments,
        operations: Operations,
        tokens: TokenAuthority,
    ) -> None:
        self._config = config
        self._store = store
        self._deployments = deployments
        self._operations = operations
        self._tokens = tokens

    def register(self, routes: Routes) -> None:
        """Say which routes these handlers answer."""
        routes.add("GET", "onlineEndpoints", self.list_endpoints)
        routes.add("GET", "onlineEndpoints/{}", self.get)
        routes.add("PUT", "onlineEndpoints/{}", self.put)
        routes.add("PATCH", "onlineEndpoints/{}", self.patch)
        routes.add("DELETE", "onlineEndpoints/{}", self.delete)
        routes.add("POST", "onlineEndpoints/{}/listKeys", self.list_keys)
        routes.add("POST", "onlineEndpoints/{}/regenerateKeys", self.regenerate_keys)
        routes.add("POST", "onlineEndpoints/{}/token", self.token)

    def resume(self) -> None:
        """End the operations that an earlier process left open: what they asked for was stored at once."""
        for operation in self._operations.running():
            if operation.startswith("oeidp"):
                self._operations.end(operation)
        for endpoint in self._store.under("onlineEndpoints"):
            self._settle(endpoint["name"])

    async def list_endpoints(self, call: Call) -> Answer:
        """All endpoints."""
        return Answer(body={"value": self._store.under("onlineEndpoints")})

    async def get(self, call: Call) -> Answer:
        """One endpoint."""
        return Answer(body=self._existing(call.names[0]))

    async def put(self, call: Call) -> Answer:
        """Create an endpoint, or replace its traffic, tags and identity."""
        (name,) = call.names
        asked = call.properties
        previous = self._store.get(f"onlineEndpoints/{name}")
        mode = _auth_mode(asked.get("authMode") or (previous["properties"]["authMode"] if previous else "Key"))
        if previous and previous["properties"]["authMode"] != mode:
            raise user_error("The authentication mode of an endpoint cannot be changed.")
        traffic = self._traffic(name, asked.get("traffic") or {})
        operation = self._operations.begin("oeidp")
        properties = {
            "description": asked.get("description"),
            "properties": (asked.get("properties") or {})
            | {
                "azureml.onlineendpointid": f"{self._config.workspace_id}/onlineendpoints/{name}".lower(),
                "AzureAsyncOperationUri": self._operations.status_url(operation),
            },
            "scoringUri": previous["properties"]["scoringUri"] if previous else None,
            "swaggerUri": previous["properties"]["swaggerUri"] if previous else None,
            "authMode": mode,
            "provisioningState": "Updating" if previous else "Creating",
            "compute": None,
            "traffic": traffic,
            "mirrorTraffic": asked.get("mirrorTraffic") or {},
            "publicNetworkAccess": "Enabled",
        }
        document = resource(self._config, f"onlineEndpoints/{name}", properties, previous)
        document |= {
            "tags": call.body.get("tags") or {},
            "location": call.body.get("location") or LOCATION,
            "kind": "Managed",
            "identity": {"type": "SystemAssigned", "principalId": PRINCIPAL, "tenantId": TENANT},
        }
        self._store.put(f"onlineEndpoints/{name}", document)
        if previous is None:
            self._store.put(f"keys/{name}", {"primaryKey": _new_key(), "secondaryKey": _new_key()})
        asyncio.get_running_loop().call_later(_SETTLE_SECONDS, self._settle, name)
        return Answer(200 if previous else 201, document, self._operations.headers(operation, document["id"]))

    async def patch(self, call: Call) -> Answer:
        """Change tags; an endpoint's traffic is changed by PUT."""
        (name,) = call.names
        document = self._existing(name)
        document["tags"] = call.body.get("tags") or document["tags"]
        self._store.put(f"onlineEndpoints/{name}", document)
        return Answer(200, document)

    async def delete(self, call: Call) -> Answer:
        """Remove an endpoint with its deployments; 204 when there is none."""
        (name,) = call.names
        if self._store.get(f"onlineEndpoints/{name}") is None:
            return Answer(204)
        operation = self._operations.begin("oeidp")
        for deployment in self._deployments.names(name).values():
            await self._deployments.remove(name, deployment)
        self._store.delete_under(f"onlineEndpoints/{name}")
        self._store.delete(f"onlineEndpoints/{name}")
        self._store.delete(f"keys/{name}")
        self._operations.end(operation)
        return Answer(202, None, self._operations.headers(operation))

    async def list_keys(self, call: Call) -> Answer:
        """Primary and secondary key of an endpoint that takes keys."""
        (name,) = call.names
        self._require(name, "Key")
        return Answer(body=self._store.get(f"keys/{name}"))

    async def regenerate_keys(self, call: Call) -> Answer:
        """Replace one key, by the value given or a new one."""
        (name,) = call.names
        self._require(name, "Key")
        keys = self._store.get(f"keys/{name}") or {}
        which = str(call.body.get("keyType", "Primary")).lower()
        if which not in ("primary", "secondary"):
            raise user_error("keyType is Primary or Secondary.")
        given = call.body.get("keyValue")
        field = f"{which}Key"
        # the SDK sends the present value when it wants a new one
        keys[field] = given if given and given != keys.get(field) else _new_key()
        self._store.put(f"keys/{name}", keys)
        operation = self._operations.begin("oeidp")
        self._operations.end(operation)
        return Answer(202, None, self._operations.headers(operation))

    async def token(self, call: Call) -> Answer:
        """An access token for an endpoint that takes Azure ML tokens."""
        (name,) = call.names
        self._require(name, "AMLToken")
        issued = self._tokens.issue(token_audience(self._config, name), _TOKEN_SECONDS)
        return Answer(
            body={
                "accessToken": issued.text,
                "expiryTimeUtc": issued.expires_on,
                "refreshAfterTimeUtc": int(datetime.now(UTC).timestamp()) + _TOKEN_SECONDS // 2,
                "tokenType": "Bearer",
            }
        )

    def _existing(self, name: str) -> Json:
        found = self._store.get(f"onlineEndpoints/{name}")
        if found is None:
            raise not_found("OnlineEndpointNotFound", f"Online endpoint {name} was not found.")
        return found

    def _require(self, name: str, mode: str) -> None:
        actual = self._existing(name)["properties"]["authMode"]
        if actual != mode:
            raise user_error(f"Endpoint '{name}' authenticates by {actual}, not by {mode}.")

    def _settle(self, name: str) -> None:
        """What was asked for at PUT is in force at once; this says so a little later, as the cloud's state does."""
        document = self._store.get(f"onlineEndpoints/{name}")
        if document is None or document["properties"]["provisioningState"] == "Succeeded":
            return
        properties = document["properties"]
        base = f"{self._config.url}/endpoints/{document['name']}"
        properties |= {
            "provisioningState": "Succeeded",
            "scoringUri": f"{base}/score",
            "swaggerUri": f"{base}/swagger.json",
        }
        self._store.put(f"onlineEndpoints/{name}", document)
        self._operations.end(str(properties["properties"]["AzureAsyncOperationUri"]).rsplit("/", 1)[-1])

    def _traffic(self, name: str, asked: dict[str, int]) -> dict[str, int]:
        known = self._deployments.names(name)
        unknown = [target for target in asked if target.lower() not in known]
        if unknown:
            raise user_error(f"The traffic names deployments that do not exist: {', '.join(sorted(unknown))}.")
        if any(not isinstance(weight, int) or not 0 <= weight <= 100 for weight in asked.values()):
            raise user_error("Traffic is given in whole percent between 0 and 100.")
        if sum(asked.values()) not in (0, 100):
            raise user_error(f"The sum of the traffic percentages must be 0 or 100, it is {sum(asked.values())}.")
        return {known[target.lower()]: weight for target, weight in asked.items()}


def token_audience(config: Config, endpoint: str) -> str:
    """What Azure ML tokens of an endpoint are good for."""
    return f"{config.url}/endpoints/{endpoint.lower()}"


def _auth_mode(asked: str) -> str:
    modes = {mode.lower(): mode for mode in AUTH_MODES}
    if asked.lower() not in modes:
        raise user_error(f"'{asked}' is not a way to authenticate; there are {', '.join(AUTH_MODES)}.")
    return modes[asked.lower()]


def _new_key() -> str:
    return secrets.token_urlsafe(24)
