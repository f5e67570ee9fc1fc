"""Where the emulator runs and what it stands for."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

PROVIDER = "Microsoft.MachineLearningServices"
LOCATION = "local"
COMPUTE = "cpu-cluster"
# how many jobs run at a time on it
NODES = 2
TENANT = str(uuid.UUID(int=2))
PRINCIPAL = str(uuid.UUID(int=1))

DEFAULT_SUBSCRIPTION = str(uuid.UUID(int=0))
DEFAULT_RESOURCE_GROUP = "local"
DEFAULT_WORKSPACE = "local"


@dataclass(frozen=True)
class Config:
    """Settings of one emulator; `state` outlives the process, everything else is said anew at each start."""

    port: int
    state: Path
    certificate: Path
    key: Path
    blob_endpoint: str
    """Blob service of the storage account, account name included (`http://127.0.0.1:10000/devstoreaccount1`)."""
    account_name: str
    account_key: str
    environments: Path
    """Where the virtual environments of jobs and deployments are cached."""
    subscription: str = DEFAULT_SUBSCRIPTION
    resource_group: str = DEFAULT_RESOURCE_GROUP
    workspace: str = DEFAULT_WORKSPACE

    @property
    def url(self) -> str:
        """Base of every plane, without a slash at the end."""
        return f"https://localhost:{self.port}"

    @property
    def group_id(self) -> str:
        """ARM id of the resource group."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"

    @property
    def workspace_id(self) -> str:
        """ARM id of the workspace."""
        return f"{self.group_id}/providers/{PROVIDER}/workspaces/{self.workspace}"

    @property
    def workspace_guid(self) -> str:
        """The workspace's own id: the same for the same ARM id."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, self.workspace_id.lower()))

    @property
    def long_uri(self) -> str:
        """Prefix of azureml:// URIs that name the workspace in full."""
        return (
            f"azureml://subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"
            f"/workspaces/{self.workspace}"
        )
