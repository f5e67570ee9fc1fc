"""The plain script for a table: pandas reads the CSV, the same fitted pipelines classify it, pandas writes it.

Runs in the model's environment: ``python -m benchmarks.plain_table BUNDLE INPUT OUTPUT`` prints one JSON object with
the seconds of its work by the clock and of CPU (without starting Python and importing) and its peak memory in bytes.
Columns whose text must stay as it is, such as codes with zeros in front, are read as text; all others as pandas does.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow as pa

from aml.bundle import open_bundle
from aml.tabular.reading import table_from_arrow
from benchmarks.peak import peak_bytes

_DATE = "date"
_AS_TEXT = (
    *("case_number", "block", "iucr", "primary_type", "description", "location_description", "arrest", "domestic"),
    *("beat", "district", "ward", "community_area", _DATE, "updated_on", "location"),
)


def main(bundle: Path, source: Path, target: Path) -> None:
    """Classifies the rows of `source` into `target` and prints the figures."""
    opened = open_bundle(bundle)
    began, spent = time.perf_counter(), time.process_time()
    frame = pd.read_csv(source, dtype=dict.fromkeys(_AS_TEXT, str))
    needed = [name for name in frame.columns if name in {column.name for column in opened.contract.columns}]
    rows = pa.Table.from_pandas(frame[needed].assign(**{_DATE: pd.to_datetime(frame[_DATE])}), preserve_index=False)
    table = table_from_arrow(rows, opened.contract).table
    for model, column in zip(opened.contract.models, opened.contract.predictions, strict=True):
        frame[column.name] = opened.pipeline[model.name].predict(table)
    frame.to_csv(target, sep=";", index=False)
    figures = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - spent}
    print(json.dumps({**figures, "peak_bytes": peak_bytes(), "rows": len(frame)}))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
