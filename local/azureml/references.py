"""Ways to refer to data and assets, and where they lead.

azureml:// URIs of datastores and job outputs, ARM ids, `azureml:name:version`, addresses of blobs.
"""

from __future__ import annotations

import re

from .blobs import Blobs, Location
from .config import Config
from .errors import Json, not_found, user_error
from .store import Store

_SHORT = re.compile(r"azureml://datastores/([^/]+)/(?:paths/)?(.*)$")
_LONG = re.compile(
    r"azureml://subscriptions/[^/]+/resourcegroups/[^/]+/(?:providers/[^/]+/)?workspaces/[^/]+/"
    r"datastores/([^/]+)/paths/(.*)$",
    re.IGNORECASE,
)
_JOB = re.compile(r"azureml://jobs/([^/]+)/outputs/([^/]+)(?:/(?:paths/)?(.*))?$")
_ASSET_ID = re.compile(
    r"(?:^|/)(codes|components|environments|models|data)/([^/]+)/(?:versions|labels)/([^/]+)$", re.IGNORECASE
)
_ASSET_NAME = re.compile(r"azureml:([^/:]+):([^/:]+)$")
_ASSET_LATEST = re.compile(r"azureml:([^/:@]+)@latest$")

MODEL_TYPES = frozenset({"custom_model", "mlflow_model", "triton_model"})

# Which property of an asset holds its address.
URI_PROPERTY = {"codes": "codeUri", "models": "modelUri", "data": "dataUri"}


class References:
    """Looks references up in the workspace's state."""

    def __init__(self, config: Config, store: Store, blobs: Blobs) -> None:
        self._config = config
        self._store = store
        self._blobs = blobs

    def asset(self, kind: str, reference: str) -> tuple[str, str, Json]:
        """Name, version and document of an asset of `kind` (`models`, …). ArmError 404 when there is none."""
        name, version = self._asset_name(kind, reference)
        document = self._store.get(f"{kind}/{name}/versions/{version}")
        if document is None:
            label = kind.rstrip("s").capitalize()
            raise not_found(f"{label}NotFound", f"{label} version with name: {name} and version: {version} not found.")
        return name, version, document

    def location(self, reference: str, kind: str = "data") -> Location:
        """Where data lies: any form of URI, or a reference to an asset of `kind`. ArmError when it leads nowhere."""
        if match := _SHORT.match(reference) or _LONG.match(reference):
            return Location(self._container(match[1]), match[2].strip("/"))
        if match := _JOB.match(reference):
            output = self.job_output(match[1], match[2])
            return _below(self.location(output), match[3] or "")
        if reference.startswith(("http://", "https://")):
            found = self._blobs.parse_url(reference)
            if found is None:
                raise user_error(f"'{reference}' is not in the workspace's storage account.")
            return found
        _, _, document = self.asset(kind, reference)
        return self.location(document["properties"][URI_PROPERTY[kind]])

    def job_output(self, job: str, output: str) -> str:
        """URI of a job's output. ArmError 404 when the job or the output is unknown."""
        document = self._store.get(f"jobs/{job}")
        if document is None:
            raise not_found("RunNotFound", f"Run {job} was not found.")
        outputs = document["properties"]["outputs"]
        if output not in outputs:
            raise not_found("OutputNotFound", f"Job {job} has no output named {output}.")
        return str(outputs[output]["uri"])

    def long_uri(self, uri: str) -> tuple[str, str | None]:
        """The URI as the workspace stores it, with the workspace spelled out, and the job it came from, if any."""
        job = None
        if match := _JOB.match(uri):
            job = match[1]
            rest = (match[3] or "").strip("/")
            uri = self.job_output(job, match[2]).rstrip("/") + (f"/{rest}" if rest else "")
        if match := _SHORT.match(uri) or _LONG.match(uri):
            self._container(match[1])
            return f"{self._config.long_uri}/datastores/{match[1]}/paths/{match[2]}", job
        return uri, job

    def _asset_name(self, kind: str, reference: str) -> tuple[str, str]:
        if match := _ASSET_ID.search(reference):
            if match[1].lower() != kind:
                raise user_error(f"'{reference}' is not one of the workspace's {kind}.")
            name, version = match[2], match[3]
        elif match := _ASSET_NAME.match(reference):
            name, version = match[1], match[2]
        elif match := _ASSET_LATEST.match(reference):
            name, version = match[1], "latest"
        else:
            raise user_error(f"'{reference}' is not a reference that the emulator understands.")
        if version == "latest" and (newest := newest_version(self._store, kind, name)):
            version = newest
        return name, version

    def _container(self, datastore: str) -> str:
        document = self._store.get(f"datastores/{datastore}")
        if document is None:
            raise not_found("DatastoreNotFound", f"Could not find datastore: {datastore}.")
        return str(document["properties"]["containerName"])


def kind_of_input(item: Json) -> str:
    """What a job's input refers to when it names an asset."""
    return "models" if item.get("jobInputType") in MODEL_TYPES else "data"


def newest_version(store: Store, kind: str, name: str) -> str | None:
    """The version of an asset that was made last, or None."""
    versions = store.under(f"{kind}/{name}/versions")
    return max(versions, key=lambda item: str(item["systemData"]["createdAt"]))["name"] if versions else None


def _below(location: Location, path: str) -> Location:
    rest = path.strip("/")
    return Location(location.container, f"{location.path}/{rest}".strip("/")) if rest else location
