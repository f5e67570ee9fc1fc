"""What is found in a dropped dataset before money is spent on it: errors, which end its run, and warnings.

A finding has a stable code, words, a count of rows where it is about rows, and the first of them with their lines. The
report of all findings is part of the run record, whatever becomes of the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aml.contract import DatasetContract
from shared.errors import InvalidInputError
from shared.tables import IMPUTED, Example, Survey, Tally

_SHOWN = 200
_AT_MOST = 20

_FLAWS = {
    "empty": "is empty",
    "not_a_time": "is no time",
    "not_a_number": "is no number",
    "not_finite": "is not finite",
    "out_of_range": "is outside its range",
    "unknown_category": "is none of its categories",
    "wrong_length": "is of another length",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was found. `rows`: how many rows it concerns, and the first of them; None where it is about none
    in particular."""

    code: str
    message: str
    rows: Tally | None = None

    def as_dict(self) -> dict[str, Any]:
        """As it stands in the run record."""
        found: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.rows is not None:
            found["count"] = self.rows.count
            found["examples"] = [{"line": each.line, "reason": _cut(each.reason)} for each in self.rows.examples]
        return found


@dataclass(frozen=True)
class Report:
    """Everything that was found, in the order of weight."""

    errors: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()

    def with_more(self, errors: Sequence[Finding], warnings: Sequence[Finding]) -> Report:
        """With what was found later."""
        return Report((*self.errors, *errors), (*self.warnings, *warnings))

    def as_dict(self) -> dict[str, Any]:
        """As it stands in the run record: at most twenty findings of either sort, the rest counted."""
        found: dict[str, Any] = {"valid": not self.errors}
        for name, findings in (("errors", self.errors), ("warnings", self.warnings)):
            found[name] = [finding.as_dict() for finding in findings[:_AT_MOST]]
            if len(findings) > _AT_MOST:
                found[f"more_{name}"] = len(findings) - _AT_MOST
        return found


class UnfitDatasetError(InvalidInputError):
    """A dataset that cannot be trained on: code and words of the first error, and the whole `report`."""

    def __init__(self, report: Report) -> None:
        first = report.errors[0]
        super().__init__(first.code, first.message)
        self.report = report


@dataclass(frozen=True)
class Live:
    """The model in service, as far as a new dataset is compared with it: its data's last time; and whether a person
    said that an older dataset may take its place (`force`)."""

    version: str
    last_time: datetime
    overruled: bool = False


def unreadable(error: InvalidInputError) -> Report:
    """The report on a file that belongs to no dataset, is no table for its contract, or has nothing to use in it."""
    line = error.where.get("line")
    rows = Tally(1, (Example(line, error.message),)) if isinstance(line, int) else None
    return Report((Finding(error.code, error.message, rows),))


def report_of(error: InvalidInputError) -> Report:
    """The report that an error carries, or that it amounts to."""
    return error.report if isinstance(error, UnfitDatasetError) else unreadable(error)


def examine(found: Survey, contract: DatasetContract, repeated: Tally, live: Live | None = None) -> Report:
    """Errors and warnings about a surveyed dataset.

    Args:
        repeated: the rows with a time that another row of their series has before them.
    """
    errors = [
        *_too_little(found, contract),
        *_too_many_repeated(found, contract, repeated),
        *_constant_value(found, contract),
        *_classes(found, contract),
    ]
    warnings = [
        *_unusable(found),
        *_odd(found),
        *_absent(found, contract),
        *_times(found, contract, repeated),
        *_constant(found, contract),
    ]
    if live is not None and found.last_time is not None and found.last_time < live.last_time:
        older = _older(found.last_time, live)
        (warnings if live.overruled else errors).append(older)
    return Report(tuple(errors), tuple(warnings))


def _too_little(found: Survey, contract: DatasetContract) -> Iterator[Finding]:
    rules, usable = contract.training, found.rows - found.unusable
    bad = found.unusable + found.rejected
    if bad > rules.max_unusable_share * found.data_rows:
        first = found.examples[0] if found.examples else None
        example = f" The first is line {first.line}: {first.reason}." if first else ""
        yield Finding(
            "too_many_unusable",
            f"{bad} of {found.data_rows} rows cannot be used; at most {rules.max_unusable_share:.0%} may be.{example}",
            Tally(bad, found.examples or found.rejects.examples),
        )
    if usable < rules.min_rows:
        yield Finding(
            "too_few_rows", f"The dataset has {usable} usable rows; training needs at least {rules.min_rows}."
        )
    if found.first_time is None or found.last_time is None:
        return
    span = found.last_time - found.first_time
    if span < timedelta(days=rules.min_days):
        tenths = span * 10 // timedelta(days=1)  # rounded down: "13.0 days; needs at least 13" would help nobody
        yield Finding(
            "too_few_days",
            f"The dataset covers {tenths / 10:.1f} days; training needs at least {rules.min_days:g}.",
        )


def _too_many_repeated(found: Survey, contract: DatasetContract, repeated: Tally) -> Iterator[Finding]:
    usable, most = found.rows - found.unusable, contract.training.max_duplicate_share
    if repeated.count > most * usable:
        yield Finding(
            "too_many_duplicate_times",
            f"{repeated.count} of {usable} usable rows have a time that another row of their series has too; at most "
            f"{most:.0%} may. Was the file appended to itself, or is the column that tells the series missing?",
            repeated,
        )


def _constant_value(found: Survey, contract: DatasetContract) -> Iterator[Finding]:
    if contract.value in found.constant:
        same = found.ranges[contract.value].minimum
        yield Finding(
            "constant_value", f"Every usable {contract.value} is {same:g}; there is nothing to learn from it."
        )


def _classes(found: Survey, contract: DatasetContract) -> Iterator[Finding]:
    """What a classification needs of its target."""
    if contract.target is None or not found.classes:
        return
    least = contract.training.min_per_class
    if len(found.classes) == 1:
        (same,) = found.classes
        yield Finding("single_class", f"Every usable {contract.target} is {same}; there is nothing to tell apart.")
        return
    few = {name: rows for name, rows in found.classes.items() if rows < least}
    if few:
        listed = ", ".join(f"{name} {rows}" for name, rows in few.items())
        yield Finding(
            "too_few_of_class",
            f"Training needs at least {least} usable rows of each {contract.target}; there are: {listed}.",
        )


def _absent(found: Survey, contract: DatasetContract) -> Iterator[Finding]:
    absent = [name for name in contract.classes if name not in found.classes]
    if absent:
        yield Finding(
            "absent_class", f"No usable row has the {contract.target} {', '.join(absent)}; no model will answer so."
        )


def _odd(found: Survey) -> Iterator[Finding]:
    """What rows have that are trained on all the same."""
    odd = [(column, kind, rows) for column, kinds in found.warnings.items() for kind, rows in kinds.items()]
    for column, kind, rows in sorted(odd, key=lambda each: (-each[2].count, each[:2])):
        words = "is empty, and filled in," if kind == IMPUTED else _FLAWS[kind]
        yield Finding(kind, f"{column} {words} in {_counted(rows.count)}, trained on all the same.", rows)


def _older(last_time: datetime, live: Live) -> Finding:
    return Finding(
        "older_than_live",
        f"The dataset ends at {last_time}, before that of the live model (version {live.version}), which ends at "
        f"{live.last_time}. Whoever wants the older one in service can ask for it by HTTP with force.",
    )


def _unusable(found: Survey) -> Iterator[Finding]:
    flaws = [(column, kind, rows) for column, kinds in found.flaws.items() for kind, rows in kinds.items()]
    for column, kind, rows in sorted(flaws, key=lambda flaw: (-flaw[2].count, flaw[:2])):
        yield Finding(kind, f"{column} {_FLAWS[kind]} in {_counted(rows.count)}.", rows)
    if found.rejects.count:
        words = f"{_counted(found.rejects.count, 'line')} cannot be split into the header's columns."
        yield Finding("rejected_lines", words, found.rejects)


def _times(found: Survey, contract: DatasetContract, repeated: Tally) -> Iterator[Finding]:
    if found.backwards.count:
        yield Finding(
            "not_in_time_order",
            f"{contract.time} goes back in {_counted(found.backwards.count)}; training puts them in order.",
            found.backwards,
        )
    if 0 < repeated.count <= contract.training.max_duplicate_share * (found.rows - found.unusable):
        yield Finding(
            "duplicate_times",
            f"{_counted(repeated.count)} {'has' if repeated.count == 1 else 'have'} a time that another row of the "
            "same series has too; all are trained on.",
            repeated,
        )


def _constant(found: Survey, contract: DatasetContract) -> Iterator[Finding]:
    """A constant column beside the value; a file of one series alone is nothing to warn of."""
    for name in found.constant:
        if name not in (contract.value, contract.series, contract.target):
            yield Finding("constant_column", f"{name} has the same value in every row that has one.")


def _counted(count: int, what: str = "row") -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
