"""`make demo`: a dataset is dropped, its model goes into service, a file is dropped and comes back scored; then a worse
dataset is rejected, and a better one takes over. `make demo DATASET=penguins` (or crimes): see `local.demo_tables`."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from local.cloud import LocalCloud, sole_user
from local.demo_tables import TABLES, TablePlay
from local.playing import FOLDER, DemoError, Play, Story, objections
from local.ports import COMPONENTS, Ports
from local.processes import LocalCloudError, StopRequestedError, stopping_on_signals
from local.sample_data import Reading, hourly_gas, in_litres, plain_csv, spanish_csv, with_faults

# somebody is watching: open runs are looked at every second
_HURRY = {"RECONCILE_SCHEDULE": "* * * * * *"}
_SEED = 20261101
_TRAINING_DAYS = 365
_SCORED_DAYS = 30
_NOISE = 0.12
_UNREADABLE = (40,)
_HOUR = timedelta(hours=1)
_LINES_SHOWN = 4
_METRICS_SHOWN = ("alert_rate", "recall", "detection")
_DATASET = "gas/consumption.csv"
_FILE = "gas/november.csv"
_WORSE = "gas/consumption_in_litres.csv"
_BETTER = "gas/consumption_with_november.csv"


def main(argv: Sequence[str] = ()) -> int:
    """The command; 0 when a scored file came back, 1 with the reason otherwise."""
    dataset = next(iter(argv), "gas")
    if dataset not in ("gas", *TABLES):
        print(f"There is a demo of {', '.join(('gas', *TABLES))}, not of {dataset}.", file=sys.stderr)
        return 1
    story = Story()
    with stopping_on_signals():
        try:
            with LocalCloud(_emptied(FOLDER), _ports(), scan_interval=0.25, settings=_HURRY) as cloud:
                story.tell("cloud up", "Azurite, Azure ML emulator, Functions host")
                (_Demo(cloud, story) if dataset == "gas" else TablePlay(cloud, story, dataset)).play()
        except StopRequestedError:
            print("\nStopped.")
            return 130
        except (DemoError, LocalCloudError) as error:
            print(f"\nThe demo failed after {story.seconds:.0f} s: {error}", file=sys.stderr)
            print(f"The logs are in {FOLDER / 'logs'}.", file=sys.stderr)
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


class _Demo(Play):
    """One run of the demo on a running cloud."""

    def __init__(self, cloud: LocalCloud, story: Story) -> None:
        super().__init__(cloud, story, "gas", _METRICS_SHOWN)
        clean = hourly_gas(datetime(2025, 11, 1), _TRAINING_DAYS + _SCORED_DAYS, _SEED, noise=_NOISE)  # noqa: DTZ001 - gas meters write local wall-clock time
        self._clean = clean
        self._training = clean[: _TRAINING_DAYS * 24]
        self._scored = with_faults(clean[_TRAINING_DAYS * 24 :])
        for row in _UNREADABLE:
            self._scored[row] = replace(self._scored[row], fault="unreadable reading")

    def play(self) -> None:
        """From the drop of the first dataset to the second model."""
        with self.blobs:
            self._train(_DATASET, self._training, "live")
            self.drop(
                "incoming", _FILE, spanish_csv(self._scored, unreadable=_UNREADABLE), f"{len(self._scored):,} rows"
            )
            run = self.follow(f"incoming/{_FILE}", "completed")
            worse = self._train(_WORSE, in_litres(self._clean), "rejected")
            better = self._train(_BETTER, self._clean, "live")
            folder = self.fetch_results()
        self._show(folder, run)
        print(f"\n{judged(_WORSE, worse)}\n{judged(_BETTER, better)}")
        print(f"\nEverything lies in {FOLDER}: datasets/, incoming/, results/, runs/ (copied out), logs/.")

    def _train(self, name: str, readings: Sequence[Reading], end: str) -> dict[str, Any]:
        self.drop("datasets", name, plain_csv(readings), f"{len(readings):,} hourly rows")
        return self.follow(f"datasets/{name}", end)

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
    sys.exit(main(sys.argv[1:]))
