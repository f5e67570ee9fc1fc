"""The model's own evaluation of a file's rows and nothing else: features and forest, in batches as the app sends them.

Runs in the model's environment: ``python -m benchmarks.alone BUNDLE INPUT PROCESSES`` prints one JSON object with the
seconds by the clock of that many processes, which share the batches, and the CPU seconds of all of them.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow as pa

from aml.bundle import open_bundle
from aml.columns import rows_from_table
from aml.forest import Scorer
from aml.rows import Rows

_BATCH_ROWS = 20_000
_CONTEXT_ROWS = 696


def main(bundle: Path, source: Path, processes: int) -> None:
    """Evaluates and prints the figures."""
    opened = open_bundle(bundle)
    scorer = Scorer(opened.pipeline)
    frame = pd.read_csv(source, parse_dates=["FechaHora"])
    rows = rows_from_table(pa.Table.from_pandas(frame, preserve_index=False), opened.contract).rows
    scorer.scores(rows.take(slice(0, _BATCH_ROWS)))  # warms up
    shares = [
        range(start, len(rows), processes * _BATCH_ROWS) for start in range(0, processes * _BATCH_ROWS, _BATCH_ROWS)
    ]
    spent = multiprocessing.get_context("fork").SimpleQueue()
    workers = [
        multiprocessing.get_context("fork").Process(
            target=lambda share=share: spent.put(_evaluate(scorer, rows, share))
        )
        for share in shares
    ]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    cpu = sum(spent.get() for _ in workers)
    seconds = time.perf_counter() - began
    for worker in workers:
        worker.join()
    print(json.dumps({"seconds": seconds, "cpu": cpu, "rows": len(rows)}))


def _evaluate(scorer: Scorer, rows: Rows, starts: range) -> float:
    """Evaluates these batches, each with its context; the CPU seconds that it took."""
    began = time.process_time()
    for start in starts:
        scorer.anomalies(scorer.scores(rows.take(slice(max(0, start - _CONTEXT_ROWS), start + _BATCH_ROWS))))
    return time.process_time() - began


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
