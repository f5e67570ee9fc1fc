"""The whole local cloud as one context manager: Azurite, then the Azure ML emulator, then the Functions host."""

from __future__ import annotations

import fcntl
import json
import os
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from local.azureml.launch import AzureMLEmulator
from local.azurite import Azurite
from local.certificates import ensure_certificate
from local.functions.launch import FunctionsHost
from local.installing import ENVIRONMENTS, ROOT
from local.ports import COMPONENTS, Ports
from local.processes import Child, LocalCloudError, StopRequestedError, end_leftovers, stop_requested, wait_until

_APP_SECONDS = 60.0
SETTINGS_FILE = ROOT / "local.settings.example.json"

# What a developer's shell may hold and the app would obey: here it must know the local cloud and nothing else.
_FOREIGN = ("AZURE_", "AML_", "SCORE_", "MSI_", "IDENTITY_", "ARM_", "AZUREWEBJOBS", "APPLICATIONINSIGHTS_")


def app_settings(ports: Ports, folder: Path) -> dict[str, str]:
    """The Values of local.settings.example.json, as they are for a cloud on these ports with its state in `folder`."""
    document = json.loads(SETTINGS_FILE.read_text(encoding="utf-8"))
    settings = {name: ports.moved(value) for name, value in document["Values"].items()}
    return {name: _placed(value, folder) for name, value in settings.items()}


def _placed(value: str, folder: Path) -> str:
    prefix = ".local/"
    return str(folder.resolve() / value.removeprefix(prefix)) if value.startswith(prefix) else value


def app_environment(settings: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """The app's environment: the caller's, less what would point the app elsewhere, plus its settings."""
    inherited = {name: value for name, value in environ.items() if not name.upper().startswith(_FOREIGN)}
    return {**inherited, **settings}


class LocalCloud:
    """The running local cloud, its state in `folder`; leaving the context stops it and keeps what was stored.

    `functions=False` leaves the Functions host to Core Tools. `scan_interval`: seconds between two scans of the
    containers by the host's blob triggers. `settings` go over those of local.settings.example.json.
    """

    def __init__(
        self,
        folder: Path,
        ports: Ports | None = None,
        *,
        functions: bool = True,
        app: Path = ROOT,
        scan_interval: float = 2.0,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.ports = ports or Ports()
        self.logs = self.folder / "logs"
        self.environment: dict[str, str] = app_environment(
            {**app_settings(self.ports, self.folder), **(settings or {})}, os.environ
        )
        """What the app runs with: local.settings.example.json on these ports, over the caller's environment."""
        self.azurite = Azurite(
            self.folder / "azurite",
            blob_port=self.ports.blob,
            queue_port=self.ports.queue,
            table_port=self.ports.table,
            log=self.logs / "azurite.log",
        )
        self._with_functions = functions
        self._app = app
        self._scan_interval = scan_interval
        self._stack = ExitStack()
        self._azureml: AzureMLEmulator | None = None
        self._functions: FunctionsHost | None = None

    @property
    def components(self) -> list[str]:
        """Names of the ports that this cloud listens on."""
        return [name for name in COMPONENTS if name != "functions" or self._with_functions]

    @property
    def connection_string(self) -> str:
        """Of the storage account."""
        return self.azurite.connection_string

    @property
    def functions_url(self) -> str:
        """Address of the Functions host, without a slash at the end; the routes begin with `/api`."""
        return f"http://127.0.0.1:{self.ports.functions}"

    @property
    def azureml(self) -> AzureMLEmulator:
        """The running Azure ML emulator."""
        if self._azureml is None:
            raise LocalCloudError("The Azure ML emulator has not been started.")
        return self._azureml

    @property
    def functions(self) -> Child:
        """The process of the Functions host."""
        if self._functions is None:
            raise LocalCloudError("The Functions host has not been started.")
        return self._functions.child

    @property
    def children(self) -> list[Child]:
        """The processes that run, in the order of their start."""
        hosts = [self._functions.child] if self._functions else []
        return [self.azurite.child, self.azureml.child, *hosts]

    def start(self) -> None:
        """Bring everything up, or nothing: LocalCloudError says what is missing or in the way."""
        with ExitStack() as stack:
            stack.enter_context(sole_user(self.folder))
            self._end_leftovers()
            self.ports.require_free(self.components)
            _keep_previous_logs(self.logs)
            stack.callback(self._marks.unlink, missing_ok=True)
            stack.enter_context(self.azurite)
            self._note(self.azurite.child)
            self._azureml = stack.enter_context(self.emulator())
            self._note(self._azureml.child)
            if self._with_functions:
                self._functions = stack.enter_context(self._functions_host())
                self._note(self._functions.child)
                # the app's first answer comes after it has made its containers: from then on people can drop files
                wait_until(self._app_answers, self._functions.child, _APP_SECONDS)
            self._stack = stack.pop_all()

    def stop(self) -> None:
        """Take everything down, the last first."""
        self._stack.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _marks(self) -> Path:
        return self.folder / "running"

    def _note(self, child: Child) -> None:
        """Remember what runs, in case we are killed; and start nothing more once somebody asked to stop."""
        with self._marks.open("a", encoding="utf-8") as marks:
            marks.write(f"{child.mark}\n")
        if stop_requested.is_set():
            raise StopRequestedError("Stopped while the local cloud was starting.")

    def _end_leftovers(self) -> None:
        """End what an earlier cloud on this folder, killed before it could stop, left running."""
        if self._marks.exists():
            end_leftovers(self._marks.read_text(encoding="utf-8").split())
            self._marks.unlink()

    def emulator(self) -> AzureMLEmulator:
        """An emulator for this cloud's folder, ports and storage, not started."""
        return AzureMLEmulator(
            self.folder / "azureml",
            port=self.ports.azureml,
            azurite=self.azurite,
            environments=ENVIRONMENTS,
            certificate=ensure_certificate(self.folder / "tls"),
            log=self.logs / "azureml.log",
        )

    def _app_answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.functions_url}/api/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _functions_host(self) -> FunctionsHost:
        return FunctionsHost(
            self._app,
            port=self.ports.functions,
            environment=self.environment,
            log=self.logs / "functions.log",
            scan_interval=self._scan_interval,
        )


@contextmanager
def sole_user(folder: Path) -> Iterator[None]:
    """Holds the folder for one local cloud: Azurite does not notice a second one on its files, which ruins them."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalCloudError(
                f"Another local cloud is running on {folder}. Stop it, or take another folder: "
                "make up UP='--folder .local/second'"
            ) from None
        yield


def _keep_previous_logs(logs: Path) -> None:
    for log in logs.glob("*.log"):
        log.replace(log.with_suffix(".log.old"))
