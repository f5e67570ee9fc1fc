"""Flagged rows become events, the same however the rows come."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.scoring.event import exact_sum, moment
from shared.scoring.events import GAP_ROWS, SHOWN, Events
from tests.unit.scoring.answered import CONTRACT, NAN, Reading, answered, in_pieces, many_readings


def _events(*pieces: list[Reading]) -> Events:
    events = Events(CONTRACT)
    for piece in pieces:
        events.add(*answered(piece))
    return events


def _course(flags: str, meter: str | None = None, **facts: Any) -> list[Reading]:
    """One reading an hour; `x` is a flagged one."""
    return [Reading(meter, int(flag == "x"), hour=hour, **facts) for hour, flag in enumerate(flags)]


def _spans(events: Events) -> list[tuple[int, int, int]]:
    """First hour, last hour and rows of each event, in order of time."""
    start = answered(_course("."))[0].column("FechaHora").cast("int64")[0].as_py()
    found = sorted(events.most_severe(), key=lambda event: event.start)
    return [((e.start - start) // 3_600_000_000, (e.end - start) // 3_600_000_000, e.rows) for e in found]


@pytest.mark.parametrize(
    ("flags", "spans"),
    [
        ("", []),
        ("......", []),
        ("..x..", [(2, 2, 1)]),
        ("xxx", [(0, 2, 3)]),
        ("x...x", [(0, 4, 2)]),
        ("x....x", [(0, 0, 1), (5, 5, 1)]),
        ("xx..x.....x.xx", [(0, 4, 3), (10, 13, 3)]),
        ("x....x....x....x", [(0, 0, 1), (5, 5, 1), (10, 10, 1), (15, 15, 1)]),
    ],
)
def test_a_few_rows_that_are_not_flagged_do_not_end_an_event(flags: str, spans: list[tuple[int, int, int]]) -> None:
    assert GAP_ROWS == 3
    assert _spans(_events(_course(flags))) == spans


def test_an_event_tells_what_its_most_severe_row_is_and_the_volume_involved() -> None:
    readings = [
        Reading("north", 1, 5.0, 2.0, 0.5, "high", 0),
        Reading("north", 0, 9.0, 2.0, 0.0, "none", 1),
        Reading("north", 1, 7.5, 2.0, 0.9, "leak", 2),
        Reading("north", 1, 1.25, NAN, 0.8, "low", 3),
    ]

    assert _events(readings).for_manifest() == {
        "count": 1,
        "kinds": {"leak": 1},
        "shown": 1,
        "items": [
            {
                "series": "north",
                "start": "2026-03-02 00:00:00",
                "end": "2026-03-02 03:00:00",
                "rows": 3,
                "kind": "leak",
                "severity": 0.9,
                "peak": "2026-03-02 02:00:00",
                "reason": "why 2",
                "volume": {"seen": 13.75, "excess": 8.5},
            }
        ],
    }


def test_meters_have_events_of_their_own() -> None:
    north, south = _course("xx", "north"), _course("x....x", "south")

    events = _events([*north, *south])

    assert {name: each.count for name, each in events.series.items()} == {"north": 1, "south": 2}
    assert {name: (each.rows, each.flagged) for name, each in events.series.items()} == {
        "north": (2, 2),
        "south": (6, 2),
    }
    assert [each["series"] for each in events.for_manifest()["items"]] == ["north", "south", "south"]


def test_what_an_older_model_does_not_say_is_unknown() -> None:
    rows, scored = answered(_course(".xx."))
    scored = type(scored)(scored.predictions.select(["anomaly", "anomaly_score"]), {})
    events = Events(CONTRACT)
    events.add(rows, scored)

    (item,) = events.for_manifest()["items"]

    assert (item["kind"], item["severity"], item["reason"]) == ("unknown", 0.0, "")
    assert item["volume"] == {"seen": 2.0, "excess": None}


def test_only_the_most_severe_are_shown_and_all_are_counted() -> None:
    readings = [
        Reading(None, int(hour % 5 == 0), severity=(hour * 7919 % 1000) / 1000, kind="leak", hour=hour)
        for hour in range(0, 5 * 1500)
    ]

    events = _events(*(readings[start : start + 333] for start in range(0, len(readings), 333)))

    about = events.for_manifest()
    severities = sorted((each.severity for each in readings if each.anomaly), reverse=True)
    assert (about["count"], about["kinds"], about["shown"]) == (1500, {"leak": 1500}, SHOWN)
    assert sorted((each["severity"] for each in about["items"]), reverse=True) == severities[:SHOWN]
    assert [each["start"] for each in about["items"]] == sorted(each["start"] for each in about["items"])
    assert len(events.closed) < 4 * SHOWN


def test_an_event_is_an_odd_course_only_where_nothing_else_was_found() -> None:
    odd = [Reading("north", 1, severity=0.9, kind=kind, hour=hour) for hour, kind in enumerate(("shifted", "pattern"))]

    alone, among = (_events(rows).for_manifest() for rows in (odd, [*odd, replace(odd[0], kind="stuck", severity=0.2)]))

    assert [(event["kind"], event["severity"]) for event in alone["items"]] == [("pattern", 0.9)]
    assert [(event["kind"], event["severity"]) for event in among["items"]] == [("stuck", 0.2)]


def test_a_series_is_as_severe_as_its_events_wherever_they_are_cut() -> None:
    readings = [Reading("north", 1, 2.0, 1.0, 0.25, "pattern", 0), Reading("north", 1, 2.0, 1.0, 0.0, "leak", 1)]

    whole, cut = _events(readings), _events(readings[:1], readings[1:])

    assert whole.series["north"].highest == cut.series["north"].highest == whole.most_severe()[0].severity


def _by_hand(readings: list[Reading]) -> list[dict[str, Any]]:
    """The events of a whole table, as the rule says it and with exact fractions."""
    found: list[dict[str, Any]] = []
    for meter in dict.fromkeys(each.meter for each in readings):
        rows = [each for each in readings if each.meter == meter and each.anomaly is not None]
        episode: list[tuple[int, Reading]] = []
        for place, row in enumerate(rows):
            if row.anomaly and episode and place - episode[-1][0] > GAP_ROWS + 1:
                found.append(_told(episode))
                episode = []
            if row.anomaly:
                episode.append((place, row))
        if episode:
            found.append(_told(episode))
    return found


def _told(episode: list[tuple[int, Reading]]) -> dict[str, Any]:
    rows = [row for _, row in episode]
    vague = ("pattern", "shifted", "none", "")
    worst = max(reversed(rows), key=lambda row: (row.kind not in vague, row.severity))
    known = [Fraction(row.value - row.expected) for row in rows if row.expected == row.expected]
    return {
        "series": worst.meter,
        "rows": len(rows),
        "severity": worst.severity,
        "reason": f"why {worst.hour}",
        "kind": worst.kind if worst.kind not in ("", "none") else "unknown",
        "seen": float(sum(Fraction(row.value) for row in rows)),
        "excess": float(sum(known)) if known else None,
    }


@given(readings=many_readings(), cuts=st.lists(st.integers(0, 100), max_size=6))
def test_the_events_are_those_of_the_whole_however_it_is_cut(readings: list[Reading], cuts: list[int]) -> None:
    pieces = in_pieces(readings, cuts)
    whole = _events(readings).for_manifest()

    in_chunks = _events(*pieces)
    stored = [json.loads(json.dumps(_events(piece).as_dict())) for piece in pieces]
    in_parts = reduce(Events.then, (Events.from_dict(each, CONTRACT) for each in stored), Events(CONTRACT))

    assert in_chunks.for_manifest() == whole
    assert in_parts.for_manifest() == whole
    assert in_parts.as_dict()["series"] == in_chunks.as_dict()["series"]
    expected = _by_hand(readings)
    assert whole["count"] == len(expected)
    found = [
        {name: item[name] for name in ("series", "rows", "severity", "reason", "kind")} | item["volume"]
        for item in whole["items"]
    ]
    for item in expected:
        item["seen"] = float(f"{item['seen']:.10g}")
        item["excess"] = item["excess"] and float(f"{item['excess']:.10g}")
    assert sorted(found, key=str) == sorted(expected, key=str)


@given(terms=st.lists(st.floats(-1e290, 1e290), max_size=8), data=st.data())
def test_sums_are_exact_in_any_order(terms: list[float], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(terms)))
    other = data.draw(st.permutations(terms))

    parts = exact_sum([*exact_sum(other[:cut]), *exact_sum(other[cut:])])

    assert parts == exact_sum(terms)
    assert sum(map(Fraction, parts)) == sum(map(Fraction, terms))


def test_times_are_written_as_in_manifests() -> None:
    assert moment(0) == "1970-01-01 00:00:00"
    assert moment(-1) == "1969-12-31 23:59:59.999999"
