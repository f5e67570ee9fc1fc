"""The manifest's `drift`: a pure function of the profile, what was counted, and the contract's limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aml.contract import DatasetContract, DriftRules
from shared.drift.profile import Chance, NumberProfile, Profile, Reference, TextProfile
from shared.drift.statistics import expected_shares, in_season, ks, psi, psi_by_chance
from shared.drift.tally import OTHERS, NumberTally, Tally
from shared.tables import Flaws

Verdict = Literal["none", "moderate", "severe", "unknown"]

_ORDER: tuple[Verdict, ...] = ("none", "moderate", "severe")
_DAY_US = 86_400_000_000
_NEARLY = 0.9
"""A day of hourly rows spans 23 hours; a file of nearly all series is one of all."""


def unknown(why: str, reference: str = "") -> dict[str, Any]:
    """The manifest's words where nothing can be said."""
    return {"verdict": "unknown", "reason": why} | ({"training_run": reference} if reference else {})


def judge(reference: Reference, tally: Tally | None, contract: DatasetContract) -> dict[str, Any]:
    """What there is to say about drift, ready for JSON.

    `verdict` is the worst of those of the columns, of the score, and of the share of unusable rows. Statistics of
    columns are over the usable rows, shares of `missing`, `invalid` and out-of-range fields over all rows. A PSI counts
    by what it exceeds `psi_by_chance`: what 99 of 100 stretches of training data, as long as the file and left out of
    their own reference, came to, and at least what independent rows would.
    """
    profile, rules = reference.profile, contract.drift
    if profile is None or tally is None:
        return unknown(reference.why_none, reference.run)
    if tally.usable < rules.min_rows:
        why = f"{tally.usable} usable rows are too few to tell drift from chance; {rules.min_rows} are needed"
        return unknown(why, reference.run)
    names = [column.name for column in contract.columns if column.name in {**profile.columns, **tally.flaws}]
    columns = {name: _column(name, profile, tally, rules) for name in names}
    score = _number(profile.score, tally.numbers[profile.score.name], profile, tally, rules)
    bad = 1 - tally.usable / tally.rows
    unusable: dict[str, Any] = {"verdict": _by_share(bad - profile.unusable, rules)}
    classes = {name: _classes(profile.classes, seen, rules) for name, seen in tally.classes.items() if profile.classes}
    unusable |= {"share": _round(bad), "training": _round(profile.unusable)}
    return {
        "verdict": worst(each["verdict"] for each in (*columns.values(), score, *classes.values(), unusable)),
        "columns": columns,
        "score": {"name": profile.score.name, **score},
        **({"classes": classes} if classes else {}),
        "unusable": unusable,
        "rows": tally.usable,
        **(_season(profile, tally) if contract.time is not None else {}),
        "training_run": reference.run,
    }


def _season(profile: Profile, tally: Tally) -> dict[str, float]:
    seen = tally.numbers[profile.score.name].strata
    return {"days": _round(_days(tally)), "in_season": _round(in_season(profile.score.cells, seen))}


def _classes(known: Mapping[str, int], seen: Mapping[str, int], rules: DriftRules) -> dict[str, Any]:
    """How far the shares of the classes answered are from those that the model answered on training data."""
    names = sorted({*known, *seen})
    observed, usual = (np.array([each.get(name, 0) for name in names]) for each in (seen, known))
    return _shares(observed, usual, rules)


def of_values(drift: Mapping[str, Any]) -> Verdict:
    """The verdict on values and score alone: missing data are mended at their source, not by training.

    Where very many rows cannot be used, the score says nothing of the values: a detector finds the gaps strange.
    """
    columns = [each["verdict"] for each in drift.get("columns", {}).values()]
    classes = [each["verdict"] for each in drift.get("classes", {}).values()]
    gaps = drift.get("unusable", {}).get("verdict") == "severe"
    return worst([*columns, *classes, *([drift["score"]["verdict"]] if "score" in drift and not gaps else [])])


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of them; `unknown` ones say nothing."""
    return max((each for each in verdicts if each in _ORDER), key=_ORDER.index, default="unknown")


def _column(name: str, profile: Profile, tally: Tally, rules: DriftRules) -> dict[str, Any]:
    flaws = tally.flaws.get(name, Flaws())
    shares = {"missing": _round(flaws.empty / tally.rows), "invalid": _round(flaws.invalid / tally.rows)}
    outside = flaws.outside / tally.rows
    about = profile.columns.get(name)
    if isinstance(about, NumberProfile) and name in tally.numbers:
        found = _number(about, tally.numbers[name], profile, tally, rules)
        beyond = found.pop("beyond_training")
        return {**found, **shares, "out_of_range": {"contract": _round(outside), "training": beyond}}
    if isinstance(about, TextProfile):
        return {**_text(about, tally.texts[name], rules), **shares}
    return {"verdict": "none", **shares}


def _number(
    about: NumberProfile, seen: NumberTally, profile: Profile, tally: Tally, rules: DriftRules
) -> dict[str, Any]:
    rows = int(seen.bins.sum())
    if rows == 0:
        return {"verdict": "unknown", "beyond_training": 0.0}
    shares, known = expected_shares(about.cells, seen.strata)
    observed, expected = np.add.reduceat(seen.bins, about.deciles), np.add.reduceat(shares, about.deciles)
    distance = psi(observed, expected, known)
    filled = int(((observed > 0) | (expected > 0)).sum())
    usual = _usual(about.chance, profile, tally)
    by_chance = psi_by_chance(filled, rows, known)
    if usual is not None:
        by_chance = max(by_chance, usual.psi * max(1.0, usual.rows / rows))
    beyond = seen.beyond / rows
    return {
        "verdict": worst((_by_psi(distance - by_chance, rules), _by_share(beyond, rules))),
        "psi": _round(distance),
        "psi_by_chance": _round(by_chance),
        "ks": _round(ks(seen.bins, shares)),
        "ks_by_chance": None if usual is None else _round(usual.ks),
        "beyond_training": _round(beyond),
    }


def _usual(known: Iterable[Chance], profile: Profile, tally: Tally) -> Chance | None:
    """What stretches of training data most like the file came to: the longest that are not longer than the file, else
    the shortest, of all series or of one."""
    kind = "all" if max(1, len(tally.series)) >= _NEARLY * min(profile.series, 1000) else "one"
    alike = [each for each in known if each.series == kind] or list(known)
    fitting = [each for each in alike if each.days * _NEARLY <= _days(tally)]
    if fitting:
        return max(fitting, key=lambda each: each.days)
    return min(alike, key=lambda each: each.days, default=None)


def _text(about: TextProfile, seen: dict[str, int], rules: DriftRules) -> dict[str, Any]:
    names = [*about.counts, OTHERS]
    known = np.array([*about.counts.values(), about.others])
    observed = np.array([seen.get(name, 0) for name in names])
    return _shares(observed, known, rules)


def _shares(observed: NDArray[np.int64], known: NDArray[np.int64], rules: DriftRules) -> dict[str, Any]:
    if not observed.sum() or not known.sum():
        return {"verdict": "unknown"}
    distance = psi(observed, known / known.sum(), int(known.sum()))
    filled = int(((observed > 0) | (known > 0)).sum())
    by_chance = psi_by_chance(filled, int(observed.sum()), int(known.sum()))
    verdict = _by_psi(distance - by_chance, rules)
    return {"verdict": verdict, "psi": _round(distance), "psi_by_chance": _round(by_chance)}


def _by_psi(excess: float, rules: DriftRules) -> Verdict:
    return "severe" if excess >= rules.psi_severe else "moderate" if excess >= rules.psi_moderate else "none"


def _by_share(excess: float, rules: DriftRules) -> Verdict:
    return "severe" if excess >= rules.share_severe else "moderate" if excess >= rules.share_moderate else "none"


def _days(tally: Tally) -> float:
    return 0.0 if tally.first is None or tally.last is None else (tally.last - tally.first) / _DAY_US


def _round(value: float) -> float:
    return round(value, 4)
