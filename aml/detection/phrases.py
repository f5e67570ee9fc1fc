"""What there is to say of a flagged row, in each language; `aml.detection.words` chooses and fills in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Language = Literal["en", "es"]


@dataclass(frozen=True)
class Phrases:
    """One language. Templates that name `when` or `compared` are given them with the blank before, or nothing."""

    decimal: str
    weekdays: tuple[str, ...]
    """Monday to Sunday and holidays, as "on Tuesdays" has them."""
    a_weekday: tuple[str, ...]
    """The same as "on a Tuesday" has them."""
    on_days: str
    on_days_at: str
    on_days_at_one: str
    """The same between one and two o'clock, where the language makes a difference."""
    units: dict[str, tuple[str, str]]
    """Of time, one and several."""
    small: tuple[str, ...]
    """Two to nine."""
    compared: str
    seen: str
    times: str
    many_times: str
    above: str
    high: str
    high_alone: str
    below: str
    none: str
    low: str
    low_alone: str
    negative: str
    zero: str
    zero_expected: str
    zero_long: str
    stuck: str
    stuck_long: str
    past: tuple[str, str, str]
    """The last weeks, the last days, and a past of unknown length."""
    share: tuple[str, str, str, str, str]
    """How much more than, less than and a multiple of the past; far above it, and merely another."""
    leak: str
    leak_by_day: str
    level: str
    drift: str
    pattern: str
    pattern_of_days: str
    gap: tuple[str, str]
    gap_lasting: str
    gap_long: str
    gap_unknown: str
    duplicate: str
    duplicate_day: str
    shifted: str
    unusual: str


ENGLISH = Phrases(
    decimal=".",
    weekdays=("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays", "holidays"),
    a_weekday=("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "holiday"),
    on_days=" for {day}",
    on_days_at=" for {day} at {time}",
    on_days_at_one=" for {day} at {time}",
    units={
        "second": ("second", "seconds"),
        "minute": ("minute", "minutes"),
        "hour": ("hour", "hours"),
        "day": ("day", "days"),
    },
    small=("two", "three", "four", "five", "six", "seven", "eight", "nine"),
    compared=" (expected {expected}, seen {seen})",
    seen=" (seen {seen})",
    times="{ratio} times the usual{when}{compared}",
    many_times="more than {ratio} times the usual{when}{compared}",
    above="{percent} % above the usual{when}{compared}",
    high="above the usual{when}{compared}",
    high_alone="unusually high{compared}",
    below="{percent} % below the usual{when}{compared}",
    none="zero where {expected} is usual{when}",
    low="below the usual{when}{compared}",
    low_alone="unusually low{compared}",
    negative="negative, which does not happen here{compared}",
    zero="zero for {lasting}",
    zero_expected="zero for {lasting} where {expected} is usual",
    zero_long="zero for unusually long",
    stuck="same value for {lasting} ({seen})",
    stuck_long="same value for unusually long ({seen})",
    past=("the last {number} weeks", "the last {number} days", "the past"),
    share=(
        "{percent} % above {past}",
        "{percent} % below {past}",
        "{ratio} times that of {past}",
        "far above {past}",
        "unlike {past}",
    ),
    leak="night minimum {share}: possible leak",
    leak_by_day="minimum {share}: possible leak",
    level="sudden change of level, now {share}",
    drift="slow drift, by now {share}",
    pattern="the course of the day is not that of a {day}{compared}",
    pattern_of_days="the course of the last days is unusual{compared}",
    gap=("{number} reading missing before this one", "{number} readings missing before this one"),
    gap_lasting="{number} readings ({lasting}) missing before this one",
    gap_long="no reading for {lasting} before this one",
    gap_unknown="readings missing before this one",
    duplicate="there is a reading of this time already{compared}",
    duplicate_day="there is a reading of this day already{compared}",
    shifted="clock probably off: the course of the day comes too early or too late",
    unusual="unusual{when}{compared}",
)

SPANISH = Phrases(
    decimal=",",
    weekdays=("lunes", "martes", "miércoles", "jueves", "viernes", "sábados", "domingos", "festivos"),
    a_weekday=("lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo", "festivo"),
    on_days=" los {day}",
    on_days_at=" los {day} a las {time}",
    on_days_at_one=" los {day} a la {time}",
    units={
        "second": ("segundo", "segundos"),
        "minute": ("minuto", "minutos"),
        "hour": ("hora", "horas"),
        "day": ("día", "días"),
    },
    small=("dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"),
    compared=" (se esperaba {expected} y se midió {seen})",
    seen=" (se midió {seen})",
    times="{ratio} veces lo habitual{when}{compared}",
    many_times="más de {ratio} veces lo habitual{when}{compared}",
    above="un {percent} % por encima de lo habitual{when}{compared}",
    high="por encima de lo habitual{when}{compared}",
    high_alone="valor inusualmente alto{compared}",
    below="un {percent} % por debajo de lo habitual{when}{compared}",
    none="cero, cuando lo habitual{when} es {expected}",
    low="por debajo de lo habitual{when}{compared}",
    low_alone="valor inusualmente bajo{compared}",
    negative="valor negativo, que aquí no se da nunca{compared}",
    zero="lleva {lasting} a cero",
    zero_expected="lleva {lasting} a cero, cuando lo habitual es {expected}",
    zero_long="lleva demasiado tiempo a cero",
    stuck="mismo valor desde hace {lasting} ({seen})",
    stuck_long="mismo valor desde hace demasiado tiempo ({seen})",
    past=("el de las últimas {number} semanas", "el de los últimos {number} días", "el anterior"),
    share=(
        "un {percent} % por encima d{past}",
        "un {percent} % por debajo d{past}",
        "{ratio} veces {past}",
        "muy por encima d{past}",
        "distinto d{past}",
    ),
    leak="mínimo nocturno {share}: posible fuga",
    leak_by_day="mínimo {share}: posible fuga",
    level="cambio brusco de nivel, ahora {share}",
    drift="deriva lenta del nivel, ya {share}",
    pattern="la curva del día no es la de un {day}{compared}",
    pattern_of_days="la evolución de los últimos días es inusual{compared}",
    gap=("falta {number} lectura antes de esta", "faltan {number} lecturas antes de esta"),
    gap_lasting="faltan {number} lecturas ({lasting}) antes de esta",
    gap_long="ninguna lectura durante {lasting} antes de esta",
    gap_unknown="faltan lecturas antes de esta",
    duplicate="ya hay una lectura con esta fecha y hora{compared}",
    duplicate_day="ya hay una lectura con esta fecha{compared}",
    shifted="reloj probablemente desajustado: la curva del día llega antes o después de lo habitual",
    unusual="valor poco habitual{when}{compared}",
)

LANGUAGES: dict[Language, Phrases] = {"en": ENGLISH, "es": SPANISH}
