"""A job's command line, what stands in `${{…}}` and `$[[…]]`; and how long it may take."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .errors import Json, user_error

_REFERENCE = re.compile(r"\$\{\{\s*(inputs|outputs)\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)
_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?$")


def fill(command: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> str:
    """The command with values in the place of its references.

    `$[[ … ]]` stands only when everything it refers to has a value. KeyError for a reference without a value.
    """
    values = {"inputs": inputs, "outputs": outputs}

    def optional(match: re.Match[str]) -> str:
        references = _REFERENCE.findall(match[1])
        return match[1] if all(name in values[side] for side, name in references) else ""

    def value(match: re.Match[str]) -> str:
        return values[match[1]][match[2]]

    return _REFERENCE.sub(value, _OPTIONAL.sub(optional, command))


def required_references(command: str) -> list[tuple[str, str]]:
    """Every (`inputs` or `outputs`, name) that the command cannot do without."""
    return [(side, name) for side, name in _REFERENCE.findall(_OPTIONAL.sub("", command))]


def seconds(duration: str) -> float:
    """An ISO 8601 duration of hours, minutes and seconds (`PT1H30M`). ValueError for anything else."""
    match = _DURATION.match(duration)
    if match is None or duration == "PT":
        raise ValueError(f"'{duration}' is not a duration such as PT30M")
    hours, minutes, rest = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + rest


def require_durations(limits: Json | None, *names: str) -> None:
    """ArmError where one of these limits is given and is no duration."""
    for given in ((limits or {}).get(name) for name in names):
        try:
            if given:
                seconds(given)
        except ValueError as error:
            raise user_error(str(error)) from error
