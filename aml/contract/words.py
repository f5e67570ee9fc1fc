"""What is wrong with a contract, in words: every fault at once, each with its place and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from aml.contract import checks
from aml.contract.base import Fault, Key
from aml.contract.dataset import DatasetContract, with_automl

_EXPECTED = {
    "string_type": "write a text",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "tuple_type": "write a list",
    "dict_type": "write keys with values",
    "model_type": "write keys with values",
    "model_attributes_type": "write keys with values",
}


def faults_of(text: str, stem: str) -> tuple[DatasetContract | None, list[Fault]]:
    """Understand the text of a contract's file.

    Args:
        text: YAML.
        stem: the file's name without its ending, which the contract must have.

    Returns:
        The contract, or None; and what is wrong, which is nothing where there is a contract.
    """
    try:
        declared = yaml.safe_load(text)
    except yaml.YAMLError as error:
        return None, [Fault((), f"is not YAML ({' '.join(str(error).split())})", "see https://yaml.org")]
    if not isinstance(declared, dict):
        return None, [Fault((), "holds no keys", "begin with name, task and columns")]
    faults = [Fault((key,), "is not for files", "leave it out") for key in checks.NOT_FOR_FILES if key in declared]
    if "name" in declared and declared["name"] != stem:
        faults.append(Fault(("name",), f"is {declared['name']!r}", f"in {stem}.yml it must be {stem}"))
    try:
        contract = DatasetContract.model_validate(declared)
    except ValidationError as error:
        return None, faults + _shapes(error) + _together(declared)
    return (None if faults else contract), faults


def told(file: str, text: str, faults: Sequence[Fault]) -> str:
    """The message of an invalid contract: how many faults, then a line for each, with the file's line where known."""
    marks = _marks(text)
    placed = sorted(((_line(fault.key, marks), str(fault)) for fault in faults), key=lambda each: each[0])
    lines = [f"{file}{f', line {line}' if line else ''}: {words}." for line, words in placed]
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    return "\n".join([f"The contract {file} has {count}.", *lines])


def _line(key: Key, marks: Mapping[Key, int]) -> int:
    """Where a key stands, or what is around it; 0 where nothing is."""
    return next((marks[key[:end]] for end in range(len(key), 0, -1) if key[:end] in marks), 0)


def _shapes(error: ValidationError) -> list[Fault]:
    """Faults of single keys; a value that may take several forms is at fault once."""
    found: dict[Key, Fault] = {}
    for details in error.errors(include_url=False):
        if not details["loc"]:
            continue  # how the parts hang together is found out by itself
        key = _key(details)
        found.setdefault(key, _in_words(key, details))
    return list(found.values())


def _key(details: ErrorDetails) -> Key:
    """Where it is, without the names of forms that pydantic puts among the keys."""
    place: list[str | int] = []
    inside: Any = DatasetContract
    last = details["loc"][-1] if details["type"] == "extra_forbidden" else None
    for part in details["loc"]:
        named = isinstance(inside, type) and issubclass(inside, BaseModel) and part in inside.model_fields
        if named:
            inside = _model_of(inside.model_fields[str(part)].annotation)
            place.append(part)
        elif isinstance(part, int) or part == last or not _is_a_form(part):
            place.append(part)
    return tuple(place)


def _is_a_form(part: object) -> bool:
    text = str(part)
    return text in ("Choice", "Range", "Bandit", "Median", "Truncation", "bandit", "median", "truncation") or any(
        mark in text for mark in "[(-"
    )


def _model_of(annotation: Any) -> Any:
    """The declared part inside an annotation such as `tuple[Column, ...]`, or the annotation."""
    for inner in getattr(annotation, "__args__", ()):
        if isinstance(found := _model_of(inner), type) and issubclass(found, BaseModel):
            return found
    return annotation


def _in_words(key: Key, details: ErrorDetails) -> Fault:
    kind, context = details["type"], details.get("ctx", {})
    shown = _shown(details.get("input"))
    if kind == "missing":
        return Fault(key, "is missing", "it has no default")
    if kind == "extra_forbidden":
        known = _known(key[:-1])
        near = difflib.get_close_matches(str(key[-1]), known, 1)
        right = f"perhaps {near[0]} is meant" if near else f"there may be {', '.join(known)}"
        return Fault(key, "there is no such key", right)
    if kind == "literal_error":
        return Fault(key, f"{shown} is none of its values", f"write {context['expected']}")
    if kind == "value_error":
        return Fault(key, str(context["error"]), "")
    if kind in _EXPECTED:
        return Fault(key, f"{shown} does not belong here", _EXPECTED[kind])
    if kind == "string_pattern_mismatch":
        return Fault(key, f"{shown} does not fit", f"it must look like {context['pattern']}")
    return Fault(key, f"{shown} does not fit", _sentence(details["msg"]))


def _sentence(message: str) -> str:
    return message[:1].lower() + message[1:]


def _known(key: Key) -> list[str]:
    """The keys that may stand at a place."""
    inside: Any = DatasetContract
    for part in key:
        if isinstance(part, str) and isinstance(inside, type) and issubclass(inside, BaseModel):
            field = inside.model_fields.get(part)
            inside = None if field is None else _model_of(field.annotation)
    if not (isinstance(inside, type) and issubclass(inside, BaseModel)):
        return []
    return [name for name in inside.model_fields if name not in checks.NOT_FOR_FILES]


def _together(declared: Mapping[str, Any]) -> list[Fault]:
    """What does not fit together among the keys that are sound in themselves."""
    sound: dict[str, Any] = {}
    known: list[str] = []
    for name, field in DatasetContract.model_fields.items():
        if name not in declared:
            known += [] if field.is_required() else [name]
            continue
        try:
            sound[name] = TypeAdapter(field.rebuild_annotation()).validate_python(declared[name])
        except ValidationError:
            continue
        known.append(name)
    if {"task", "tuning"} <= sound.keys():
        sound["models"] = with_automl(sound["task"], sound.get("models", ()), sound["tuning"])
    return list(checks.faults(DatasetContract.model_construct(**sound), known))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _marks(text: str) -> dict[Key, int]:
    """Line, counted from 1, of every key and list item."""
    marks: dict[Key, int] = {}
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return marks
    waiting: list[tuple[Key, Any]] = [((), root)]
    while waiting:
        key, node = waiting.pop()
        for part, place, value in _children(node):
            marks[(*key, part)] = place.start_mark.line + 1
            waiting.append(((*key, part), value))
    return marks


def _children(node: Any) -> Iterable[tuple[str | int, Any, Any]]:
    if isinstance(node, yaml.MappingNode):
        return [(key.value, key, value) for key, value in node.value]
    if isinstance(node, yaml.SequenceNode):
        return [(at, value, value) for at, value in enumerate(node.value)]
    return []
