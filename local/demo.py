"""`make demo`: a dataset is dropped, its model goes into service, a file is dropped and comes back scored; then a worse
dataset is rejected, and a better one takes over."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobServiceClient

from local.cloud import LocalCloud, sole_user
from local.ports import COMPONENTS, Ports
from local.processes import LocalCloudError, StopRequestedError, stop_requested, stopping_on_signals
from local.sample_data import Reading, hourly_gas, in_litres, plain_csv, spanish_csv, with_faults

_FOLDER = Path(".local/demo")
_DEADLINE_SECONDS = 180.0
_POLL_SECONDS = 0.2
# somebody is watching: open runs are looked at every second
_HURRY = {"RECONCILE_SCHEDULE": "* * * * * *"}
_SEED = 20261101
_TRAINING_DAYS = 365
_SCORED_DAYS = 30
_NOISE = 0.12
_FIRST_SCORED_DAY = datetime(2026, 11, 1)  # noqa: DTZ001 - gas meters write local wall-clock time
_UNREADABLE = (40,)
_HOUR = timedelta(hours=1)
_AGAINST = re.compile(r", (below|above|more than) |could not be measured$")
_LINES_SHOWN = 4
_METRICS_SHOWN = ("alert_rate", "recall", "detection")
_DATASET = "gas/consumption.csv"
_FILE = "gas/november.csv"
_WORSE = "gas/consumption_in_litres.csv"
_BETTER = "gas/consumption_with_november.csv"
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


def main() -> int:
    """The command; 0 when a scored file came back, 1 with the reason otherwise."""
    story = Story()
    with stopping_on_signals():
        try:
            with LocalCloud(_emptied(_FOLDER), _ports(), scan_interval=0.25, settings=_HURRY) as cloud:
                story.tell("cloud up", "Azurite, Azure ML emulator, Functions host")
                _Demo(cloud, story).play()
        except StopRequestedError:
            print("\nStopped.")
            return 130
        except (DemoError, LocalCloudError) as error:
            print(f"\nThe demo failed after {story.seconds:.0f} s: {error}", file=sys.stderr)
            print(f"The logs are in {_FOLDER / 'logs'}.", file=sys.stderr)
            return 1
    print(f"\nDone in {story.seconds:.1f} s. Next: `make up`, and drop files of your own.")
    return 0


def _emptied(folder: Path) -> Path:
    """The folder of the demo without what an earlier one left; LocalCloudError while that one still runs."""
    with sole_user(folder):
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
    return folder


def _ports() -> Ports:
    taken = Ports().taken(list(COMPONENTS))
    if not taken:
        return Ports()
    numbers = ", ".join(str(getattr(Ports(), name)) for name in taken)
    print(f"          ports            {numbers} in use: taking free ones instead")
    return Ports.free()


class _Demo:
    """One run of the demo on a running cloud."""

    def __init__(self, cloud: LocalCloud, story: Story) -> None:
        self._cloud = cloud
        self._story = story
        self._blobs = BlobServiceClient.from_connection_string(cloud.connection_string)
        clean = hourly_gas(datetime(2025, 11, 1), _TRAINING_DAYS + _SCORED_DAYS, _SEED, noise=_NOISE)  # noqa: DTZ001 - as above
        self._clean = clean
        self._training = clean[: _TRAINING_DAYS * 24]
        self._scored = with_faults(clean[_TRAINING_DAYS * 24 :])
        for row in _UNREADABLE:
            self._scored[row] = replace(self._scored[row], fault="unreadable reading")

    def play(self) -> None:
        """From the drop of the first dataset to the second model."""
        with self._blobs:
            self._train(_DATASET, self._training, "live")
            self._drop(
                "incoming", _FILE, spanish_csv(self._scored, unreadable=_UNREADABLE), f"{len(self._scored):,} rows"
            )
            run = self._follow(f"incoming/{_FILE}", "completed")
            worse = self._train(_WORSE, in_litres(self._clean), "rejected")
            better = self._train(_BETTER, self._clean, "live")
            folder = self._fetch_results()
        self._show(folder, run)
        print(f"\n{judged(_WORSE, worse)}\n{judged(_BETTER, better)}")
        print(f"\nEverything lies in {_FOLDER}: datasets/, incoming/, results/, runs/ (copied out), logs/.")

    def _train(self, name: str, readings: Sequence[Reading], end: str) -> dict[str, Any]:
        self._drop("datasets", name, plain_csv(readings), f"{len(readings):,} hourly rows")
        return self._follow(f"datasets/{name}", end)

    def _drop(self, container: str, name: str, text: str, size: str) -> None:
        try:
            self._blobs.get_blob_client(container, name).upload_blob(text.encode())
        except ResourceNotFoundError as error:
            raise DemoError(f"the app has not made the container {container!r}") from error
        kind = "dataset dropped" if container == "datasets" else "file dropped"
        self._story.tell(kind, f"{container}/{name} ({size})")

    def _follow(self, blob: str, end: str) -> dict[str, Any]:
        """Tell each state that the run of this blob enters, until the end that it is meant to come to; its record."""
        told = 0
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while True:
            run = self._find_run(blob)
            history = run["history"] if run else []
            for step in history[told:]:
                self._story.tell(f"  {step['state']}", describe(step, run))
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
        container = self._blobs.get_container_client("runs")
        try:
            names = list(container.list_blob_names(name_starts_with="gas/"))
        except ResourceNotFoundError:
            return {}
        for name in names:
            run: dict[str, Any] = json.loads(container.download_blob(name).readall())
            if run["blob"] == blob:
                return run
        return {}

    def _check_cloud(self) -> None:
        for child in self._cloud.children:
            if not child.running():
                raise LocalCloudError(child.obituary())
        if stop_requested.wait(_POLL_SECONDS):
            raise StopRequestedError("Stopped.")

    def _fetch_results(self) -> Path:
        """Copy what the app wrote out of the storage, which stops with the demo."""
        for container in ("datasets", "incoming", "results", "runs"):
            client = self._blobs.get_container_client(container)
            for name in client.list_blob_names():
                path = _FOLDER / container / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(client.download_blob(name).readall())
        return _FOLDER / "results/gas"

    def _show(self, folder: Path, run: dict[str, Any]) -> None:
        scored = (folder / "november_scored.csv").read_text(encoding="utf-8")
        print("\nresults/gas/november_scored.csv begins:")
        for line in scored.splitlines()[:_LINES_SHOWN]:
            print(f"  {line}")
        manifest = json.loads((folder / "november_manifest.json").read_text(encoding="utf-8"))
        print(f"\n{found(manifest['events'], self._scored)}")
        counts = ", ".join(f"{name} {number}" for name, number in run["counts"].items())
        print(f"\nIts manifest counts: {counts}. Drift: {manifest['drift']['verdict']}.")
        print(f"The page for a person: {folder / 'november_report.html'}")


def describe(step: dict[str, Any], run: dict[str, Any]) -> str:
    """What is worth saying about a state that a run entered."""
    if step["state"] == "evaluated":
        metrics = run.get("metrics") or {}
        return ", ".join(f"{name} {metrics[name]:.3g}" for name in _METRICS_SHOWN if name in metrics)
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


def judged(name: str, run: Mapping[str, Any]) -> str:
    """What the gate said of a dataset's model, in a few lines."""
    if not run["verdict"]["promote"]:
        lines = [f"Rejected: datasets/{name}; the model in service stayed. The gate's reasons:"]
        return "\n".join([*lines, *(f"  {reason}" for reason in objections(run))])
    lines = [f"Promoted: datasets/{name}, as version {run['model_version']}. Beside the model that was in service:"]
    for rows, prefix in (("its own held-out rows", "fresh_"), ("those of the model in service", "reference_")):
        pairs = [
            f"{name} {run['metrics'][prefix + name]:.3g} ({run['champion']['metrics'][prefix + name]:.3g})"
            for name in _METRICS_SHOWN
        ]
        lines.append(f"  on {rows:<30} {', '.join(pairs)}")
    return "\n".join(lines)


def found(events: Mapping[str, Any], readings: Sequence[Reading]) -> str:
    """The events of a manifest in its own words, beside what was really done to their rows, and how many of the faults
    were hit."""
    faults = {reading.fault for reading in readings if reading.fault}
    hit: set[str] = set()
    lines = ["Found; on the right, what the generator had done:"]
    for event in events["items"]:
        begin, end = (datetime.fromisoformat(event[name]) for name in ("start", "end"))
        since = begin - _HOUR if event["kind"] == "gap" else begin  # the row that is missing comes before
        causes = dict.fromkeys(each.fault for each in readings if since <= each.time <= end and each.fault)
        hit |= causes.keys()
        volume = "" if (excess := event["volume"]["excess"]) is None else f"{excess:+,.0f} m³"
        span = f"{begin:%d/%m %H:%M} to {end:%d/%m %H:%M}"
        lines.append(f"  {span}  {event['kind']:<10} {volume:>12}  {', '.join(causes) or 'false alarm'}")
        lines.append(f"    {event['reason']}")
    lines.append(f"Faults found: {len(hit)} of {len(faults)} ({', '.join(sorted(hit)) or 'none'}).")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
