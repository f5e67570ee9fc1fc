"""Starting the emulator as a child process: for `make up` and for tests."""

from __future__ import annotations

import secrets
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path

from local.azurite import Azurite
from local.certificates import Certificate
from local.processes import LocalCloudError, port_is_free, port_owner
from local.server import Server

from .config import DEFAULT_RESOURCE_GROUP, DEFAULT_SUBSCRIPTION, DEFAULT_WORKSPACE


class AzureMLEmulator(Server):
    """An emulator with its memory in `state`; it ends its jobs and servers, which have process groups of their own."""

    name = "Azure ML emulator"
    # its deployments start before it says that it is ready, and the first of them may have to build its environment
    start_seconds = 300.0
    stop_seconds = 30.0

    def __init__(
        self,
        state: Path,
        *,
        port: int,
        azurite: Azurite,
        environments: Path,
        certificate: Certificate,
        log: Path,
    ) -> None:
        super().__init__(log)
        self._state = state
        self._port = port
        self._azurite = azurite
        self._environments = environments
        self._certificate = certificate
        self._identity_header = secrets.token_hex(16)

    @property
    def url(self) -> str:
        """Base address of every plane, without a slash at the end."""
        return f"https://localhost:{self._port}"

    def client_environment(self) -> dict[str, str]:
        """Environment variables with which the Azure SDKs, unchanged, find this emulator and may call it."""
        return {
            "AML_SUBSCRIPTION_ID": DEFAULT_SUBSCRIPTION,
            "AML_RESOURCE_GROUP": DEFAULT_RESOURCE_GROUP,
            "AML_WORKSPACE_NAME": DEFAULT_WORKSPACE,
            "IDENTITY_ENDPOINT": f"{self.url}/msi/token",
            "IDENTITY_HEADER": self._identity_header,
            "REQUESTS_CA_BUNDLE": str(self._certificate.cert.resolve()),
            "ARM_CLOUD_METADATA_URL": f"{self.url}/metadata/endpoints?api-version=2019-05-01",
        }

    def start(self) -> None:
        """Start it and wait until it is ready, the deployments it had before among it."""
        if not port_is_free(self._port):
            owner = port_owner(self._port)
            raise LocalCloudError(
                f"Port {self._port}, which the Azure ML emulator needs, is in use"
                + (f" by {owner}" if owner else "")
                + ". Stop what uses it and try again."
            )
        super().start()

    def _command(self) -> list[str | Path]:
        command: list[str | Path] = [sys.executable, "-m", "local.azureml", "--port", str(self._port)]
        command += ["--state", self._state.resolve(), "--environments", self._environments.resolve()]
        command += ["--certificate", self._certificate.cert.resolve(), "--key", self._certificate.key.resolve()]
        command += ["--blob-endpoint", self._azurite.blob_endpoint]
        return [*command, "--account-name", self._azurite.account_name, "--account-key", self._azurite.account_key]

    def _answers(self) -> bool:
        trusted = ssl.create_default_context(cafile=str(self._certificate.cert))
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2.0, context=trusted) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
