"""AutoML jobs: a search in a process of its own, each model that it tries a child job, the best of them named.

Classification of numbers, by the algorithms of `local.azureml.search`. Where the cloud's search is cut short by its
limits it ends with the best so far, and so does this one.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path

from .blobs import Blobs, MissingDataError
from .commands import require_durations, seconds
from .config import Config
from .errors import ArmError, Json, not_emulated, user_error
from .parents import Parents
from .processes import child_environment, end_group
from .references import References
from .runs import Runs
from .store import Store
from .workspace import ARTIFACT_DATASTORE

_ROOT = Path(__file__).resolve().parents[2]
_METRICS = ("Accuracy", "AUCWeighted", "AveragePrecisionScoreWeighted", "NormMacroRecall", "PrecisionScoreWeighted")
_LIMITS: Json = {
    "maxTrials": 1000,
    "trialTimeout": "PT30M",
    "timeout": "PT6H",
    "maxConcurrentTrials": 1,
    "maxNodes": 1,
    "maxCoresPerTrial": -1,
    "exitScore": None,
    "enableEarlyTermination": True,
    "sweepTrials": 0,
    "sweepConcurrentTrials": 0,
}
_TRAINING: Json = {
    "enableOnnxCompatibleModels": False,
    "stackEnsembleSettings": None,
    "enableStackEnsemble": True,
    "enableVoteEnsemble": True,
    "ensembleModelDownloadTimeout": "PT5M",
    "enableModelExplainability": True,
    "enableDnnTraining": False,
    "trainingMode": "Auto",
    "allowedTrainingAlgorithms": None,
    "blockedTrainingAlgorithms": None,
}
"""What a job has that says nothing of it, as the service answers."""


class AutoML(Parents):
    """Runs the AutoML jobs of the store. `start_child` writes a job that has completed into it."""

    kind = "AutoML"

    def __init__(self, config: Config, store: Store, runs: Runs, blobs: Blobs, references: References) -> None:
        super().__init__(store, runs)
        self._config = config
        self._blobs = blobs
        self._references = references
        self._folder = config.state / "automl"

    def check(self, asked: Json) -> None:
        """ArmError for a job that could not run, or that only the cloud can run."""
        details = asked.get("taskDetails") or {}
        if details.get("taskType") != "Classification":
            raise not_emulated(f"AutoML for {details.get('taskType')}")
        if not details.get("targetColumnName") or not (details.get("trainingData") or {}).get("uri"):
            raise user_error("An AutoML job needs trainingData and a targetColumnName.")
        if details.get("primaryMetric", "Accuracy") not in _METRICS:
            raise user_error(f"There is no primaryMetric {details.get('primaryMetric')}.")
        if str((details.get("featurizationSettings") or {}).get("mode")).lower() != "off":
            raise not_emulated("featurization by AutoML")
        training = _TRAINING | (details.get("trainingSettings") or {})
        if training["enableStackEnsemble"] or training["enableVoteEnsemble"]:
            raise not_emulated("ensembles of AutoML")
        if asked.get("outputs"):
            raise not_emulated("MLflow models of AutoML as outputs")
        require_durations(details.get("limitSettings"), "timeout", "trialTimeout")
        # ArmError when the datastore behind it is unknown
        self._references.location(str(details["trainingData"]["uri"]))

    def own_properties(self, asked: Json) -> Json:
        """What an AutoML job has beside what every job has."""
        details = {"primaryMetric": "Accuracy", **asked["taskDetails"]}
        details["featurizationSettings"] = details["featurizationSettings"] | {"mode": "Off"}
        details["limitSettings"] = _LIMITS | (details.get("limitSettings") or {})
        details["trainingSettings"] = _TRAINING | (details.get("trainingSettings") or {})
        about = {"runTemplate": "AutoML", "azureml.runsource": "automl", "task_type": "classification"}
        return {
            "status": "NotStarted",
            "taskDetails": details,
            "properties": (asked.get("properties") or {})
            | about
            | {"primary_metric": details["primaryMetric"].lower()},
        }

    async def _work(self, name: str) -> None:
        tried: list[Json] = []
        details = self._job(name)["properties"]["taskDetails"]
        limit = str(details["limitSettings"]["timeout"])
        try:
            async with asyncio.timeout(seconds(limit)):
                problem = await self._search(name, details, tried)
        except TimeoutError:
            problem = f"The search ran longer than its limit of {limit}."
        except (ArmError, MissingDataError) as error:
            problem = f"Unable to mount or download data: {error}"
        finally:
            await asyncio.to_thread(shutil.rmtree, self._folder / name, ignore_errors=True)
        self._conclude(name, tried, problem)

    def _children(self, name: str) -> list[str]:
        return self._numbered(name)

    async def _search(self, name: str, details: Json, tried: list[Json]) -> str | None:
        """Runs the process and keeps what it has tried; what went wrong, in words."""
        folder, found = self._folder / name, self._folder / name / "found"
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        found.mkdir(parents=True)
        (folder / "request.json").write_text(json.dumps(details), encoding="utf-8")
        source = self._references.location(str(details["trainingData"]["uri"]))
        table = await asyncio.to_thread(self._blobs.download, source, folder / "table")
        self._set(name, {"status": "Running"})
        log = folder / "log.txt"
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", f"{__package__}.search", table, folder / "request.json", found),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                cwd=_ROOT,
                env=child_environment(self._config) | {"OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )
        try:
            assert process.stdout is not None, "a pipe was asked for"
            async for line in process.stdout:
                said = json.loads(line)
                await self._keep(name, len(tried), said, found)
                tried.append(said)
            code = await process.wait()
        finally:
            await end_group(process)
        return f"The search failed. {log.read_text(errors='replace').strip()[-2000:]}" if code else None

    async def _keep(self, name: str, number: int, said: Json, found: Path) -> None:
        """The child job of a model that was tried, and its files."""
        parent, child = self._job(name)["properties"], f"{name}_{number}"
        place = self._references.location(
            f"azureml://datastores/{ARTIFACT_DATASTORE}/ExperimentRun/dcid.{child}/outputs"
        )
        await asyncio.to_thread(self._blobs.upload, found / str(number), place)
        about = {
            "runTemplate": "automl_child",
            "iteration": str(number),
            "primary_metric": parent["properties"]["primary_metric"],
            "score": str(said["score"]),
            "run_algorithm": said["algorithm"],
            "run_preprocessor": said["preprocessor"],
        }
        kept = {key: parent[key] for key in ("experimentName", "computeId", "taskDetails")}
        self.start_child(child, {"jobType": "AutoML", "parentJobName": name, "properties": about, "tags": {}, **kept})

    def _conclude(self, name: str, tried: list[Json], problem: str | None) -> None:
        """Name the best of what was tried; a search that tried nothing has failed."""
        if not tried:
            self._end(name, "Failed", problem or "None of AutoML's algorithms is allowed that could be tried.")
            return
        best = max(range(len(tried)), key=lambda number: (tried[number]["score"], -number))
        tags = {
            "iteration_000": ";".join(str(number) for number in range(len(tried))),
            "run_algorithm_000": ";".join(each["algorithm"] for each in tried),
            "run_preprocessor_000": ";".join(each["preprocessor"] for each in tried),
            "score_000": ";".join(str(each["score"]) for each in tried),
            "automl_best_child_run_id": f"{name}_{best}",
        }
        self._set(name, {"tags": self._job(name)["properties"]["tags"] | tags})
        self._end(name, "Completed")
