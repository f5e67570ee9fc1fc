"""The figures of a run of the benchmarks as the Markdown that docs/benchmarks.md shows, each goal with its verdict."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from typing import Any

from local.installing import ROOT

WAYS = ("stack", "plain", "earlier")


def heading(command: str) -> str:
    """When, of what, where and by which command the figures are."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit or 'unknown'}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}; `{command}`."
    )


def ways(results: list[dict[str, Any]]) -> str:
    """The stack beside the simpler ways, one row for each size and way."""
    lines = [
        "| rows | way | seconds | rows/s | peak MB | stack's time / this | rows scored otherwise |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    for entry in results:
        for way in WAYS:
            figures = entry[way]
            if "note" in figures:
                lines.append(f"| {entry['rows']:,} | {way} | - | - | - | - | {figures['note']} |")
                continue
            ratio = entry.get(f"stack/{way}", 1.0)
            lines.append(
                f"| {entry['rows']:,} | {way} | {figures['seconds']:.2f} | {figures['rows_per_second']:,} "
                f"| {figures['peak_mb']:,} | {ratio:.2f} | {figures['rows_scored_otherwise']} |"
            )
    return "\n".join(lines)


def outside(share: dict[str, Any]) -> str:
    """Where the stack's CPU goes for one file, and what of it is the model's own evaluation."""
    total = sum(share["cpu"].values())
    lines = [f"| {share['rows']:,} rows | CPU seconds |", "|---|---:|"]
    lines += [f"| {part} | {seconds:.2f} |" for part, seconds in sorted(share["cpu"].items())]
    lines += [f"| all of the stack | {total:.2f} |", f"| the model's evaluation alone | {share['alone_cpu']:.2f} |"]
    return "\n".join(lines)


def growth(entries: list[dict[str, Any]]) -> str:
    """Seconds and peak memory by size, of the stack alone."""
    lines = ["| rows | seconds | rows/s | peak MB of the functions process |", "|---:|---:|---:|---:|"]
    for entry in entries:
        lines.append(
            f"| {entry['rows']:,} | {entry['seconds']:.2f} | {round(entry['rows'] / entry['seconds']):,} "
            f"| {entry['peak_mb']} |"
        )
    return "\n".join(lines)


def goals(found: list[tuple[str, str, bool]]) -> str:
    """What was to be reached, what was measured, and whether it is enough."""
    lines = ["| goal | measured | |", "|---|---:|---|"]
    lines += [f"| {goal} | {measured} | {'reached' if good else '**not reached**'} |" for goal, measured, good in found]
    return "\n".join(lines)


def of_comparison(entry: dict[str, Any], share: dict[str, Any], daily: dict[str, Any], retrained_mb: int) -> str:
    """The goals that `make bench` decides; `entry` is the largest size's."""
    rows, seconds = f"{entry['rows']:,} rows", float(entry["stack"]["seconds"])
    found = []
    for way, most in (("plain", 0.5), ("earlier", 0.1)):
        if f"stack/{way}" in entry:
            ratio = entry[f"stack/{way}"]
            found.append((f"{rows}: time / {way} at most {most:g}", f"{ratio:.2f}", ratio <= most))
    total = sum(share["cpu"].values())
    by_cpu, by_clock = 1 - share["alone_cpu"] / total, 1 - share["alone_seconds"] / seconds
    found += [
        (f"{rows}: CPU outside the model's evaluation under a third", f"{by_cpu:.0%}", by_cpu < 1 / 3),
        (
            f"{rows}: time outside the model's evaluation on the same cores under a third",
            f"{by_clock:.0%}",
            by_clock < 1 / 3,
        ),
        ("24 rows: the app's own time under 0.3 s (median)", f"{daily['seconds']:.3f} s", daily["seconds"] < 0.3),
        (
            "functions process that scores only: peak under 300 MB",
            f"{entry['stack']['peak_mb']} MB",
            entry["stack"]["peak_mb"] < 300,
        ),
        ("functions process that has retrained: peak under 300 MB", f"{retrained_mb} MB", retrained_mb < 300),
    ]
    return goals(found)


def tables(entries: list[dict[str, Any]]) -> str:
    """Classified files by the stack and by the plain script, the CPU of each process of both, and the goals."""
    lines = [
        "| rows of crimes | way | seconds | rows/s | CPU seconds | peak MB | script's time / stack's |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    parts = ["| rows of crimes | process | CPU seconds |", "|---:|---|---:|"]
    found = []
    for entry in entries:
        rows, ratio = f"{entry['rows']:,}", entry["plain/stack"]
        for way in ("stack", "plain"):
            told = entry[way]
            lines.append(
                f"| {rows} | {way} | {told['seconds']:.2f} | {told['rows_per_second']:,} "
                f"| {sum(told['cpu'].values()):.2f} | {told['peak_mb']:,} | {ratio if way == 'plain' else 1:.2f} |"
            )
            parts += [f"| {rows} | {part} | {seconds:.2f} |" for part, seconds in sorted(told["cpu"].items())]
        other = entry["rows_answered_otherwise"]
        turns = ", ".join(f"{each:.2f}" for each in entry["turns"])
        found.append((f"{rows} crimes: no slower than the script", f"{ratio:.2f} (turns: {turns})", ratio >= 1))
        found.append((f"{rows} crimes: rows answered otherwise", f"{other:,}", other == 0))
    return "\n\n".join(["\n".join(lines), "\n".join(parts), goals(found)])


def of_growth(entries: list[dict[str, Any]]) -> str:
    """The goals that `make bench-large` decides."""
    small, large = entries[0], entries[-1]
    most = 1.05 * large["rows"] / small["rows"]
    ratio, memory = large["seconds"] / small["seconds"], large["peak_mb"] / small["peak_mb"]
    return goals(
        [
            (
                f"{large['rows']:,} rows: at most {most:g} times the time of {small['rows']:,}",
                f"{ratio:.2f}",
                ratio <= most,
            ),
            ("peak memory of both within 20 %", f"{memory:.2f}", 1 / 1.2 <= memory <= 1.2),
            ("peak memory under 300 MB", f"{large['peak_mb']} MB", max(large["peak_mb"], small["peak_mb"]) < 300),
        ]
    )
