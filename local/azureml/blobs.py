"""The storage account behind the workspace: Azurite, through azure-storage-blob. Every call blocks: use a thread."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import (
    AccountSasPermissions,
    BlobServiceClient,
    ContainerSasPermissions,
    ResourceTypes,
    generate_account_sas,
    generate_container_sas,
)

from .config import Config

_SAS_LIFETIME = timedelta(hours=24)
# a laptop's clock may lag behind the one that verifies
_SAS_START = timedelta(minutes=-5)


class MissingDataError(Exception):
    """Nothing lies where a job or a deployment was told to look."""


@dataclass(frozen=True)
class Location:
    """A blob, or the blobs below it when it is taken for a folder. `path` has no slash at either end."""

    container: str
    path: str

    @property
    def leaf(self) -> str:
        """Last part of the path, or the container when there is none."""
        return PurePosixPath(self.path).name or self.container


class Blobs:
    """The account's containers and shared access signatures."""

    def __init__(self, config: Config) -> None:
        self._endpoint = config.blob_endpoint.rstrip("/")
        self._name = config.account_name
        self._key = config.account_key
        self._service = BlobServiceClient(self._endpoint, credential=self._key)

    def ensure_container(self, container: str) -> None:
        """Create the container when it is missing."""
        try:
            self._service.create_container(container)
        except ResourceExistsError:
            return

    def container_url(self, container: str) -> str:
        """Address of a container, without a signature."""
        return f"{self._endpoint}/{container}"

    def container_sas(self, container: str, *, read_only: bool = False) -> str:
        """A signature for everything in one container, good for a day."""
        now = datetime.now(UTC)
        may = (
            ContainerSasPermissions(read=True, list=True)
            if read_only
            else ContainerSasPermissions(read=True, add=True, create=True, write=True, delete=True, list=True)
        )
        return str(
            generate_container_sas(
                self._name,
                container,
                account_key=self._key,
                permission=may,
                start=now + _SAS_START,
                expiry=now + _SAS_LIFETIME,
            )
        )

    def account_sas(self, lifetime: timedelta) -> str:
        """A signature for containers and blobs of the whole account, as `listSecrets` hands out."""
        now = datetime.now(UTC)
        return str(
            generate_account_sas(
                self._name,
                account_key=self._key,
                resource_types=ResourceTypes(container=True, object=True),
                permission=AccountSasPermissions(
                    read=True, create=True, update=True, write=True, delete=True, list=True
                ),
                start=now + _SAS_START,
                expiry=now + lifetime,
            )
        )

    def signed_url(self, location: Location) -> str:
        """Address of a blob that anybody may read for a day."""
        signature = self.container_sas(location.container, read_only=True)
        return f"{self.container_url(location.container)}/{location.path}?{signature}"

    def parse_url(self, url: str) -> Location | None:
        """Where an http(s) address points to: the account's own or the cloud's form; None when it is elsewhere."""
        text = unquote(url.split("?", 1)[0])
        own = re.escape(self._endpoint.split("://", 1)[1])
        cloud = re.escape(self._name) + r"\.blob\.[^/]+"
        match = re.match(rf"https?://(?:{own}|{cloud})/([^/]+)/?(.*)$", text)
        return Location(match[1], match[2].strip("/")) if match else None

    def is_blob(self, location: Location) -> bool:
        """Whether exactly this blob exists."""
        return bool(location.path) and bool(self._service.get_blob_client(location.container, location.path).exists())

    def names(self, location: Location) -> list[str]:
        """Names of the blob itself and of all blobs below it."""
        container = self._service.get_container_client(location.container)
        if not container.exists():
            return []
        if self.is_blob(location):
            return [location.path]
        prefix = location.path + "/" if location.path else ""
        return [name for name in container.list_blob_names(name_starts_with=prefix) if not name.endswith("/")]

    def download(self, location: Location, folder: Path) -> Path:
        """Fetch the blob into `folder`, or all below it with their structure. Gives the file or the folder.

        MissingDataError when there is neither.
        """
        names = self.names(location)
        if not names:
            raise MissingDataError(f"There is nothing at '{location.path}' in the container '{location.container}'.")
        folder.mkdir(parents=True, exist_ok=True)
        if names == [location.path]:
            return self._fetch(location.container, location.path, folder / location.leaf)
        for name in names:
            relative = name[len(location.path) :].lstrip("/")
            target = (folder / relative).resolve()
            if not target.is_relative_to(folder.resolve()):
                raise MissingDataError(f"The blob '{name}' has a name that leads out of its folder.")
            self._fetch(location.container, name, target)
        return folder

    def upload(self, source: Path, location: Location) -> int:
        """Store a file as the blob, or a folder's files below it; gives their number."""
        self.ensure_container(location.container)
        if source.is_file():
            self._store(source, location.container, location.path)
            return 1
        files = [path for path in sorted(source.rglob("*")) if path.is_file()]
        for path in files:
            self._store(path, location.container, f"{location.path}/{path.relative_to(source).as_posix()}")
        return len(files)

    def _fetch(self, container: str, name: str, target: Path) -> Path:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            self._service.get_blob_client(container, name).download_blob().readinto(file)
        return target

    def _store(self, source: Path, container: str, name: str) -> None:
        with source.open("rb") as file:
            self._service.get_blob_client(container, name).upload_blob(file, overwrite=True)
