"""The figures as one Markdown table each, and their place in a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from aml.faults import FAULTS
from benchmarks.detection.labelled_run import LabelledResult
from benchmarks.detection.simulation import RATES, SimulatedResult

_BEGIN, _END = "<!-- {name}: begin -->", "<!-- {name}: end -->"

_SIMULATED = (
    *(f"recall at {rate:.1%}" for rate in RATES),
    *(f"any row, {rate:.1%}" for rate in RATES),
    "ROC AUC",
    "AP",
    "VUS-PR",
    "alerts on clean rows",
    "fit, s",
    "µs a row",
)
_AREAS = ("roc_auc", "average_precision", "vus_pr")
_LABELLED = (
    "refit",
    "ROC AUC",
    "AP",
    "VUS-PR",
    "NAB, own scores",
    "NAB, episodes",
    "NAB, alarms",
    "fit, s",
    "µs a row",
)


def simulated_table(results: Mapping[str, SimulatedResult]) -> str:
    """One line for each detector on simulated meters."""
    return _markdown(["detector", *_SIMULATED], [[name, *_simulated_row(result)] for name, result in results.items()])


def kinds_table(results: Mapping[str, SimulatedResult]) -> str:
    """One line for each kind of fault, one column for each detector: recall at each of the rates."""
    names = [fault.name for fault in FAULTS if any(fault.name in result.recalls for result in results.values())]
    lines = [
        [f"`{kind}`", *(" / ".join(f"{share:.2f}" for share in result.recall(kind)) for result in results.values())]
        for kind in names
    ]
    return _markdown(["kind", *results], lines)


def labelled_table(results: Mapping[tuple[str, bool], LabelledResult]) -> str:
    """One line for each detector, with and without refitting, on labelled series."""
    lines = []
    for (name, refit), result in results.items():
        figures = [f"{area:.3f}" for area in result.areas] + [f"{score:.1f}" for score in result.nab]
        lines.append([name, "yes" if refit else "no", *figures, *_cost(result)])
    return _markdown(["detector", *_LABELLED], lines)


def write_between(page: Path, name: str, text: str) -> None:
    """Replace what stands between the page's two marks of that name.

    Raises:
        ValueError: the page has no such marks.
    """
    content = page.read_text(encoding="utf-8")
    begin, end = _BEGIN.format(name=name), _END.format(name=name)
    before, mark, rest = content.partition(begin)
    _, other, after = rest.partition(end)
    if not mark or not other:
        raise ValueError(f"{page} has no {begin} … {end}")
    page.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}", encoding="utf-8")


def _simulated_row(result: SimulatedResult) -> list[str]:
    areas = [np.mean([getattr(one, name) for one in result.rankings]) for name in _AREAS]
    recalls = [*result.mean_recall, *result.lenient_recall]
    alerts = f"{np.mean(result.alert_rates):.2%}" if result.alert_rates else ""
    return [*(f"{share:.2f}" for share in recalls), *(f"{area:.3f}" for area in areas), alerts, *_cost(result)]


def _cost(result: SimulatedResult | LabelledResult) -> list[str]:
    cost = result.cost
    return [f"{cost.fit_seconds / max(cost.fits, 1):.2f}", f"{1e6 * cost.score_seconds / max(cost.rows, 1):.1f}"]


def _markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    ruler = ["---", *("---:" for _ in header[1:])]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, ruler, *lines))
