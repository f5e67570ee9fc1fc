"""MLflow's REST interface to runs, as far as training scripts log by it: where MLFLOW_TRACKING_URI of a job leads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .arm import Answer, Call, Routes
from .config import Config
from .errors import ArmError, Json
from .store import Store

_ROOT = "api/2.0/mlflow"
_STATUS = {"Completed": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED", "Queued": "SCHEDULED"}


def job_environment(config: Config, job: str, token: str) -> dict[str, str]:
    """The variables by which a job's script finds its run, as Azure ML sets them; the certificate is the emulator's."""
    return {
        "MLFLOW_TRACKING_URI": tracking_uri(config) + "?",
        "MLFLOW_TRACKING_TOKEN": token,
        "MLFLOW_RUN_ID": job,
        "MLFLOW_EXPERIMENT_ID": "0",
        "REQUESTS_CA_BUNDLE": str(config.certificate.resolve()),
    }


def tracking_uri(config: Config) -> str:
    """Where the workspace's runs are tracked."""
    return f"azureml://localhost:{config.port}/mlflow/v1.0{config.workspace_id}"


class Metrics:
    """Handlers for runs; a run is a job, by its name. `noticed` is called with a job's name when it has logged."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.noticed: Callable[[str], None] = lambda job: None

    def register(self, routes: Routes) -> None:
        """Say which routes these handlers answer."""
        for method, path, handler in (
            ("POST", "runs/log-metric", self.log_metric),
            ("POST", "runs/log-batch", self.log_batch),
            ("POST", "runs/log-parameter", self.log_parameter),
            ("POST", "runs/set-tag", self.set_tag),
            ("POST", "runs/update", self.update),
            ("GET", "runs/get", self.get),
            ("GET", "metrics/get-history", self.history_of),
        ):
            routes.add(method, f"{_ROOT}/{path}", handler)

    def history(self, job: str, metric: str) -> list[float]:
        """The values of a job's metric, in the order in which they were logged."""
        return [float(point["value"]) for point in self._logged(job)["metrics"].get(metric, [])]

    async def log_metric(self, call: Call) -> Answer:
        """One value."""
        return self._log(call, metrics=[call.body])

    async def log_batch(self, call: Call) -> Answer:
        """Values, parameters and tags at once."""
        return self._log(call, **{kind: call.body.get(kind) or [] for kind in ("metrics", "params", "tags")})

    async def log_parameter(self, call: Call) -> Answer:
        """One parameter."""
        return self._log(call, params=[call.body])

    async def set_tag(self, call: Call) -> Answer:
        """One tag."""
        return self._log(call, tags=[call.body])

    async def update(self, call: Call) -> Answer:
        """What a client says of a run's status; the job's own goes on counting."""
        return Answer(body={"run_info": self._info(self._job(str(call.body.get("run_id"))))})

    async def get(self, call: Call) -> Answer:
        """A run with the last value of each metric."""
        job = self._job(call.query.get("run_id", ""))
        logged = self._logged(job["name"])
        data = {
            "metrics": [{"key": key, **points[-1]} for key, points in logged["metrics"].items()],
            "params": [{"key": key, "value": value} for key, value in logged["params"].items()],
            "tags": [{"key": key, "value": value} for key, value in logged["tags"].items()],
        }
        return Answer(body={"run": {"info": self._info(job), "data": data}})

    async def history_of(self, call: Call) -> Answer:
        """All values of one metric."""
        job, key = self._job(call.query.get("run_id", "")), call.query.get("metric_key", "")
        points = self._logged(job["name"])["metrics"].get(key, [])
        return Answer(body={"metrics": [{"key": key, **point} for point in points]})

    def _log(self, call: Call, **given: list[Json]) -> Answer:
        job = self._job(str(call.body.get("run_id") or call.body.get("run_uuid")))["name"]
        logged = self._logged(job)
        for item in given.get("metrics", []):
            point = {"value": _number(item), "timestamp": item.get("timestamp", 0), "step": item.get("step", 0)}
            logged["metrics"].setdefault(_key(item), []).append(point)
        for kind in ("params", "tags"):
            logged[kind] |= {_key(item): str(item.get("value", "")) for item in given.get(kind, [])}
        self._store.put(f"metrics/{job}", logged)
        self.noticed(job)
        return Answer(body={})

    def _logged(self, job: str) -> Json:
        return self._store.get(f"metrics/{job}") or {"metrics": {}, "params": {}, "tags": {}}

    def _job(self, run: str) -> Json:
        job = self._store.get(f"jobs/{run}") if run else None
        if job is None:
            raise ArmError(404, "RESOURCE_DOES_NOT_EXIST", f"Run {run} was not found.")
        return job

    def _info(self, job: Json) -> Json:
        status = _STATUS.get(job["properties"]["status"], "RUNNING")
        return {"run_id": job["name"], "run_uuid": job["name"], "experiment_id": "0", "status": status}


def _key(item: Json) -> str:
    key = item.get("key")
    if not isinstance(key, str) or not key:
        raise ArmError(400, "INVALID_PARAMETER_VALUE", "What is logged needs a key.")
    return key


def _number(item: Json) -> float:
    value: Any = item.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ArmError(400, "INVALID_PARAMETER_VALUE", f"The metric {item.get('key')} has the value {value!r}.")
    return float(value)
