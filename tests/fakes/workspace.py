"""An Azure ML workspace in memory, with progress by looks, faults on request, and, where asked for, real training."""

from __future__ import annotations

import json
import tempfile
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aml import train
from aml.contract import Choice
from shared.errors import NotFoundError, WorkspaceRefusedError
from shared.naming import TRAINING
from shared.retraining.jobs import output_of
from shared.retraining.workspace import DataAsset, Deployment, Endpoint, JobStatus, ModelVersion, Progress, TrainingJob
from shared.storage import BlobStore

METRICS: Mapping[str, Any] = {"alert_rate": 0.01, "recall": 0.6, "rows": 400}
_STATUS = {"under way": "Running", "succeeded": "Completed", "failed": "Failed", "canceled": "Canceled"}


@dataclass
class Job:
    """A job: it ends as `end` once it has been looked at `looks` times."""

    asked: TrainingJob
    looks: int
    end: Progress
    best: str | None = None


class FakeWorkspace:
    """`Workspace` in memory; safe for several threads.

    Attributes:
        looks: how often a job, an endpoint, a deployment or a change of traffic is seen under way before it is done.
        metrics: what a job leaves as its metrics; None: nothing; "train": it really trains, or fails to.
        champion_metrics: what it leaves of the champion that it was given.
        job_ends, deployment_ends, endpoint_ends: how what is started from now on ends.
        effects: how often something was really made or changed, by kind.
        faults: errors to raise, by method: before the effect, or after it when the flag is set (an answer that is
            lost on its way).
    """

    def __init__(self, blobs: BlobStore, *, looks: int = 1, metrics: Mapping[str, Any] | str | None = METRICS) -> None:
        self._blobs = blobs
        self._lock = threading.RLock()
        self._waits: Counter[object] = Counter()
        self.looks = looks
        self.metrics = metrics
        self.champion_metrics: Mapping[str, Any] = METRICS
        self.job_ends: Progress = "succeeded"
        self.deployment_ends: Progress = "succeeded"
        self.endpoint_ends: Progress = "succeeded"
        self.assets: dict[tuple[str, str], DataAsset] = {}
        self.asset_tags: dict[tuple[str, str], dict[str, str]] = {}
        self.jobs: dict[str, Job] = {}
        self.versions: dict[str, list[ModelVersion]] = defaultdict(list)
        self.archived: set[tuple[str, str]] = set()
        self.jobs_of_models: dict[tuple[str, str], str] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.deployments: dict[tuple[str, str], Deployment] = {}
        self.models_deployed: dict[tuple[str, str], ModelVersion] = {}
        self.effects: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.faults: dict[str, deque[tuple[Exception, bool]]] = defaultdict(deque)

    def fail(self, method: str, *errors: Exception, after: bool = False) -> None:
        """The next calls of the method raise these errors, one each."""
        self.faults[method].extend((error, after) for error in errors)

    def hang(self) -> None:
        """What is under way never ends, and what is started from now on neither."""
        self.looks = 1_000_000
        for job in self.jobs.values():
            job.looks = self.looks if job.looks >= 0 else job.looks
        for key in [*self.endpoints, *self.deployments]:
            self._waits[key] = self.looks if self._waits[key] else 0

    def go_on(self, looks: int) -> None:
        """What hung ends after all, but for jobs, which may go on for ever."""
        self.looks = looks
        self._waits.clear()

    def register_data(self, asset: DataAsset, tags: Mapping[str, str]) -> DataAsset:
        """See `Workspace`."""
        with self._call("register_data"):
            key = (asset.name, asset.version)
            if key not in self.assets:
                self.effects["data"] += 1
                self.assets[key], self.asset_tags[key] = asset, dict(tags)
            return self.assets[key]

    def start_training(self, job: TrainingJob) -> None:
        """See `Workspace`."""
        with self._call("start_training"):
            if job.name not in self.jobs:
                self.effects["job"] += 1
                self.jobs[job.name] = Job(job, self.looks, self.job_ends)

    def job(self, name: str) -> JobStatus | None:
        """See `Workspace`."""
        with self._call("job"):
            job = self.jobs.get(name)
            if job is None:
                return None
            if job.looks > 0:
                job.looks -= 1
                return JobStatus("under way", "Running", f"https://studio.test/runs/{name}")
            if job.looks == 0 and job.end == "succeeded":
                self._leave_outputs(job, job.asked)
                job.looks = -1
            best = job.best if job.end == "succeeded" else None
            tried = _tried(name) if best and job.asked.step == "search" else ()
            return JobStatus(job.end, _STATUS[job.end], f"https://studio.test/runs/{name}", best, tried)

    def _leave_outputs(self, state: Job, job: TrainingJob) -> None:
        if job.step != "train":
            state.best = f"{job.name}_1" if job.step == "search" and self.metrics is not None else None
            return
        if not job.tuning.is_sweep:
            if not self._leave(job, f"{job.folder}/{output_of(job.name)}", []):
                state.end = "failed"
            return
        trials = [f"{job.name}_{number}" for number in range(job.tuning.trials)]
        good = [
            trial
            for number, trial in enumerate(trials)
            if self._leave(job, f"{job.folder}/trials/{trial}", _point(job, number), trial)
        ]
        values = {trial: self._logged(f"{job.folder}/trials/{trial}") for trial in good}
        logged = {trial: value for trial, value in values.items() if value is not None}
        state.end = "succeeded" if good else "failed"
        state.best = max(logged, key=logged.__getitem__) if logged else None

    def _leave(self, job: TrainingJob, place: str, more: list[str], trial: str = "") -> bool:
        """What one command leaves; whether it succeeds."""
        if isinstance(self.metrics, Mapping):
            beside = {"champion": dict(self.champion_metrics)} if job.champion else {}
            body = json.dumps({**self.metrics, **beside}).encode()
            self._blobs.put(TRAINING, f"{place}/metrics.json", body)
            self._blobs.put(TRAINING, f"{place}/bundle.joblib", b"a model")
            if trial:
                left = {"parameters": {"trees": 100}, "values": [0.1, float(self.metrics.get("recall", 0))]}
                self._blobs.put(TRAINING, f"{place}/trial.json", json.dumps(left).encode())
        elif self.metrics == "train":
            with tempfile.TemporaryDirectory() as folder:
                data, model = Path(folder) / "data.parquet", Path(folder) / "model"
                rows = job.data.path if job.data else f"{job.folder}/data.parquet"
                data.write_bytes(self._blobs.get(TRAINING, rows)[0])
                asked = ["--dataset", job.dataset, "--data", str(data), "--model", str(model)]
                asked += ["--contamination", str(job.contamination or 0.01), "--version", str(job.version)]
                if job.champion is not None:
                    asked += ["--champion", str(self._mounted(job.champion, Path(folder) / "champion"))]
                good = train.main([*asked, *more]) == 0
                for file in model.rglob("*"):
                    if file.is_file():
                        self._blobs.put(TRAINING, f"{place}/{file.relative_to(model).as_posix()}", file.read_bytes())
                return good
        return True

    def _logged(self, place: str) -> float | None:
        try:
            left = json.loads(self._blobs.get(TRAINING, f"{place}/trial.json")[0])
        except NotFoundError:
            return None
        return float(left["values"][-1])

    def _mounted(self, model: ModelVersion, folder: Path) -> Path:
        """The files of a registered model, as a job finds them."""
        job = self.jobs_of_models[(model.name, model.version)]
        folder.mkdir()
        for blob in self._blobs.list_blobs(TRAINING, f"{self._output_of(job)}/"):
            (folder / Path(blob.name).name).write_bytes(self._blobs.get(TRAINING, blob.name)[0])
        return folder

    def _output_of(self, job: str) -> str:
        """Where the output of a job, or of a trial of one, lies."""
        if job in self.jobs:
            return f"{self.jobs[job].asked.folder}/{output_of(job)}"
        return f"{self.jobs[job.rpartition('_')[0]].asked.folder}/trials/{job}"

    def register(self, model: str, job: str, run: str, tags: Mapping[str, str]) -> str:
        """See `Workspace`."""
        with self._call("register"):
            for known in self.versions[model]:
                if known.tags.get("run") == run:
                    return known.version
            if job not in self.jobs and job not in [each.best for each in self.jobs.values()]:
                raise WorkspaceRefusedError("workspace_refused", f"There is no job {job}.")
            self.effects["model"] += 1
            version = str(len(self.versions[model]) + 1)
            self.versions[model].append(ModelVersion(model, version, {**tags, "run": run}))
            self.jobs_of_models[(model, version)] = job
            return version

    def models(self, model: str) -> Sequence[ModelVersion]:
        """See `Workspace`."""
        with self._call("models"):
            active = [each for each in self.versions[model] if (model, each.version) not in self.archived]
            return sorted(active, key=lambda each: int(each.version), reverse=True)

    def endpoint(self, name: str) -> Endpoint | None:
        """See `Workspace`."""
        with self._call("endpoint"):
            found = self.endpoints.get(name)
            return found and replace(found, progress=self._seen(name, found.progress))

    def start_endpoint(self, name: str, dataset: str) -> None:
        """See `Workspace`; as in the cloud, what is made anew has no traffic."""
        with self._call("start_endpoint"):
            self.effects["endpoint"] += 1
            url = f"https://{name}.test/score"
            self.endpoints[name] = Endpoint(name, self.endpoint_ends, url, {})
            self._waits[name] = self.looks

    def deployment(self, endpoint: str, name: str) -> Deployment | None:
        """See `Workspace`."""
        with self._call("deployment"):
            found = self.deployments.get((endpoint, name))
            return found and replace(found, progress=self._seen((endpoint, name), found.progress))

    def start_deployment(self, endpoint: str, name: str, model: ModelVersion, run: str) -> None:
        """See `Workspace`."""
        with self._call("start_deployment"):
            key = (endpoint, name)
            if endpoint not in self.endpoints:
                raise WorkspaceRefusedError("workspace_refused", f"There is no endpoint {endpoint}.")
            if key in self.deployments and self.deployments[key].run == run:
                return
            if self.endpoints[endpoint].traffic.get(name):
                raise AssertionError(f"{name} takes traffic and must not be replaced")
            self.effects["deployment"] += 1
            self.deployments[key] = Deployment(name, self.deployment_ends, run)
            self.models_deployed[key] = model
            self._waits[key] = self.looks

    def start_traffic(self, endpoint: str, shares: Mapping[str, int]) -> None:
        """See `Workspace`."""
        with self._call("start_traffic"):
            found = self.endpoints.get(endpoint)
            if found is None or any((endpoint, name) not in self.deployments for name in shares):
                raise WorkspaceRefusedError("workspace_refused", f"There is no {sorted(shares)} at {endpoint}.")
            if sum(shares.values()) not in (0, 100):
                raise WorkspaceRefusedError("workspace_refused", f"The shares of {dict(shares)} are not 100 in all.")
            wanted = {name: share for name, share in shares.items() if share}
            if found.traffic != wanted:
                self.effects["traffic"] += 1
                self.endpoints[endpoint] = replace(found, traffic=wanted)
                self._waits[endpoint] = self.looks

    def cancel_job(self, name: str) -> None:
        """See `Workspace`."""
        with self._call("cancel_job"):
            job = self.jobs.get(name)
            if job is not None and job.looks >= 0:
                self.effects["cancel"] += 1
                job.looks, job.end = -1, "canceled"

    def delete_deployment(self, endpoint: str, name: str) -> None:
        """See `Workspace`; it is gone at once."""
        with self._call("delete_deployment"):
            if (endpoint, name) not in self.deployments:
                return
            if self.endpoints[endpoint].traffic.get(name):
                raise WorkspaceRefusedError("workspace_refused", f"{name} takes traffic and cannot be deleted.")
            self.effects["delete"] += 1
            del self.deployments[(endpoint, name)], self.models_deployed[(endpoint, name)]

    def archive(self, model: str, version: str) -> None:
        """See `Workspace`."""
        with self._call("archive"):
            if version in [each.version for each in self.versions[model]]:
                self.archived.add((model, version))

    def delete_endpoint(self, name: str) -> None:
        """What a person does by mistake."""
        with self._lock:
            self.endpoints.pop(name, None)
            for key in [key for key in self.deployments if key[0] == name]:
                del self.deployments[key], self.models_deployed[key]

    def _seen(self, key: object, end: Progress) -> Progress:
        if self._waits[key] > 0:
            self._waits[key] -= 1
            return "under way"
        return end

    @contextmanager
    def _call(self, method: str) -> Iterator[None]:
        """One call at a time, with the fault that was asked for before or after its effect."""
        with self._lock:
            self.calls[method] += 1
            faults = self.faults[method]
            if faults and not faults[0][1]:
                raise faults.popleft()[0]
            yield
            if faults and faults[0][1]:
                raise faults.popleft()[0]


def _tried(job: str) -> tuple[dict[str, Any], ...]:
    """What AutoML tried, of which the second is the best."""
    said = (("DecisionTree", 0.9), ("RandomForest", 0.95))
    return tuple(
        {"job": f"{job}_{number}", "algorithm": algorithm, "preprocessor": "MaxAbsScaler", "value": value}
        for number, (algorithm, value) in enumerate(said)
    )


def _point(job: TrainingJob, number: int) -> list[str]:
    """The command line of a trial, which takes the values of each space in turn."""
    given = ["--trial"]
    for name, space in job.tuning.space.items():
        values = space.values if isinstance(space, Choice) else (space.minimum, space.maximum)
        given += [f"--{name.replace('_', '-')}", str(values[number % len(values)])]
    return given
