"""The page of a scored file: what stands on it, and that nothing of the file can act in it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.reporting.curves import Curves
from shared.reporting.drawing import _limits, _time_ticks, _value_ticks
from shared.reporting.labels import _LABELS, Labels
from shared.reporting.page import Reported, render
from shared.scoring.event import moment
from shared.scoring.events import Events
from shared.tables import BytesSource, survey
from tests.unit.scoring.answered import CONTRACT, FIRST, NAN, Reading, answered, in_pieces, many_readings

_DRIFT: dict[str, Any] = {
    "verdict": "severe",
    "columns": {
        "VolCorrected": {
            "verdict": "severe",
            "psi": 1.25,
            "psi_by_chance": 0.1,
            "ks": 0.5,
            "missing": 0.0,
            "invalid": 0.25,
            "out_of_range": {"contract": 0.0, "training": 0.125},
        }
    },
    "score": {"name": "anomaly_score", "verdict": "none", "psi": 0.01, "beyond_training": 0.0},
}


class _Page(HTMLParser):
    """The elements, their attributes and the texts of a page."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def _reported(*pieces: list[Reading], file: str = "november.csv", language: str = "en", **changes: Any) -> Reported:
    """The report of these readings, taken in piece by piece."""
    contract = CONTRACT.model_copy(update={"language": language})
    readings = [each for piece in pieces for each in piece]
    text = "Fecha_Hora;Caudal_m3h\n" + "".join(f"{moment(each.hour * 3_600_000_000)};1,5\n" for each in readings)
    found = survey(BytesSource(file, (text + "never;2\n2026-01-01 00:00;1\na;b;c\n").encode()), contract)
    start = int(FIRST.timestamp()) // 86_400 * 86_400_000_000
    events, curves = Events(contract), Curves(contract, start, start + 2000 * 3_600_000_000)
    for piece in pieces:
        events.add(*answered(piece))
        curves.add(*answered(piece))
    flagged = sum(each.anomaly or 0 for each in readings)
    counts = {"rows": len(readings) + 2, "scored": len(readings), "errors": 1, "rejected": 1, "anomalies": flagged}
    about: dict[str, Any] = {"drift": _DRIFT, "model": {"name": "iforest_gas", "version": "7", "deployment": "blue"}}
    about |= changes
    return Reported(file, contract, found, counts=counts, events=events, curves=curves, **about)


def _leak(meter: str | None = None) -> list[Reading]:
    usual = [Reading(meter, 0, 10.0, 10.0, hour=hour) for hour in range(1200)]
    return usual + [Reading(meter, 1, 15.5, 10.0, 0.75, "leak", hour) for hour in range(1200, 1210)]


def test_a_page_says_what_there_is_to_say_of_a_file() -> None:
    page = _Page(render(_reported(_leak())))

    for words in (
        *("november.csv", "iforest_gas", "version 7", "1,212", "0.826 % of the rows scored", "possible leak"),
        *("why 1209", "0.75", "155", "Drift: severe", "1.25", "12.5 %", "FechaHora: ", "utf-8", "SHA-256"),
        *("Rejected lines", "3 fields, the header has 2", "yyyy-mm-dd HH:MM:SS"),
    ):
        assert words in page.text, words
    assert "svg" in page.tags
    assert "blue" not in page.text  # nothing of where it was scored


def test_a_page_is_in_the_language_of_the_contract() -> None:
    page = _Page(render(_reported(_leak(), language="es")))

    assert ("html", "lang", "es") in page.attributes
    for words in (
        *("Episodios", "posible fuga", "Gravedad", "1.212", "0,75", "Deriva: grave", "21/04/2026 00:00"),
        *("FechaHora: 'never' no es una fecha", "la línea tiene 3 campos y la cabecera 2"),
    ):
        assert words in page.text, words


def test_both_languages_have_every_word() -> None:
    assert set(_LABELS["en"]) == set(_LABELS["es"])
    for name, english in _LABELS["en"].items():
        assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", _LABELS["es"][name])), name


def test_a_page_needs_and_runs_nothing_from_anywhere() -> None:
    evil = '<script>alert("x")</script>&\'<img src=http://x/>'
    readings = [
        Reading(evil, each.anomaly, each.value, each.expected, each.severity, evil, each.hour) for each in _leak()
    ]
    readings += [Reading("b", 1, 3.0, hour=1)]
    drift = {"verdict": "unknown", "reason": evil}

    body = render(_reported(readings, file=f"{evil}.csv", drift=drift, model={"name": evil, "version": evil}))

    page = _Page(body)
    assert {"script", "img", "link", "iframe", "object"}.isdisjoint(page.tags)
    assert evil in page.text
    assert not [each for each in page.attributes if each[1].startswith("on") or each[1] in ("src", "href")]
    assert b"url(" not in body
    assert b"@import" not in body


def test_several_series_have_a_table_and_the_worst_of_them_plots() -> None:
    quiet = [Reading(f"quiet {number}", 0, 5.0, 5.0, hour=hour) for number in range(9) for hour in range(3)]
    noisy = [Reading(f"noisy {n}", 1, 9.0, 5.0, n / 10, "high", hour) for n in range(1, 9) for hour in range(3)]

    page = _Page(render(_reported(quiet + noisy)))

    names = re.findall(r"Course of (\w+ \d)", str(page.attributes))
    assert names == [f"noisy {n}" for n in (8, 7, 6, 5, 4, 3)]
    assert "6 series with the most severe events, of 17" in page.text
    assert "quiet 8" in page.text


def test_of_too_many_series_there_is_no_plot_and_the_table_is_cut() -> None:
    page = _Page(render(_reported([Reading(f"m{number}", 0, hour=number) for number in range(1100)])))

    assert "There are too many series (1,100) to plot any." in page.text
    assert "100 more series are not listed." in page.text
    assert "svg" not in page.tags


def test_values_far_beyond_the_others_do_not_set_the_scale() -> None:
    readings = [Reading(None, 0, 10.0 + hour % 5, 12.0, hour=hour) for hour in range(50)]
    readings[20] = Reading(None, 1, 9000.0, 12.0, 1.0, "high", 20)
    curves = _reported(readings).curves

    low, high = _limits(curves.of_meter(None))
    page = _Page(render(_reported(readings)))

    assert low == 0.0
    assert high < 50
    assert "Triangles" in page.text


@given(readings=many_readings(), cuts=st.lists(st.integers(0, 100), max_size=4))
def test_a_page_is_the_same_however_the_rows_came(readings: list[Reading], cuts: list[int]) -> None:
    assert render(_reported(*in_pieces(readings, cuts))) == render(_reported(readings))


@pytest.mark.parametrize(
    "readings",
    [
        [Reading(None, 1, 0.0)],
        [Reading(None, 0, -3.0, hour=hour) for hour in range(4)],
        [Reading(None, None, 1.0)],
        [Reading(None, 1, 1e300, -1e300, 1.0), Reading(None, 1, -1e300, 1e300, 1.0, hour=1)],
        [Reading(None, 0, 1e-300, NAN, hour=hour) for hour in range(3)],
    ],
)
def test_odd_values_have_a_page_too(readings: list[Reading]) -> None:
    body = render(_reported(readings)).decode()

    assert not re.search(r"\b(nan|inf)\b", re.sub(r"<style>.*</style>", "", body, flags=re.S))


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (-5.0, 7.0), (0.0, 1314.0), (1e-12, 3e-12), (-1e20, 1e20), (99.0, 101.0)]
)
def test_the_scale_of_values_has_a_few_round_numbers(low: float, high: float) -> None:
    ticks = _value_ticks(low, high)

    assert 4 <= len(ticks) <= 11
    assert all(low <= tick <= high for tick in ticks)


@given(
    first=st.integers(-10_000_000_000_000_000, 50_000_000_000_000_000),
    span=st.one_of(st.integers(0, 10**9), st.integers(0, 10**13), st.integers(0, 10**17)),
    language=st.sampled_from(["en", "es"]),
)
def test_the_scale_of_times_has_at_most_a_dozen(first: int, span: int, language: Any) -> None:
    ticks = list(_time_ticks(first, first + span, Labels(language)))

    assert len(ticks) <= 13
    assert all(first <= time <= first + span for time, _ in ticks)
    assert [time for time, _ in ticks] == sorted(time for time, _ in ticks)
