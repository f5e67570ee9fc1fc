"""What is wrong with single rows, in the language of the page.

Rows are told of in English: in the results' `error`, among the rejected lines, in manifests and answers, where programs
read it too. A page is for people alone. So it says the same sentences in its own language; one that is not known here
stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property

from aml.contract import DatasetContract
from shared.reporting.labels import Labels

_OF_ROWS: Mapping[str, str] = {
    "{column} is empty; the model fills it in": "{column} está vacío; lo completa el modelo",
    "{column} is empty": "{column} está vacío",
    "{column} is not finite": "{column} no es finito",
    "{column}: {shown} is not a number": "{column}: {shown} no es un número",
    "{column}: {shown} is not a time": "{column}: {shown} no es una fecha",
    "{column}: {shown} is below {bound}": "{column}: {shown} es menor que {bound}",
    "{column}: {shown} is above {bound}": "{column}: {shown} es mayor que {bound}",
    "{column}: {shown} is none of {some}": "{column}: {shown} no es ninguno de {some}",
    "{column}: {shown} has {count} characters, not {other}": "{column}: {shown} tiene {count} caracteres, no {other}",
    "{column} cannot be worked out from {names}": "{column} no se puede calcular a partir de {names}",
    # of lines that are no rows
    "1 field, the header has {count}": "la línea tiene 1 campo y la cabecera {count}",
    "{count} fields, the header has {other}": "la línea tiene {count} campos y la cabecera {other}",
    "a quoted field opens here and does not close": "aquí se abre un campo entre comillas que no se cierra",
    "text follows the closing quote of a field": "hay texto detrás de la comilla que cierra un campo",
    "a value beyond the header's {count} columns": "hay un valor más allá de las {count} columnas de la cabecera",
}
_OF_DRIFT: Mapping[str, str] = {
    "{count} usable rows are too few to tell drift from chance; {other} are needed": "{count} filas utilizables son "
    "pocas para distinguir la deriva del azar; hacen falta {other}",
    "the endpoint is somebody else's, and what its model was trained on is not known": "el endpoint es ajeno y no se "
    "sabe con qué datos se entrenó su modelo",
    "the training run {run} left no profile of its data": "el entrenamiento {run} no dejó ningún perfil de sus datos",
    "the profile {run} cannot be read": "no se puede leer el perfil {run}",
}
_SPANISH: Mapping[str, str] = {**_OF_ROWS, **_OF_DRIFT}
"""By the English sentence, of which the first that fits is meant; what stands in braces is as `_VALUES` says."""

_VALUES: Mapping[str, str] = {
    "shown": r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""",  # a field as Python writes a text
    "bound": r"[-+.\de]+",
    "count": r"\d+",
    "other": r"\d+",
    "some": r".+?",
    "run": r"\S+",
}
_PLACE = re.compile(r"\{(\w+)\}")


class Reasons:
    """The sentences about the rows of a contract's files, told in the language of the page."""

    def __init__(self, contract: DatasetContract, say: Labels) -> None:
        self._say = say
        self._columns = "|".join(sorted((re.escape(column.name) for column in contract.columns), key=len, reverse=True))

    def __call__(self, english: str) -> str:
        """The same in the language of the page."""
        if self._say.language == "en":
            return english
        found = self._found(english)
        return "; ".join(_SPANISH[known].format(**self._spelt(match)) for known, match in found) or english

    def sentences(self, english: str) -> list[str]:
        """The sentences that it consists of; none where one of them is not known."""
        return [known for known, _ in self._found(english)]

    @cached_property
    def _known(self) -> dict[str, re.Pattern[str]]:
        # of a row with several faults each is told, with "; " between them
        end = rf"(?=; (?:{self._columns})[ :]|\Z)"
        return {english: re.compile(self._pattern(english) + end) for english in _SPANISH}

    def _found(self, english: str) -> list[tuple[str, re.Match[str]]]:
        found: list[tuple[str, re.Match[str]]] = []
        at = 0
        while at < len(english):
            matches = ((known, pattern.match(english, at)) for known, pattern in self._known.items())
            known, match = next(((known, match) for known, match in matches if match), ("", None))
            if match is None:
                return []
            found.append((known, match))
            at = match.end() + len("; ")
        return found

    def _pattern(self, english: str) -> str:
        values = {"column": self._columns, "names": rf"(?:{self._columns})(?: and (?:{self._columns}))*", **_VALUES}
        pieces = _PLACE.split(english)
        texts, places = pieces[::2], [f"(?P<{name}>{values[name]})" for name in pieces[1::2]]
        return "".join(re.escape(text) + place for text, place in zip(texts, [*places, ""], strict=True))

    def _spelt(self, match: re.Match[str]) -> dict[str, str]:
        values = match.groupdict()
        if "bound" in values:
            values["bound"] = self._say.number(float(values["bound"]), 6)
        if "names" in values:
            values["names"] = " y ".join(re.findall(self._columns, values["names"]))
        return values
