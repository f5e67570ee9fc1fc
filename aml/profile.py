"""The profile of a model's training data: what a file that it scores is compared with, to tell whether the data drift.

Of every number column and of the score it holds counts: 200 bins of about equal share, each by calendar month and
quarter of the day, because a month of gas differs from the year by nature and is to be compared with its own season.
And it holds how far stretches of the training data themselves lie from the rest of their season (`chance`): a day is
24 rows of one weather, not 24 draws from the year, and only the data can say what that does to a statistic.

The score's counts are those of the final model over the rows it was fitted on. Held-out scores would come from another
model (the one that was measured) and from one season alone, the last; and a tree that sees 256 of the rows does not
know the others: on simulated years its scores of fitted and of fresh rows are alike (docs/decisions/drift.md).

The app reads the JSON that `write_profile` leaves (`shared/drift/profile.py`), and counts as is counted here: a test
holds the two together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aml.rows import Codes, Floats, Times

FILE_NAME = "profile.json"
FORMAT = 1

MONTHS, PARTS = 12, 4
STRATA = MONTHS * PARTS
_FINE, _COARSE = 200, 10
_CATEGORIES_KEPT = 50

_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US
_PART_US = 24 // PARTS * _HOUR_US

_WINDOW_DAYS = (1, 7, 30)
_WINDOWS_AT_MOST = 180
_WINDOWS_AT_LEAST = 5
_SERIES_LOOKED_AT = 4
_LEVEL = 0.99

Profile = dict[str, Any]
Counts = NDArray[np.int64]


def make_profile(
    dataset: str,
    time: Times,
    series: Codes,
    columns: Mapping[str, NDArray[Any]],
    score: tuple[str, Floats, NDArray[np.intp]],
    unusable: float = 0.0,
) -> Profile:
    """The profile of these rows, ready for JSON.

    Args:
        time, series: of the n rows that the model was fitted on, see `aml.rows.Rows`; any order.
        columns: by canonical name n numbers (nan: missing) or n texts ('': missing).
        score: name of the score's column, the final model's scores, and the positions of the rows scored.
        unusable: share of the dataset's rows (0 to 1) that could not be used, and so are not among these.
    """
    name, scores, scored = score
    return {
        "format": FORMAT,
        "dataset": dataset,
        "rows": len(time),
        "series": len(np.unique(series)),
        "unusable": unusable,
        "first_time": _iso(int(time.min())),
        "last_time": _iso(int(time.max())),
        "columns": {key: _column(time, series, values) for key, values in columns.items()},
        "score": {"name": name, **_number(time[scored], series[scored], scores)},
    }


def make_table_profile(
    dataset: str,
    columns: Mapping[str, NDArray[Any]],
    score: tuple[str, Floats],
    classes: Mapping[str, int],
    unusable: float = 0.0,
) -> Profile:
    """The profile of rows that stand for themselves: there are no seasons, and what chance does is what it does to
    draws, so that all rows are in the first stratum and `chance` is empty.

    Args:
        columns: by canonical name n numbers (nan: missing) or n texts (None: missing).
        score: name of the score's column, and its values on rows that the model was not fitted on.
        classes: how many of those rows were given each class.
        unusable: as `make_profile` has it.
    """
    name, scores = score
    rows = max((len(values) for values in columns.values()), default=0)
    return {
        "format": FORMAT,
        "dataset": dataset,
        "rows": rows,
        "series": 1,
        "unusable": unusable,
        "first_time": "",
        "last_time": "",
        "columns": {key: _of_table(values) for key, values in columns.items()},
        "score": {"name": name, **_of_table(scores)},
        "classes": dict(classes),
    }


def write_profile(folder: Path, profile: Profile) -> None:
    """Writes it beside the bundle."""
    (folder / FILE_NAME).write_text(json.dumps(profile, separators=(",", ":"), allow_nan=False), encoding="utf-8")


def stratum_of(time: Times) -> NDArray[np.int64]:
    """Month (0-11) times 4 plus quarter of the day (0-3)."""
    months = time.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64) % MONTHS
    return months * PARTS + time % _DAY_US // _PART_US


def expected_shares(cells: Counts, weights: Counts) -> tuple[Floats, int]:
    """The shares of the bins that rows of these times would have if nothing drifted, and the rows that say so.

    A stratum's reference are the rows of its quarter of the day in its month and the two months beside it; where there
    are none, in all months; where there are none either, all rows.

    Args:
        cells: reference rows by stratum and bin, shape (48, bins).
        weights: the rows looked at by stratum, shape (48,).
    """
    months = cells.reshape(MONTHS, PARTS, -1)
    season = (months + np.roll(months, 1, axis=0) + np.roll(months, -1, axis=0)).reshape(STRATA, -1)
    totals = season.sum(axis=1)
    for stratum in np.flatnonzero((totals == 0) & (weights > 0)):
        day = months[:, stratum % PARTS].sum(axis=0)
        season[stratum] = day if day.any() else cells.sum(axis=0)
        totals[stratum] = season[stratum].sum()
    used = weights > 0
    shares = (weights[used] / weights.sum()) @ (season[used] / np.maximum(totals[used], 1)[:, None])
    return shares, int(season[used].sum())


def psi(observed: Counts, expected: Floats, rows: int) -> float:
    """Population stability index: the sum over the bins of (p - e) ln(p / e).

    A bin that is empty on one side counts there as half a row, one that is empty on both not at all. Formula and the
    usual limits 0.1 and 0.25: Siddiqi, "Credit Risk Scorecards", Wiley 2006.

    Args:
        observed: rows by bin, at least one.
        expected: shares by bin, of `rows` rows.
    """
    total = int(observed.sum())
    there = (observed > 0) | (expected > 0)
    p = np.maximum(observed[there] / total, 0.5 / total)
    e = np.maximum(expected[there], 0.5 / max(rows, 1))
    return float(((p - e) * np.log(p / e)).sum())


def ks(observed: Counts, expected: Floats) -> float:
    """Kolmogorov-Smirnov statistic: the largest difference of the two cumulated shares at the ends of the bins.

    It is at most the share of the fullest expected bin (about 1/200) below that of the values themselves.
    """
    return float(np.abs(np.cumsum(observed) / observed.sum() - np.cumsum(expected)).max())


def _column(time: Times, series: Codes, values: NDArray[Any]) -> Profile:
    return _number(time, series, values) if values.dtype.kind == "f" else _text(values)


def _of_table(values: NDArray[Any]) -> Profile:
    if values.dtype.kind == "f":
        one = np.zeros(len(values), dtype=np.int64)
        return _number(one, one, values)
    return _text(np.where(values == None, "", values).astype(str))  # noqa: E711 - element by element


def _number(time: Times, series: Codes, values: Floats) -> Profile:
    there = np.isfinite(values)
    time, series, values = time[there], series[there], values[there]
    if len(values) == 0:
        return {"kind": "number", "missing": 1.0}
    quantiles = np.quantile(values, np.linspace(0, 1, _FINE + 1), method="inverted_cdf")
    edges = np.unique(quantiles[1:-1])
    cuts = np.unique(quantiles[_FINE // _COARSE : -1 : _FINE // _COARSE])
    bins = np.searchsorted(edges, values, side="left")
    strata = stratum_of(time)
    width = len(edges) + 1
    cells = _cells(strata, bins, width)
    begins = np.r_[0, np.searchsorted(edges, cuts, side="left") + 1]
    begins = begins[begins < width]  # where the greatest value is a decile itself, nothing lies above it
    return {
        "kind": "number",
        "missing": 1 - float(there.mean()),
        "minimum": float(values.min()),
        "maximum": float(values.max()),
        "edges": edges.tolist(),
        "deciles": begins.tolist(),
        "counts": {str(at): cells[at].tolist() for at in np.flatnonzero(cells.any(axis=1))},
        "chance": _chance(time // _DAY_US, series, strata, bins, cells, begins),
    }


def _text(values: NDArray[np.str_]) -> Profile:
    present = values[values != ""]
    names, counts = np.unique(present, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:_CATEGORIES_KEPT]
    return {
        "kind": "text",
        "missing": 1 - len(present) / len(values),
        "counts": {str(names[at]): int(counts[at]) for at in most},
        "others": int(len(present) - counts[most].sum()),
    }


def _cells(strata: NDArray[np.int64], bins: NDArray[np.intp], width: int) -> Counts:
    return np.bincount(strata * width + bins, minlength=STRATA * width).reshape(STRATA, width)


def _chance(
    day: NDArray[np.int64],
    series: Codes,
    strata: NDArray[np.int64],
    bins: NDArray[np.intp],
    cells: Counts,
    begins: NDArray[np.intp],
) -> list[Profile]:
    """How far stretches of these very rows lie from what the others of their season let expect.

    One entry for each length in days, and for stretches of all series or of one: how many stretches there were, the
    median of their rows, and the 99th percentile of PSI and KS among them.
    """
    order = np.argsort(day, kind="stable")
    day, series, strata, bins = day[order], series[order], strata[order], bins[order]
    names = np.unique(series)
    kinds: list[tuple[str, list[int | None]]] = [("all", [None])]
    if len(names) > 1:
        picked = names[np.linspace(0, len(names) - 1, min(len(names), _SERIES_LOOKED_AT)).astype(int)]
        kinds.append(("one", picked.tolist()))
    found: list[Profile] = []
    for kind, chosen in kinds:
        for days in _WINDOW_DAYS:
            seen: list[tuple[int, float, float]] = []
            for begin, end in _windows(day, days, _WINDOWS_AT_MOST // len(chosen)):
                rest = cells - _cells(strata[begin:end], bins[begin:end], cells.shape[1])
                for one in chosen:
                    mine = slice(begin, end) if one is None else begin + np.flatnonzero(series[begin:end] == one)
                    if len(bins[mine]) and rest.any():
                        seen.append(_distance(strata[mine], bins[mine], rest, begins))
            if len(seen) >= _WINDOWS_AT_LEAST:
                rows, psis, kss = (np.array(each) for each in zip(*seen, strict=True))
                about: Profile = {"series": kind, "days": days, "windows": len(seen), "rows": int(np.median(rows))}
                about |= {"psi": float(np.quantile(psis, _LEVEL)), "ks": float(np.quantile(kss, _LEVEL))}
                found.append(about)
    return found


def _distance(
    strata: NDArray[np.int64], bins: NDArray[np.intp], rest: Counts, begins: NDArray[np.intp]
) -> tuple[int, float, float]:
    shares, rows = expected_shares(rest, np.bincount(strata, minlength=STRATA))
    counts = np.bincount(bins, minlength=rest.shape[1])
    distance = psi(np.add.reduceat(counts, begins), np.add.reduceat(shares, begins), rows)
    return len(bins), distance, ks(counts, shares)


def _windows(day: NDArray[np.int64], days: int, at_most: int) -> list[tuple[int, int]]:
    """Where stretches of `days` days begin and end among rows in order of days; none longer than a third of them."""
    span = int(day[-1] - day[0]) + 1
    if days * 3 > span:
        return []
    step = max(1, days // 3, -(-(span - days + 1) // at_most))
    firsts = np.arange(int(day[0]), int(day[-1]) - days + 2, step)
    begins, ends = np.searchsorted(day, firsts), np.searchsorted(day, firsts + days)
    least = np.median(ends - begins) / 2  # a stretch that is mostly gap says nothing of its kind
    return [(int(a), int(b)) for a, b in zip(begins, ends, strict=True) if b - a > least]


def _iso(time: int) -> str:
    return datetime.fromtimestamp(time / 1e6, tz=UTC).replace(tzinfo=None).isoformat(timespec="seconds")
