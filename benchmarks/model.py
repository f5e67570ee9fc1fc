"""Measures the model alone: the forest in process, and requests through the real inference server from a cold start on.

Everything is measured in turn within one run, so that the ratios hold on a noisy machine: `score_samples` of
scikit-learn, the walk of its trees that stands in where nothing can be compiled, and the compiled forest.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import requests
from numpy.typing import NDArray

from aml.bundle import open_bundle
from aml.contract import load_contract
from aml.evaluator import ForestEvaluator
from aml.messages import ARROW
from aml.rows import Rows, single_series
from aml.train import train
from local.environments import ensure_environment
from local.inference import InferenceServer
from local.installing import ENVIRONMENTS, ROOT

_HOUR_US = 3_600_000_000
_TRAINING_ROWS = 8_760
_CONTEXT_ROWS = 696
_SIZES = (10_000, 100, 1)
BY_SCIKIT_LEARN = {"DROPSCORE_COMPILED_FOREST": "off"}
_WAYS: dict[str, Mapping[str, str]] = {"compiled": {}, "scikit-learn's walk": BY_SCIKIT_LEARN}

Seconds = dict[str, dict[int, list[float]]]
"""Of each way and each number of rows, one figure per turn."""


def measure(turns: int = 15, starts: int = 3) -> str:
    """Measures everything and returns the Markdown that docs/benchmarks.md shows."""
    with tempfile.TemporaryDirectory(prefix="dropscore-bench-model-") as name:
        folder = Path(name)
        rows = _hourly(_TRAINING_ROWS)
        train(rows, load_contract("gas"), 0.01, folder / "model")
        in_process = _in_process(folder / "model/bundle.joblib", rows, turns)
        cold = {
            way: [_cold_start(folder, rows, environment) for _ in range(starts)] for way, environment in _WAYS.items()
        }
        served = _served(folder, turns)
    return "\n".join(
        [
            "| in process | rows | µs | rows/s | time of `score_samples` / this |",
            "|---|---:|---:|---:|---:|",
            *_table(in_process, "score_samples"),
            "",
            "| Arrow request | rows | µs | rows/s | time by scikit-learn's walk / this |",
            "|---|---:|---:|---:|---:|",
            *_table(served, "scikit-learn's walk"),
            "",
            "| cold start | seconds until the first answer |",
            "|---|---:|",
            *(f"| {way} | {median(seconds):.2f} |" for way, seconds in cold.items()),
        ]
    )


def _hourly(count: int) -> Rows:
    hours = np.arange(count)
    volumes = np.random.default_rng(4).gamma(20, 1 + 0.5 * np.sin(hours / 24 * 2 * np.pi))
    return single_series(1_704_067_200_000_000 + hours * _HOUR_US, volumes)


def _in_process(bundle: Path, rows: Rows, turns: int) -> Seconds:
    pipeline = open_bundle(bundle).pipeline
    features = pipeline[:-1].transform(_hourly(max(_SIZES))).signals.residuals
    forest = pipeline.named_steps["detector"].forests_[1]
    compiled = ForestEvaluator(forest)
    os.environ.update(BY_SCIKIT_LEARN)
    try:
        walk = ForestEvaluator(forest)
    finally:
        for name in BY_SCIKIT_LEARN:
            del os.environ[name]
    if compiled.evaluation != "compiled":
        raise RuntimeError("Here the forest cannot be compiled; there is nothing to compare.")
    ways: dict[str, Callable[[Any], Any]] = {
        "score_samples": forest.score_samples,
        "scikit-learn's walk": walk.scores,
        "compiled": compiled.scores,
    }
    return _in_turn({name: _on_first_rows(way, features) for name, way in ways.items()}, turns)


def _on_first_rows(way: Callable[[Any], Any], features: NDArray[np.float32]) -> Callable[[int], Any]:
    return lambda count: way(features[:count])


def _served(folder: Path, turns: int) -> Seconds:
    bodies = {count: _request(_hourly(count + _CONTEXT_ROWS)) for count in _SIZES}
    with ExitStack() as stack:
        ways: dict[str, Callable[[int], Any]] = {}
        for way, environment in _WAYS.items():
            url = stack.enter_context(server(folder / "model", environment))
            session = stack.enter_context(requests.Session())
            ways[way] = _asking(session, url, bodies)
        return _in_turn(ways, turns)


def _asking(session: requests.Session, url: str, bodies: Mapping[int, bytes]) -> Callable[[int], Any]:
    return lambda count: _ask(session, url, bodies[count])


def _in_turn(ways: Mapping[str, Callable[[int], Any]], turns: int) -> Seconds:
    seconds: Seconds = {name: {count: [] for count in _SIZES} for name in ways}
    for turn in range(turns + 1):  # the first warms up
        for count in _SIZES:
            for name, way in ways.items():
                began = time.perf_counter()
                way(count)
                if turn:
                    seconds[name][count].append(time.perf_counter() - began)
    return seconds


def _table(seconds: Seconds, beside: str) -> Iterator[str]:
    for way, of_sizes in seconds.items():
        for count, figures in of_sizes.items():
            middle = median(figures)
            ratio = median(other / own for other, own in zip(seconds[beside][count], figures, strict=True))
            yield f"| {way} | {count:,} | {middle * 1e6:,.0f} | {count / middle:,.0f} | {ratio:.1f} |"


def _cold_start(folder: Path, rows: Rows, environment: Mapping[str, str]) -> float:
    body = _request(rows.take(slice(0, _CONTEXT_ROWS + 100)))
    began = time.perf_counter()
    with server(folder / "model", environment) as url, requests.Session() as session:
        _ask(session, url, body)
        return time.perf_counter() - began


@contextmanager
def server(model: Path, environment: Mapping[str, str], workers: int = 1) -> Iterator[str]:
    """An inference server with the model in this folder, ready."""
    python = ensure_environment((ROOT / "aml/env/conda.yml").read_text(encoding="utf-8"), ENVIRONMENTS)
    script, log = ROOT / "aml/score.py", model.parent / "log"
    with InferenceServer(python, script, model, environment, workers=workers, log=log) as running:
        yield running.url


def _request(rows: Rows) -> bytes:
    table = pa.table({"FechaHora": pa.array(rows.time, pa.timestamp("us")), "VolCorrected": rows.value})
    table = table.replace_schema_metadata({"dropscore.context_rows": str(_CONTEXT_ROWS)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _ask(session: requests.Session, url: str, body: bytes) -> None:
    answer = session.post(f"{url}/score", data=body, headers={"Content-Type": ARROW}, timeout=60)
    answer.raise_for_status()


if __name__ == "__main__":
    print(measure())
