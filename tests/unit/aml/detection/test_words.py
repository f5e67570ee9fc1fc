"""The words of a flagged row, kind by kind and language by language."""

from __future__ import annotations

import re
from datetime import datetime
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml.detection.findings import Detections, Kind
from aml.detection.phrases import Language
from aml.detection.words import reasons

MINUTE, HOUR, DAY, IRREGULAR = 60_000_000, 3_600_000_000, 86_400_000_000, 0
TUESDAY = "2026-11-03 03:00"
NAN = float("nan")


def said(
    language: Language,
    kind: Kind,
    value: float = 6.5,
    expected: float = 2.1,
    *,
    hours: float = 0.0,
    change: float = 0.0,
    at: str = TUESDAY,
    interval: int = HOUR,
    **further: Any,
) -> str:
    """The words of one flagged row."""
    found = detections([kind], expected=[expected], hours=[hours], change=[change])
    texts = reasons(found, times(at), np.array([value]), interval, language, **further)
    return str(texts[0])


def times(*texts: str) -> Any:
    return np.array([np.datetime64(datetime.fromisoformat(text), "us").astype(np.int64) for text in texts])


def detections(kinds: list[Kind], *, flagged: list[bool] | None = None, **columns: list[float]) -> Detections:
    n = len(kinds)
    zeros = np.zeros(n)
    given = {name: np.array(values, dtype=np.float64) for name, values in columns.items()}
    return Detections(
        anomaly=np.array(flagged if flagged is not None else [True] * n, dtype=np.bool_),
        score=zeros,
        expected=given.get("expected", zeros),
        lower=zeros,
        upper=zeros,
        severity=zeros,
        kind=np.array(kinds, dtype=np.int8),
        hours=given.get("hours", zeros),
        change=given.get("change", zeros),
    )


SENTENCES: list[tuple[dict[str, Any], str, str]] = [
    (
        {"kind": Kind.HIGH},
        "3.1 times the usual for Tuesdays at 03:00 (expected 2.1, seen 6.5)",
        "3,1 veces lo habitual los martes a las 03:00 (se esperaba 2,1 y se midió 6,5)",
    ),
    (
        {"kind": Kind.HIGH, "value": 42.0},
        "20 times the usual for Tuesdays at 03:00 (expected 2.1, seen 42)",
        "20 veces lo habitual los martes a las 03:00 (se esperaba 2,1 y se midió 42)",
    ),
    (
        {"kind": Kind.HIGH, "value": 2_100_000.0},
        "more than 1000 times the usual for Tuesdays at 03:00 (expected 2.1, seen 2100000)",
        "más de 1000 veces lo habitual los martes a las 03:00 (se esperaba 2,1 y se midió 2100000)",
    ),
    (
        {"kind": Kind.HIGH, "value": 2.772, "at": "2026-11-08 01:30"},
        "32 % above the usual for Sundays at 01:30 (expected 2.1, seen 2.77)",
        "un 32 % por encima de lo habitual los domingos a la 01:30 (se esperaba 2,1 y se midió 2,77)",
    ),
    (
        {"kind": Kind.HIGH, "value": 100.2, "expected": 100.1},
        "above the usual for Tuesdays at 03:00 (expected 100.1, seen 100.2)",
        "por encima de lo habitual los martes a las 03:00 (se esperaba 100,1 y se midió 100,2)",
    ),
    (
        {"kind": Kind.HIGH, "expected": 0.0},
        "above the usual for Tuesdays at 03:00 (expected 0, seen 6.5)",
        "por encima de lo habitual los martes a las 03:00 (se esperaba 0 y se midió 6,5)",
    ),
    (
        {"kind": Kind.HIGH, "expected": -4.0, "value": -1.5},
        "above the usual for Tuesdays at 03:00 (expected -4, seen -1.5)",
        "por encima de lo habitual los martes a las 03:00 (se esperaba -4 y se midió -1,5)",
    ),
    (
        {"kind": Kind.HIGH, "expected": NAN},
        "unusually high (seen 6.5)",
        "valor inusualmente alto (se midió 6,5)",
    ),
    (
        {"kind": Kind.HIGH, "value": 1.0},
        "unusually high (expected 2.1, seen 1)",
        "valor inusualmente alto (se esperaba 2,1 y se midió 1)",
    ),
    (
        {"kind": Kind.HIGH, "interval": DAY},
        "3.1 times the usual for Tuesdays (expected 2.1, seen 6.5)",
        "3,1 veces lo habitual los martes (se esperaba 2,1 y se midió 6,5)",
    ),
    (
        {"kind": Kind.HIGH, "interval": 7 * DAY},
        "3.1 times the usual (expected 2.1, seen 6.5)",
        "3,1 veces lo habitual (se esperaba 2,1 y se midió 6,5)",
    ),
    (
        {"kind": Kind.HIGH, "interval": MINUTE, "at": "2026-11-07 23:59"},
        "3.1 times the usual for Saturdays at 23:59 (expected 2.1, seen 6.5)",
        "3,1 veces lo habitual los sábados a las 23:59 (se esperaba 2,1 y se midió 6,5)",
    ),
    (
        {"kind": Kind.HIGH, "interval": IRREGULAR, "at": "1969-12-31 13:07"},
        "3.1 times the usual for Wednesdays at 13:07 (expected 2.1, seen 6.5)",
        "3,1 veces lo habitual los miércoles a las 13:07 (se esperaba 2,1 y se midió 6,5)",
    ),
    (
        {"kind": Kind.HIGH, "holiday": np.array([True])},
        "3.1 times the usual for holidays at 03:00 (expected 2.1, seen 6.5)",
        "3,1 veces lo habitual los festivos a las 03:00 (se esperaba 2,1 y se midió 6,5)",
    ),
    (
        {"kind": Kind.LOW, "value": 0.35},
        "83 % below the usual for Tuesdays at 03:00 (expected 2.1, seen 0.35)",
        "un 83 % por debajo de lo habitual los martes a las 03:00 (se esperaba 2,1 y se midió 0,35)",
    ),
    (
        {"kind": Kind.LOW, "value": 1e-9},
        "99 % below the usual for Tuesdays at 03:00 (expected 2.1, seen 1.00e-09)",
        "un 99 % por debajo de lo habitual los martes a las 03:00 (se esperaba 2,1 y se midió 1,00e-09)",
    ),
    (
        {"kind": Kind.LOW, "value": 0.0},
        "zero where 2.1 is usual for Tuesdays at 03:00",
        "cero, cuando lo habitual los martes a las 03:00 es 2,1",
    ),
    (
        {"kind": Kind.LOW, "value": 0.0, "interval": 30 * DAY},
        "zero where 2.1 is usual",
        "cero, cuando lo habitual es 2,1",
    ),
    (
        {"kind": Kind.LOW, "value": -3.0, "expected": -0.25},
        "below the usual for Tuesdays at 03:00 (expected -0.25, seen -3)",
        "por debajo de lo habitual los martes a las 03:00 (se esperaba -0,25 y se midió -3)",
    ),
    (
        {"kind": Kind.LOW, "value": 0.2, "expected": NAN},
        "unusually low (seen 0.2)",
        "valor inusualmente bajo (se midió 0,2)",
    ),
    (
        {"kind": Kind.NEGATIVE, "value": -3.25},
        "negative, which does not happen here (expected 2.1, seen -3.25)",
        "valor negativo, que aquí no se da nunca (se esperaba 2,1 y se midió -3,25)",
    ),
    (
        {"kind": Kind.NEGATIVE, "value": -3.25, "expected": NAN},
        "negative, which does not happen here (seen -3.25)",
        "valor negativo, que aquí no se da nunca (se midió -3,25)",
    ),
    (
        {"kind": Kind.ZERO, "value": 0.0, "expected": 4.2, "hours": 6.0},
        "zero for 6 hours where 4.2 is usual",
        "lleva 6 horas a cero, cuando lo habitual es 4,2",
    ),
    (
        {"kind": Kind.ZERO, "value": 0.0, "expected": NAN, "hours": 1.0},
        "zero for 1 hour",
        "lleva 1 hora a cero",
    ),
    (
        {"kind": Kind.ZERO, "value": 0.0, "expected": 0.0, "hours": 72.0, "interval": DAY},
        "zero for 3 days",
        "lleva 3 días a cero",
    ),
    ({"kind": Kind.ZERO, "value": 0.0}, "zero for unusually long", "lleva demasiado tiempo a cero"),
    (
        {"kind": Kind.STUCK, "value": 4.37, "hours": 14.0},
        "same value for 14 hours (4.37)",
        "mismo valor desde hace 14 horas (4,37)",
    ),
    (
        {"kind": Kind.STUCK, "value": 749.43, "hours": 1.5, "interval": 15 * MINUTE},
        "same value for 1.5 hours (749)",
        "mismo valor desde hace 1,5 horas (749)",
    ),
    (
        {"kind": Kind.STUCK, "value": 4.37, "hours": 25 / 60, "interval": MINUTE},
        "same value for 25 minutes (4.37)",
        "mismo valor desde hace 25 minutos (4,37)",
    ),
    (
        {"kind": Kind.STUCK, "value": 4.37, "hours": 1 / 60, "interval": MINUTE},
        "same value for 1 minute (4.37)",
        "mismo valor desde hace 1 minuto (4,37)",
    ),
    (
        {"kind": Kind.STUCK, "value": 4.37, "hours": 20 / 3600, "interval": MINUTE // 60},
        "same value for 20 seconds (4.37)",
        "mismo valor desde hace 20 segundos (4,37)",
    ),
    (
        {"kind": Kind.STUCK, "value": 4.37, "hours": 24.0, "interval": DAY},
        "same value for 1 day (4.37)",
        "mismo valor desde hace 1 día (4,37)",
    ),
    (
        {"kind": Kind.STUCK, "value": 4.37, "hours": 60.0},
        "same value for 2.5 days (4.37)",
        "mismo valor desde hace 2,5 días (4,37)",
    ),
    (
        {"kind": Kind.STUCK, "value": 4.37},
        "same value for unusually long (4.37)",
        "mismo valor desde hace demasiado tiempo (4,37)",
    ),
    (
        {"kind": Kind.LEAK, "change": 0.4},
        "night minimum 40 % above the last four weeks: possible leak",
        "mínimo nocturno un 40 % por encima del de las últimas cuatro semanas: posible fuga",
    ),
    (
        {"kind": Kind.LEAK, "change": 2.1},
        "night minimum 3.1 times that of the last four weeks: possible leak",
        "mínimo nocturno 3,1 veces el de las últimas cuatro semanas: posible fuga",
    ),
    (
        {"kind": Kind.LEAK, "change": float("inf")},
        "night minimum far above the last four weeks: possible leak",
        "mínimo nocturno muy por encima del de las últimas cuatro semanas: posible fuga",
    ),
    (
        {"kind": Kind.LEAK, "change": 0.4, "interval": DAY, "history_days": 84.0},
        "minimum 40 % above the last 12 weeks: possible leak",
        "mínimo un 40 % por encima del de las últimas 12 semanas: posible fuga",
    ),
    (
        {"kind": Kind.LEAK, "change": 0.4, "interval": 5 * MINUTE, "history_days": 2.4},
        "night minimum 40 % above the last two days: possible leak",
        "mínimo nocturno un 40 % por encima del de los últimos dos días: posible fuga",
    ),
    (
        {"kind": Kind.LEAK, "change": 0.4, "interval": MINUTE, "history_days": 0.5},
        "night minimum 40 % above the past: possible leak",
        "mínimo nocturno un 40 % por encima del anterior: posible fuga",
    ),
    (
        {"kind": Kind.LEVEL, "change": -0.35},
        "sudden change of level, now 35 % below the last four weeks",
        "cambio brusco de nivel, ahora un 35 % por debajo del de las últimas cuatro semanas",
    ),
    (
        {"kind": Kind.DRIFT, "change": 0.126},
        "slow drift, by now 13 % above the last four weeks",
        "deriva lenta del nivel, ya un 13 % por encima del de las últimas cuatro semanas",
    ),
    (
        {"kind": Kind.DRIFT, "change": NAN},
        "slow drift, by now unlike the last four weeks",
        "deriva lenta del nivel, ya distinto del de las últimas cuatro semanas",
    ),
    (
        {"kind": Kind.PATTERN, "at": "2026-11-08 14:00"},
        "the course of the day is not that of a Sunday (expected 2.1, seen 6.5)",
        "la curva del día no es la de un domingo (se esperaba 2,1 y se midió 6,5)",
    ),
    (
        {"kind": Kind.PATTERN, "interval": DAY},
        "the course of the last days is unusual (expected 2.1, seen 6.5)",
        "la evolución de los últimos días es inusual (se esperaba 2,1 y se midió 6,5)",
    ),
    (
        {"kind": Kind.GAP, "hours": 3.0},
        "3 readings missing before this one",
        "faltan 3 lecturas antes de esta",
    ),
    ({"kind": Kind.GAP, "hours": 1.0}, "1 reading missing before this one", "falta 1 lectura antes de esta"),
    (
        {"kind": Kind.GAP, "hours": 72.0},
        "72 readings (3 days) missing before this one",
        "faltan 72 lecturas (3 días) antes de esta",
    ),
    (
        {"kind": Kind.GAP, "hours": 24.0, "interval": DAY},
        "1 reading missing before this one",
        "falta 1 lectura antes de esta",
    ),
    (
        {"kind": Kind.GAP, "hours": 3.0, "interval": IRREGULAR},
        "no reading for 3 hours before this one",
        "ninguna lectura durante 3 horas antes de esta",
    ),
    ({"kind": Kind.GAP}, "readings missing before this one", "faltan lecturas antes de esta"),
    ({"kind": Kind.GAP, "hours": 0.1}, "readings missing before this one", "faltan lecturas antes de esta"),
    (
        {"kind": Kind.DUPLICATE},
        "there is a reading of this time already (seen 6.5)",
        "ya hay una lectura con esta fecha y hora (se midió 6,5)",
    ),
    (
        {"kind": Kind.DUPLICATE, "interval": DAY},
        "there is a reading of this day already (seen 6.5)",
        "ya hay una lectura con esta fecha (se midió 6,5)",
    ),
    (
        {"kind": Kind.SHIFTED},
        "clock probably off: the course of the day comes too early or too late",
        "reloj probablemente desajustado: la curva del día llega antes o después de lo habitual",
    ),
    (
        {"kind": Kind.NONE},
        "unusual for Tuesdays at 03:00 (expected 2.1, seen 6.5)",
        "valor poco habitual los martes a las 03:00 (se esperaba 2,1 y se midió 6,5)",
    ),
    (
        {"kind": Kind.NONE, "expected": NAN, "interval": 7 * DAY},
        "unusual (seen 6.5)",
        "valor poco habitual (se midió 6,5)",
    ),
]


@pytest.mark.parametrize(("row", "english", "spanish"), SENTENCES)
def test_a_flagged_row_has_its_sentence(row: dict[str, Any], english: str, spanish: str) -> None:
    assert (said("en", **row), said("es", **row)) == (english, spanish)


def test_there_is_a_sentence_for_every_kind() -> None:
    assert {row["kind"] for row, *_ in SENTENCES} == set(Kind)


def test_only_flagged_rows_get_words() -> None:
    found = detections([Kind.HIGH, Kind.NONE, Kind.LOW, Kind.GAP], flagged=[True, False, False, True])

    texts = reasons(found, np.arange(4) * HOUR, np.ones(4), HOUR, "en")

    assert [bool(text) for text in texts] == [True, False, False, True]
    assert texts[1] == texts[2] == ""


def test_no_rows_have_no_words() -> None:
    assert reasons(detections([]), np.zeros(0, np.int64), np.zeros(0), HOUR, "es").tolist() == []


@pytest.mark.parametrize(("kind", "hours", "change"), [(Kind.GAP, 5e298, 0.0), (Kind.LEAK, 0.0, -1.8e306)])
def test_numbers_beyond_all_sense_have_words_too(kind: Kind, hours: float, change: float) -> None:
    found = detections([kind], hours=[hours], change=[change])

    assert reasons(found, np.zeros(1, np.int64), np.ones(1), HOUR, "en")[0]


def test_a_value_far_below_what_is_next_to_nothing_has_words_too() -> None:
    found = detections([Kind.HIGH], expected=[1.1e-308])

    assert reasons(found, np.zeros(1, np.int64), np.array([-1e300]), HOUR, "en")[0]


def test_each_row_may_have_its_own_interval() -> None:
    found = detections([Kind.GAP, Kind.GAP], hours=[24.0, 24.0])

    texts = reasons(found, np.zeros(2, np.int64), np.ones(2), np.array([HOUR, DAY]), "en")

    assert texts.tolist() == ["24 readings (24 hours) missing before this one", "1 reading missing before this one"]


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(list(Kind)),
            st.booleans(),
            st.integers(-4_000_000_000_000_000, 4_000_000_000_000_000),
            st.floats(allow_nan=False, allow_infinity=False),
            st.floats(),
            st.floats(),
            st.floats(),
            st.sampled_from([IRREGULAR, 1, MINUTE, HOUR, DAY, 31 * DAY]),
        ),
        min_size=1,
        max_size=12,
    ),
    language=st.sampled_from(["en", "es"]),
    days=st.floats(0, 1e4),
)
def test_the_words_of_a_row_are_those_it_has_alone_and_a_plain_field(
    rows: list[tuple[Any, ...]], language: Language, days: float
) -> None:
    kinds, flagged, time, value, expected, hours, change, interval = map(list, zip(*rows, strict=True))

    def words(part: slice) -> list[str]:
        found = detections(
            kinds[part], flagged=flagged[part], expected=expected[part], hours=hours[part], change=change[part]
        )
        every, values = np.array(interval[part]), np.array(value[part])
        texts = reasons(found, np.array(time[part]), values, every, language, history_days=days)
        return [str(text) for text in texts]

    whole = words(slice(None))

    assert whole == [word for at in range(len(rows)) for word in words(slice(at, at + 1))]
    for text, is_flagged in zip(whole, flagged, strict=True):
        assert bool(text) == is_flagged
        assert not re.search(r'[;"\r\n{}]|\bnan\b|\binf\b|  |^[=+@-]|\s$', text), text


@pytest.mark.parametrize(("kind", "value"), list(product(Kind, [6.5, 0.125, -3.75])))
def test_numbers_have_the_mark_of_their_language(kind: Kind, value: float) -> None:
    row: dict[str, Any] = {"kind": kind, "value": value, "hours": 1.5, "change": 2.5}

    assert not re.search(r"\d,\d", said("en", **row))
    assert not re.search(r"\d\.\d", said("es", **row))
