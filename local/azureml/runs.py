"""Command jobs as processes: fetch code and inputs, run, keep the log, store the outputs."""

from __future__ import annotations

import asyncio
import shlex
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from local.environments import ensure_environment
from local.installing import InstallError

from .arm import resource
from .blobs import Blobs, Location, MissingDataError
from .commands import fill, seconds
from .config import NODES, Config
from .errors import ArmError, Json
from .metrics import job_environment
from .processes import child_environment, end_group, python_environment
from .references import MODEL_TYPES, References, kind_of_input, newest_version
from .store import Store
from .tasks import Tasks
from .tokens import TokenAuthority

TERMINAL = frozenset({"Completed", "Failed", "Canceled"})
_ERROR_CHARACTERS = 4000
_LOG = "user_logs/std_log.txt"


class JobFailedError(Exception):
    """The job cannot go on; the message is for whoever submitted it."""


class Runs:
    """Runs the jobs of the store, `NODES` at a time."""

    def __init__(
        self, config: Config, store: Store, blobs: Blobs, references: References, tokens: TokenAuthority
    ) -> None:
        self._config = config
        self._store = store
        self._blobs = blobs
        self._references = references
        self._tokens = tokens
        self._nodes = asyncio.Semaphore(NODES)
        self._tasks = Tasks()
        self._folder = config.state / "jobs"

    def resume(self) -> None:
        """Put jobs that an earlier process left unfinished into the queue again."""
        for name, status in unfinished(self._store, "Command"):
            if status == "CancelRequested":
                self._end(name, "Canceled")
            else:
                self.submit(name)

    def submit(self, name: str) -> None:
        """Run the job as soon as a node is free."""
        self._tasks.begin(name, self._run(name))

    def cancel(self, name: str, when_ended: Callable[[], None] = lambda: None) -> None:
        """End the job's process group; `when_ended` is called once it has ended."""

        async def afterwards() -> None:
            self._end(name, "Canceled")
            when_ended()

        self._set(name, "CancelRequested")
        self._tasks.end(name, afterwards)

    def task(self, name: str) -> asyncio.Task[None] | None:
        """What runs the job, or ends it; None when it has ended. Not to be awaited by itself: it may be cancelled."""
        return self._tasks.of(name)

    def forget(self, name: str) -> None:
        """End the job's process group, and leave no word about it: a fault on order."""
        self._tasks.drop(name)

    async def stop(self) -> None:
        """End the processes of running jobs; they will be resumed."""
        await self._tasks.stop()

    def log(self, name: str) -> Path:
        """The job's log on this machine."""
        return self._folder / name / _LOG

    async def _run(self, name: str) -> None:
        try:
            self._set(name, "Queued")
            async with self._nodes:
                await self._execute(name)
        except (JobFailedError, ArmError) as error:
            self._end(name, "Failed", str(error))
        except Exception as error:
            # a job that breaks the emulator must not stay "Running" for ever
            self._end(name, "Failed", f"Internal error of the emulator: {error!r}")
            raise

    async def _execute(self, name: str) -> None:
        job = self._store.get(f"jobs/{name}")
        assert job is not None, "submitted jobs are in the store"
        properties: Json = job["properties"]
        self._set(name, "Preparing")
        folder = self._folder / name
        await asyncio.to_thread(_clean, folder)
        python, inputs = await self._prepare(properties, folder)
        outputs = {output: folder / "outputs" / output for output in properties["outputs"] if output != "default"}
        for output in outputs.values():
            output.mkdir(parents=True)
        command = _command(properties, inputs, outputs)
        environment = self._environment(name, python, properties, inputs, outputs)
        self._set(name, "Running", startTimeUtc=datetime.now(UTC).isoformat())
        try:
            await self._process(command, folder, environment, (properties.get("limits") or {}).get("timeout"))
        finally:
            await asyncio.to_thread(self._keep_log, name)
            # outputs are mounts in the cloud: what a process wrote before it failed is there
            await asyncio.to_thread(self._store_outputs, name, properties, outputs)
        self._set(name, "Finalizing")
        self._register_outputs(name, properties)
        self._end(name, "Completed")
        await asyncio.to_thread(_clean, folder, keep_log=True)

    async def _prepare(self, properties: Json, folder: Path) -> tuple[Path, dict[str, str]]:
        _, _, environment = self._references.asset("environments", properties["environmentId"])
        conda = environment["properties"].get("condaFile")
        if not conda:
            raise JobFailedError("The environment has no conda file, and the emulator cannot run bare images.")
        work = folder / "wd"
        work.mkdir(parents=True)
        try:
            python = await asyncio.to_thread(ensure_environment, conda, self._config.environments)
            if properties["codeId"]:
                _, _, code = self._references.asset("codes", properties["codeId"])
                source = self._references.location(code["properties"]["codeUri"])
                await asyncio.to_thread(self._blobs.download, source, work)
            inputs = {
                name: await self._input(item, folder / "inputs" / name) for name, item in properties["inputs"].items()
            }
        except InstallError as error:
            raise JobFailedError(f"Image build failed: {error}") from error
        except MissingDataError as error:
            raise JobFailedError(f"Unable to mount or download data: {error}") from error
        return python, inputs

    async def _input(self, item: Json, folder: Path) -> str:
        if item["jobInputType"] == "literal":
            return str(item["value"])
        location = self._references.location(item["uri"], kind_of_input(item))
        return str(await asyncio.to_thread(self._blobs.download, location, folder))

    def _environment(
        self, name: str, python: Path, properties: Json, inputs: Mapping[str, str], outputs: Mapping[str, Path]
    ) -> dict[str, str]:
        paths = {f"AZURE_ML_INPUT_{key}": value for key, value in inputs.items()}
        paths |= {f"AZURE_ML_OUTPUT_{key}": str(path) for key, path in outputs.items()}
        own = {
            "AZUREML_RUN_ID": name,
            "AZUREML_ROOT_RUN_ID": properties["parentJobName"] or name,
            "AZUREML_EXPERIMENT_NAME": str(properties["experimentName"]),
            "AZUREML_ARM_SUBSCRIPTION": self._config.subscription,
            "AZUREML_ARM_RESOURCEGROUP": self._config.resource_group,
            "AZUREML_ARM_WORKSPACE_NAME": self._config.workspace,
        }
        base = python_environment(child_environment(self._config), python)
        own |= job_environment(self._config, name, self._tokens.issue(self._config.url).text)
        return base | own | paths | {key: str(value) for key, value in properties["environmentVariables"].items()}

    async def _process(self, command: str, folder: Path, environment: dict[str, str], timeout: str | None) -> None:
        log = folder / _LOG
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                "/bin/sh",
                "-c",
                command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder / "wd",
                env=environment,
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(seconds(timeout) if timeout else None):
                code = await process.wait()
        except TimeoutError as error:
            raise JobFailedError(f"The job ran longer than its limit of {timeout} and was ended.") from error
        finally:
            await end_group(process)
        if code:
            raise JobFailedError(
                f"Execution failed. User process '/bin/sh' exited with status code {code}. Please check log file "
                f"'{_LOG}' for error details. Error: {_tail(log)}"
            )

    def _keep_log(self, name: str) -> None:
        artifacts = self._artifacts(name)
        with suppress(FileNotFoundError):
            self._blobs.upload(self.log(name), Location(artifacts.container, f"{artifacts.path}/{_LOG}"))

    def _store_outputs(self, name: str, properties: Json, outputs: Mapping[str, Path]) -> None:
        for output, path in outputs.items():
            target = self._references.location(properties["outputs"][output]["uri"])
            files = [item for item in path.rglob("*") if item.is_file()]
            single = properties["outputs"][output]["jobOutputType"] == "uri_file" and len(files) == 1
            self._blobs.upload(files[0] if single else path, target)
        artifacts = self._artifacts(name)
        written = self._folder / name / "wd" / "outputs"
        if written.is_dir():
            self._blobs.upload(written, Location(artifacts.container, f"{artifacts.path}/outputs"))

    def _artifacts(self, name: str) -> Location:
        return self._references.location(self._references.job_output(name, "default"))

    def _register_outputs(self, name: str, properties: Json) -> None:
        """Register named outputs as the next version of a model or of data, as the cloud does when a job completes."""
        for item in properties["outputs"].values():
            if not item.get("assetName"):
                continue
            is_model = item["jobOutputType"] in MODEL_TYPES
            kind = "models" if is_model else "data"
            newest = newest_version(self._store, kind, item["assetName"]) or "0"
            version = str(int(newest) + 1) if newest.isdigit() else "1"
            key = f"{kind}/{item['assetName']}/versions/{version}"
            uri, _ = self._references.long_uri(item["uri"])
            about: Json = {"description": None, "tags": {}, "properties": {}, "isArchived": False, "isAnonymous": False}
            about |= {"provisioningState": "Succeeded"}
            if is_model:
                about |= {"modelUri": uri, "modelType": item["jobOutputType"], "jobName": name, "flavors": {}}
            else:
                about |= {"dataUri": uri, "dataType": item["jobOutputType"]}
            self._store.put(key, resource(self._config, key, about))

    def _end(self, name: str, status: str, error: str | None = None) -> None:
        notes: Json = {"endTimeUtc": datetime.now(UTC).isoformat()}
        if error is not None:
            notes["error"] = error[-_ERROR_CHARACTERS:]
        self._set(name, status, **notes)

    def _set(self, name: str, status: str, **notes: str) -> None:
        job = self._store.get(f"jobs/{name}")
        if job is None:  # a fault on order made it vanish
            return
        job["properties"]["status"] = status
        self._store.put(f"jobs/{name}", job)
        if notes:
            self._store.put(f"runs/{name}", (self._store.get(f"runs/{name}") or {}) | notes)


def unfinished(store: Store, kind: str) -> list[tuple[str, str]]:
    """Name and status of the jobs of a type that have not ended."""
    jobs = [(job["name"], job["properties"]) for job in store.under("jobs")]
    return [
        (name, about["status"]) for name, about in jobs if about["jobType"] == kind and about["status"] not in TERMINAL
    ]


def _command(properties: Json, inputs: Mapping[str, str], outputs: Mapping[str, Path]) -> str:
    """The command with its references filled in: literals as they are, paths safe from the shell."""
    given = {
        name: value if properties["inputs"][name]["jobInputType"] == "literal" else shlex.quote(value)
        for name, value in inputs.items()
    }
    return fill(properties["command"], given, {name: shlex.quote(str(path)) for name, path in outputs.items()})


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace").strip()[-_ERROR_CHARACTERS // 2 :]


def _clean(folder: Path, keep_log: bool = False) -> None:
    for part in ("wd", "inputs", "outputs", *(() if keep_log else ("user_logs",))):
        shutil.rmtree(folder / part, ignore_errors=True)
