"""The plain script: pandas reads the CSV, the same pipeline scores it by scikit-learn, pandas writes it.

Runs in the model's environment: ``python -m benchmarks.plain BUNDLE INPUT OUTPUT`` prints one JSON object with the
seconds of its work (without starting Python and importing) and its peak memory in bytes.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from aml.bundle import open_bundle
from aml.columns import rows_from_table
from aml.detection.calendar import DAY_US, HOLIDAY
from aml.detection.words import reasons
from aml.rows import Floats
from benchmarks.peak import peak_bytes


class _ByScikitLearn:
    """A forest as scikit-learn evaluates it."""

    def __init__(self, forest: Any) -> None:
        self._forest = forest

    def scores(self, features: NDArray[np.float32]) -> Floats:
        scores: Floats = -self._forest.score_samples(features)
        return scores


def main(bundle: Path, source: Path, target: Path) -> None:
    """Scores `source` into `target` and prints the figures."""
    opened = open_bundle(bundle)
    began = time.perf_counter()
    frame = pd.read_csv(source, parse_dates=["FechaHora"])
    rows = rows_from_table(pa.Table.from_pandas(frame, preserve_index=False), opened.contract).rows
    signals, detector = opened.pipeline
    found = detector.detect(signals.transform(rows), [_ByScikitLearn(forest) for forest in detector.forests_])
    frame["anomaly"] = found.anomaly.astype(int)
    for name in ("score", "expected", "lower", "upper", "severity"):
        frame["anomaly_score" if name == "score" else name] = getattr(found, name)
    frame["reason"] = reasons(
        found,
        rows.time,
        rows.value,
        signals.plan_.interval,
        opened.contract.language,
        history_days=signals.plan_.weeks * signals.plan_.interval / DAY_US,
        holiday=signals.calendar_.day_type(rows.time) == HOLIDAY,
    )
    frame.to_csv(target, sep=";", index=False)
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "peak_bytes": peak_bytes(), "rows": len(frame)}))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
