"""One inference server: Microsoft's azmlinfsrv with a scoring script, as a managed deployment's container runs it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from local.processes import free_port

from .processes import end_group

_READY_SECONDS = 120.0
_POLL_SECONDS = 0.1
_TAIL_CHARACTERS = 4000
# azmlinfsrv always listens on every interface; this is its own entry point with the interface of a laptop.
_LOOPBACK = "from azureml_inference_server_http import amlserver as s; s.DEFAULT_HOST = '127.0.0.1'; s.run()"


class ServerFailedError(Exception):
    """The server did not get ready; the message ends with its log."""


@dataclass(frozen=True)
class ServerSpec:
    """What a server runs: the interpreter of its environment, the script, the model's folder, the environment."""

    folder: Path
    """Holds code and model, and is nobody else's."""
    root: Path
    """The code snapshot's root, where the server is started and which it puts on sys.path."""
    python: Path
    script: Path
    model_dir: Path | None
    environment: Mapping[str, str]
    workers: int
    log: Path


class InferenceServer:
    """A running server; `port` is where it listens on loopback."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, spec: ServerSpec) -> None:
        self.port = port
        self.spec = spec
        self._process = process

    @property
    def url(self) -> str:
        """Base address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    async def exited(self) -> int:
        """Wait until the process ends, by itself or stopped; its exit code."""
        return await self._process.wait()

    async def stop(self) -> None:
        """End the server and its workers."""
        await end_group(self._process)

    async def discard(self) -> None:
        """End the server and remove its code and model."""
        await self.stop()
        await asyncio.to_thread(shutil.rmtree, self.spec.folder, ignore_errors=True)


async def start_server(spec: ServerSpec, client: aiohttp.ClientSession) -> InferenceServer:
    """Start a server and wait until it says that it is healthy. ServerFailedError when it does not."""
    port = free_port()
    spec.log.parent.mkdir(parents=True, exist_ok=True)
    with spec.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *_arguments(spec, port),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=spec.root,
            env=dict(spec.environment) | _settings(spec),
            start_new_session=True,
        )
    server = InferenceServer(process, port, spec)
    try:
        await _wait_ready(server, process, client)
    except BaseException:
        await server.stop()
        raise
    return server


def log_tail(path: Path, lines: int | None = None) -> str:
    """The end of a log: that many lines, or a few thousand characters."""
    if not path.exists():
        return ""
    text = path.read_text(encoding="utf-8", errors="replace")
    return "\n".join(text.splitlines()[-lines:]) if lines is not None else text[-_TAIL_CHARACTERS:]


def _arguments(spec: ServerSpec, port: int) -> list[str]:
    arguments = [str(spec.python), "-c", _LOOPBACK, "--entry_script", str(spec.script), "--port", str(port)]
    arguments += ["--health_port", str(port), "--worker_count", str(spec.workers)]
    return arguments + (["--model_dir", str(spec.model_dir)] if spec.model_dir else [])


def _settings(spec: ServerSpec) -> dict[str, str]:
    # over what a client sends back: the cloud lists its own values of these among the deployment's variables
    return {"AML_APP_ROOT": str(spec.root)}


async def _wait_ready(
    server: InferenceServer, process: asyncio.subprocess.Process, client: aiohttp.ClientSession
) -> None:
    deadline = asyncio.get_running_loop().time() + _READY_SECONDS
    while not await _healthy(server, client):
        if process.returncode is not None:
            raise ServerFailedError(
                f"User container has crashed or terminated (exit code {process.returncode}). Its log ends:\n"
                f"{log_tail(server.spec.log)}"
            )
        if asyncio.get_running_loop().time() > deadline:
            raise ServerFailedError(
                f"The container was not ready within {_READY_SECONDS:.0f} s. Its log ends:\n{log_tail(server.spec.log)}"
            )
        await asyncio.sleep(_POLL_SECONDS)


async def _healthy(server: InferenceServer, client: aiohttp.ClientSession) -> bool:
    try:
        async with client.get(f"{server.url}/", timeout=aiohttp.ClientTimeout(total=2.0)) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
