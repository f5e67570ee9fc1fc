"""Starting the emulator as a child process: for `make up` and for tests."""

from __future__ import annotations

import secrets
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from local.azurite import Azurite
from local.certificates import Certificate
from local.processes import Child, LocalCloudError, port_is_free, port_owner, start, wait_until

from .config import DEFAULT_RESOURCE_GROUP, DEFAULT_SUBSCRIPTION, DEFAULT_WORKSPACE

_ROOT = Path(__file__).resolve().parents[2]
# its deployments start before it says that it is ready, and the first of them may have to build its environment
_START_SECONDS = 300.0
_STOP_SECONDS = 30.0


class AzureMLEmulator:
    """A running emulator with its memory in `state`; a context manager that starts it and stops it by SIGTERM."""

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
        self._state = state
        self._port = port
        self._azurite = azurite
        self._environments = environments
        self._certificate = certificate
        self._log = log
        self._child: Child | None = None
        self._identity_header = secrets.token_hex(16)

    @property
    def url(self) -> str:
        """Base address of every plane, without a slash at the end."""
        return f"https://localhost:{self._port}"

    @property
    def child(self) -> Child:
        """The process; LocalCloudError before it was started."""
        if self._child is None:
            raise LocalCloudError("The Azure ML emulator has not been started")
        return self._child

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
        self._child = start("Azure ML emulator", self._command(), log=self._log, cwd=_ROOT)
        try:
            wait_until(self._ready, self._child, _START_SECONDS)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it by SIGTERM; it ends its jobs and servers, which have process groups of their own."""
        if self._child is not None:
            self._child.stop(_STOP_SECONDS)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _command(self) -> list[str | Path]:
        command: list[str | Path] = [sys.executable, "-m", "local.azureml", "--port", str(self._port)]
        command += ["--state", self._state.resolve(), "--environments", self._environments.resolve()]
        command += ["--certificate", self._certificate.cert.resolve(), "--key", self._certificate.key.resolve()]
        command += ["--blob-endpoint", self._azurite.blob_endpoint]
        return [*command, "--account-name", self._azurite.account_name, "--account-key", self._azurite.account_key]

    def _ready(self) -> bool:
        trusted = ssl.create_default_context(cafile=str(self._certificate.cert))
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2.0, context=trusted) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
