"""The Palmer Penguins: 344 real birds, from the package `palmerpenguins` (data CC0: Gorman, Williams and Fraser 2014).

Missing values are written `NA`, as the package's own file has them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

Row = Mapping[str, str]

COLUMNS = ("species", "island", "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "sex", "year")


def penguins() -> list[dict[str, str]]:
    """Every bird, in the file's order and the file's words."""
    # Found without importing the package, which would load pandas for nothing.
    package = find_spec("palmerpenguins")
    if package is None or package.origin is None:
        raise FileNotFoundError("the package palmerpenguins is not installed; `make setup` installs it")
    text = (Path(package.origin).parent / "data/penguins.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


def as_csv(rows: Sequence[Row], columns: Sequence[str] = COLUMNS) -> str:
    """Rows as a comma-separated file with these columns."""
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
