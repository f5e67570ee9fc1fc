"""The plain script: pandas reads the CSV, the same pipeline scores it by scikit-learn, pandas writes it.

Runs in the model's environment: ``python -m benchmarks.plain BUNDLE INPUT OUTPUT`` prints one JSON object with the
seconds of its work (without starting Python and importing) and its peak memory in bytes.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow as pa

from aml.bundle import open_bundle
from aml.columns import rows_from_table
from benchmarks.peak import peak_bytes


def main(bundle: Path, source: Path, target: Path) -> None:
    """Scores `source` into `target` and prints the figures."""
    opened = open_bundle(bundle)
    began = time.perf_counter()
    frame = pd.read_csv(source, parse_dates=["FechaHora"])
    rows = rows_from_table(pa.Table.from_pandas(frame, preserve_index=False), opened.contract).rows
    scores = -opened.pipeline.score_samples(rows)
    frame["anomaly"] = (scores > opened.pipeline.named_steps["detector"].threshold_).astype(int)
    frame["anomaly_score"] = scores
    frame.to_csv(target, sep=";", index=False)
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "peak_bytes": peak_bytes(), "rows": len(frame)}))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
