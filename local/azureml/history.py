"""Run history: what `ml.jobs.stream` and the studio read about a job, its error and its logs among it."""

from __future__ import annotations

from .arm import Answer, Call, Routes
from .blobs import Blobs, Location
from .config import Config
from .errors import Json, not_found
from .references import References
from .store import Store

_LOG = "user_logs/std_log.txt"


def discovery(config: Config) -> Json:
    """Addresses of the workspace's services, as the workspace's discoveryUrl answers."""
    names = ("api", "history", "artifact", "execution", "modelmanagement")
    return {name: config.url for name in names} | {"studio": "https://ml.azure.com"}


class History:
    """Handlers for runs."""

    def __init__(self, store: Store, blobs: Blobs, references: References) -> None:
        self._store = store
        self._blobs = blobs
        self._references = references

    def register(self, routes: Routes) -> None:
        """Say which routes these handlers answer."""
        routes.add("GET", "runs/{}/details", self.details)
        routes.add("GET", "runs/{}/children", self.children)

    async def children(self, call: Call) -> Answer:
        """The jobs that a job has started, in the order of their numbers."""
        found = [job for job in self._store.under("jobs") if job["properties"]["parentJobName"] == call.names[0]]
        found.sort(key=lambda job: str(job["systemData"]["createdAt"]))
        return Answer(
            body={
                "value": [
                    {
                        "runId": job["name"],
                        "parentRunId": call.names[0],
                        "rootRunId": call.names[0],
                        "displayName": job["properties"]["displayName"],
                        "status": job["properties"]["status"],
                        "tags": job["properties"]["tags"],
                        "properties": job["properties"]["properties"],
                        "createdUtc": job["systemData"]["createdAt"],
                    }
                    for job in found
                ]
            }
        )

    async def details(self, call: Call) -> Answer:
        """Status, times, logs (signed addresses) and, for a failed run, the error."""
        (name,) = call.names
        job = self._store.get(f"jobs/{name}")
        if job is None:
            raise not_found("RunNotFound", f"Run {name} was not found.")
        run = self._store.get(f"runs/{name}") or {}
        artifacts = self._references.location(self._references.job_output(name, "default"))
        log = Location(artifacts.container, f"{artifacts.path}/{_LOG}")
        error = run.pop("error", None)
        body: Json = {
            "runId": name,
            "target": "cpu-cluster",
            "status": job["properties"]["status"],
            "tags": job["properties"]["tags"],
            "properties": job["properties"]["properties"],
            "logFiles": {_LOG: self._blobs.signed_url(log)} if "startTimeUtc" in run else {},
            "error": {"error": {"code": "UserError", "message": error, "details": []}} if error else None,
            "warnings": [],
        }
        return Answer(body=body | run)
