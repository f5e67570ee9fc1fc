"""Calls of the seam to Azure ML as lines of JSON, one for a call and one for its answer.

What a line may hold follows from what the methods of `Workspace` declare; anything else is a `ValueError`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from inspect import getmembers, isclass, isfunction
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter

from shared import errors
from shared.retraining.workspace import Workspace

_ERRORS = {name: kind for name, kind in getmembers(errors, isclass) if issubclass(kind, errors.DropscoreError)}
_METHODS = {name: method for name, method in getmembers(Workspace, isfunction) if not name.startswith("_")}


class BrokenAdapterError(Exception):
    """The adapter raised what nobody expected of it; as unexpected here as there."""


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Call(_Line):
    call: str
    arguments: dict[str, Any]


class _Fault(_Line):
    kind: str
    code: str
    message: str
    where: dict[str, Any]


class _Answer(_Line):
    value: Any = None
    fault: _Fault | None = None
    broken: str | None = None


def write_call(name: str, arguments: Mapping[str, object]) -> bytes:
    """The call of a method with its arguments by name."""
    types = _types(name)
    told = {each: types[each].dump_python(value, mode="json") for each, value in arguments.items()}
    return _line({"call": name, "arguments": told})


def read_call(line: bytes) -> tuple[str, dict[str, Any]]:
    """The method's name and its arguments.

    Raises:
        ValueError: there is no such call.
    """
    read = _Call.model_validate_json(line)
    types = _types(read.call)
    if types.keys() - {"return"} != read.arguments.keys():
        raise ValueError(f"{read.call} has other arguments")
    return read.call, {each: types[each].validate_python(value) for each, value in read.arguments.items()}


def write_answer(name: str, value: object) -> bytes:
    """What the method returned."""
    return _line({"value": _types(name)["return"].dump_python(value, mode="json")})


def write_fault(error: errors.DropscoreError) -> bytes:
    """What it raised."""
    kind, where = type(error).__name__, error.where
    return _line({"fault": {"kind": kind, "code": error.code, "message": error.message, "where": where}})


def write_broken(words: str) -> bytes:
    """What it should not have raised, as a traceback."""
    return _line({"broken": words})


def read_answer(name: str, line: bytes) -> Any:
    """What the method returned.

    Raises:
        DropscoreError: what it raised, of the same class.
        BrokenAdapterError: it raised something else.
        ValueError: this answers no such call.
    """
    read = _Answer.model_validate_json(line)
    if read.broken is not None:
        raise BrokenAdapterError(read.broken)
    if read.fault is not None:
        if read.fault.kind not in _ERRORS:
            raise ValueError(f"there is no error {read.fault.kind}")
        raise _ERRORS[read.fault.kind](read.fault.code, read.fault.message, **read.fault.where)
    return _types(name)["return"].validate_python(read.value)


@cache
def _types(name: str) -> Mapping[str, TypeAdapter[Any]]:
    """The types of the method's arguments and, as `return`, of its value."""
    if name not in _METHODS:
        raise ValueError(f"there is no call {name}")
    return {each: TypeAdapter(hint) for each, hint in get_type_hints(_METHODS[name]).items()}


def _line(content: Mapping[str, object]) -> bytes:
    return json.dumps(content, default=str).encode() + b"\n"
