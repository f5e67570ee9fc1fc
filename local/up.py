"""`make up`: the local cloud in the foreground, until Ctrl-C."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from local.cloud import LocalCloud
from local.ports import COMPONENTS, Ports
from local.processes import Child, LocalCloudError, StopRequestedError, stop_requested, stopping_on_signals

_WATCH_SECONDS = 0.5


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0 after Ctrl-C or SIGTERM, 1 when something could not start or died."""
    options = _parser().parse_args(argv)
    ports = Ports(**{name: getattr(options, f"{name}_port") for name in COMPONENTS})
    cloud = LocalCloud(options.folder, ports, functions=not options.services_only)
    with stopping_on_signals():
        try:
            return _run(cloud)
        except StopRequestedError as stopped:
            print(f"\n{stopped}")
            return 0
        except LocalCloudError as error:
            print(f"\n{error}", file=sys.stderr)
            return 1


def _run(cloud: LocalCloud) -> int:
    print("Starting the local cloud …", flush=True)
    with cloud:
        print(panel(cloud), flush=True)
        dead = _watch(cloud.children)
        if dead is not None:
            print(f"\n{dead.obituary()}\n", file=sys.stderr)
            print("Stopping the rest. Start again with `make up`: what was stored is kept.", file=sys.stderr)
        else:
            print("\nStopping …", flush=True)
    if dead is None:
        print(f"Stopped. What was stored stays in {cloud.folder}.")
    return 0 if dead is None else 1


def _watch(children: Sequence[Child]) -> Child | None:
    """Wait for a request to stop (None), or for the first component to die."""
    while not stop_requested.wait(_WATCH_SECONDS):
        for child in children:
            if not child.running():
                return child
    return None


def panel(cloud: LocalCloud) -> str:
    """What a person needs to know to use a running cloud."""
    rows = [
        ("storage", cloud.azurite.blob_endpoint),
        ("Azure ML", f"{cloud.azureml.url}  (certificate: {cloud.environment['REQUESTS_CA_BUNDLE']})"),
    ]
    if "functions" in cloud.components:
        rows.append(("functions", f"{cloud.functions_url}/api/health"))
        title = "The local cloud is up."
    else:
        rows.append(("functions", "yours: cp local.settings.example.json local.settings.json && func start"))
        title = "Storage and Azure ML are up."
    rows += [
        ("training data", "drop it into container `datasets`, as gas/<file>.csv"),
        ("files to score", "drop them into container `incoming`, as gas/<file>.csv; see container `results`"),
        ("logs", str(cloud.logs)),
        ("stop", "Ctrl-C; what is stored stays"),
    ]
    lines = [f"  {name:<15} {value}" for name, value in rows]
    return "\n".join([title, "", *lines, "", "Connection string:", cloud.connection_string, ""])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.up", description=__doc__)
    parser.add_argument("--services-only", action="store_true", help="without the Functions host, for `func start`")
    parser.add_argument("--folder", type=Path, default=Path(".local"), help="state and logs (default: %(default)s)")
    for name, default in dataclasses.asdict(Ports()).items():
        what = f"of {COMPONENTS[name]} (default: %(default)s)"
        parser.add_argument(f"--{name}-port", type=int, default=default, metavar="PORT", help=what)
    return parser


if __name__ == "__main__":
    sys.exit(main())
