"""Versioned assets: code, environments, data and models."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable

import yaml

from .arm import Answer, Call, Handler, Routes, resource
from .blobs import Blobs
from .config import Config
from .errors import ArmError, Json, not_found, user_error
from .references import URI_PROPERTY, References
from .store import Store
from .workspace import DEFAULT_CONTAINER

_KindHandler = Callable[[str, Call], Awaitable[Answer]]

KINDS = ("codes", "components", "environments", "data", "models")
_LABEL = {
    "codes": "Code",
    "components": "Component",
    "environments": "Environment",
    "data": "Data",
    "models": "Model",
}
# What a version is about and may never change; everything else is a note on it.
_FIXED = {
    "codes": ("codeUri",),
    "components": (),
    "environments": ("image", "condaFile", "build"),
    "data": ("dataUri", "dataType"),
    "models": ("modelUri", "modelType"),
}
_REQUIRED = {
    "codes": (),
    "components": ("componentSpec",),
    "environments": (),
    "data": ("dataUri", "dataType"),
    "models": ("modelUri",),
}
_DEFAULTS: dict[str, Json] = {
    "codes": {},
    "components": {"autoDeleteSetting": None, "stage": "Development"},
    "environments": {
        "properties": {"azureml.labels": "latest"},
        "environmentType": "UserCreated",
        "osType": "Linux",
        "autoRebuild": "Disabled",
        "stage": "Development",
        "autoDeleteSetting": None,
        "intellectualProperty": None,
    },
    "data": {"autoDeleteSetting": None, "stage": None, "intellectualProperty": None},
    "models": {
        "flavors": {},
        "modelType": "custom_model",
        "jobName": None,
        "stage": "Development",
        "autoDeleteSetting": None,
        "intellectualProperty": None,
    },
}


class Assets:
    """Handlers for containers and versions of every kind of asset."""

    def __init__(self, config: Config, store: Store, blobs: Blobs, references: References) -> None:
        self._config = config
        self._store = store
        self._blobs = blobs
        self._references = references

    def register(self, routes: Routes) -> None:
        """Say which routes these handlers answer."""
        for kind in KINDS:
            routes.add("GET", kind, self._bound(kind, self.list_containers))
            routes.add("GET", f"{kind}/{{}}", self._bound(kind, self.get_container))
            routes.add("PUT", f"{kind}/{{}}", self._bound(kind, self.put_container))
            routes.add("GET", f"{kind}/{{}}/versions", self._bound(kind, self.list_versions))
            routes.add("GET", f"{kind}/{{}}/versions/{{}}", self._bound(kind, self.get_version))
            routes.add("PUT", f"{kind}/{{}}/versions/{{}}", self._bound(kind, self.put_version))
            routes.add("POST", f"{kind}/{{}}/versions/{{}}/startPendingUpload", self.start_pending_upload)

    def _bound(self, kind: str, handler: _KindHandler) -> Handler:
        async def bound(call: Call) -> Answer:
            return await handler(kind, call)

        return bound

    async def list_containers(self, kind: str, call: Call) -> Answer:
        """Every name there is a version of."""
        names = {key.split("/")[1] for key in self._store.keys(kind)}
        found = [self._container(kind, name) for name in sorted(names)]
        return Answer(body={"value": [item for item in found if item]})

    async def get_container(self, kind: str, call: Call) -> Answer:
        """A name with its latest and next version."""
        (name,) = call.names
        return Answer(body=self._container(kind, name) or self._raise_missing(kind, name))

    async def put_container(self, kind: str, call: Call) -> Answer:
        """Notes on a name: description, tags, archived or not."""
        (name,) = call.names
        previous = self._store.get(f"{kind}/{name}")
        document = resource(self._config, f"{kind}/{name}", call.properties, previous)
        self._store.put(f"{kind}/{name}", document)
        return Answer(200 if previous else 201, self._container(kind, name))

    async def list_versions(self, kind: str, call: Call) -> Answer:
        """Versions of a name, newest first; with `hash`, the code snapshots of any name with that content."""
        (name,) = call.names
        if "hash" in call.query:
            return Answer(body={"value": await self._same_content(call.query["hash"])})
        versions = self._store.under(f"{kind}/{name}/versions")
        if not versions:
            self._raise_missing(kind, name)
        versions.sort(key=lambda item: str(item["systemData"]["createdAt"]), reverse=True)
        view = call.query.get("listViewType", "ActiveOnly")
        if view != "All":
            versions = [
                item for item in versions if bool(item["properties"].get("isArchived")) == (view == "ArchivedOnly")
            ]
        return Answer(body={"value": versions[: int(call.query["$top"])] if "$top" in call.query else versions})

    async def get_version(self, kind: str, call: Call) -> Answer:
        """One version."""
        name, version = call.names
        found = self._store.get(f"{kind}/{name}/versions/{version}")
        if found is None:
            what = f"{_LABEL[kind]} version with name: {name} and version: {version} not found."
            raise not_found(f"{_LABEL[kind]}NotFound", what)
        return Answer(body=found)

    async def put_version(self, kind: str, call: Call) -> Answer:
        """Register a version, or change the notes on it. What it points to is fixed once it exists."""
        name, version = call.names
        asked = call.properties
        for required in _REQUIRED[kind]:
            if not asked.get(required):
                raise user_error(f"The {_LABEL[kind].lower()} has no {required}.")
        asked = _with_spec_as_text(_with_conda_as_json(self._with_long_uri(kind, asked)))
        key = f"{kind}/{name}/versions/{version}"
        previous = self._store.get(key)
        if previous:
            self._refuse_other_content(kind, previous["properties"], asked)
        notes: Json = {"description": None, "tags": {}, "properties": {}, "isArchived": False, "isAnonymous": False}
        before = previous["properties"] if previous else {}
        given = {field: value for field, value in asked.items() if value is not None}
        own = {"properties": _DEFAULTS[kind].get("properties", {}) | (given.get("properties") or {})}
        properties = notes | _DEFAULTS[kind] | before | given | own | {"provisioningState": "Succeeded"}
        document = resource(self._config, key, properties, previous)
        self._store.put(key, document)
        location = f"{self._config.url}{document['id']}"
        return Answer(200 if previous else 201, document, {} if previous else {"Location": location})

    async def start_pending_upload(self, call: Call) -> Answer:
        """A signed address of the default container, for the SDK to upload a code snapshot to."""
        await asyncio.to_thread(self._blobs.ensure_container, DEFAULT_CONTAINER)
        address = self._blobs.container_url(DEFAULT_CONTAINER)
        signed = f"{address}?{self._blobs.container_sas(DEFAULT_CONTAINER)}"
        account = f"{self._config.group_id}/providers/Microsoft.Storage/storageAccounts/{self._config.account_name}"
        return Answer(
            body={
                "pendingUploadId": str(uuid.uuid4()),
                "pendingUploadType": "TemporaryBlobReference",
                "blobReferenceForConsumption": {
                    "blobUri": address,
                    "storageAccountArmId": account,
                    "credential": {"credentialType": "SAS", "sasUri": signed},
                },
            }
        )

    async def _same_content(self, digest: str) -> list[Json]:
        codes = [self._store.get(key) for key in self._store.keys("codes") if "/versions/" in key]
        same = [code for code in codes if code and code["properties"]["properties"].get("hash_sha256") == digest]
        # storage may have been wiped while the workspace's memory was not
        return [code for code in same if await asyncio.to_thread(self._has_blobs, code)]

    def _has_blobs(self, code: Json) -> bool:
        return bool(self._blobs.names(self._references.location(code["properties"]["codeUri"])))

    def _with_long_uri(self, kind: str, asked: Json) -> Json:
        field = URI_PROPERTY.get(kind)
        if kind not in ("data", "models") or field is None:
            return asked
        uri, job = self._references.long_uri(str(asked[field]))
        return asked | {field: uri} | ({"jobName": job} if kind == "models" and job else {})

    def _refuse_other_content(self, kind: str, before: Json, asked: Json) -> None:
        for field in _FIXED[kind]:
            if asked.get(field) is not None and asked[field] != before.get(field):
                if field == URI_PROPERTY.get(kind):
                    raise ArmError(400, "UserError", "Asset paths cannot be updated.")
                raise user_error(
                    f"{_LABEL[kind]} versions cannot be changed; {field} differs. Use a new version.", code="Conflict"
                )

    def _container(self, kind: str, name: str) -> Json | None:
        noted = self._store.get(f"{kind}/{name}")
        versions = self._store.under(f"{kind}/{name}/versions")
        if not versions and noted is None:
            return None
        first = min(versions, key=lambda item: str(item["systemData"]["createdAt"])) if versions else noted
        newest = max(versions, key=lambda item: str(item["systemData"]["createdAt"])) if versions else None
        numbers = [int(item["name"]) for item in versions if item["name"].isdigit()]
        notes: Json = {"description": None, "tags": {}, "properties": {}, "isArchived": False}
        properties = notes | (noted["properties"] if noted else {})
        properties |= {
            "latestVersion": newest["name"] if newest else None,
            "nextVersion": str(max(numbers, default=0) + 1),
        }
        if kind == "data" and newest:
            properties["dataType"] = newest["properties"]["dataType"]
        return resource(self._config, f"{kind}/{name}", properties, first)

    def _raise_missing(self, kind: str, name: str) -> Json:
        raise not_found(f"{_LABEL[kind]}NotFound", f"{_LABEL[kind]} container with name: {name} not found.")


def _with_conda_as_json(asked: Json) -> Json:
    """The workspace keeps a conda file as JSON text, whatever YAML it was sent."""
    if not asked.get("condaFile"):
        return asked
    try:
        conda = yaml.safe_load(asked["condaFile"])
    except yaml.YAMLError as error:
        raise user_error(f"The conda file is not YAML: {error}") from error
    return asked | {"condaFile": json.dumps(conda, indent=2)}


def _with_spec_as_text(asked: Json) -> Json:
    """A component's specification as the service keeps it: truth values as text, one instance unless it says so."""
    if not asked.get("componentSpec"):
        return asked
    spec = {key: value for key, value in asked["componentSpec"].items() if key != "_source"}
    inputs = {
        name: declared | {"optional": str(declared.get("optional", False)).title()}
        for name, declared in (spec.get("inputs") or {}).items()
    }
    spec |= {"is_deterministic": str(spec.get("is_deterministic", True)).title()}
    spec |= {"inputs": inputs} if inputs else {}
    return asked | {"componentSpec": {"resources": {"instance_count": "1"}} | spec}
