"""What every demo does: drop a blob, follow its run to the end that it is meant to come to, copy the results out."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobServiceClient

from local.cloud import LocalCloud
from local.processes import LocalCloudError, StopRequestedError, stop_requested

FOLDER = Path(".local/demo")
_DEADLINE_SECONDS = 180.0
_POLL_SECONDS = 0.2
_AGAINST = re.compile(r", (below|above|more than) |could not be measured$")
_ENDS = frozenset({"live", "completed", "rejected", "superseded", "invalid", "failed"})


class DemoError(Exception):
    """The demo did not come to a good end; the message says why."""


class Story:
    """Prints what happens, each line with the seconds since the beginning."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def tell(self, what: str, detail: str = "") -> None:
        """One line."""
        print(f"{self.seconds:6.1f} s  {what:<16} {detail}".rstrip(), flush=True)


class Play:
    """One run of a demo on a running cloud.

    Args:
        metrics: those that are worth a word when a model has been evaluated.
    """

    def __init__(self, cloud: LocalCloud, story: Story, dataset: str, metrics: tuple[str, ...]) -> None:
        self.cloud = cloud
        self.story = story
        self.dataset = dataset
        self.metrics = metrics
        self.blobs = BlobServiceClient.from_connection_string(cloud.connection_string)

    def drop(self, container: str, name: str, text: str | bytes, size: str) -> None:
        """Drop a text as a blob."""
        try:
            self.blobs.get_blob_client(container, name).upload_blob(text.encode() if isinstance(text, str) else text)
        except ResourceNotFoundError as error:
            raise DemoError(f"the app has not made the container {container!r}") from error
        kind = "dataset dropped" if container == "datasets" else "file dropped"
        self.story.tell(kind, f"{container}/{name} ({size})")

    def follow(self, blob: str, end: str) -> dict[str, Any]:
        """Tell each state that the run of this blob enters, until the end that it is meant to come to; its record."""
        told = 0
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while True:
            run = self._find_run(blob)
            history = run["history"] if run else []
            for step in history[told:]:
                self.story.tell(f"  {step['state']}", describe(step, run, self.metrics))
            told = len(history)
            state = history[-1]["state"] if history else "not yet seen"
            if run and state == end:
                return run
            if run and state in _ENDS:
                raise DemoError(f"the run of {blob} ended {state}: {why(run)}")
            if time.monotonic() > deadline:
                raise DemoError(f"{blob} is {state} after {_DEADLINE_SECONDS:.0f} s; {why(run or {})}")
            self._check_cloud()

    def _find_run(self, blob: str) -> dict[str, Any]:
        """The record of the blob's run, read as anybody would read it; empty when there is none yet."""
        container = self.blobs.get_container_client("runs")
        try:
            names = list(container.list_blob_names(name_starts_with=f"{self.dataset}/"))
        except ResourceNotFoundError:
            return {}
        for name in names:
            run: dict[str, Any] = json.loads(container.download_blob(name).readall())
            if run["blob"] == blob:
                return run
        return {}

    def _check_cloud(self) -> None:
        for child in self.cloud.children:
            if not child.running():
                raise LocalCloudError(child.obituary())
        if stop_requested.wait(_POLL_SECONDS):
            raise StopRequestedError("Stopped.")

    def fetch_results(self) -> Path:
        """Copy what the app wrote out of the storage, which stops with the demo."""
        for container in ("datasets", "incoming", "results", "runs"):
            client = self.blobs.get_container_client(container)
            for name in client.list_blob_names():
                path = FOLDER / container / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(client.download_blob(name).readall())
        return FOLDER / "results" / self.dataset


def describe(step: dict[str, Any], run: dict[str, Any], metrics_shown: tuple[str, ...]) -> str:
    """What is worth saying about a state that a run entered."""
    if step["state"] == "evaluated":
        metrics = run.get("metrics") or {}
        return ", ".join(f"{name} {metrics[name]:.3g}" for name in metrics_shown if name in metrics)
    if step["state"] == "rejected":
        return f"{len(objections(run))} of {len(run['verdict']['reasons'])} rules of the gate object"
    return str(step.get("note") or "")


def why(run: dict[str, Any]) -> str:
    """The record's own words for what went wrong."""
    error = run.get("error")
    if error:
        return f"{error['code']}: {error['message']}"
    verdict = run.get("verdict") or {}
    return "; ".join(verdict.get("reasons", [])) or "its record names no error"


def objections(run: Mapping[str, Any]) -> list[str]:
    """The reasons of the verdict that speak against the new model."""
    return [reason for reason in run["verdict"]["reasons"] if _AGAINST.search(reason)]
