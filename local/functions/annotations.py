"""The worker's rules for a function's parameters: which bindings, directions and annotations go together.

They were read off Microsoft's worker library (`azure_functions_runtime.functions`), which the contract test drives
beside this module.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import azure.functions as func
from azurefunctions.extensions.base import get_binding_registry as get_sdk_type_registry

from local.functions.errors import IndexingError

IN, OUT, INOUT = 0, 1, 2
RETURN = "$return"


@dataclass(frozen=True)
class Parameter:
    """One bound parameter. `pytype` is its annotation (what is in the `Out[…]` of an output), None without one."""

    name: str
    binding: str
    direction: int
    pytype: Any
    deferred: bool


@dataclass(frozen=True)
class Signature:
    """What the worker knows of a function once it is indexed; `returns` is the type of the `$return` binding."""

    parameters: Mapping[str, Parameter]
    returns: str | None
    wants_context: bool
    is_async: bool


def converter_of(binding: str) -> Any:
    """The converter that azure-functions, and so the worker, has for a type of binding."""
    return func.get_binding_registry().get(binding)  # type: ignore[no-untyped-call]  # the package leaves it untyped


def read_signature(name: str, call: Callable[..., Any], bindings: list[Any]) -> Signature:
    """Check a function against its bindings (objects with `name`, `type`, `direction`).

    Raises:
        IndexingError: as the worker would, in words.
    """
    try:
        hints = typing.get_type_hints(call)
    except (NameError, TypeError) as error:
        raise IndexingError(f"an annotation cannot be resolved: {error}", name) from error
    declared = set(inspect.signature(call).parameters)
    _check_directions(name, bindings)
    bound = {binding.name: binding for binding in bindings if binding.name != RETURN}
    wants_context = "context" in declared and "context" not in bound
    if wants_context:
        declared.discard("context")
        _check_context(name, hints)
    _check_names(name, declared, set(bound))
    returns = next((binding.type for binding in bindings if binding.name == RETURN), None)
    if returns and "return" in hints:
        _check_return(name, returns, hints["return"])
    return Signature(
        parameters={key: _parameter(name, binding, key in hints, hints.get(key)) for key, binding in bound.items()},
        returns=returns,
        wants_context=wants_context,
        is_async=inspect.iscoroutinefunction(call),
    )


def _check_directions(name: str, bindings: list[Any]) -> None:
    for binding in bindings:
        if binding.direction == INOUT:
            raise IndexingError(f"binding {binding.name!r}: the direction inout is not supported", name)
        if binding.name == RETURN and binding.direction != OUT:
            raise IndexingError("the $return binding must be an output", name)


def _check_context(name: str, hints: Mapping[str, Any]) -> None:
    if "context" in hints and getattr(hints["context"], "__name__", None) != "Context":
        raise IndexingError(f"'context' must be annotated func.Context, not {hints['context']!r}", name)


def _check_names(name: str, declared: set[str], bound: set[str]) -> None:
    if declared - bound:
        raise IndexingError(f"parameters without a binding: {', '.join(sorted(declared - bound))}", name)
    if bound - declared:
        raise IndexingError(f"bindings without a parameter: {', '.join(sorted(bound - declared))}", name)


def _parameter(name: str, binding: Any, annotated: bool, hint: Any) -> Parameter:
    origin = typing.get_origin(hint) or hint
    wrapped = isinstance(origin, type) and origin.__name__ == "Out"
    if annotated and wrapped != (binding.direction == OUT):
        wanted = "func.Out[...]" if binding.direction == OUT else "no func.Out"
        raise IndexingError(f"parameter {binding.name!r} is an {_direction(binding)} binding and needs {wanted}", name)
    pytype = hint
    if wrapped:
        arguments = typing.get_args(hint)
        if len(arguments) != 1:
            raise IndexingError(f"parameter {binding.name!r}: write func.Out with one type, as func.Out[str]", name)
        pytype = arguments[0]
    # A union such as Optional[...] is neither a class nor a generic over one, and the worker refuses it.
    if annotated and not isinstance(pytype, type) and not isinstance(typing.get_origin(pytype), type):
        raise IndexingError(f"parameter {binding.name!r}: the annotation {hint!r} is not a type", name)
    deferred = bool(get_sdk_type_registry().check_supported_type(pytype))
    if annotated and not _fits(binding, pytype, deferred):
        raise IndexingError(
            f"parameter {binding.name!r}: the annotation {_words(pytype)} does not fit a {binding.type} binding", name
        )
    return Parameter(binding.name, binding.type, binding.direction, pytype, deferred)


def _fits(binding: Any, pytype: Any, deferred: bool) -> bool:
    if pytype in (str, bytes):
        return True  # the worker treats these as generic, whatever the binding is
    converter = get_sdk_type_registry().get(binding.type) if deferred else converter_of(binding.type)
    try:
        if binding.direction == OUT:
            return bool(converter.check_output_type_annotation(pytype))
        return bool(converter.check_input_type_annotation(pytype))
    except (AttributeError, TypeError):
        # Converters ask issubclass() of whatever is written there, and one way only where they convert one way only.
        return False


def _check_return(name: str, binding: str, hint: Any) -> None:
    if not isinstance(hint, type):
        raise IndexingError(f"the return annotation {hint!r} is not a type", name)
    if not converter_of(binding).check_output_type_annotation(hint):
        raise IndexingError(f"the return annotation {_words(hint)} does not fit a {binding} binding", name)


def _direction(binding: Any) -> str:
    return "output" if binding.direction == OUT else "input"


def _words(pytype: Any) -> str:
    return pytype.__name__ if isinstance(pytype, type) else repr(pytype)
