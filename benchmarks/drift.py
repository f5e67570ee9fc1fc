"""How often drift is seen where there is none, and where there is: `python -m benchmarks.drift [folder of series]`.

A model is trained on the first part of a series and its profile is taken; the rest is cut into files of a day, a week
and a month, as they are and with a change made to them. Simulated gas (local/sample_data.py) is trained on one year and
files come from the two years after it; a CSV of `timestamp,value` below the folder is cut in the middle, and whatever
happened to it is real. `uncorrected` are the files whose PSI over the deciles of all training rows is 0.25 or more;
`two running` are the pairs of neighbouring files that are both severe: of a week each, what `RETRAIN_ON_DRIFT` asks of
14 daily files.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from aml.columns import rows_from_table
from aml.contract import DatasetContract, load_contract
from aml.forest import Scorer, build_pipeline
from aml.profile import make_profile, psi
from aml.rows import Floats, Rows, single_series
from local.sample_data import hourly_gas
from shared.drift.gauge import Gauge
from shared.drift.profile import Profile, Reference
from shared.drift.tally import Tally
from shared.drift.verdict import judge
from shared.tables import BytesSource, read, survey

_SEEDS = range(5)
_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US
_DAYS = (1, 7, 30)
_CHANGES = {"as it is": 1.0, "x 1.2": 1.2, "x 1.5": 1.5, "x 2": 2.0, "x 0.7": 0.7}
_FIRST = 1_704_067_200_000_000


def main() -> None:
    """Print a table for the simulated series and one for the real ones."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="CSV files of timestamp,value, at any depth")
    folder: Path | None = parser.parse_args().folder
    gas = load_contract("gas")
    _cost(gas)
    print("\nSimulated gas, trained on a year, files of two more years:")
    _report(gas, _simulated(), _CHANGES)
    if folder is not None:
        series = list(_real(folder, gas))
        print(f"\n{len(series)} real series, trained on the first half, files of the second:")
        _report(gas, iter(series), {"as it is": 1.0, "x 1.5": 1.5})


def _cost(contract: DatasetContract) -> None:
    """What drift takes of a file's time: beside reading the file twice, which is but a part of scoring it."""
    rows, trained = next(_simulated())
    past = rows.take(slice(0, trained))
    score = ("anomaly_score", np.random.default_rng(1).beta(20, 22, trained), np.arange(trained))
    profile = _profile(contract, past, score)
    for count in (24, 1_000_000):
        picked = np.arange(count) % len(rows)
        times, values = _FIRST + np.arange(count) * _HOUR_US, rows.value[picked]
        texts = np.datetime_as_string(times.astype("datetime64[us]"), unit="s")
        lines = (f"{each};{value:.2f}\n" for each, value in zip(texts, values, strict=True))
        source = BytesSource("x.csv", ("FechaHora;VolCorrected\n" + "".join(lines)).encode())
        began = time.perf_counter()
        chunks = list(read(source, survey(source, contract), contract, rows_per_chunk=20_000))
        reading, drifting = time.perf_counter() - began, 0.0
        reference = Reference(profile, "training")
        gauge = Gauge(reference, contract)
        for chunk in chunks:
            answers = pa.table({"anomaly_score": score[1][picked[: chunk.batch.num_rows] % trained]})
            began = time.perf_counter()
            gauge.add(chunk, answers)
            drifting += time.perf_counter() - began
        began = time.perf_counter()
        judge(reference, gauge.tally, contract)
        drifting += time.perf_counter() - began
        print(f"{count:>9,} rows: read in {reading * 1e3:,.1f} ms, drift measured in {drifting * 1e3:.1f} ms")


def _profile(contract: DatasetContract, past: Rows, score: tuple[str, Floats, NDArray[np.intp]]) -> Profile:
    made = make_profile(contract.name, past.time, past.series, {contract.value_column: past.value}, score)
    return Profile.model_validate(json.loads(json.dumps(made)))


def _simulated() -> Iterator[tuple[Rows, int]]:
    for seed in _SEEDS:
        values = np.array([each.volume for each in hourly_gas(datetime(2024, 1, 1), 3 * 365, seed)])  # noqa: DTZ001
        yield single_series(_FIRST + np.arange(len(values)) * _HOUR_US, values), 365 * 24


def _real(folder: Path, contract: DatasetContract) -> Iterator[tuple[Rows, int]]:
    for path in sorted(folder.rglob("*.csv")):
        rows = rows_from_table(pa.csv.read_csv(path), contract).usable()
        yield rows.take(rows.by_series_and_time()), len(rows) // 2


def _report(contract: DatasetContract, series: Iterator[tuple[Rows, int]], changes: Mapping[str, float]) -> None:
    found: dict[tuple[int, str], Counter[str]] = {(days, change): Counter() for days in _DAYS for change in changes}
    for rows, trained in series:
        _measure(contract, rows, trained, changes, found)
    print(_line("files of", "change", "files", "moderate", "severe", "two running", "uncorrected"))
    for (days, change), seen in found.items():
        if seen["files"]:
            shares = [f"{seen[name] / seen['files']:.1%}" for name in ("moderate", "severe", "uncorrected")]
            running = f"{seen['running'] / max(seen['pairs'], 1):.1%}"
            print(_line(f"{days} d", change, str(seen["files"]), shares[0], shares[1], running, shares[2]))


def _line(days: str, change: str, files: str, moderate: str, severe: str, running: str, uncorrected: str) -> str:
    return f"{days:>9} {change:>9} {files:>6} {moderate:>9} {severe:>7} {running:>12} {uncorrected:>12}"


def _measure(
    contract: DatasetContract,
    rows: Rows,
    trained: int,
    changes: Mapping[str, float],
    found: dict[tuple[int, str], Counter[str]],
) -> None:
    past = rows.take(slice(0, trained))
    pipeline = build_pipeline(contract, contract.contamination or 0.0).fit(past)
    scorer = Scorer(pipeline)
    about = ("anomaly_score", scorer.scores(past), np.arange(trained))
    reference = Reference(_profile(contract, past, about), "training")
    deciles = np.quantile(past.value, np.linspace(0, 1, 11)[1:-1])
    for change, factor in changes.items():
        changed = Rows(rows.time, np.where(np.arange(len(rows)) < trained, 1.0, factor) * rows.value, rows.series)
        scores = scorer.scores(changed)
        for days in _DAYS:
            before = None
            for begin, end in _files(rows, trained, days):
                values = changed.value[begin:end]
                verdict = _verdict(contract, reference, rows.time[begin:end], values, scores[begin:end])
                seen = found[(days, change)]
                seen["files"] += 1
                seen[verdict] += 1
                seen["pairs"] += before is not None
                seen["running"] += before == verdict == "severe"
                before = verdict
                counts = np.bincount(np.searchsorted(deciles, values), minlength=10)
                seen["uncorrected"] += psi(counts, np.full(10, 0.1), trained) >= 0.25


def _files(rows: Rows, trained: int, days: int) -> Iterator[tuple[int, int]]:
    """Whole stretches of so many days behind the training rows."""
    length = days * _DAY_US
    for start in range(int(rows.time[trained]), int(rows.time[-1]) - length + _HOUR_US + 1, length):
        begin, end = (int(each) for each in np.searchsorted(rows.time, [start, start + length]))
        if end > begin:
            yield begin, end


def _verdict(
    contract: DatasetContract,
    reference: Reference,
    time: np.ndarray[tuple[int], np.dtype[np.int64]],
    value: Floats,
    score: Floats,
) -> str:
    assert reference.profile is not None
    tally = Tally.empty(reference.profile)
    batch = pa.RecordBatch.from_arrays(
        [pa.array(time, pa.timestamp("us")), pa.array(value)], names=[contract.time_column, contract.value_column]
    )
    tally.add(reference.profile, contract, len(value), {}, batch, pa.table({"anomaly_score": score}))
    return str(judge(reference, tally, contract)["verdict"])


if __name__ == "__main__":
    main()
