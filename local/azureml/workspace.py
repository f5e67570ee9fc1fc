"""The workspace itself, its compute and its datastores, and the cloud's metadata."""

from __future__ import annotations

from datetime import timedelta

from .arm import Answer, Call, Routes, resource
from .blobs import Blobs
from .config import COMPUTE, LOCATION, NODES, PRINCIPAL, PROVIDER, TENANT, Config
from .errors import ArmError, Json, not_found, user_error
from .metrics import tracking_uri
from .store import Store

CLOUD_NAME = "DropscoreLocal"
DEFAULT_DATASTORE = "workspaceblobstore"
ARTIFACT_DATASTORE = "workspaceartifactstore"
DEFAULT_CONTAINER = "azureml"
# Datastores that exist from the start. In the cloud the first two have containers of their own as well as shared ones.
_BUILT_IN = {
    DEFAULT_DATASTORE: DEFAULT_CONTAINER,
    ARTIFACT_DATASTORE: DEFAULT_CONTAINER,
    "dropscore": "training",
}
# A host that resolves to nothing but loopback: the SDK builds `https://<account>.blob.<suffix>` from it.
_STORAGE_SUFFIX = "localhost"


def cloud_metadata(config: Config) -> list[Json]:
    """What ARM_CLOUD_METADATA_URL answers: one cloud, whose resource manager is the emulator."""
    return [
        {
            "name": CLOUD_NAME,
            "portal": "https://portal.azure.com/",
            "resourceManager": f"{config.url}/",
            "authentication": {
                "loginEndpoint": "https://login.microsoftonline.com/",
                "audiences": [config.url],
                "tenant": TENANT,
            },
            "suffixes": {"storage": _STORAGE_SUFFIX},
        }
    ]


class Workspace:
    """Handlers for the workspace, its compute and its datastores."""

    def __init__(self, config: Config, store: Store, blobs: Blobs) -> None:
        self._config = config
        self._store = store
        self._blobs = blobs
        for name, container in _BUILT_IN.items():
            if store.get(f"datastores/{name}") is None:
                self._save(name, {"containerName": container}, None)

    def register(self, routes: Routes) -> None:
        """Say which routes these handlers answer."""
        routes.add("GET", "", self.get)
        routes.add("GET", "computes/{}", self.get_compute)
        routes.add("GET", "datastores", self.list_datastores)
        routes.add("GET", "datastores/{}", self.get_datastore)
        routes.add("PUT", "datastores/{}", self.put_datastore)
        routes.add("POST", "datastores/{}/listSecrets", self.list_secrets)

    def containers(self) -> set[str]:
        """The containers that datastores are bound to."""
        return {item["properties"]["containerName"] for item in self._store.under("datastores")}

    async def get(self, call: Call) -> Answer:
        """The workspace."""
        config = self._config
        properties = {
            "friendlyName": config.workspace,
            "description": "",
            "storageAccount": f"{config.group_id}/providers/Microsoft.Storage/storageAccounts/{config.account_name}",
            "keyVault": f"{config.group_id}/providers/Microsoft.Keyvault/vaults/{config.workspace}",
            "applicationInsights": f"{config.group_id}/providers/Microsoft.insights/components/{config.workspace}",
            "hbiWorkspace": False,
            "tenantId": TENANT,
            "provisioningState": "Succeeded",
            "v1LegacyMode": False,
            "containerRegistry": None,
            "storageHnsEnabled": False,
            "workspaceId": config.workspace_guid,
            "publicNetworkAccess": "Enabled",
            "discoveryUrl": f"{config.url}/discovery",
            "mlFlowTrackingUri": tracking_uri(config),
            "systemDatastoresAuthMode": "accesskey",
        }
        return Answer(
            body={
                "id": config.workspace_id,
                "name": config.workspace,
                "type": f"{PROVIDER}/workspaces",
                "location": LOCATION,
                "tags": {},
                "etag": None,
                "properties": properties,
                "identity": {"type": "SystemAssigned", "principalId": PRINCIPAL, "tenantId": TENANT},
                "kind": "Default",
                "sku": {"name": "Basic", "tier": "Basic"},
                "systemData": {},
            }
        )

    async def get_compute(self, call: Call) -> Answer:
        """The one cluster there is."""
        (name,) = call.names
        if name.lower() != COMPUTE:
            raise ArmError(404, "ComputeNotFound", f"Compute '{name}' was not found; the emulator has '{COMPUTE}'.")
        cluster = {
            "vmSize": "local",
            "vmPriority": "Dedicated",
            "allocationState": "Steady",
            "scaleSettings": {"minNodeCount": 0, "maxNodeCount": NODES, "nodeIdleTimeBeforeScaleDown": "PT120S"},
            "remoteLoginPortPublicAccess": "NotSpecified",
            "subnet": None,
            "enableNodePublicIp": None,
        }
        properties = {
            "computeType": "AmlCompute",
            "computeLocation": LOCATION,
            "provisioningState": "Succeeded",
            "properties": cluster,
        }
        return Answer(body=resource(self._config, f"computes/{COMPUTE}", properties) | {"location": LOCATION})

    async def list_datastores(self, call: Call) -> Answer:
        """All datastores, or with `isDefault=true` the default one."""
        found = self._store.under("datastores")
        if call.query.get("isDefault", "").lower() == "true":
            found = [item for item in found if item["properties"]["isDefault"]]
        return Answer(body={"value": found})

    async def get_datastore(self, call: Call) -> Answer:
        """One datastore, without its secrets."""
        return Answer(body=self._existing(call.names[0]))

    async def put_datastore(self, call: Call) -> Answer:
        """Bind a name to a container of the storage account."""
        (name,) = call.names
        asked = call.properties
        if asked.get("datastoreType") != "AzureBlob" or not asked.get("containerName"):
            raise user_error("The emulator has datastores of type AzureBlob with a containerName, and no others.")
        if asked.get("accountName", self._config.account_name) != self._config.account_name:
            raise user_error(f"The emulator has one storage account, '{self._config.account_name}'.")
        previous = self._store.get(f"datastores/{name}")
        return Answer(200 if previous else 201, self._save(name, asked, previous))

    async def list_secrets(self, call: Call) -> Answer:
        """A signature that ends when the caller asks for an expirable secret, else the account's key."""
        self._existing(call.names[0])
        if not call.body.get("expirableSecret"):
            return Answer(body={"secretsType": "AccountKey", "key": self._config.account_key})
        lifetime = timedelta(hours=float(call.body.get("expireAfterHours") or 1))
        return Answer(body={"secretsType": "Sas", "sasToken": "?" + self._blobs.account_sas(lifetime)})

    def _existing(self, name: str) -> Json:
        found = self._store.get(f"datastores/{name}")
        if found is None:
            raise not_found("DatastoreNotFound", f"Could not find datastore: {name}.")
        return found

    def _save(self, name: str, asked: Json, previous: Json | None) -> Json:
        properties = {
            "description": asked.get("description"),
            "tags": asked.get("tags"),
            "properties": asked.get("properties"),
            "isDefault": name == DEFAULT_DATASTORE,
            "credentials": {"credentialsType": "AccountKey"},
            "subscriptionId": self._config.subscription,
            "resourceGroup": self._config.resource_group,
            "datastoreType": "AzureBlob",
            "accountName": self._config.account_name,
            "containerName": asked["containerName"],
            "endpoint": _STORAGE_SUFFIX,
            "protocol": "https",
            "serviceDataAccessAuthIdentity": "WorkspaceSystemAssignedIdentity",
        }
        document = resource(self._config, f"datastores/{name}", properties, previous)
        self._store.put(f"datastores/{name}", document)
        return document
