"""Azurite, Microsoft's storage emulator: blobs, queues and tables on loopback."""

from __future__ import annotations

from pathlib import Path

from local.nodejs import AZURITE_SCRIPT, OLDEST_NODE, find_node
from local.processes import LocalCloudError, accepts_connections
from local.server import Server

# The development account that every Azurite has; public, as Microsoft documents it.
ACCOUNT_NAME = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

# By itself V8 marks the whole heap after every few megabytes of buffers that pass through it, which is half of what
# Azurite takes. So it waits until five times the heap has gathered: some 150 MB.
_COLLECTOR = ("--heap-growing-percent=400",)


class Azurite(Server):
    """An Azurite with its data in `folder`.

    SIGTERM makes it keep what was stored; SIGKILL straight after a write loses it.
    """

    name = "Azurite"
    start_seconds = 60.0
    stop_seconds = 60.0

    def __init__(self, folder: Path, *, blob_port: int, queue_port: int, table_port: int, log: Path) -> None:
        super().__init__(log)
        self.folder = folder
        self.blob_port = blob_port
        self.queue_port = queue_port
        self.table_port = table_port
        self.account_name = ACCOUNT_NAME
        self.account_key = ACCOUNT_KEY

    @property
    def blob_endpoint(self) -> str:
        """Address of the account's blob service, without a slash at the end."""
        return f"http://127.0.0.1:{self.blob_port}/{ACCOUNT_NAME}"

    @property
    def queue_endpoint(self) -> str:
        """Address of the account's queue service."""
        return f"http://127.0.0.1:{self.queue_port}/{ACCOUNT_NAME}"

    @property
    def table_endpoint(self) -> str:
        """Address of the account's table service."""
        return f"http://127.0.0.1:{self.table_port}/{ACCOUNT_NAME}"

    @property
    def connection_string(self) -> str:
        """What AzureWebJobsStorage takes."""
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT_NAME};AccountKey={ACCOUNT_KEY};"
            f"BlobEndpoint={self.blob_endpoint};QueueEndpoint={self.queue_endpoint};TableEndpoint={self.table_endpoint};"
        )

    def _command(self) -> list[str | Path]:
        node = find_node()
        if node is None:
            raise LocalCloudError(f"Azurite needs Node {OLDEST_NODE} or newer. Run `make setup`: it brings one along.")
        if not AZURITE_SCRIPT.exists():
            raise LocalCloudError(f"Azurite is not installed ({AZURITE_SCRIPT} is missing). Run `make setup`.")
        self.folder.mkdir(parents=True, exist_ok=True)
        command: list[str | Path] = [node.node, *_COLLECTOR, AZURITE_SCRIPT, "--location", self.folder.resolve()]
        # the newest azure-storage-blob sends an API version that this Azurite does not list
        command += ["--silent", "--loose", "--skipApiVersionCheck", "--disableTelemetry"]
        for service, port in self._ports().items():
            command += [f"--{service}Host", "127.0.0.1", f"--{service}Port", str(port)]
        return command

    def _ports(self) -> dict[str, int]:
        return {"blob": self.blob_port, "queue": self.queue_port, "table": self.table_port}

    def _answers(self) -> bool:
        return all(accepts_connections(port) for port in self._ports().values())
