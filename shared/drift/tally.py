"""What was counted of the rows of a file, or of a part of one, or of many: small, and adding up in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aml.contract import DatasetContract
from shared.drift.profile import NumberProfile, Profile
from shared.drift.statistics import PARTS, STRATA, Counts, Floats
from shared.tables import Flaws

_PART_US = 24 // PARTS * 3_600_000_000
_SERIES_KEPT = 1000
OTHERS = "\0others"
"""Stands for all categories that the profile does not name."""


@dataclass
class NumberTally:
    """Rows by bin, rows by stratum, and values below or above all of the training data's."""

    bins: Counts
    strata: Counts
    beyond: int = 0

    @classmethod
    def empty(cls, profile: NumberProfile) -> Self:
        """Nothing counted yet."""
        return cls(np.zeros(len(profile.edges) + 1, np.int64), np.zeros(STRATA, np.int64))

    def add(self, values: Floats, strata: Counts, profile: NumberProfile) -> None:
        """Counts values, sorted or not, at least one, of rows that are distributed over the strata like this."""
        values = np.sort(values)  # one sort and some look-ups: a look-up for every value costs several times as much
        below = np.searchsorted(values, profile.ends, side="right")
        self.bins += np.diff(np.r_[0, below, len(values)])
        self.strata += strata
        low, high = np.searchsorted(values, profile.minimum), np.searchsorted(values, profile.maximum, side="right")
        self.beyond += int(low + len(values) - high)


@dataclass
class Tally:
    """Counts of rows against one profile.

    Attributes:
        rows, usable: data rows, and those among them with every value that the model needs.
        flaws: by column what was wrong with its fields.
        numbers: by column, and by the name of the score.
        texts: by column the rows of each category that the profile names, the others under one name.
        first, last: least and greatest time of the usable rows, microseconds since 1970 by the series' own clock.
        series: the names of the series met, no more than a thousand of them.
        classes: of a classification, by column of answers the rows of each class.
    """

    rows: int = 0
    usable: int = 0
    flaws: dict[str, Flaws] = field(default_factory=dict)
    numbers: dict[str, NumberTally] = field(default_factory=dict)
    texts: dict[str, Counter[str]] = field(default_factory=dict)
    first: int | None = None
    last: int | None = None
    series: set[str] = field(default_factory=set)
    classes: dict[str, Counter[str]] = field(default_factory=dict)

    @classmethod
    def empty(cls, profile: Profile) -> Self:
        """Nothing counted yet."""
        numbers = {name: NumberTally.empty(each) for name, each in profile.numbers.items()}
        return cls(numbers=numbers, texts={name: Counter() for name in profile.texts})

    def add(
        self,
        profile: Profile,
        contract: DatasetContract,
        rows: int,
        flaws: Mapping[str, Flaws],
        batch: pa.RecordBatch,
        answers: pa.Table,
    ) -> None:
        """Counts a piece of a table.

        Args:
            rows, flaws: how many data rows the piece has, and what is wrong with fields of them.
            batch: the usable rows, typed, under canonical names.
            answers: what the model said of these, in the same order; null where it said nothing.
        """
        self.rows += rows
        self.usable += batch.num_rows
        for name, found in flaws.items():
            self.flaws[name] = self.flaws.get(name, Flaws()) + found
        if batch.num_rows == 0:
            return
        times = self._add_times(batch, contract)
        everywhere = _strata(times)
        for name, each in profile.numbers.items():
            source = answers if name == profile.score.name else batch
            if name not in source.schema.names:
                continue
            column = source.column(name)
            values, strata = np.asarray(column, dtype=np.float64), everywhere
            if column.null_count:
                there = np.isfinite(values)
                values, strata = values[there], _strata(times[there])
            if len(values):
                self.numbers[name].add(values, strata, each)
        self._add_texts(profile, contract, batch)
        self._add_classes(contract, answers)

    def _add_classes(self, contract: DatasetContract, answers: pa.Table) -> None:
        for column in contract.predictions if contract.task == "classification" else ():
            if column.type == "text":
                seen = self.classes.setdefault(column.name, Counter())
                for entry in pc.value_counts(answers.column(column.name).drop_null()).to_pylist():
                    seen[entry["values"]] += entry["counts"]

    def _add_times(self, batch: pa.RecordBatch, contract: DatasetContract) -> Counts:
        if contract.time is None:
            return np.zeros(batch.num_rows, np.int64)  # the first stratum
        times = np.asarray(batch.column(contract.time).cast(pa.int64()).to_numpy(zero_copy_only=False))
        first, last = int(times.min()), int(times.max())
        self.first = first if self.first is None else min(first, self.first)
        self.last = last if self.last is None else max(last, self.last)
        return times

    def _add_texts(self, profile: Profile, contract: DatasetContract, batch: pa.RecordBatch) -> None:
        for name, each in profile.texts.items():
            if name in batch.schema.names:
                for entry in pc.value_counts(batch.column(name).drop_null()).to_pylist():
                    known = entry["values"] if entry["values"] in each.counts else OTHERS
                    self.texts[name][known] += entry["counts"]
        if contract.series in batch.schema.names and len(self.series) < min(profile.series, _SERIES_KEPT):
            names = pc.unique(batch.column(contract.series)).to_pylist()
            self.series.update(["" if name is None else name for name in names][:_SERIES_KEPT])

    def merge(self, other: Tally) -> Tally:
        """The counts of both together; both were counted against the same profile."""
        numbers = {
            name: NumberTally(
                mine.bins + other.numbers[name].bins,
                mine.strata + other.numbers[name].strata,
                mine.beyond + other.numbers[name].beyond,
            )
            for name, mine in self.numbers.items()
        }
        return Tally(
            rows=self.rows + other.rows,
            usable=self.usable + other.usable,
            flaws={
                name: self.flaws.get(name, Flaws()) + other.flaws.get(name, Flaws())
                for name in {**self.flaws, **other.flaws}
            },
            numbers=numbers,
            texts={name: mine + other.texts[name] for name, mine in self.texts.items()},
            first=min((each for each in (self.first, other.first) if each is not None), default=None),
            last=max((each for each in (self.last, other.last) if each is not None), default=None),
            series=set(sorted(self.series | other.series)[:_SERIES_KEPT]),
            classes={
                name: self.classes.get(name, Counter()) + other.classes.get(name, Counter())
                for name in {**self.classes, **other.classes}
            },
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` reads it."""
        return {
            "rows": self.rows,
            "usable": self.usable,
            "flaws": {name: [each.empty, each.invalid, each.outside] for name, each in self.flaws.items()},
            "numbers": {
                name: {"bins": each.bins.tolist(), "strata": each.strata.tolist(), "beyond": each.beyond}
                for name, each in self.numbers.items()
            },
            "texts": {name: dict(each) for name, each in self.texts.items()},
            "first": self.first,
            "last": self.last,
            "series": sorted(self.series),
            "classes": {name: dict(each) for name, each in self.classes.items()},
        }

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> Self:
        """See `as_dict`."""
        return cls(
            rows=known["rows"],
            usable=known["usable"],
            flaws={name: Flaws(*each) for name, each in known["flaws"].items()},
            numbers={
                name: NumberTally(np.array(each["bins"]), np.array(each["strata"]), each["beyond"])
                for name, each in known["numbers"].items()
            },
            texts={name: Counter(each) for name, each in known["texts"].items()},
            first=known["first"],
            last=known["last"],
            series=set(known["series"]),
            classes={name: Counter(each) for name, each in known.get("classes", {}).items()},
        )


def _strata(times: Counts) -> Counts:
    """Rows by stratum. The calendar is asked once for every quarter of a day, not for every row."""
    parts = times // _PART_US
    first = int(parts.min())
    if int(parts.max()) - first < 4 * len(parts) + 1000:
        counts = np.bincount(parts - first)
        found = np.flatnonzero(counts)
        counts, parts = counts[found], found + first
    else:
        parts, counts = np.unique(parts, return_counts=True)
    months = (parts * _PART_US).astype("datetime64[us]").astype("datetime64[M]").astype(np.int64) % 12
    return np.bincount(months * PARTS + parts % PARTS, weights=counts, minlength=STRATA).astype(np.int64)
