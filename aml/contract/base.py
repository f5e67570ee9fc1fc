"""What every declared part of a contract is, and how a fault in one is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from aml.expressions import parse

Key = tuple[str | int, ...]
"""Where something stands in a contract: names of keys and positions in lists, from the outside in."""


class Declared(BaseModel):
    """A misspelt key in a YAML file is an error, and a loaded contract does not change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _of_columns(text: str) -> str:
    if not parse(text).names:
        raise ValueError(f"{text!r} names no column; an expression is of columns")
    return text


Formula = Annotated[str, AfterValidator(_of_columns)]
"""An expression of columns, see `aml.expressions`, as text."""


class ContractError(Exception):
    """A name, a header or a file does not fit a contract.

    Attributes:
        code: stable identifier: ``unknown_dataset``, ``missing_column``, ``ambiguous_column``, ``unknown_model`` or
            ``invalid_contract``.
        message: one or two sentences for the person who dropped the file; of an invalid contract a line per fault.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in a contract, and what would be right; empty where the former says so."""

    key: Key
    wrong: str
    right: str

    def __str__(self) -> str:
        place = path(self.key)
        return f"{place + ': ' if place else ''}{self.wrong}{'; ' if self.right else ''}{self.right}"


def path(key: Key) -> str:
    """A key as it is written for people: `columns[2].minimum`."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
