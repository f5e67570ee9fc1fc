"""Labelled series in NAB's layout: `data/**/*.csv` with `timestamp,value`, and `labels/combined_windows.json`."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from aml.rows import Rows, Times, single_series
from benchmarks.detection.metrics import Labels

WINDOWS = Path("labels/combined_windows.json")


class LayoutError(Exception):
    """A folder is not in NAB's layout; the message says what is wrong."""


@dataclass(frozen=True, eq=False)
class LabelledSeries:
    """One file; `windows` are first and last row, both included, in order of time."""

    name: str
    rows: Rows
    windows: list[tuple[int, int]]

    @property
    def labels(self) -> Labels:
        """Which rows lie in a window."""
        labels = np.zeros(len(self.rows), dtype=bool)
        for first, last in self.windows:
            labels[first : last + 1] = True
        return labels


def read_folder(folder: Path) -> list[LabelledSeries]:
    """Every file below `data` that the labels name, in order of name.

    Raises:
        LayoutError: there is no such file, or one cannot be read.
    """
    try:
        windows = json.loads((folder / WINDOWS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LayoutError(f"{folder} has no {WINDOWS} that can be read: {error}") from error
    data = folder / "data"
    names = [path.relative_to(data).as_posix() for path in sorted(data.rglob("*.csv"))]
    found = [read_file(data / name, name, windows[name]) for name in names if name in windows]
    if not found:
        raise LayoutError(f"{folder} has no file below data/ that {WINDOWS} names")
    return found


def read_file(path: Path, name: str, windows: list[list[str]]) -> LabelledSeries:
    """One file with its windows, each a pair of times.

    Raises:
        LayoutError: it has other columns, or a cell is no time or no number.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            records = [(row["timestamp"], float(row["value"])) for row in csv.DictReader(file)]
        time = np.array([_microseconds(text) for text, _ in records], dtype=np.int64)
        rows = single_series(time, np.array([value for _, value in records]))
        spans = [(_microseconds(first), _microseconds(last)) for first, last in windows]
    except (KeyError, TypeError, ValueError) as error:
        raise LayoutError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
    return LabelledSeries(name, rows, [span for span in (_rows_of(time, *span) for span in sorted(spans)) if span])


def _rows_of(time: Times, first: int, last: int) -> tuple[int, int] | None:
    """First and last row within the times; None where no row is."""
    inside = np.flatnonzero((time >= first) & (time <= last))
    return (int(inside[0]), int(inside[-1])) if len(inside) else None


def _microseconds(text: str) -> int:
    return int(np.datetime64(datetime.fromisoformat(text), "us").astype(np.int64))
