"""Jobs as resources: submitting, looking, cancelling. How they run is in `runs`, `sweeps`, `pipelines` and `automl`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from .arm import Answer, Call, Routes, resource
from .automl import AutoML
from .commands import require_durations, required_references
from .config import COMPUTE, Config
from .errors import ArmError, Json, not_emulated, not_found, user_error
from .metrics import tracking_uri
from .operations import Operations
from .parents import Parents
from .pipelines import Pipelines, output_of
from .references import References, kind_of_input
from .runs import TERMINAL, Runs
from .store import Store
from .sweeps import Sweeps
from .workspace import ARTIFACT_DATASTORE

_INVALID = "Request is invalid and/or missing fields."
# The service refuses what it does not know, a version among it.
_OUTPUT_MEMBERS = frozenset({"jobOutputType", "uri", "mode", "assetName", "description", "autoDeleteSetting"})
_NOTES = ("displayName", "description", "tags", "isArchived")


class Jobs:
    """Handlers for jobs."""

    def __init__(
        self,
        config: Config,
        store: Store,
        references: References,
        runs: Runs,
        sweeps: Sweeps,
        pipelines: Pipelines,
        automl: AutoML,
        operations: Operations,
    ) -> None:
        self._config = config
        self._store = store
        self._references = references
        self._runs = runs
        self._sweeps = sweeps
        self._pipelines = pipelines
        self._automl = automl
        self._parents: Mapping[str, Parents] = {each.kind: each for each in (sweeps, pipelines, automl)}
        sweeps.start_child = pipelines.start_child = self._start_command
        automl.start_child = self._put_completed
        self._operations = operations

    def register(self, routes: Routes) -> None:
        """Say which routes these handlers answer."""
        routes.add("GET", "jobs", self.list_jobs)
        routes.add("GET", "jobs/{}", self.get)
        routes.add("PUT", "jobs/{}", self.put)
        routes.add("POST", "jobs/{}/cancel", self.cancel)

    def resume(self) -> None:
        """Go on with what an earlier process left unfinished."""
        for operation in self._operations.running():
            if operation.startswith("job:"):
                self._operations.end(operation)
        self._runs.resume()
        for each in self._parents.values():
            each.resume()

    async def list_jobs(self, call: Call) -> Answer:
        """Jobs that no other job has started, newest first; `tag` and `jobType` filter."""
        found = [job for job in self._store.under("jobs") if not job["properties"]["parentJobName"]]
        found.sort(key=lambda item: str(item["systemData"]["createdAt"]), reverse=True)
        if tag := call.query.get("tag"):
            key, _, value = tag.partition("=")
            found = [
                job
                for job in found
                if key in job["properties"]["tags"] and (not value or job["properties"]["tags"][key] == value)
            ]
        if kind := call.query.get("jobType"):
            found = [job for job in found if job["properties"]["jobType"] == kind]
        view = call.query.get("listViewType", "ActiveOnly")
        if view != "All":
            found = [job for job in found if job["properties"]["isArchived"] == (view == "ArchivedOnly")]
        return Answer(body={"value": found})

    async def get(self, call: Call) -> Answer:
        """One job."""
        return Answer(body=self._existing(call.names[0]))

    async def put(self, call: Call) -> Answer:
        """Submit a job, or change the notes on one that exists."""
        (name,) = call.names
        asked = call.properties
        previous = self._store.get(f"jobs/{name}")
        if previous:
            previous["properties"] |= {key: asked[key] for key in _NOTES if asked.get(key) is not None}
            self._store.put(f"jobs/{name}", previous)
            return Answer(200, previous)
        if asked.get("jobType") == "Command":
            document = self._start_command(name, asked)
        elif asked.get("jobType") == "Sweep":
            self._check(self._sweeps.trial_to_check(asked))
            document = self._put(name, self._properties(name, asked) | self._sweeps.own_properties(name, asked))
            self._sweeps.submit(name)
        elif asked.get("jobType") == "Pipeline":
            for command in self._pipelines.nodes_to_check(name, asked):
                self._check(command)
            document = self._put(name, self._properties(name, asked) | self._pipelines.own_properties(asked))
            self._pipelines.submit(name)
        elif asked.get("jobType") == "AutoML":
            self._require_compute(asked)
            self._automl.check(asked)
            document = self._put(name, self._properties(name, asked) | self._automl.own_properties(asked))
            self._automl.submit(name)
        else:
            raise not_emulated(f"jobs of type {asked.get('jobType')}")
        return Answer(201, document, {"Location": self._config.url + document["id"]})

    def _start_command(self, name: str, asked: Json) -> Json:
        self._check(asked)
        document = self._put(name, self._properties(name, asked))
        self._runs.submit(name)
        return document

    def _put_completed(self, name: str, asked: Json) -> Json:
        """A job that was run by the one that started it."""
        return self._put(name, self._properties(name, asked) | {"status": "Completed"})

    def _put(self, name: str, properties: Json) -> Json:
        document = resource(self._config, f"jobs/{name}", properties)
        document["systemData"] = {key: value for key, value in document["systemData"].items() if "created" in key}
        self._store.put(f"jobs/{name}", document)
        self._store.put(f"runs/{name}", {"createdTimeUtc": datetime.now(UTC).isoformat()})
        return document

    async def cancel(self, call: Call) -> Answer:
        """Ask a job to end; Location answers 202 until it has."""
        (name,) = call.names
        if self._existing(name)["properties"]["status"] in (*TERMINAL, "CancelRequested"):
            return Answer(200)
        operation = self._operations.begin("job")
        self._owner(self._existing(name)).cancel(name, lambda: self._operations.end(operation))
        return Answer(202, None, self._operations.headers(operation))

    def forget(self, name: str) -> None:
        """End a job, if there is one of that name, and leave no word about it: a fault on order."""
        if job := self._store.get(f"jobs/{name}"):
            self._owner(job).forget(name)

    def _owner(self, job: Json) -> Runs | Parents:
        return self._parents.get(job["properties"]["jobType"], self._runs)

    def _existing(self, name: str) -> Json:
        found = self._store.get(f"jobs/{name}")
        if found is None:
            raise not_found("RunNotFound", f"Run {name} was not found.")
        return found

    def _check(self, asked: Json) -> None:
        """Refuse now what could not run: the cloud answers these at submission too."""
        command = asked.get("command")
        if not command or not asked.get("environmentId"):
            raise user_error("A command job needs a command and an environmentId.")
        self._require_compute(asked)
        self._references.asset("environments", asked["environmentId"])
        if asked.get("codeId"):
            self._references.asset("codes", asked["codeId"])
        for output in (asked.get("outputs") or {}).values():
            for member in sorted(set(output) - _OUTPUT_MEMBERS):
                kind = str(output.get("jobOutputType")).title().replace("_", "")
                message = f"Could not find member '{member}' on object of type '{kind}JobOutput'."
                raise ArmError(400, "UserError", _INVALID, detail=("RequestInvalid", message))
        given = {"inputs": asked.get("inputs") or {}, "outputs": asked.get("outputs") or {}}
        for side, name in required_references(str(command)):
            if name not in given[side]:
                raise user_error(f"The command refers to {side}.{name}, which the job does not have.")
        require_durations(asked.get("limits"), "timeout")
        for put in given["inputs"].values():
            if put.get("jobInputType") != "literal" and not str(put.get("uri", "")).startswith("http"):
                # ArmError when the datastore, the asset or the job behind it is unknown
                self._references.location(str(put.get("uri")), kind_of_input(put))

    def _require_compute(self, asked: Json) -> None:
        compute = str(asked.get("computeId") or COMPUTE).rsplit("/", 1)[-1]
        if compute.lower() != COMPUTE:
            raise user_error(f"Unknown compute target '{compute}'.", code="ComputeNotFound")

    def _properties(self, name: str, asked: Json) -> Json:
        own = self._config
        tracking = tracking_uri(own) + "?"
        studio = f"https://ml.azure.com/runs/{name}?wsid={own.workspace_id}"
        defaults: Json = {
            "description": None,
            "tags": {},
            "properties": {},
            "parentJobName": None,
            "displayName": name,
            "experimentName": "Default",
            "computeId": None,
            "isArchived": False,
            "identity": None,
            "componentId": None,
            "notificationSetting": None,
            "codeId": None,
            "distribution": None,
            "limits": None,
            "environmentVariables": {},
            "inputs": {},
        }
        given = {key: value for key, value in asked.items() if value is not None}
        return (
            defaults
            | given
            | {
                "properties": {"_azureml.ComputeTargetType": "amlctrain", "_azureml.ClusterName": COMPUTE}
                | (asked.get("properties") or {}),
                "status": "Starting",
                "services": {
                    "Tracking": _service("Tracking", tracking),
                    "Studio": _service("Studio", studio),
                },
                "resources": {"instanceCount": 1, "instanceType": None, "properties": None, "shmSize": "2g"}
                | (asked.get("resources") or {}),
                "outputs": _outputs(name, asked.get("outputs") or {}),
                "parameters": {},
                "queueSettings": {"jobTier": "Null"},
            }
        )


def _service(kind: str, endpoint: str) -> Json:
    return {
        "jobServiceType": kind,
        "port": None,
        "endpoint": endpoint,
        "status": None,
        "errorMessage": None,
        "properties": None,
        "nodes": None,
    }


def _outputs(job: str, asked: Json) -> Json:
    """The job's outputs with their addresses, and the `default` one that holds its logs."""
    outputs: Json = {}
    for name, output in asked.items():
        uri = output_of(job, name, output)
        blank = {"description": None, "assetName": None, "mode": "ReadWriteMount"}
        outputs[name] = blank | output | {"uri": uri}
    outputs["default"] = {
        "description": None,
        "uri": f"azureml://datastores/{ARTIFACT_DATASTORE}/ExperimentRun/dcid.{job}",
        "assetName": None,
        "mode": "ReadWriteMount",
        "jobOutputType": "uri_folder",
    }
    return outputs
