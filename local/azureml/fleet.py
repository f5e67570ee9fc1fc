"""The inference servers of all deployments: built from what the workspace knows, kept up, replaced and ended."""

from __future__ import annotations

import asyncio
import logging
import shutil
import uuid
from collections.abc import Coroutine
from pathlib import Path

import aiohttp
from azure.core.exceptions import AzureError

from local.environments import ensure_environment
from local.installing import InstallError

from .blobs import Blobs, MissingDataError
from .config import Config
from .errors import ArmError, Json
from .processes import child_environment, python_environment
from .references import References
from .serving import InferenceServer, ServerFailedError, ServerSpec, start_server

logger = logging.getLogger(__name__)

Name = tuple[str, str]
"""Endpoint and deployment."""

_RESTART_SECONDS = (0.2, 1.0, 5.0, 15.0)
_HELP = "Please see troubleshooting guide, available here: https://aka.ms/oe-tsg#error-resourcenotready"


class Fleet:
    """At most one server for each deployment, found without regard to case."""

    def __init__(self, config: Config, blobs: Blobs, references: References) -> None:
        self._config = config
        self._blobs = blobs
        self._references = references
        self._folder = config.state / "serving"
        self._client: aiohttp.ClientSession | None = None
        self._servers: dict[Name, InferenceServer] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, client: aiohttp.ClientSession) -> None:
        """Use this client to ask servers for their health; clear away what an earlier process had fetched."""
        self._client = client
        await asyncio.to_thread(shutil.rmtree, self._folder / "revisions", ignore_errors=True)

    async def stop(self) -> None:
        """End all servers and everything under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(server.stop() for server in self._servers.values()))
        self._servers.clear()

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Do this in the background, until `stop`."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def server(self, name: Name) -> InferenceServer | None:
        """The deployment's server, None while it has none."""
        return self._servers.get(_key(name))

    def log(self, name: Name) -> Path:
        """Where the deployment's servers write, one after the other."""
        return self._folder / "logs" / name[0].lower() / f"{name[1].lower()}.log"

    async def build(self, name: Name, document: Json) -> InferenceServer:
        """Start a server for the deployment beside the one that it has. ArmError says why it cannot be had."""
        assert self._client is not None, "start() comes first"
        try:
            return await start_server(await self._specify(name, document), self._client)
        except (InstallError, MissingDataError) as problem:
            raise ArmError(400, "ImageBuildFailure", str(problem)) from problem
        except (AzureError, OSError, ValueError) as problem:
            # storage that does not answer, a disk that is full, a variable that is no number
            raise ArmError(500, "InternalServerError", f"The deployment could not be prepared: {problem}") from problem
        except ServerFailedError as problem:
            raise ArmError(400, "ResourceNotReady", f"{problem}\n{_HELP}") from problem

    async def adopt(self, name: Name, server: InferenceServer) -> None:
        """From now on this server answers for the deployment; the one before it ends."""
        replaced = self._servers.get(_key(name))
        self._servers[_key(name)] = server
        self.spawn(self._keep_up(_key(name), server))
        if replaced:
            await replaced.discard()

    async def remove(self, name: Name) -> None:
        """End the deployment's server, if it has one."""
        server = self._servers.pop(_key(name), None)
        if server:
            await server.discard()

    async def _specify(self, name: Name, document: Json) -> ServerSpec:
        properties = document["properties"]
        folder = self._folder / "revisions" / uuid.uuid4().hex
        _, _, environment = self._references.asset("environments", properties["environmentId"])
        conda = environment["properties"].get("condaFile")
        if not conda:
            raise ArmError(400, "ImageBuildFailure", "The environment has no conda file; bare images cannot be run.")
        python = await asyncio.to_thread(ensure_environment, conda, self._config.environments)
        _, _, code = self._references.asset("codes", properties["codeConfiguration"]["codeId"])
        source = self._references.location(code["properties"]["codeUri"])
        root = await asyncio.to_thread(self._blobs.download, source, folder / "code")
        name_of_script = properties["codeConfiguration"]["scoringScript"]
        script = (root / name_of_script).resolve()
        if not script.is_file() or not script.is_relative_to(root.resolve()):
            raise MissingDataError(f"The code has no scoring script '{name_of_script}'.")
        variables = {key: str(value) for key, value in properties["environmentVariables"].items()}
        instances = int(document["sku"].get("capacity") or 1)
        return ServerSpec(
            folder=folder,
            root=root,
            python=python,
            script=script,
            model_dir=await self._fetch_model(properties["model"], folder),
            environment=python_environment(child_environment(self._config), python) | variables,
            workers=int(variables.get("WORKER_COUNT", "1")) * instances,
            log=self.log(name),
        )

    async def _fetch_model(self, model: str | None, folder: Path) -> Path | None:
        """Lay the model out as the cloud does: `azureml-models/<name>/<version>/<registered folder or file>`."""
        if not model:
            return None
        name, version, document = self._references.asset("models", model)
        source = self._references.location(document["properties"]["modelUri"])
        target = folder / "azureml-models" / name / version
        single = await asyncio.to_thread(self._blobs.is_blob, source)
        await asyncio.to_thread(self._blobs.download, source, target if single else target / source.leaf)
        return target

    async def _keep_up(self, key: Name, server: InferenceServer) -> None:
        """Start the server again whenever it ends by itself, as Kubernetes would, ever more slowly."""
        attempt = 0
        while True:
            code = await server.exited()
            if self._servers.get(key) is not server:
                return
            await server.stop()
            logger.warning("the server of %s ended with exit code %s; starting it again", "/".join(key), code)
            await asyncio.sleep(_RESTART_SECONDS[min(attempt, len(_RESTART_SECONDS) - 1)])
            assert self._client is not None, "start() comes first"
            try:
                fresh = await start_server(server.spec, self._client)
            except ServerFailedError:
                attempt += 1
                continue
            if self._servers.get(key) is not server:
                await fresh.discard()
                return
            self._servers[key] = server = fresh
            attempt = 0


def _key(name: Name) -> Name:
    return (name[0].lower(), name[1].lower())
