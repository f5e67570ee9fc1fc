"""Sweep jobs: trials drawn from a search space, run as command jobs, watched by what they log; the best is named."""

from __future__ import annotations

import asyncio
import json
import random
import re
from typing import Any

from .commands import require_durations, seconds
from .errors import Json, user_error
from .metrics import Metrics
from .parents import Parents
from .policies import laggards
from .policies import require_known as require_known_policy
from .runs import TERMINAL, Runs
from .sampling import Point, Sampler
from .sampling import require_known as require_known_space
from .store import Store

_REFERENCE = re.compile(r"\$\{\{\s*search_space\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_TRIALS = 1000  # the service's own limit


class Sweeps(Parents):
    """Runs the sweeps of the store."""

    kind = "Sweep"

    def __init__(self, store: Store, runs: Runs, metrics: Metrics) -> None:
        super().__init__(store, runs)
        self._metrics = metrics
        self._metrics.noticed = self._stir
        self._stirred: dict[str, asyncio.Event] = {}

    def trial_to_check(self, asked: Json) -> Json:
        """One trial as the command job that it will be. ArmError for a sweep that could not run."""
        objective, limits = asked.get("objective") or {}, asked.get("limits") or {}
        if not objective.get("primaryMetric") or str(objective.get("goal")).lower() not in ("maximize", "minimize"):
            raise user_error("A sweep needs an objective: a primaryMetric, and a goal to Maximize or Minimize.")
        if not 1 <= int(limits.get("maxTotalTrials") or _TRIALS) <= _TRIALS:
            raise user_error(f"maxTotalTrials must be from 1 to {_TRIALS}.")
        space, algorithm = asked.get("searchSpace") or {}, asked.get("samplingAlgorithm") or {}
        require_known_space(space, algorithm, asked.get("earlyTermination"))
        require_known_policy(asked.get("earlyTermination"))
        command = str((asked.get("trial") or {}).get("command") or "")
        for name in _REFERENCE.findall(command):
            if name not in space:
                raise user_error(f"The command refers to search_space.{name}, which the sweep does not have.")
        require_durations(limits, "timeout", "trialTimeout")
        return _trial(asked, asked.get("outputs"), "", dict.fromkeys(space, 0))

    def own_properties(self, name: str, asked: Json) -> Json:
        """What a sweep has beside what every job has."""
        objective = {"name": asked["objective"]["primaryMetric"], "goal": str(asked["objective"]["goal"]).lower()}
        about = {"primary_metric_config": json.dumps(objective), "runTemplate": "HyperDrive", "platform": "AML"}
        algorithm: Json = asked["samplingAlgorithm"]
        if algorithm["samplingAlgorithmType"] == "Random":
            algorithm = {"seed": None, "logbase": None, "rule": "Random"} | algorithm
        # the outputs as they were asked for: an address may name the trial
        kept = {"seed": algorithm.get("seed") or random.randrange(2**31), "outputs": asked.get("outputs") or {}}
        self._store.put(f"sweeps/{name}", kept)
        return {
            "status": "Running",
            "properties": (asked.get("properties") or {}) | about | {"azureml.runsource": "hyperdrive"},
            "samplingAlgorithm": algorithm,
            "earlyTermination": asked.get("earlyTermination"),
            "objective": asked["objective"] | {"goal": objective["goal"].title()},
        }

    async def _work(self, name: str) -> None:
        self._stirred[name] = asyncio.Event()
        sweep = self._job(name)["properties"]
        timeout = (sweep.get("limits") or {}).get("timeout")
        try:
            async with asyncio.timeout(seconds(timeout) if timeout else None):
                await self._trials(name, sweep)
        except TimeoutError:
            await self._end_children(name)
            self._end(name, "Canceled", f"The sweep ran longer than its limit of {timeout} and was ended.")
        else:
            self._conclude(name, sweep)

    async def _trials(self, name: str, sweep: Json) -> None:
        """Keep as many trials running as the limits allow, until there are no more."""
        limits = sweep.get("limits") or {}
        total, at_once = int(limits.get("maxTotalTrials") or _TRIALS), int(limits.get("maxConcurrentTrials") or _TRIALS)
        kept = self._store.get(f"sweeps/{name}") or {}
        goal = sweep["objective"]["goal"]
        sampler = Sampler(sweep["searchSpace"], sweep["samplingAlgorithm"], goal, kept["seed"])
        started = 1 + max((int(child.rpartition("_")[2]) for child in self._children(name)), default=-1)
        for _ in range(started):
            sampler.draw()
        told: set[int] = set()
        while True:
            trials = [_child(name, number) for number in range(started)]
            running = [trial for trial in trials if self._status_of_child(trial) not in TERMINAL]
            for number in set(range(started)) - told:
                if (trial := trials[number]) not in running:
                    told.add(number)
                    sampler.tell(number, self._best(trial, sweep) if self._status(trial) == "Completed" else None)
            while len(running) < at_once and started < total and (point := sampler.draw()) is not None:
                running.append(_child(name, started))
                self.start_child(_child(name, started), _trial(sweep, kept["outputs"], name, point))
                started += 1
            if not running:
                return
            await self._something_happens(name, running)
            self._end_laggards(name, sweep)

    async def _something_happens(self, name: str, running: list[str]) -> None:
        """Until a trial has ended or logged something."""
        stirred = self._stirred[name]
        logged = asyncio.create_task(stirred.wait())
        try:
            await asyncio.wait([logged, *self._ends(running)], return_when=asyncio.FIRST_COMPLETED)
        finally:
            logged.cancel()
            stirred.clear()

    def _end_laggards(self, name: str, sweep: Json) -> None:
        metric, goal = sweep["objective"]["primaryMetric"], sweep["objective"]["goal"]
        histories = {child: self._metrics.history(child, metric) for child in self._children(name)}
        logged = {child: values for child, values in histories.items() if values}
        for child in laggards(sweep.get("earlyTermination"), logged, goal):
            if self._status(child) not in (*TERMINAL, "CancelRequested"):
                self._runs.cancel(child)

    def _conclude(self, name: str, sweep: Json) -> None:
        """Name the best of the trials that completed; a sweep without one has failed."""
        children = self._children(name)
        completed = [child for child in children if self._status(child) == "Completed"]
        if not completed:
            errors = {child: self._error_of_child(child) for child in children}
            why = next((f"{child}: {error}" for child, error in errors.items() if error), "")
            self._end(name, "Failed", f"No trial of the sweep completed. {why}".strip())
            return
        sign = 1.0 if sweep["objective"]["goal"].lower() == "maximize" else -1.0
        scores = {child: value for child in completed if (value := self._best(child, sweep)) is not None}
        found: Json = {"best_metric_status": "Failed"}
        if scores:
            best = max(scores, key=lambda child: sign * scores[child])
            found = {"best_child_run_id": best, "score": str(scores[best]), "best_metric_status": "Succeeded"}
            found |= {"best_data_container_id": f"dcid.{best}"}
        self._set(name, {"properties": self._job(name)["properties"]["properties"] | found})
        self._end(name, "Completed")

    def _best(self, child: str, sweep: Json) -> float | None:
        values = self._metrics.history(child, sweep["objective"]["primaryMetric"])
        if not values:
            return None
        return max(values) if sweep["objective"]["goal"].lower() == "maximize" else min(values)

    def _stir(self, job: str) -> None:
        parent = self._job(job)["properties"]["parentJobName"]
        if parent in self._stirred:
            self._stirred[parent].set()

    def _children(self, name: str) -> list[str]:
        return self._numbered(name)


def _child(name: str, number: int) -> str:
    return f"{name}_{number}"


def _trial(sweep: Json, outputs: Json | None, parent: str, point: Point) -> Json:
    """The command job that tries a point."""
    trial: Json = sweep["trial"]
    limits = sweep.get("limits") or {}
    timeout = {"jobLimitsType": "Command", "timeout": limits["trialTimeout"]} if limits.get("trialTimeout") else None
    variables = (trial.get("environmentVariables") or {}) | {f"AZUREML_SWEEP_{k}": _text(v) for k, v in point.items()}
    return {
        "jobType": "Command",
        "parentJobName": parent or None,
        "command": _REFERENCE.sub(lambda match: _text(point[match[1]]), str(trial.get("command") or "")),
        "codeId": trial.get("codeId"),
        "environmentId": trial.get("environmentId"),
        "environmentVariables": variables,
        "computeId": sweep.get("computeId"),
        "experimentName": sweep.get("experimentName"),
        "inputs": sweep.get("inputs") or {},
        "outputs": outputs or {},
        "limits": timeout,
        "tags": {"hyperparameters": json.dumps(point)},
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
