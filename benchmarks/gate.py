"""What the gate promotes: `python -m benchmarks.gate [folder of series]`.

For each series a champion is trained on its first part: a year of a simulated meter (`benchmarks.detection`; `--days`
for less), three fifths of a CSV of `timestamp,value` below the folder. Then come datasets that should be promoted, such
that should not be, and such that nobody can tell, each judged as the training job and the app judge it: challenger and
champion on both hold-outs, under the rules of the contract. The choice among the contract's candidates is left out.

The first table counts the promoted ones. The second says by how much the worst challenger of each kind was below its
champion (above it in the alert rate), rule by rule: what margins can tell apart.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.csv
from numpy.random import Generator

from aml.columns import rows_from_table
from aml.comparison import compare
from aml.contract import DatasetContract, GateRule, load_contract
from aml.evaluation import evaluate
from aml.faults import FAULTS, Place, high_of, inject, step_of
from aml.holdout import TooFewRowsError
from aml.rows import Rows, concatenate, single_series
from aml.train import train
from aml.tuning import builder
from benchmarks.detection.simulator import suite
from shared.retraining.gate import judge

_YEAR = 365
_FIRST_SEED = 701
_REAL_SHARE = 0.6
_LEAST_ROWS = 168
Change = Callable[[Rows, Generator], Rows]


@dataclass(frozen=True)
class Case:
    """A dataset that comes after the champion's.

    Attributes:
        good: whether it should be promoted; None: nobody can tell.
        first, last: what is taken of the series, in lengths of the champion's part.
        change: what is done to it.
    """

    name: str
    good: bool | None
    first: float = 1 / 12
    last: float = 13 / 12
    change: Change = lambda rows, random: rows

    def of(self, rows: Rows, length: int, random: Generator) -> Rows | None:
        """The dataset; None where the series is too short for it."""
        first, last = round(self.first * length), round(self.last * length)
        if last > len(rows) or last - first < _LEAST_ROWS:
            return None
        return self.change(rows.take(slice(first, last)), random)


def scaled(factor: float) -> Change:
    """Another unit, or more of everything."""
    return lambda rows, random: rows.with_values(rows.value * factor)


def shuffled(rows: Rows, random: Generator) -> Rows:
    """The values in random order."""
    return rows.with_values(random.permutation(rows.value))


def spiked(share: float) -> Change:
    """Readings of 2 to 5 times the largest usual value more, here and there."""

    def change(rows: Rows, random: Generator) -> Rows:
        more = high_of(rows.value) * random.uniform(2, 5, len(rows))
        return rows.with_values(rows.value + np.where(random.random(len(rows)) < share, more, 0.0))

    return change


def zeroed(share: float) -> Change:
    """Zeros here and there."""
    return lambda rows, random: rows.with_values(np.where(random.random(len(rows)) < share, 0.0, rows.value))


def stuck(share: float) -> Change:
    """The last part of the rows at one value."""

    def change(rows: Rows, random: Generator) -> Rows:
        since = round(len(rows) * (1 - share))
        return rows.with_values(np.where(np.arange(len(rows)) < since, rows.value, rows.value[since]))

    return change


def moved(factor: float, share: float) -> Change:
    """The last part of the rows is so many times what it was: what is usual has changed."""

    def change(rows: Rows, random: Generator) -> Rows:
        since = round(len(rows) * (1 - share))
        return rows.with_values(rows.value * np.where(np.arange(len(rows)) < since, 1.0, factor))

    return change


def faulty(share: float) -> Change:
    """Faults of all kinds (`aml.faults`) until so large a share of the rows is faulty."""

    def change(rows: Rows, random: Generator) -> Rows:
        high, step, wanted, done = high_of(rows.value), step_of(rows.time), share * len(rows), 0
        while done < wanted:
            fault = FAULTS[int(random.integers(len(FAULTS)))]
            length = min(fault.draw_length(step, random), len(rows) // 10)
            start = int(random.integers(len(rows) - length))
            made = inject(fault, Place(rows, start, start + length, high, step), random)
            if made is not None:
                parts = [rows.take(slice(0, made.begin)), made.rows, rows.take(slice(made.end, len(rows)))]
                rows, done = concatenate(parts), done + max(int(made.faulty.sum()), made.end - made.begin)
        return rows

    return change


CASES = (
    Case("the same again", True, 0, 1),
    Case("a twelfth later", True),
    Case("a twelfth more", True, 0),
    Case("half its length later", True, 0.5, 1.5),
    Case("two thirds of it later", True, 2 / 3, 5 / 3),
    Case("the next as long", True, 1, 2),
    Case("longer by two thirds", True, 0, 5 / 3),
    Case("twice as long", True, 0, 2),
    *(
        Case(f"a {name} more, {factor:g} times as much", True, 0, 1 + more, moved(factor, more / (1 + more)))
        for name, more in (("24th", 1 / 24), ("sixth", 1 / 6))
        for factor in (0.7, 1.5, 2)
    ),
    Case("its last half", None, 0.5, 1),
    Case("its last quarter", False, 0.75, 1),
    Case("its last twelfth", False, 11 / 12, 1),
    *(Case(f"in another unit (x {factor:g})", False, change=scaled(factor)) for factor in (1000, 0.001, 10, 2)),
    Case("10 % higher", None, change=scaled(1.1)),
    Case("values in random order", False, change=shuffled),
    *(Case(f"{share:.0%} spikes", False, change=spiked(share)) for share in (0.02, 0.05, 0.1)),
    *(Case(f"{share:.0%} of the rows faulty", False, change=faulty(share)) for share in (0.02, 0.05, 0.1, 0.2, 0.4)),
    *(Case(f"{share:.0%} zeros", False, change=zeroed(share)) for share in (0.1, 0.3)),
    *(Case(f"its last {share:.0%} stuck", False, change=stuck(share)) for share in (0.1, 0.5)),
)


@dataclass(frozen=True)
class Judged:
    """One challenger: what the gate said, and by how much each comparing rule was worse than its champion."""

    series: str
    case: str
    good: bool | None
    promoted: bool
    reasons: tuple[str, ...]
    worse: dict[str, float]


def judged(name: str, rows: Rows, length: int, contract: DatasetContract, cases: Sequence[Case]) -> Iterator[Judged]:
    """A champion of the first `length` rows, and every case after it."""
    share = contract.contamination or 0.0
    with tempfile.TemporaryDirectory() as folder:
        champion = Path(folder)
        train(rows.take(slice(0, length)), contract, share, champion)
        for number, case in enumerate(cases):
            given = case.of(rows, length, np.random.default_rng([number, length]))
            if given is None:
                continue
            try:
                measured = evaluate(given, builder(contract, share, {}), contract.context_rows)
            except TooFewRowsError:
                continue
            challenger = {**measured.metrics, **compare(measured, champion)}
            theirs = challenger.pop("champion")
            verdict = judge(challenger, theirs, contract.gate)
            objections = [rule for rule in contract.gate if not judge(challenger, theirs, [rule]).promote]
            reasons = tuple(rule.metric for rule in objections)
            worse = {rule.metric: _worse(rule, challenger, theirs) for rule in contract.gate if rule.needs_champion}
            yield Judged(name, case.name, case.good, verdict.promote, reasons, worse)


def _worse(rule: GateRule, challenger: dict[str, float], champion: dict[str, float]) -> float:
    drop = champion[rule.metric] - challenger[rule.metric]
    return drop if rule.max_drop is not None else -drop


def simulated(count: int, days: int = _YEAR) -> Iterator[tuple[str, Rows, int]]:
    """Two years each of a household, an office and a plant in turn, of which the champion learns so many days."""
    for meter in suite(range(_FIRST_SEED, _FIRST_SEED + count)):
        yield meter.name, meter.rows, days * 24


def real(folder: Path, contract: DatasetContract) -> Iterator[tuple[str, Rows, int]]:
    """Every series below the folder, as it is."""
    for path in sorted(folder.rglob("*.csv")):
        rows = rows_from_table(pyarrow.csv.read_csv(path), contract).usable()
        rows = rows.take(rows.by_series_and_time())
        yield path.stem, single_series(rows.time, rows.value), round(_REAL_SHARE * len(rows))


def tables(found: Sequence[Judged], cases: Sequence[Case]) -> Iterator[str]:
    """Both, as Markdown."""
    yield "| dataset | wanted | promoted | refused by |"
    yield "|---|---|---:|---|"
    for case, mine in _by_case(found, cases):
        wanted = {True: "promoted", False: "refused", None: "either"}[case.good]
        reasons = sorted({reason for each in mine for reason in each.reasons})
        promoted = sum(each.promoted for each in mine)
        yield f"| {case.name} | {wanted} | {promoted} / {len(mine)} | {', '.join(reasons)} |"
    rules = list(found[0].worse) if found else []
    yield ""
    yield f"| worse than the champion: mean, most | {' | '.join(rules)} |"
    yield f"|---|{'---:|' * len(rules)}"
    for case, mine in _by_case(found, cases):
        values = [[each.worse[rule] for each in mine] for rule in rules]
        yield f"| {case.name} | {' | '.join(f'{np.mean(each):.3f}, {max(each):.3f}' for each in values)} |"


def _by_case(found: Sequence[Judged], cases: Sequence[Case]) -> Iterator[tuple[Case, list[Judged]]]:
    for case in cases:
        mine = [each for each in found if each.case == case.name]
        if mine:
            yield case, mine


def main() -> None:
    """Print the tables for simulated meters, and for the series of a folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="CSV files of timestamp,value, at any depth")
    parser.add_argument("--meters", type=int, default=9, help="how many are simulated; 90 s of processor time each")
    parser.add_argument("--days", type=int, default=_YEAR, help="of them the champion learns")
    parser.add_argument("--json", type=Path, help="where every verdict is written, line by line as they come")
    arguments = parser.parse_args()
    gas = load_contract("gas")
    sources = {"simulated meters": partial(simulated, arguments.meters, arguments.days)}
    if arguments.folder is not None:
        sources["real series"] = partial(real, arguments.folder, gas)
    for what, source in sources.items():
        found: list[Judged] = []
        for series in source():
            for verdict in judged(*series, gas, CASES):
                found.append(verdict)
                if arguments.json is not None:
                    with arguments.json.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(asdict(verdict)) + "\n")
        print(f"\n{len({each.series for each in found})} {what}:\n", *tables(found, CASES), sep="\n", flush=True)


if __name__ == "__main__":
    main()
