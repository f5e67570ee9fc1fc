"""Indexing: from an app folder to its functions, with the worker's checks and those the worker leaves out."""

from __future__ import annotations

import importlib
import json
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import azure.functions as func
from azurefunctions.extensions.base import get_binding_registry as get_sdk_type_registry

from local.functions.annotations import Signature, read_signature
from local.functions.blob_paths import parse_pattern
from local.functions.configuration import resolve_settings
from local.functions.connections import check_connection
from local.functions.errors import ConfigurationError, IndexingError
from local.functions.routes import make_route
from local.functions.schedules import parse_schedule

HTTP, TIMER, QUEUE, BLOB = "httpTrigger", "timerTrigger", "queueTrigger", "blobTrigger"
EVENT_GRID = "eventGridTrigger"
_TRIGGERS = {HTTP, TIMER, QUEUE, BLOB, EVENT_GRID}
_OUTPUTS = {"http", "queue"}
_QUEUE_NAME = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}")

Binding = Mapping[str, Any]


@dataclass(frozen=True)
class Function:
    """An indexed function.

    `raw_bindings` are its bindings as the worker reports them to the host, `bindings` the same with every `%SETTING%`
    replaced; `trigger` is the one of them that starts the function.
    """

    name: str
    call: Callable[..., Any]
    signature: Signature
    raw_bindings: tuple[Binding, ...]
    bindings: tuple[Binding, ...]
    trigger: Binding

    @property
    def id(self) -> str:
        """The id under which receipts and messages of the real host know it."""
        return f"Host.Functions.{self.name}"

    def output(self, name: str) -> Binding:
        """The output binding of a parameter, or of `$return`."""
        return next(binding for binding in self.bindings if binding["name"] == name)


def index_app(app: Path, environment: Mapping[str, str]) -> tuple[Function, ...]:
    """Import `function_app.py` of an app folder and index its functions, in their order there.

    Raises:
        IndexingError: the app cannot be imported or one of its functions is wrong; the message says which and why.
    """
    functions = tuple(_index(declared, environment) for declared in _declared_functions(_import_app(app)))
    if not functions:
        raise IndexingError(f"{app / 'function_app.py'} declares no function")
    return functions


def _import_app(app: Path) -> func.FunctionRegister:
    file = app / "function_app.py"
    if not file.is_file():
        raise IndexingError(f"{file} does not exist; --app must name the folder with host.json and function_app.py")
    sys.path.insert(0, str(app))
    try:
        module = importlib.import_module("function_app")
    except (Exception, SystemExit) as error:  # whatever an app's code raises is a fact about the app, and is shown
        text = "".join(traceback.format_exception(error))
        raise IndexingError(f"{file} cannot be imported: {type(error).__name__}: {error}\n{text}") from error
    apps = {id(value): value for value in vars(module).values() if isinstance(value, func.FunctionRegister)}
    if len(apps) != 1:
        raise IndexingError(f"{file} must have one function app at its top level; {len(apps)} were found")
    return next(iter(apps.values()))


def _declared_functions(app: func.FunctionRegister) -> list[Any]:
    try:
        return list(app.get_functions())  # refuses a function without a trigger and a name used twice
    except ValueError as error:
        raise IndexingError(str(error)) from error


def _index(declared: Any, environment: Mapping[str, str]) -> Function:
    name = declared.get_function_name()
    objects = declared.get_bindings()
    signature = _checked_types(name, declared.get_user_function(), objects)
    raw = tuple(json.loads(text) for text in _raw_bindings(declared, signature))
    try:
        bindings = tuple(_resolved(binding, environment) for binding in raw)
        trigger = next(binding for binding in bindings if binding["type"] in _TRIGGERS)
        _check_deferred(signature, bindings, trigger)
        for binding in bindings:
            _check_binding(name, binding, environment)
    except ConfigurationError as error:
        raise IndexingError(str(error), name) from error
    return Function(name, declared.get_user_function(), signature, raw, bindings, trigger)


def _checked_types(name: str, call: Callable[..., Any], bindings: list[Any]) -> Signature:
    for binding in bindings:
        if binding.type not in _TRIGGERS | _OUTPUTS:
            known = ", ".join(sorted(_TRIGGERS | _OUTPUTS))
            raise IndexingError(f"binding {binding.name!r} is of type {binding.type}; this host has {known}", name)
    return read_signature(name, call, bindings)


def _raw_bindings(declared: Any, signature: Signature) -> list[str]:
    if any(parameter.deferred for parameter in signature.parameters.values()):
        # The extension adds the mark by which the host knows to hand over a reference and not the content.
        deferred: list[str] = get_sdk_type_registry().get_raw_bindings(declared, signature.parameters)[0]
        return deferred
    raw: list[str] = declared.get_raw_bindings()
    return raw


def _resolved(binding: Binding, environment: Mapping[str, str]) -> Binding:
    return {
        key: resolve_settings(value, environment) if isinstance(value, str) else value for key, value in binding.items()
    }


def _check_deferred(signature: Signature, bindings: tuple[Binding, ...], trigger: Binding) -> None:
    if not any(parameter.deferred for parameter in signature.parameters.values()):
        return
    for binding in bindings:
        if binding is not trigger and any("{" in value for value in binding.values() if isinstance(value, str)):
            raise ConfigurationError(
                f"binding {binding['name']!r} holds an expression in braces, which turns SDK-type parameters off in "
                "the real host; write that output through the SDK"
            )


def _check_binding(name: str, binding: Binding, environment: Mapping[str, str]) -> None:
    kind = binding["type"]
    if kind == HTTP:
        make_route(binding.get("route") or name, binding.get("methods"), name)
    elif kind == TIMER:
        parse_schedule(binding["schedule"])
    elif kind == BLOB:
        parse_pattern(binding["path"])
        check_connection(binding.get("connection"), ("blob", "queue"), environment)
        check_connection(None, ("blob", "queue"), environment)  # receipts and the internal queue lie in the app's own
    elif kind in (QUEUE, "queue"):
        if not _QUEUE_NAME.fullmatch(binding["queueName"]):
            raise ConfigurationError(
                f"{binding['queueName']!r} is not a queue's name: 3 to 63 of a-z, 0-9 and single dashes between them"
            )
        check_connection(binding.get("connection"), ("queue",), environment)
