"""Measures one large file whole, in parts on one Functions host, and in parts on two, in one run on one machine.

On a machine of few cores the hosts share them with the model's server and with the storage emulator: what it shows is
what the parts cost, and that two hosts share the work, not what many machines would gain.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

from benchmarks.stack import Stack, peak_memory, write_input
from local.cloud import LocalCloud
from local.functions.launch import FunctionsHost
from local.installing import ROOT
from local.ports import Ports
from local.processes import free_port

_WAYS = (("whole, one host", 0, 1), ("in parts, one host", 4_000_000, 1), ("in parts, two hosts", 4_000_000, 2))


@dataclass
class _Hosts:
    """Functions hosts on one cloud, all instances of one app."""

    cloud: LocalCloud
    folder: Path

    def running(self, stack: ExitStack, count: int, split: int) -> list[FunctionsHost]:
        hosts = []
        for number in range(count):
            host = FunctionsHost(
                ROOT,
                port=free_port(),
                environment={**self.cloud.environment, "SCORE_SPLIT_BYTES": str(split)},
                log=self.folder / f"host-{split}-{number}.log",
                options=("--host-id", "bench"),
            )
            hosts.append(stack.enter_context(host))
        return hosts


def _measure(stack: Stack, hosts: _Hosts, source: Path, split: int, count: int, name: str) -> tuple[float, list[int]]:
    """Seconds of the run, and the greatest memory of each host in bytes."""
    with ExitStack() as running:
        started = hosts.running(running, count, split)
        peaks = [running.enter_context(peak_memory(host.child.pid)) for host in started]
        run = stack.scored(source, name)
        times = [datetime.fromisoformat(step["at"]) for step in run["history"]]
        return (times[-1] - times[0]).total_seconds(), [peak[0] for peak in peaks]


def main() -> None:
    """Prints the ratios to the whole file's time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as parts:
        folder = Path(name)
        cloud = parts.enter_context(LocalCloud(folder / "cloud", Ports.free(), functions=False))
        stack, hosts = Stack(cloud), _Hosts(cloud, folder)
        with ExitStack() as first:
            hosts.running(first, 1, 0)
            stack.train(folder)
        source = folder / "large.csv"
        write_input(source, chosen.rows)
        seconds: dict[str, list[float]] = {}
        memory: dict[str, list[int]] = {}
        results = set()
        for number in range(chosen.runs):
            for place, (way, split, count) in enumerate(_WAYS):
                took, peaks = _measure(stack, hosts, source, split, count, f"{number}-{place}.csv")
                seconds.setdefault(way, []).append(took)
                memory[way] = [max(both) for both in zip(peaks, memory.get(way, peaks), strict=True)]
                results.add(stack.result(f"{number}-{place}_scored.csv"))
        print(
            f"{chosen.rows} rows, {source.stat().st_size} bytes, {chosen.runs} runs, {len(results)} different results"
        )
        for way, each in seconds.items():
            ratios = sorted(one / whole for one, whole in zip(each, seconds[_WAYS[0][0]], strict=True))
            spread = f"{median(ratios):.2f} of whole ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            print(f"{way}: {median(each):.1f} s, {spread}; peak", *(f"{peak / 1e6:.0f} MB" for peak in memory[way]))


if __name__ == "__main__":
    main()
